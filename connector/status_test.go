package connector

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// statusOf is an event as whatsmeow gives it for what somebody sends to those who see his status updates.
func statusOf(author, id string, at time.Time, m *waE2E.Message) *waevents.Message {
	e := fromJuan(id, m)
	e.Info.Chat, e.Info.Sender, e.Info.IsGroup, e.Info.Timestamp = types.StatusBroadcastJID, types.NewJID(author, types.DefaultUserServer), true, at
	return e
}

func TestAStatusUpdateComesAndGoesOnce(t *testing.T) {
	t.Parallel()
	h, at := handling(t), time.Now()
	twice := func(e func() *waevents.Message) {
		t.Helper()
		h.handle(e())
		h.handle(e())
	}
	text := func(words string) *waE2E.Message { return &waE2E.Message{Conversation: &words} }
	twice(func() *waevents.Message { return statusOf(juan, "STORY", at, text("a day at sea")) })
	twice(func() *waevents.Message { return statusOf(juan, "OTHER", at, text("a night at sea")) })
	const mallory = "5491100000666"
	// What is somebody else's stays, whatever a stanza calls itself.
	h.handle(statusOf(mallory, "X1", at, revokeOf("STORY", true)))
	admin := statusOf(mallory, "X2", at, revokeOf("STORY", false))
	admin.Info.Edit = types.EditAttributeAdminRevoke
	h.handle(admin)
	if got := h.addOns(addOnTypes...); len(got) != 0 {
		t.Errorf("told is %q", got)
	}
	twice(func() *waevents.Message { return statusOf(juan, "X4", at, revokeOf("STORY", true)) })
	if got, want := h.addOns(addOnTypes...), []string{"message.revoked STORY known " + juan + " "}; !slices.Equal(got, want) {
		t.Errorf("told is %q", got)
	}
	if got := h.texts(events.StatusReceived); !slices.Equal(got, []string{"a day at sea", "a night at sea"}) {
		t.Errorf("told are %q", got)
	}
	if n := one[int](h.bench, `SELECT count(*)::int FROM messages WHERE chat_id = 'status@broadcast' AND revoked_at IS NULL`); n != 1 {
		t.Errorf("%d are left", n)
	}
	// What the account has viewed on its phone is told to nobody.
	h.handle(&waevents.Receipt{
		MessageSource: types.MessageSource{Chat: types.StatusBroadcastJID, Sender: types.NewJID(juan, types.DefaultUserServer), IsGroup: true},
		MessageIDs:    []types.MessageID{"OTHER"}, Type: types.ReceiptTypeReadSelf, Timestamp: at,
	})
	if got := h.chatEvents(); len(got) != 0 {
		t.Errorf("told of chats is %q", got)
	}
}

func TestStatusUpdatesOfLongAgoAreDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.prepared()
	b.createSession("sales")
	b.createSession("support")
	put := func(session, chat, status string, age time.Duration) uuid.UUID {
		id := events.NewID()
		b.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
			VALUES ($1, $2, $3, 'juan', $6, 'incoming', $4, 'image', '{"type":"image"}', now() - make_interval(secs => $5))`, id, session, chat, status, age.Seconds(), id.String())
		return id
	}
	const day = 24 * time.Hour
	over := []uuid.UUID{put("sales", events.StatusChat, "delivered", 31*day), put("support", events.StatusChat, "read", 90*day)}
	for range 3 { // more than one statement takes
		b.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
			SELECT gen_random_uuid(), 'sales', 'status@broadcast', 'juan', gen_random_uuid()::text, 'incoming', 'delivered', 'text', '{"type":"text"}', now() - interval '40 days'
			  FROM generate_series(1, 500)`)
	}
	kept := []uuid.UUID{put("sales", events.StatusChat, "delivered", 29*day), put("sales", juan+"@s.whatsapp.net", "delivered", 31*day), put("sales", events.StatusChat, "scheduled", 31*day)}
	// Its file's row goes with it, unless another message sends the file too.
	file := func(of uuid.UUID) uuid.UUID {
		id := events.NewID()
		b.exec(`INSERT INTO media (id, session_id, message_id, status, mimetype, size, sha256, kind) VALUES ($1, 'sales', $2, 'pending', 'image/png', 1, $3, 'image')`, id, of, make([]byte, 32))
		b.exec(`UPDATE messages SET media_id = $1 WHERE id = $2`, id, of)
		return id
	}
	lost, shared := file(over[0]), file(over[1])
	b.exec(`UPDATE messages SET media_id = $1 WHERE id = $2`, shared, kept[1])
	if err := c.Start(b.ctx()); err != nil { // which sweeps
		t.Fatal(err)
	}
	b.await("the sweep", func() bool { return one[int](b, `SELECT count(*)::int FROM messages`) <= len(kept) })
	if got := many[uuid.UUID](b, `SELECT id FROM messages ORDER BY id`); !slices.Equal(got, kept) {
		t.Errorf("left are %v, want %v", got, kept)
	}
	if got := many[uuid.UUID](b, `SELECT id FROM media WHERE id IN ($1, $2)`, lost, shared); !slices.Equal(got, []uuid.UUID{shared}) {
		t.Errorf("left are the files %v, want %v", got, shared)
	}
}

func TestALookSurvivesTheWay(t *testing.T) {
	t.Parallel()
	if names := slices.Sorted(maps.Keys(fonts)); !slices.Equal(names, slices.Sorted(slices.Values(events.StatusFonts))) || len(fonts) != len(waE2E.ExtendedTextMessage_FontType_name) {
		t.Errorf("the fonts are %q", names)
	}
	for _, font := range events.StatusFonts {
		want := events.Content{Type: events.ContentText, Text: "hello", BackgroundColor: "#00FF7A", Font: font}
		m := &waE2E.Message{Conversation: proto.String("hello")}
		dress(m, &want)
		got, _ := contentOf(m)
		if dressed(m, &got); !reflect.DeepEqual(got, want) {
			t.Errorf("it is read as %+v", got)
		}
		undress(m)
		if got, _ = contentOf(m); got.Text != "hello" || m.ExtendedTextMessage.BackgroundArgb != nil || m.ExtendedTextMessage.Font != nil || m.ExtendedTextMessage.TextArgb != nil {
			t.Errorf("forwarded it is %v", m)
		}
	}
	voice := &waE2E.Message{AudioMessage: &waE2E.AudioMessage{}}
	dress(voice, &events.Content{Type: events.ContentVoice, BackgroundColor: "#012345"})
	got := events.Content{}
	if dressed(voice, &got); got.BackgroundColor != "#012345" || voice.AudioMessage.GetBackgroundArgb() != 0xFF012345 {
		t.Errorf("a voice note has %+v", got)
	}
	plain := &waE2E.Message{Conversation: proto.String("hello")}
	if dress(plain, &events.Content{Type: events.ContentText, Text: "hello"}); plain.ExtendedTextMessage != nil {
		t.Error("a plain message has got a look")
	}
}

// Those who see the account's status updates may be thousands: they are prepared as a group is.
func TestABigAudienceDelaysNoOtherChat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone("5491150000002", "Bert")
	b.linked("a", "5491150000001")
	const size = 300
	if _, _, err := b.sandbox.CreatePhone(b.ctx(), sandbox.NewPhone{Number: "5491160000000", Name: "Crowd", Level: server.Stub, Count: size}); err != nil {
		t.Fatal(err)
	}
	bert := "5491150000002@" + events.PhoneServer
	b.awaitTold(b.accept("a", bert)[0]) // they have met
	book := []store.ContactEntry{{JID: types.NewJID("5491150000002", types.DefaultUserServer), FullName: "Bert"}}
	for i := range size {
		book = append(book, store.ContactEntry{JID: types.NewJID(fmt.Sprint(5491160000000+i), types.DefaultUserServer), FullName: fmt.Sprint("Friend ", i)})
	}
	if err := c.session("a").sender().device.Contacts.PutAllContactNames(b.ctx(), book); err != nil {
		t.Fatal(err)
	}
	b.sandbox.SetFaults(server.Faults{QueryDelay: 300 * time.Millisecond})
	before := len(b.sent())
	ids := b.accept("a", events.StatusChat, bert, events.StatusChat, bert)
	for _, id := range ids {
		b.awaitTold(id)
	}
	order := b.sent()[before:]
	if want := []uuid.UUID{ids[1], ids[3], ids[0], ids[2]}; fmt.Sprint(order) != fmt.Sprint(want) {
		t.Errorf("sent in the order %v, want %v", order, want)
	}
	if texts := b.shown("5491150000002", 5)[1:]; len(texts) != 4 {
		t.Errorf("the phone saw %q", texts)
	}
}

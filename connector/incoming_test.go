package connector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
)

const owner, juan = "5491100000001", "5491100000002"

// texts are the texts of the events of one type, in order.
func (b *bench) texts(t events.Type) (texts []string) {
	b.Helper()
	for _, e := range b.events(t) {
		texts = append(texts, e.Data.Message.Content.Text)
	}
	return texts
}

func numbered(from, to int) (texts []string) {
	for i := from; i < to; i++ {
		texts = append(texts, fmt.Sprintf("text %d", i))
	}
	return texts
}

func TestNothingIsLostOrToldTwiceWhenHandlersFail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	// PostgreSQL refuses every seventh of the first twenty-one messages; a sequence counts on where a transaction is undone.
	b.exec(`CREATE SEQUENCE tried`)
	b.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE n bigint := nextval('tried'); BEGIN
		IF n <= 21 AND n % 7 = 0 THEN RAISE 'refused by the test'; END IF; RETURN NEW; END $$`)
	b.exec(`CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()`)
	want := numbered(0, 40)
	for _, text := range want {
		b.fromPhone(juan, owner, text)
	}
	b.await("forty messages", func() bool { return len(b.events(events.MessageReceived)) >= len(want) })
	if got := b.texts(events.MessageReceived); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
	if n := one[int64](b, `SELECT last_value FROM tried`); n < 43 {
		t.Errorf("only %d inserts were tried: nothing failed", n)
	}
}

func TestNothingIsLostOrToldTwiceWhenConnectorsDie(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "dev", true }
	c := b.connector(same)
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	want := numbered(0, 150)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, text := range want {
			if _, err := b.sandbox.SendText(context.Background(), juan, owner, text); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for _, n := range []int{20, 60, 100} {
		b.await("some messages", func() bool { return one[int](b, `SELECT count(*)::int FROM messages`) >= n })
		b.abandon(c)
		c = b.connector(same)
	}
	<-sent
	b.await("all messages", func() bool { return len(b.events(events.MessageReceived)) >= len(want) })
	if got := b.texts(events.MessageReceived); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
}

func TestNothingIsLostOrToldTwiceWhenTheDatabaseBreaksOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	want := numbered(0, 150)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, text := range want {
			if _, err := b.sandbox.SendText(context.Background(), juan, owner, text); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for _, n := range []int{10, 50, 100} {
		b.await("some messages", func() bool { return one[int](b, `SELECT count(*)::int FROM messages`) >= n })
		b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name IN ('chasqui connector', 'chasqui connector claims', 'chasqui whatsmeow')`)
	}
	<-sent
	b.await("all messages", func() bool { return len(b.events(events.MessageReceived)) >= len(want) })
	if got := b.texts(events.MessageReceived); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
}

// fromJuan is an event as whatsmeow gives it for a message of Juan's.
func fromJuan(id string, m *waE2E.Message) *waevents.Message {
	jid := types.NewJID(juan, types.DefaultUserServer)
	return (&waevents.Message{RawMessage: m, Info: types.MessageInfo{
		MessageSource: types.MessageSource{Chat: jid, Sender: jid}, ID: id, PushName: "Juan", Timestamp: time.Now(),
	}}).UnwrapRaw()
}

func TestEachKindOfMessageIsToldAsWhatItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	handle := func(evt any) {
		t.Helper()
		if !conn.handle(evt) {
			t.Fatalf("%T was refused: %v", evt, context.Cause(conn.ctx))
		}
	}
	text := func(s string) *waE2E.Message { return &waE2E.Message{Conversation: proto.String(s)} }

	lost := fromJuan("LOST", nil)
	handle(&waevents.UndecryptableMessage{Info: lost.Info})
	if got := one[string](b, `SELECT content->>'type' FROM messages WHERE whatsapp_id = 'LOST'`); got != events.ContentUndecryptable {
		t.Errorf("the message that came undecryptable is %s", got)
	}
	if n := len(b.events(events.MessageReceived)); n != 0 {
		t.Errorf("%d events tell of it", n)
	}
	handle(fromJuan("LOST", text("found")))
	handle(&waevents.UndecryptableMessage{Info: lost.Info})
	handle(fromJuan("LOST", text("found")))
	hidden := &waevents.UndecryptableMessage{Info: fromJuan("HIDDEN", nil).Info, DecryptFailMode: waevents.DecryptFailHide}
	handle(hidden)

	handle(fromJuan("EXT", &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: proto.String("a link")}}))
	handle(fromJuan("NUL", text("a\x00b\xff")))
	handle(fromJuan("IMG", &waE2E.Message{ImageMessage: &waE2E.ImageMessage{Caption: proto.String("look")}}))
	handle(fromJuan("BIG", text(strings.Repeat("x", 2<<20))))
	handle(fromJuan("REACT", &waE2E.Message{ReactionMessage: &waE2E.ReactionMessage{Text: proto.String("+"), Key: &waCommon.MessageKey{}}}))
	handle(fromJuan("KEYS", &waE2E.Message{SenderKeyDistributionMessage: &waE2E.SenderKeyDistributionMessage{}}))
	handle(fromJuan(strings.Repeat("L", 5000), text("an id beyond all limits")))
	story := fromJuan("STORY", text("a status update"))
	story.Info.Chat, story.Info.IsGroup = types.StatusBroadcastJID, true
	handle(story)
	group := fromJuan("GROUP", text("to all"))
	group.Info.Chat, group.Info.IsGroup = types.NewJID("120363025246125486", types.GroupServer), true
	handle(group)
	own := fromJuan("OWN", text("from the phone"))
	own.Info.IsFromMe, own.Info.Sender = true, types.NewJID(owner, types.DefaultUserServer)
	handle(own)

	var got []string
	for _, e := range b.events(events.MessageReceived, events.MessageSent, events.StatusReceived) {
		m := e.Data.Message
		got = append(got, fmt.Sprintf("%s %s %s>%s %s %q", e.Type, m.WhatsAppID, m.From.Phone, m.To.ID, m.Content.Type, m.Content.Text))
	}
	me, him := owner+"@s.whatsapp.net", juan+"@s.whatsapp.net"
	want := []string{
		`message.received LOST ` + juan + `>` + me + ` text "found"`,
		`message.received EXT ` + juan + `>` + me + ` text "a link"`,
		`message.received NUL ` + juan + `>` + me + ` text "a` + "\uFFFDb\uFFFD" + `"`,
		`message.received IMG ` + juan + `>` + me + ` unsupported ""`,
		`message.received BIG ` + juan + `>` + me + ` unsupported ""`,
		`message.received GROUP ` + juan + `>120363025246125486@g.us text "to all"`,
		`status.received STORY ` + juan + `>status@broadcast text "a status update"`,
		`message.sent OWN ` + owner + `>` + him + ` text "from the phone"`,
	}
	slices.Sort(got) // lanes of different chats have no order between them
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPanicRefusesTheEventAndAllThatFollow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", owner)
	ctx, fail := context.WithCancelCause(context.Background())
	conn := &connection{s: c.session("sales"), ctx: ctx, fail: fail, signals: make(chan any, 1)} // without a device
	if conn.handle(fromJuan("A", &waE2E.Message{Conversation: proto.String("a")})) {
		t.Error("the event was accepted")
	}
	if conn.handle(&waevents.Connected{}) {
		t.Error("a later event was accepted")
	}
}

// BenchmarkIncoming measures the handler alone: 4 round trips to PostgreSQL a message (begin; the write; the event's publication; commit).
func BenchmarkIncoming(b *testing.B) {
	w := setup(b)
	c := w.connector()
	w.phone(juan, "Juan")
	w.linked("sales", owner)
	conn := c.session("sales").sender()
	i := 0
	for b.Loop() {
		i++
		if !conn.handle(fromJuan(fmt.Sprintf("ID%d", i), &waE2E.Message{Conversation: proto.String("hello")})) {
			b.Fatal("refused")
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

package connector

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/testfuzz"
)

func TestCardsAreReadForTheirNumbers(t *testing.T) {
	t.Parallel()
	many := ""
	for i := range 50 {
		many += fmt.Sprintf("TEL:+54911000001%02d\n", i)
	}
	for card, want := range map[string][]string{
		"BEGIN:VCARD\nTEL;type=CELL;waid=5491123456789:+54 9 11 2345-6789\nEND:VCARD":                        {"5491123456789"},
		"BEGIN:VCARD\r\nitem1.TEL;WAID=5491123456789:+1\r\nitem1.X-ABLabel:Mobile\r\ntel:+49 (30) 12345\r\n": {"5491123456789", "493012345"},
		"TEL:+5491123456789\nTEL;type=WORK:+54 911 2345 6789\n":                                              {"5491123456789"},
		"NOTE:TEL:12345678\nTEL:none\nTELEX:123456789\n":                                                     nil,
		"": nil,
	} {
		if got := cardOf(&waE2E.ContactMessage{DisplayName: proto.String("A"), Vcard: &card}); !slices.Equal(got.Phones, want) {
			t.Errorf("%q has %q, want %q", card, got.Phones, want)
		}
	}
	if got := cardOf(&waE2E.ContactMessage{Vcard: &many}); len(got.Phones) != maxPhones {
		t.Errorf("%d numbers of a card with 50", len(got.Phones))
	}
	if got := cardOf(&waE2E.ContactMessage{Vcard: proto.String("FN;CHARSET=UTF-8:Ana\r\n")}); got.Name != "Ana" {
		t.Errorf("the name is %q", got.Name)
	}
	if got := cardOf(&waE2E.ContactMessage{DisplayName: proto.String("B"), Vcard: proto.String(strings.Repeat("x", maxCard+1))}); got.VCard != "" || got.Name != "B" {
		t.Errorf("a card that is too large is shown: %d bytes", len(got.VCard))
	}
}

func TestNumbersThatCannotBeShownAreMadeFit(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	content, shown := contentOf(&waE2E.Message{LiveLocationMessage: &waE2E.LiveLocationMessage{
		DegreesLatitude: &nan, DegreesLongitude: proto.Float64(-1e9), SpeedInMps: proto.Float32(float32(math.Inf(1))), DegreesClockwiseFromMagneticNorth: proto.Uint32(725),
		SequenceNumber: proto.Int64(-1),
	}})
	if want := (events.LiveLocation{Longitude: -180, Heading: 5}); !shown || *content.LiveLocation != want {
		t.Errorf("the place is %+v", content.LiveLocation)
	}
	content, _ = contentOf(&waE2E.Message{EventMessage: &waE2E.EventMessage{Name: proto.String("x"), StartTime: proto.Int64(math.MaxInt64), EndTime: proto.Int64(-5)}})
	if _, err := json.Marshal(content); err != nil || content.Event.EndAt != nil {
		t.Errorf("the event is %+v, %v", content.Event, err)
	}
}

func TestAPollIsReadInEachOfItsVersions(t *testing.T) {
	t.Parallel()
	poll := &waE2E.PollCreationMessage{Name: proto.String("When?"), Options: []*waE2E.PollCreationMessage_Option{{OptionName: proto.String("Mon")}, {OptionName: proto.String("Tue")}}}
	for i, m := range []*waE2E.Message{
		{PollCreationMessage: poll}, {PollCreationMessageV2: poll}, {PollCreationMessageV3: poll}, {PollCreationMessageV5: poll}, {PollCreationMessageV6: poll},
		{PollCreationMessageV4: &waE2E.FutureProofMessage{Message: &waE2E.Message{PollCreationMessageV3: poll}}},
		{EphemeralMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{GroupMentionedMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{PollCreationMessage: poll}}}}},
	} {
		inner, _ := unwrap(m)
		content, shown := contentOf(inner)
		if !shown || content.Poll == nil || content.Poll.Question != "When?" || !slices.Equal(content.Poll.Options, []string{"Mon", "Tue"}) {
			t.Errorf("%d: %+v", i, content)
		}
	}
}

func TestTemplatesAreReadAsText(t *testing.T) {
	t.Parallel()
	row := &waE2E.TemplateMessage_HydratedFourRowTemplate{
		Title:               &waE2E.TemplateMessage_HydratedFourRowTemplate_HydratedTitleText{HydratedTitleText: "Your order"},
		HydratedContentText: proto.String("It is ready."), HydratedFooterText: proto.String("The shop"),
	}
	interactive := &waE2E.InteractiveMessage{
		Header: &waE2E.InteractiveMessage_Header{Title: proto.String("Your order")}, Body: &waE2E.InteractiveMessage_Body{Text: proto.String("It is ready.")},
		Footer: &waE2E.InteractiveMessage_Footer{Text: proto.String("The shop")},
	}
	for i, m := range []*waE2E.Message{
		{TemplateMessage: &waE2E.TemplateMessage{HydratedTemplate: row}}, {InteractiveMessage: interactive},
		{TemplateMessage: &waE2E.TemplateMessage{Format: &waE2E.TemplateMessage_HydratedFourRowTemplate_{HydratedFourRowTemplate: row}}},
		{TemplateMessage: &waE2E.TemplateMessage{Format: &waE2E.TemplateMessage_InteractiveMessageTemplate{InteractiveMessageTemplate: interactive}}},
		{HighlyStructuredMessage: &waE2E.HighlyStructuredMessage{HydratedHsm: &waE2E.TemplateMessage{HydratedTemplate: row}}},
	} {
		if content, shown := contentOf(m); !shown || content.Type != events.ContentText || content.Text != "Your order\nIt is ready.\nThe shop" {
			t.Errorf("%d: %+v", i, content)
		}
	}
	if content, shown := contentOf(&waE2E.Message{TemplateMessage: &waE2E.TemplateMessage{}}); !shown || content.Type != events.ContentUnsupported {
		t.Errorf("a template without a text is %+v", content)
	}
}

func TestWhatIsTooMuchIsCut(t *testing.T) {
	t.Parallel()
	c := reader(t)
	info := &waE2E.ContextInfo{StanzaID: proto.String("Q"), Participant: proto.String(juan + "@s.whatsapp.net"), QuotedMessage: &waE2E.Message{Conversation: proto.String(strings.Repeat("é", maxQuote))}}
	for i := range 5000 {
		info.MentionedJID = append(info.MentionedJID, fmt.Sprintf("%d@s.whatsapp.net", 5491100000000+i/2), "no JID", "")
	}
	e := fromJuan("A", &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: proto.String("hello"), ContextInfo: info}})
	said, _, err := read(e, e.Message, wrapping{})
	if err != nil {
		t.Fatal(err)
	}
	p, ok, err := c.row(t.Context(), &e.Info, said)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	var context struct {
		ReplyTo  events.Reply
		Mentions []events.Address
	}
	if err := json.Unmarshal(p.Context, &context); err != nil {
		t.Fatal(err)
	}
	if n := len(context.ReplyTo.Text); n > maxQuote || n < maxQuote-4 || !utf8.ValidString(context.ReplyTo.Text) {
		t.Errorf("the quote has %d bytes", n)
	}
	if n := len(context.Mentions); n == 0 || n > maxMentions {
		t.Errorf("%d are mentioned", n)
	}
	if raw, err := rawOf(&waE2E.Message{Conversation: proto.String(strings.Repeat("x", maxRaw))}); raw != nil || err != nil {
		t.Errorf("a raw form of %d bytes is kept, %v", len(raw), err)
	}
	big := fromJuan("B", &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: proto.String(strings.Repeat("x", maxContent-1000)), ContextInfo: info}})
	if said, _, err = read(big, big.Message, wrapping{}); err != nil {
		t.Fatal(err)
	}
	if p, _, err = c.row(t.Context(), &big.Info, said); err != nil || p.Context != nil || p.QuotedID != "" || p.Type != events.ContentText {
		t.Errorf("with what is beside it the message has %d bytes, %v", len(p.Context)+len(p.Content), err)
	}
}

func TestTheRawFormHasNoKeyOfAGroup(t *testing.T) {
	t.Parallel()
	m := &waE2E.Message{Conversation: proto.String("hello"), SenderKeyDistributionMessage: &waE2E.SenderKeyDistributionMessage{GroupID: proto.String("1@g.us")}}
	raw, err := rawOf(&waE2E.Message{DeviceSentMessage: &waE2E.DeviceSentMessage{Message: m}})
	if err != nil {
		t.Fatal(err)
	}
	var back waE2E.Message
	if err := proto.Unmarshal(raw, &back); err != nil || !proto.Equal(&back, &waE2E.Message{Conversation: proto.String("hello")}) {
		t.Errorf("kept is %v, %v", &back, err)
	}
	if m.SenderKeyDistributionMessage == nil {
		t.Error("the message itself was changed")
	}
}

func TestAnEditMustFitItsMessage(t *testing.T) {
	t.Parallel()
	text := &waE2E.Message{Conversation: proto.String("new")}
	image := &waE2E.Message{ImageMessage: &waE2E.ImageMessage{Caption: proto.String("new")}}
	media := &events.Media{ID: "med_1"}
	for _, c := range []struct {
		old events.Content
		m   *waE2E.Message
		now events.Content
		ok  bool
	}{
		{events.Content{Type: "text", Text: "old"}, text, events.Content{Type: "text", Text: "new"}, true},
		{events.Content{Type: "image", Media: media, Caption: "old"}, image, events.Content{Type: "image", Media: media, Caption: "new"}, true},
		{events.Content{Type: "image", Media: media, Caption: "old"}, text, events.Content{Type: "image", Media: media, Caption: "new"}, true},
		{events.Content{Type: "sticker", Media: media}, text, events.Content{}, false},
		{events.Content{Type: "video", Media: media}, image, events.Content{}, false},
		{events.Content{Type: "text", Text: "old"}, image, events.Content{}, false},
		{events.Content{Type: "poll", Poll: &events.Poll{}}, text, events.Content{}, false},
		{events.Content{Type: "undecryptable"}, text, events.Content{}, false},
		{events.Content{Type: "text", Text: "old"}, &waE2E.Message{}, events.Content{}, false},
	} {
		now, _, ok := revised(c.old, c.m)
		if ok != c.ok || ok && !reflect.DeepEqual(now, c.now) {
			t.Errorf("%s edited to %v is %+v, %v", c.old.Type, c.m, now, ok)
		}
	}
}

// reader is a connection that reads, without a database, and knows nobody's other address.
func reader(t testing.TB) *connection {
	t.Helper()
	pool, err := postgres.Open(t.Context(), testdb.DSN(t), postgres.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := &session{id: "sales", log: quiet(), c: &Connector{pool: pool, queries: db.New()}, people: map[string]acquaintance{}}
	return &connection{s: s, device: &store.Device{LIDs: &store.NoopStore{}}}
}

// FuzzRead reads any message that a stranger can send: nothing panics, and what comes out can be stored.
func FuzzRead(f *testing.F) {
	info := &waE2E.ContextInfo{
		StanzaID: proto.String("Q"), Participant: proto.String("77@lid"), MentionedJID: []string{"549@s.whatsapp.net"}, IsForwarded: proto.Bool(true),
		QuotedMessage: &waE2E.Message{ImageMessage: &waE2E.ImageMessage{Caption: proto.String("a\x00\xff")}},
	}
	for _, m := range []*waE2E.Message{
		{Conversation: proto.String("a\x00\xff")},
		{ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: proto.String("x"), MatchedText: proto.String("\x00"), Title: proto.String("\xff"), ContextInfo: info}},
		{LocationMessage: &waE2E.LocationMessage{DegreesLatitude: proto.Float64(math.NaN()), Name: proto.String("\x00"), ContextInfo: info}},
		{LiveLocationMessage: &waE2E.LiveLocationMessage{SpeedInMps: proto.Float32(float32(math.Inf(-1))), Caption: proto.String("a\x00\xff")}},
		{ContactMessage: &waE2E.ContactMessage{DisplayName: proto.String("\x00"), Vcard: proto.String("TEL;waid=5491123456789:\x00")}},
		{ContactsArrayMessage: &waE2E.ContactsArrayMessage{Contacts: []*waE2E.ContactMessage{{Vcard: proto.String("FN:\x00\nTEL:1")}}}},
		{PollCreationMessageV3: &waE2E.PollCreationMessage{Name: proto.String("\x00"), Options: []*waE2E.PollCreationMessage_Option{{OptionName: proto.String("\xff")}}}},
		{EventMessage: &waE2E.EventMessage{Name: proto.String("\x00"), StartTime: proto.Int64(-1), EndTime: proto.Int64(math.MaxInt64), Location: &waE2E.LocationMessage{}}},
		{GroupInviteMessage: &waE2E.GroupInviteMessage{GroupJID: proto.String("\x00"), InviteCode: proto.String("\xff"), InviteExpiration: proto.Int64(1)}},
		{AlbumMessage: &waE2E.AlbumMessage{ExpectedImageCount: proto.Uint32(math.MaxUint32)}},
		{ButtonsMessage: &waE2E.ButtonsMessage{ContentText: proto.String("\x00")}},
		{StickerMessage: &waE2E.StickerMessage{IsAnimated: proto.Bool(true), DirectPath: proto.String("\x00"), MediaKey: make([]byte, 32), FileSHA256: make([]byte, 32), FileEncSHA256: make([]byte, 32)}},
		{ViewOnceMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{AssociatedChildMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{ImageMessage: &waE2E.ImageMessage{}}}}}},
		{EditedMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
			Type: waE2E.ProtocolMessage_MESSAGE_EDIT.Enum(), Key: &waCommon.MessageKey{ID: proto.String("\x00")}, EditedMessage: &waE2E.Message{Conversation: proto.String("\x00")},
		}}}},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	c := reader(f)
	testfuzz.Run(f, func(t *testing.T, raw []byte) {
		m := &waE2E.Message{}
		if proto.Unmarshal(raw, m) != nil {
			return
		}
		jid := types.NewJID(juan, types.DefaultUserServer)
		e := (&waevents.Message{RawMessage: m, Info: types.MessageInfo{
			MessageSource: types.MessageSource{Chat: jid, Sender: jid}, ID: "A", Timestamp: time.Unix(1, 0),
		}}).UnwrapRaw()
		inner, outer := unwrap(e.Message)
		said, shown, err := read(e, inner, outer)
		if err != nil {
			t.Fatal(err)
		}
		storable(t, said.content)
		if shown {
			p, ok, err := c.row(t.Context(), &e.Info, said)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if len(p.Context) > 0 {
				storable(t, p.Context)
			}
			if len(p.Raw) > maxRaw || len(p.Content)+len(p.Context) > maxContent {
				t.Errorf("%d and %d bytes, with %d raw", len(p.Content), len(p.Context), len(p.Raw))
			}
		}
		if _, err := c.edited(t.Context(), inner.GetProtocolMessage().GetEditedMessage()); err != nil {
			t.Fatal(err)
		}
		for kind := range captioned {
			now, _, _ := revised(events.Content{Type: kind}, inner)
			storable(t, now)
		}
		now, _, _ := revised(events.Content{Type: events.ContentText}, inner)
		storable(t, now)
		c.reacted(inner.GetReactionMessage().GetText())
		c.voted([][]byte{raw})
	})
}

// storable fails the test unless PostgreSQL takes a value as jsonb: no NUL in any text, and UTF-8.
func storable(t *testing.T, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var back any
	if err := json.Unmarshal(text, &back); err != nil || !utf8.Valid(text) {
		t.Fatalf("%q: %v", text, err)
	}
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case string:
			if strings.ContainsRune(value, 0) {
				t.Fatalf("NUL in %q", text)
			}
		case []any:
			for _, v := range value {
				walk(v)
			}
		case map[string]any:
			for _, v := range value {
				walk(v)
			}
		}
	}
	walk(back)
}

package connector

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/seal"
)

func TestComposedMessages(t *testing.T) {
	t.Parallel()
	at := time.Unix(1900000000, 0).UTC()
	end := at.Add(time.Hour)
	here := events.Location{Latitude: -34.5, Longitude: -58.5, Name: "Obelisco", Address: "Av. 9 de Julio"}
	golden := map[string]json.RawMessage{}
	for name, content := range map[string]events.Content{
		"text":          {Type: "text", Text: "Hello"},
		"preview":       {Type: "text", Text: "see https://example.com", LinkPreview: &events.LinkPreview{URL: "https://example.com", Title: "Example", Description: "An example."}},
		"location":      {Type: "location", Location: &here},
		"live location": {Type: "liveLocation", Caption: "c", LiveLocation: &events.LiveLocation{Latitude: 1, Longitude: 2, AccuracyMeters: 3, Speed: 4, Heading: 5, Sequence: 6}},
		"no movement":   {Type: "liveLocation", LiveLocation: &events.LiveLocation{}},
		"card":          {Type: "contacts", Contacts: []events.ContactCard{{Name: `A;B,C\D` + "\nE", Phones: []string{"5491123456789", "5491123456780"}}}},
		"cards":         {Type: "contacts", Contacts: []events.ContactCard{{Name: "Ana", VCard: "BEGIN:VCARD\nFN:Ana\nEND:VCARD"}, {Name: "Bert", Phones: []string{"5491123456789"}}}},
		"poll":          {Type: "poll", Poll: &events.Poll{Question: "When?", Options: []string{"Monday", "Tuesday"}, SelectableCount: 1}},
		"event": {Type: "event", Event: &events.CalendarEvent{
			Name: "Party", Description: "d", StartAt: at, EndAt: &end, Location: &here, JoinLink: "https://call.whatsapp.com/video/a", ExtraGuests: true,
		}},
		"short event":  {Type: "event", Event: &events.CalendarEvent{Name: "Party", StartAt: at}},
		"group invite": {Type: "groupInvite", GroupInvite: &events.GroupInvite{GroupID: "1203@g.us", Code: "AbCd", ExpiresAt: &at, Name: "Others", Caption: "c"}},
		"album":        {Type: "album", Album: &events.Album{Images: 2, Videos: 1}},
	} {
		m, err := (&connection{}).body(t.Context(), &draft{content: content, beside: postgres.MessageContext{PreviewThumbnail: []byte{1, 2}}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "poll" {
			m.MessageContextInfo = nil // whatsmeow's random secret, in place of which compose sets its own
		}
		// Whatever it is, it takes a context, and can be quoted without.
		beside := proto.CloneOf(m)
		setContext(beside, &waE2E.ContextInfo{Expiration: proto.Uint32(7)})
		if raw, _ := proto.Marshal(beside); !bytes.Contains(raw, []byte{0xc8, 1, 7}) { // field 25
			t.Errorf("%s: the context has no place in %v", name, beside)
		}
		setContext(beside, nil)
		if raw, _ := proto.Marshal(beside); bytes.Contains(raw, []byte{0xc8, 1, 7}) {
			t.Errorf("%s: the context stays in %v", name, beside)
		}
		if golden[name], err = protojson.Marshal(m); err != nil {
			t.Fatal(err)
		}
	}
	got, err := json.MarshalIndent(golden, "", "  ") // also evens out protojson's random spaces
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/composed.json"
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != string(got)+"\n" {
		t.Errorf("%s differs from (%v):\n%s", path, err, got)
	}
	if m, err := (&connection{}).body(t.Context(), &draft{content: events.Content{Type: "hologram"}}); err == nil {
		t.Errorf("a type that is unknown is sent as %v", m)
	}
}

func TestMentionsAreRenamed(t *testing.T) {
	t.Parallel()
	digits := map[string]string{"5491123456789": "1234567890123", "77777": "77777", "54911234567895491123": "1"}
	for text, want := range map[string]string{
		"@5491123456789":                         "@1234567890123",
		"(@+5491123456789), hi!":                 "(@1234567890123), hi!",
		"@5491123456789@5491123456789 @77777":    "@1234567890123@5491123456789 @77777",
		"a@5491123456789 1@5491123456789":        "a@5491123456789 1@5491123456789",
		"@54911234567890 @549112345678 @999999":  "@54911234567890 @549112345678 @999999",
		"@" + strings.Repeat("5491123456789", 2): "@" + strings.Repeat("5491123456789", 2),
		"5491123456789 @":                        "5491123456789 @",
		"ñ @5491123456789 ñ":                     "ñ @1234567890123 ñ",
	} {
		if got := renamed(text, digits); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// sendContent accepts a message as the API does, with what stands beside its content.
func (b *bench) sendContent(session, number string, content events.Content, beside postgres.MessageContext) uuid.UUID {
	b.Helper()
	id, now := events.NewID(), time.Now()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		said, _ := json.Marshal(content)
		context, _ := json.Marshal(beside)
		if err := db.New().MessageQueue(b.ctx(), tx, db.MessageQueueParams{
			ID: id, SessionID: session, ChatID: number + "@" + events.PhoneServer, WhatsappID: "3EB0" + id.String()[:8] + id.String()[30:], Status: string(events.StatusQueued), Type: content.Type,
			Content: said, Context: context, Timestamp: now,
		}); err != nil {
			return err
		}
		payload, _ := json.Marshal(events.SendCommand{MessageID: id, SessionID: session})
		tx.Publish(events.TopicCommands, queue.Message{
			ID: id, Lane: events.SendLane(session), Session: session, Payload: payload, Metadata: map[string]string{events.MetaCommand: events.CommandSend},
		})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// raw is a message in WhatsApp's form, as it is kept.
func (b *bench) raw(id uuid.UUID) *waE2E.Message {
	b.Helper()
	var m waE2E.Message
	raw, err := testKeys.Open(one[[]byte](b, `SELECT coalesce(raw, '') FROM messages WHERE id = $1`, id), seal.RawMessage.At(one[string](b, `SELECT session_id FROM messages WHERE id = $1`, id)))
	if err != nil {
		b.Fatal(err)
	}
	if err := proto.Unmarshal(raw, &m); err != nil {
		b.Fatal(err)
	}
	return &m
}

// A process that dies between the answer and the end of a send sends again, and with the same secret: who took the first copy votes with that.
func TestAPollThatIsSentAgainHasTheSameSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector(func(c *Config) { c.Owner = "first" })
	// Somebody who sends no receipts, which would end the matter.
	if _, _, err := b.sandbox.CreatePhone(b.ctx(), sandbox.NewPhone{Number: juan, Name: "Juan", Level: "stub"}); err != nil {
		t.Fatal(err)
	}
	b.linked("sales", owner)
	g := b.gate(`BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.status = 'sent')`)
	g.shut()
	id := b.sendContent("sales", juan, events.Content{Type: "poll", Poll: &events.Poll{Question: "?", Options: []string{"a", "b"}}}, postgres.MessageContext{})
	g.await()
	name := one[string](b, `SELECT whatsapp_id FROM messages WHERE id = $1`, id)
	first, err := c.session("sales").sender().secret(name)
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.session("sales").sender().secret("3EB0")
	if err != nil || bytes.Equal(first, other) || len(first) != 32 {
		t.Errorf("secrets are %x and %x: %v", first, other, err)
	}
	g.kill(c)
	g.open()
	b.exec(`UPDATE claims SET expires_at = now()`)
	b.connector(func(c *Config) { c.Owner = "second" })
	b.awaitStatus(id, events.StatusSent)
	if raw := b.raw(id); !bytes.Equal(raw.GetMessageContextInfo().GetMessageSecret(), first) || raw.GetPollCreationMessage().GetName() != "?" {
		t.Errorf("it is kept as %v, its secret was %x", raw, first)
	}
}

// What was sent is kept also where the recipient's receipt was faster than the end of the send.
func TestAMessageIsKeptAsItWasSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	id := b.send("sales", juan, "Hello")
	b.awaitStatus(id, events.StatusDelivered)
	b.await("the message to be kept", func() bool { return b.raw(id).GetConversation() == "Hello" })
	late := b.outgoing("sales", events.StatusDelivered)
	now := time.Now()
	outcome, err := c.session("sales").finish(b.ctx(), late, db.MessageFinishParams{Status: string(events.StatusSent), Timestamp: &now, Raw: []byte{10, 1, 'x'}})
	if err != nil || outcome != string(events.StatusSent) || b.raw(late).GetConversation() != "x" || b.status(late) != string(events.StatusDelivered) {
		t.Errorf("%s, %v: %s, %v", outcome, err, b.status(late), b.raw(late))
	}
	failed := b.outgoing("sales", events.StatusSending)
	code, message := "internal_error", "no"
	if _, err := c.session("sales").finish(b.ctx(), failed, db.MessageFinishParams{Status: string(events.StatusFailed), ErrorCode: &code, ErrorMessage: &message}); err != nil ||
		!one[bool](b, `SELECT raw IS NULL AND status = 'failed' FROM messages WHERE id = $1`, failed) {
		t.Errorf("a failure: %s, %v", b.status(failed), err)
	}
}

// A quote of what is not kept in WhatsApp's form, or was deleted since, is its text; and one of what quotes does not repeat that.
func TestQuotesOfWhatIsNotKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	first := b.send("sales", juan, "Hello")
	b.awaitSent(first)
	b.await("the first message to be kept", func() bool {
		return b.raw(first).GetConversation()+b.raw(first).GetExtendedTextMessage().GetText() == "Hello"
	})
	reply := func(to uuid.UUID, text string) postgres.MessageContext {
		return postgres.MessageContext{ReplyTo: &events.Reply{
			MessageID: events.MessagePrefix.Format(to), WhatsAppID: "3EB0" + text, From: &events.Address{ID: juan + "@" + events.PhoneServer}, Type: "text", Text: text,
		}}
	}
	b.exec(`UPDATE messages SET raw = CASE WHEN id = $1 THEN NULL ELSE raw END`, first)
	b.awaitSent(b.sendContent("sales", juan, events.Content{Type: "text", Text: "to what is kept as text"}, reply(first, "A")))
	b.exec(`UPDATE messages SET raw = '\xff' WHERE id = $1`, first)
	b.awaitSent(b.sendContent("sales", juan, events.Content{Type: "text", Text: "to what is broken"}, reply(first, "B")))
	last := b.sendContent("sales", juan, events.Content{Type: "text", Text: "to what was deleted"}, reply(events.NewID(), "C"))
	b.awaitSent(last)
	b.await("the last message to be kept", func() bool { return b.raw(last).GetExtendedTextMessage() != nil })
	again := b.sendContent("sales", juan, events.Content{Type: "text", Text: "to that"}, reply(last, "D"))
	b.await("the answer to it to be kept", func() bool { return b.raw(again).GetExtendedTextMessage() != nil })
	if quoted := b.raw(again).GetExtendedTextMessage().GetContextInfo().GetQuotedMessage(); quoted.GetExtendedTextMessage().GetText() != "to what was deleted" ||
		quoted.GetExtendedTextMessage().GetContextInfo() != nil || quoted.GetMessageContextInfo() != nil {
		t.Errorf("the quote is %v", quoted)
	}
	b.shown(juan, 5)
	list, err := b.sandbox.Messages(b.ctx(), juan, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"A", "B", "C"} {
		if q := list[i+1].Quote; q == nil || q.Text != want || q.From != juan || q.ID != "3EB0"+want || q.Type != "text" {
			t.Errorf("%s: the quote is %+v", list[i+1].Text, q)
		}
	}
}

package connector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// received waits until a message of a phone's is kept, and returns our id of it.
func (b *bench) received(whatsappID string) uuid.UUID {
	b.Helper()
	const sql = ` FROM messages WHERE whatsapp_id = $1`
	b.await("message "+whatsappID, func() bool { return one[int](b, `SELECT count(*)::int`+sql, whatsappID) == 1 })
	return one[uuid.UUID](b, `SELECT id`+sql, whatsappID)
}

// shows are what a phone shows of what was done to a message.
func (b *bench) shows(number, kind, target string) (texts []string) {
	b.Helper()
	list, err := b.sandbox.Messages(b.ctx(), number, 0, 0)
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range list {
		if m.Type == kind && m.Target != nil && m.Target.ID == target {
			texts = append(texts, m.Text+m.Emoji)
		}
	}
	return texts
}

// What is done to a message is shown once, and told once, wherever the connector dies.
func TestAChangeOfAMessageIsMadeOnceWhereverAConnectorDies(t *testing.T) {
	t.Parallel()
	for _, point := range []struct {
		name, trigger string
		faults        server.Faults
	}{
		{name: "begun, and nothing has left", trigger: `BEFORE INSERT OR UPDATE ON whatsmeow.whatsmeow_sessions FOR EACH ROW`},
		{name: "answered, and not written", trigger: `BEFORE UPDATE ON changes FOR EACH ROW WHEN (NEW.status = 'done')`},
		{name: "written, and the command not completed", trigger: `BEFORE DELETE ON queue_messages FOR EACH ROW WHEN (OLD.lane LIKE 'commands/%')`},
	} {
		t.Run(point.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
			c := b.connector(same)
			b.phone(juan, "Juan")
			b.linked("sales", owner)
			id := b.send("sales", juan, "at first")
			b.awaitStatus(id, events.StatusDelivered)
			b.await("the command to be done", func() bool { return one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE session = 'sales'`) == 0 })
			target := one[string](b, `SELECT whatsapp_id FROM messages WHERE id = $1`, id)
			g := b.gate(point.trigger)
			var edits, reactions []string
			for i, how := range []string{"the process starts again", "another process takes over"} {
				for kind, parameters := range map[string]any{
					events.Edit.Kind:  events.Editing{WhatsAppID: fmt.Sprintf("3EB0ED%d", i), Text: how},
					events.React.Kind: events.Reacting{WhatsAppID: fmt.Sprintf("3EB0RE%d", i), Emoji: how[:1]},
				} {
					g.shut()
					change := b.change("sales", kind, id.String(), parameters, time.Hour)
					g.await()
					g.kill(c)
					g.open()
					if i == 0 {
						c = b.connector(same)
					} else {
						b.exec(`UPDATE claims SET expires_at = now()`)
						c = b.connector(func(c *Config) { c.Owner = "after " + kind })
					}
					if got := b.changed(change); got != "done" {
						t.Fatalf("%s, %s: %s", how, kind, got)
					}
					b.await("the command to be done", func() bool { return one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE session = 'sales'`) == 0 })
				}
				edits, reactions = append(edits, how), append(reactions, how[:1])
			}
			if got := b.shows(juan, "edit", target); !slices.Equal(got, edits) {
				t.Errorf("the phone shows the edits %q", got)
			}
			if got := b.shows(juan, "reaction", target); !slices.Equal(got, reactions) {
				t.Errorf("the phone shows the reactions %q", got)
			}
			if edited, reacted := b.events(events.MessageEdited), b.events(events.MessageReaction); len(edited) != 2 || len(reacted) != 2 {
				t.Errorf("told of %d edits and %d reactions", len(edited), len(reacted))
			}
			if text := one[string](b, `SELECT content ->> 'text' FROM messages WHERE id = $1`, id); text != edits[1] {
				t.Errorf("it says %q", text)
			}
		})
	}
}

// A message that was deleted for the account is gone before the change is told to be done, where whatsmeow was faster.
func TestADeletionThatWasMadeIsDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
	c := b.connector(same)
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	id := b.received(b.fromPhone(juan, owner, "hello"))
	g := b.gate(`BEFORE UPDATE ON changes FOR EACH ROW WHEN (NEW.status = 'done')`)
	g.shut()
	ref := events.MessageRef{MessageID: events.MessagePrefix.Format(id), WhatsAppID: "X", ChatID: juan + "@s.whatsapp.net"}
	change := b.change("sales", events.Delete.Kind, id.String(), events.Deleting{ForMe: true, Message: ref}, time.Hour)
	g.await()
	g.kill(c)
	g.open()
	b.exec(`DELETE FROM messages`) // by what whatsmeow tells of it
	b.connector(same)
	if got := b.changed(change); got != "done" {
		t.Errorf("it is %s", got)
	}
	if got := one[string](b, `SELECT result ->> 'messageId' FROM changes`); got != ref.MessageID {
		t.Errorf("the result is of %s", got)
	}
	gone := b.change("sales", events.Delete.Kind, id.String(), events.Deleting{ForMe: true, Message: ref}, time.Hour)
	if got := b.changed(gone); got != "failed message_not_found" {
		t.Errorf("a second one is %s", got)
	}
}

// What was in time when it was accepted may be late when its turn comes.
func TestChangesAreLookedAtAgainWhenTheirTurnComes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	own := b.send("sales", juan, "hello")
	b.awaitStatus(own, events.StatusDelivered)
	came := b.received(b.fromPhone(juan, owner, "hello"))
	waits := b.send("sales", juan, "later")
	b.awaitStatus(waits, events.StatusDelivered)
	b.exec(`UPDATE messages SET status = 'failed' WHERE id = $1`, waits)
	b.exec(`UPDATE messages SET timestamp = now() - interval '61 h' WHERE id = $1`, own)
	var ended []string
	for _, c := range []struct {
		kind       string
		id         uuid.UUID
		parameters any
		want       string
	}{
		{events.Edit.Kind, own, events.Editing{WhatsAppID: "3EB0A1", Text: "x"}, "failed message_not_editable"},
		{events.Edit.Kind, came, events.Editing{WhatsAppID: "3EB0A2", Text: "x"}, "failed message_not_editable"},
		{events.Edit.Kind, waits, events.Editing{WhatsAppID: "3EB0A3", Text: "x"}, "failed message_not_sent"},
		{events.Delete.Kind, own, events.Deleting{WhatsAppID: "3EB0A4"}, "failed message_not_revocable"},
		{events.Delete.Kind, came, events.Deleting{WhatsAppID: "3EB0A5"}, "failed message_not_revocable"},
		{events.Star.Kind, waits, events.Starring{Starred: true}, "failed message_not_sent"},
		{events.Vote.Kind, came, events.Voting{WhatsAppID: "3EB0A6"}, "failed message_not_found"},
		{events.Respond.Kind, came, events.Responding{WhatsAppID: "3EB0A7", Response: "going"}, "failed message_not_found"},
	} {
		if got := b.changed(b.change("sales", c.kind, c.id.String(), c.parameters, time.Hour)); got != c.want {
			t.Errorf("%s: %s, want %s", c.kind, got, c.want)
		}
		ended = append(ended, c.kind)
	}
	if told := b.events(events.ChangeUndone); len(told) != len(ended) {
		t.Errorf("%d are told", len(told))
	}
	if got := b.seen(juan); !slices.Equal(got, []string{"hello", "later"}) {
		t.Errorf("the phone shows %q", got)
	}

	// A poll whose secret is not known: it came before the session was linked.
	b.exec(`UPDATE messages SET type = 'poll', content = '{"type":"poll","poll":{"question":"Q","options":["a","b"]}}' WHERE id = $1`, came)
	b.exec(`DELETE FROM whatsmeow.whatsmeow_message_secrets`)
	if got := b.changed(b.change("sales", events.Vote.Kind, came.String(), events.Voting{WhatsAppID: "3EB0A8", Options: []string{"a"}}, time.Hour)); got != "failed not_found" {
		t.Error(got)
	}
}

// A chat has nothing unread when the newest of what came in was read, and not before. A receipt that is not acknowledged is sent again.
func TestReadingAChat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	first, last := b.fromPhone(juan, owner, "one"), b.fromPhone(juan, owner, "two")
	ids := []uuid.UUID{b.received(first), b.received(last)}
	b.exec(`UPDATE messages SET timestamp = timestamp - interval '1 s' WHERE id = $1`, ids[0]) // WhatsApp's have whole seconds
	b.exec(`UPDATE chats SET unread = 2, marked_unread = true`)
	read := func(id uuid.UUID) events.MarkingRead {
		return events.MarkingRead{MessageIDs: []string{events.MessagePrefix.Format(id)}}
	}
	unread := func() string { return one[string](b, `SELECT unread || ' ' || marked_unread FROM chats`) }
	if got := b.changed(b.change("sales", events.MarkRead.Kind, "", read(ids[0]), time.Hour)); got != "done" || unread() != "2 true" {
		t.Errorf("%s, and unread are %s", got, unread())
	}
	if err := b.sandbox.WaitReceipt(b.ctx(), juan, first, "read"); err != nil {
		t.Error(err)
	}
	b.sandbox.SetFaults(server.Faults{Silence: true})
	change := b.change("sales", events.MarkRead.Kind, "", read(ids[1]), time.Hour)
	b.await("the attempt", func() bool { return one[bool](b, `SELECT begun_at IS NOT NULL FROM changes WHERE id = $1`, change) })
	if one[string](b, `SELECT status FROM changes WHERE id = $1`, change) != "queued" {
		t.Error("it is done without an answer")
	}
	b.sandbox.SetFaults(server.Faults{})
	b.sandbox.Disconnect(owner)
	if got := b.changed(change); got != "done" || unread() != "0 false" {
		t.Errorf("%s, and unread are %s", got, unread())
	}
	if err := b.sandbox.WaitReceipt(b.ctx(), juan, last, "read"); err != nil {
		t.Error(err)
	}
	if got := b.changed(b.change("sales", events.MarkRead.Kind, "", read(events.NewID()), time.Hour)); got != "done" { // deleted meanwhile
		t.Error(got)
	}
}

// App state that another device of the account wrote meanwhile does not keep a star from being written.
func TestAStarWinsAConflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	whatsappID := b.fromPhone(juan, owner, "hello")
	id := b.received(whatsappID)
	if got := b.changed(b.change("sales", events.Star.Kind, id.String(), events.Starring{Starred: true}, time.Hour)); got != "done" {
		t.Fatal(got)
	}
	conn := c.session("sales").sender()
	for _, how := range []string{"the notification is lost", "what is here does not fit what is there"} {
		version, hash, err := conn.device.AppState.GetAppStateVersion(b.ctx(), "regular_high")
		if err != nil {
			t.Fatal(err)
		}
		if how == "the notification is lost" {
			b.sandbox.SetFaults(server.Faults{Drop: server.Sometimes{Rate: 1, Count: 1}})
		}
		if err := b.sandbox.ChangeState(b.ctx(), owner, sandbox.StateChange{Action: "star", Chat: juan, ID: whatsappID}); err != nil {
			t.Fatal(err)
		}
		if how != "the notification is lost" {
			b.await("the phone's change", func() bool { return !one[bool](b, `SELECT starred FROM messages WHERE id = $1`, id) })
			b.exec(`UPDATE whatsmeow.whatsmeow_app_state_version SET version = $1, hash = $2 WHERE name = 'regular_high'`, version, hash[:])
		}
		if got := b.changed(b.change("sales", events.Star.Kind, id.String(), events.Starring{Starred: true}, time.Hour)); got != "done" {
			t.Errorf("%s: %s", how, got)
		}
		b.sandbox.SetFaults(server.Faults{})
		if !one[bool](b, `SELECT starred FROM messages WHERE id = $1`, id) {
			t.Errorf("%s: it has no star", how)
		}
	}
}

// Forwarded copies are the same message without what belonged to its chat.
func TestForwardedCopies(t *testing.T) {
	t.Parallel()
	info := &waE2E.ContextInfo{StanzaID: proto.String("X"), MentionedJID: []string{"1@s.whatsapp.net"}, ForwardingScore: proto.Uint32(7)}
	document := &waE2E.DocumentMessage{Caption: proto.String("look"), ContextInfo: info}
	for name, c := range map[string]struct {
		raw  *waE2E.Message
		kind string
		is   func(*waE2E.Message) *waE2E.ContextInfo
	}{
		"text": {&waE2E.Message{Conversation: proto.String("look")}, events.ContentText, func(m *waE2E.Message) *waE2E.ContextInfo { return m.GetExtendedTextMessage().GetContextInfo() }},
		"link": {&waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: proto.String("look"), MatchedText: proto.String("u"), ContextInfo: info}}, events.ContentText, func(m *waE2E.Message) *waE2E.ContextInfo {
			if m.GetExtendedTextMessage().GetMatchedText() != "u" {
				return nil
			}
			return m.GetExtendedTextMessage().GetContextInfo()
		}},
		"buttons": {&waE2E.Message{ButtonsMessage: &waE2E.ButtonsMessage{ContentText: proto.String("look")}}, events.ContentText, func(m *waE2E.Message) *waE2E.ContextInfo { return m.GetExtendedTextMessage().GetContextInfo() }},
		"wrapped document": {&waE2E.Message{EphemeralMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{DocumentWithCaptionMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{DocumentMessage: document}}}}}, events.ContentDocument, func(m *waE2E.Message) *waE2E.ContextInfo {
			return m.GetDocumentWithCaptionMessage().GetMessage().GetDocumentMessage().GetContextInfo()
		}},
		"place": {&waE2E.Message{LocationMessage: &waE2E.LocationMessage{}, MessageContextInfo: &waE2E.MessageContextInfo{MessageSecret: []byte("s")}}, events.ContentLocation, func(m *waE2E.Message) *waE2E.ContextInfo { return m.GetLocationMessage().GetContextInfo() }},
		"sticker": {&waE2E.Message{LottieStickerMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{StickerMessage: &waE2E.StickerMessage{IsLottie: proto.Bool(true)}}}}, events.ContentSticker, func(m *waE2E.Message) *waE2E.ContextInfo {
			return m.GetLottieStickerMessage().GetMessage().GetStickerMessage().GetContextInfo()
		}},
	} {
		raw, err := proto.Marshal(c.raw)
		if err != nil {
			t.Fatal(err)
		}
		m, err := forwarded(raw, events.Content{Type: c.kind, Text: "look"}, postgres.MessageContext{Forwarded: 8, DisappearsAfter: 60})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := c.is(m); !got.GetIsForwarded() || got.GetForwardingScore() != 8 || got.GetExpiration() != 60 || got.StanzaID != nil || got.MentionedJID != nil || m.MessageContextInfo != nil {
			t.Errorf("%s: %v", name, m)
		}
	}
	if m, err := forwarded(nil, events.Content{Type: events.ContentText, Text: "look"}, postgres.MessageContext{Forwarded: 1}); err != nil || m.GetExtendedTextMessage().GetText() != "look" {
		t.Errorf("%v %v", m, err)
	}
	if _, err := forwarded(nil, events.Content{Type: events.ContentImage}, postgres.MessageContext{Forwarded: 1}); err == nil {
		t.Error("a picture was forwarded without its original")
	}
}

// An edit keeps who is still mentioned and the preview of a link that is still there, and nothing of what was quoted.
func TestRewordedMessages(t *testing.T) {
	t.Parallel()
	original := &waE2E.Message{
		ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: proto.String("@1 @2 http://a"), MatchedText: proto.String("http://a"), Title: proto.String("A"), ContextInfo: &waE2E.ContextInfo{
			StanzaID: proto.String("X"), MentionedJID: []string{"1@s.whatsapp.net", "2@lid"}, Expiration: proto.Uint32(60),
		}},
		MessageContextInfo: &waE2E.MessageContextInfo{MessageSecret: []byte("s")},
	}
	m := reworded(original, "@2, see http://a").GetExtendedTextMessage()
	if info := m.GetContextInfo(); m.GetTitle() != "A" || !slices.Equal(info.GetMentionedJID(), []string{"2@lid"}) || info.GetExpiration() != 60 || info.StanzaID != nil {
		t.Errorf("%v", m)
	}
	if m := reworded(original, "nothing"); m.GetExtendedTextMessage().GetTitle() != "" || m.GetExtendedTextMessage().GetText() != "nothing" || m.MessageContextInfo != nil {
		t.Errorf("%v", m)
	}
	if original.GetExtendedTextMessage().GetText() != "@1 @2 http://a" {
		t.Error("the original was changed")
	}
	if m := reworded(&waE2E.Message{DocumentMessage: &waE2E.DocumentMessage{}}, "look"); m.GetDocumentWithCaptionMessage().GetMessage().GetDocumentMessage().GetCaption() != "look" {
		t.Errorf("%v", m)
	}
	if reworded(&waE2E.Message{StickerMessage: &waE2E.StickerMessage{}}, "x") != nil {
		t.Error("a sticker was edited")
	}
}

package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// addOns returns the data of the events of some types, in their order, as "type whatsappId messageId? who what".
func (b *bench) addOns(types ...events.Type) (list []string) {
	b.Helper()
	for _, body := range many[[]byte](b, `SELECT payload FROM queue_messages WHERE lane LIKE 'events/%' ORDER BY id`) {
		var e struct {
			Type events.Type
			Data struct {
				MessageID, WhatsAppID, Emoji, Response, Direction string
				Options                                           []string
				Pinned                                            *bool
				ExtraGuests                                       int
				From, By                                          events.Address
				Message                                           events.Message
			}
		}
		if err := json.Unmarshal(body, &e); err != nil {
			b.Fatal(err)
		}
		if !slices.Contains(types, e.Type) {
			continue
		}
		d := e.Data
		known := "unknown"
		if d.MessageID != "" || d.Message.ID != "" {
			known = "known"
		}
		what := fmt.Sprint(d.Emoji, d.Response, strings.Join(d.Options, "+"), d.Message.Content.Text)
		if d.Pinned != nil {
			what = fmt.Sprint(*d.Pinned)
		}
		list = append(list, fmt.Sprintf("%s %s %s %s%s %s", e.Type, d.WhatsAppID+d.Message.WhatsAppID, known, d.From.Phone, d.By.Phone, what))
	}
	return list
}

var addOnTypes = []events.Type{
	events.MessageEdited, events.MessageRevoked, events.MessageReaction, events.MessagePinned, events.PollVoted, events.EventResponded,
}

// A chat is between the account and Juan, whose events a test makes itself.
type handled struct {
	*bench
	conn *connection
}

func handling(t *testing.T) handled {
	t.Helper()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	return handled{b, c.session("sales").sender()}
}

func (h handled) handle(evt any) {
	h.Helper()
	if !h.conn.handle(evt) {
		h.Fatalf("%T was refused: %v", evt, context.Cause(h.conn.ctx))
	}
}

// keyOf names a message; own says that whoever writes the key wrote the message too.
func keyOf(id string, own bool) *waCommon.MessageKey {
	return &waCommon.MessageKey{ID: &id, FromMe: &own, RemoteJID: proto.String(owner + "@s.whatsapp.net")}
}

func editOf(id, text string) *waE2E.Message {
	return &waE2E.Message{EditedMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type: waE2E.ProtocolMessage_MESSAGE_EDIT.Enum(), Key: keyOf(id, true), EditedMessage: &waE2E.Message{Conversation: &text},
	}}}}
}

func revokeOf(id string, own bool) *waE2E.Message {
	return &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_REVOKE.Enum(), Key: keyOf(id, own)}}
}

func reactionTo(id, emoji string, own bool) *waE2E.Message {
	return &waE2E.Message{ReactionMessage: &waE2E.ReactionMessage{Key: keyOf(id, own), Text: &emoji}}
}

func pinOf(id string, kind waE2E.PinInChatMessage_Type) *waE2E.Message {
	return &waE2E.Message{
		PinInChatMessage:   &waE2E.PinInChatMessage{Key: keyOf(id, true), Type: kind.Enum()},
		MessageContextInfo: &waE2E.MessageContextInfo{MessageAddOnDurationInSecs: proto.Uint32(86400)},
	}
}

func TestWhatComesAgainIsToldOnce(t *testing.T) {
	t.Parallel()
	h := handling(t)
	h.handle(fromJuan("TEXT", &waE2E.Message{Conversation: proto.String("at nine")}))
	at := time.Now()
	twice := func(id string, m *waE2E.Message) {
		t.Helper()
		e := fromJuan(id, m)
		e.Info.Timestamp = at
		h.handle(e)
		again := fromJuan(id, m)
		again.Info.Timestamp = at
		h.handle(again)
		at = at.Add(time.Second)
	}
	twice("R1", reactionTo("TEXT", "👍", true))
	twice("R2", reactionTo("TEXT", "", true))
	twice("P1", pinOf("TEXT", waE2E.PinInChatMessage_PIN_FOR_ALL))
	twice("P2", pinOf("TEXT", waE2E.PinInChatMessage_UNPIN_FOR_ALL))
	twice("E1", editOf("TEXT", "at ten"))
	twice("E2", editOf("TEXT", "at eleven"))
	twice("V1", revokeOf("TEXT", true))
	late := fromJuan("E3", editOf("TEXT", "at noon"))
	late.Info.Timestamp = at
	h.handle(late)
	want := []string{
		"message.reaction TEXT known " + juan + " 👍", "message.reaction TEXT known " + juan + " ", "message.pinned TEXT known " + juan + " true", "message.pinned TEXT known " + juan + " false",
		"message.edited TEXT known " + juan + " at ten", "message.edited TEXT known " + juan + " at eleven", "message.revoked TEXT known " + juan + " ",
	}
	if got := h.addOns(addOnTypes...); !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := one[string](h.bench, `SELECT content->>'text' FROM messages WHERE whatsapp_id = 'TEXT' AND revoked_at IS NOT NULL AND edited_at IS NOT NULL AND pinned_until IS NULL`); got != "at eleven" {
		t.Errorf("the message says %q", got)
	}
}

func TestWhatIsOlderChangesNothing(t *testing.T) {
	t.Parallel()
	h := handling(t)
	h.handle(fromJuan("TEXT", &waE2E.Message{Conversation: proto.String("at nine")}))
	h.handle(fromJuan("POLL", &waE2E.Message{PollCreationMessage: &waE2E.PollCreationMessage{
		Name: proto.String("When?"), Options: []*waE2E.PollCreationMessage_Option{{OptionName: proto.String("Monday")}, {OptionName: proto.String("Tuesday")}},
	}}))
	for _, m := range []struct {
		id    string
		m     *waE2E.Message
		after time.Duration
	}{
		{"E2", editOf("TEXT", "at eleven"), 2 * time.Second}, {"E1", editOf("TEXT", "at ten"), time.Second},
		{"R2", reactionTo("TEXT", "❤️", true), 2 * time.Second}, {"R1", reactionTo("TEXT", "👍", true), time.Second},
	} {
		e := fromJuan(m.id, m.m)
		e.Info.Timestamp = e.Info.Timestamp.Add(m.after)
		h.handle(e)
	}
	for _, m := range []struct {
		option string
		after  time.Duration
	}{{"Tuesday", 2 * time.Second}, {"Monday", time.Second}} {
		e := fromJuan(m.option, &waE2E.Message{})
		e.Info.Timestamp = e.Info.Timestamp.Add(m.after)
		if err := h.conn.add(h.ctx(), e, keyOf("POLL", true), false, h.conn.voted(whatsmeow.HashPollOptions([]string{m.option}))); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"message.edited TEXT known " + juan + " at eleven", "message.reaction TEXT known " + juan + " ❤️", "poll.voted POLL known " + juan + " Tuesday"}
	if got := h.addOns(addOnTypes...); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
}

// Juan writes keys as he likes; what is not his to do is passed over.
func TestNobodyChangesWhatAnotherWrote(t *testing.T) {
	t.Parallel()
	h := handling(t)
	group := types.NewJID("120363025246125486", types.GroupServer)
	inGroup := func(e *waevents.Message, edit types.EditAttribute) *waevents.Message {
		e.Info.Chat, e.Info.IsGroup, e.Info.Edit = group, true, edit
		return e
	}
	own := fromJuan("OWN", &waE2E.Message{Conversation: proto.String("mine")})
	own.Info.IsFromMe, own.Info.Sender = true, ownerJID
	h.handle(own)
	carla := fromJuan("HERS", &waE2E.Message{Conversation: proto.String("hers")})
	carla.Info.Sender = types.NewJID("5491100000003", types.DefaultUserServer)
	h.handle(inGroup(carla, ""))

	h.handle(fromJuan("E1", editOf("OWN", "stolen")))
	h.handle(fromJuan("V1", revokeOf("OWN", true)))
	h.handle(fromJuan("V2", revokeOf("OWN", false)))
	h.handle(inGroup(fromJuan("E2", editOf("HERS", "stolen")), types.EditAttributeMessageEdit))
	hers := revokeOf("HERS", false)
	hers.ProtocolMessage.Key.Participant = proto.String("5491100000003@s.whatsapp.net")
	h.handle(inGroup(fromJuan("V3", hers), types.EditAttributeSenderRevoke)) // he is no admin
	h.handle(fromJuan("R1", reactionTo("OWN", "👍", true)))                   // he did not write it
	h.handle(fromJuan("R2", reactionTo("", "👍", true)))
	h.handle(fromJuan("R3", reactionTo("OWN", strings.Repeat("👍", 100), false)))
	h.handle(fromJuan("R4", reactionTo("a\x00b", "👍", false)))
	h.handle(fromJuan("E3", editOf("NEVER", "what?")))
	h.handle(fromJuan("HIS", &waE2E.Message{Conversation: proto.String("his")}))
	h.handle(fromJuan("R6", reactionTo("HIS", "👍", false))) // he did write it
	stolen := fromJuan("E4", editOf("HIS", "stolen"))       // from the owner's phone
	stolen.Info.IsFromMe, stolen.Info.Sender = true, ownerJID
	h.handle(stolen)
	if got := h.addOns(addOnTypes...); len(got) != 0 {
		t.Errorf("told %q", got)
	}
	if n := one[int](h.bench, `SELECT count(*)::int FROM messages WHERE edited_at IS NOT NULL OR revoked_at IS NOT NULL`); n != 0 {
		t.Errorf("%d messages were changed", n)
	}

	h.handle(inGroup(fromJuan("V4", hers), types.EditAttributeAdminRevoke)) // WhatsApp's server says that he is one
	h.handle(fromJuan("V5", revokeOf("NEVER", true)))
	h.handle(fromJuan("R5", reactionTo("NEVER", "👍", false)))
	want := []string{"message.revoked HERS known " + juan + " ", "message.revoked NEVER unknown " + juan + " ", "message.reaction NEVER unknown " + juan + " 👍"}
	got := h.addOns(addOnTypes...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
}

// Votes, answers and edits that cannot be decrypted stop nothing.
func TestWhatCannotBeDecryptedStopsNothing(t *testing.T) {
	t.Parallel()
	h := handling(t)
	jid := types.NewJID(juan, types.DefaultUserServer)
	if err := h.conn.device.MsgSecrets.PutMessageSecret(h.ctx(), jid, jid, "POLL", make([]byte, 32)); err != nil { // so that it is tried
		t.Fatal(err)
	}
	for i, nonce := range [][]byte{nil, {1, 2, 3}, make([]byte, 12), make([]byte, 16)} {
		for j, m := range []*waE2E.Message{
			{PollUpdateMessage: &waE2E.PollUpdateMessage{PollCreationMessageKey: keyOf("POLL", true), Vote: &waE2E.PollEncValue{EncIV: nonce, EncPayload: nonce}}},
			{PollUpdateMessage: &waE2E.PollUpdateMessage{}},
			{EncReactionMessage: &waE2E.EncReactionMessage{TargetMessageKey: keyOf("POLL", true), EncIV: nonce, EncPayload: nonce}},
			{EncEventResponseMessage: &waE2E.EncEventResponseMessage{EventCreationMessageKey: keyOf("POLL", false), EncIV: nonce, EncPayload: nonce}},
			{SecretEncryptedMessage: &waE2E.SecretEncryptedMessage{TargetMessageKey: keyOf("POLL", true), EncIV: nonce, EncPayload: nonce}},
			{SecretEncryptedMessage: &waE2E.SecretEncryptedMessage{SecretEncType: waE2E.SecretEncryptedMessage_EVENT_EDIT.Enum(), EncIV: nonce}},
			{PinInChatMessage: &waE2E.PinInChatMessage{Key: keyOf("POLL", true)}},
			{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_MESSAGE_EDIT.Enum()}},
			{ProtocolMessage: &waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_REVOKE.Enum()}},
			{ReactionMessage: &waE2E.ReactionMessage{}},
		} {
			h.handle(fromJuan(fmt.Sprintf("BAD%d-%d", i, j), m))
		}
	}
	if n := one[int](h.bench, `SELECT count(*)::int FROM messages`); n != 0 {
		t.Errorf("%d of them are shown as messages", n)
	}
	if got := h.addOns(addOnTypes...); len(got) != 0 {
		t.Errorf("told %q", got)
	}
}

func TestAVoteNamesTheOptionsOfItsPoll(t *testing.T) {
	t.Parallel()
	poll := &events.Poll{Options: []string{"Mon", "Tue", "Wed"}}
	sum := func(s string) []byte { return whatsmeow.HashPollOptions([]string{s})[0] }
	if got := optionsOf(poll, [][]byte{sum("Wed"), sum("Mon"), sum("Wed"), []byte("short")}); !slices.Equal(got, []string{"Mon", "Wed"}) {
		t.Errorf("chosen are %q", got)
	}
	if got := optionsOf(nil, [][]byte{sum("Wed")}); len(got) != 1 || len(got[0]) != 64 {
		t.Errorf("of an unknown poll chosen are %q", got)
	}
	if got := optionsOf(poll, nil); got == nil || len(got) != 0 {
		t.Errorf("of none chosen are %q", got)
	}
}

func TestUnreadCountsWhatComesIn(t *testing.T) {
	t.Parallel()
	h := handling(t)
	unread := func() int { return one[int](h.bench, `SELECT unread FROM chats WHERE id = $1`, juan+"@s.whatsapp.net") }
	own := fromJuan("OWN", &waE2E.Message{Conversation: proto.String("mine")})
	own.Info.IsFromMe, own.Info.Sender = true, ownerJID
	h.handle(own)
	if n := unread(); n != 0 {
		t.Errorf("an own message counts as %d unread", n)
	}
	lost := fromJuan("LOST", nil)
	h.handle(&waevents.UndecryptableMessage{Info: lost.Info})
	h.handle(fromJuan("LOST", &waE2E.Message{Conversation: proto.String("found")}))
	h.handle(fromJuan("B", &waE2E.Message{Conversation: proto.String("b")}))
	h.handle(fromJuan("B", &waE2E.Message{Conversation: proto.String("b")}))
	h.handle(fromJuan("R", reactionTo("OWN", "👍", false)))
	if n := unread(); n != 2 {
		t.Errorf("%d are unread, not 2", n)
	}
}

// react makes a phone react to a message.
func (b *bench) react(number, to, id, emoji string) {
	b.Helper()
	_, err := b.sandbox.Send(b.ctx(), number, sandbox.Outgoing{To: to, Content: sandbox.Content{Type: "reaction", Target: &sandbox.Target{ID: id}, Emoji: emoji}})
	if err != nil {
		b.Fatal(err)
	}
}

// What is done to a message is written with its event or not at all, and comes again when it was not.
func TestWhatIsDoneToAMessageSurvivesAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	id := b.fromPhone(juan, owner, "hello")
	b.await("the message", func() bool { return len(b.events(events.MessageReceived)) == 1 })
	b.exec(`CREATE SEQUENCE tried`)
	b.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('tried') <= 2 THEN RAISE 'refused by the test'; END IF; RETURN NEW; END $$`)
	b.exec(`CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON reactions FOR EACH ROW EXECUTE FUNCTION refuse()`)
	b.react(juan, owner, id, "👍")
	b.react(juan, owner, id, "❤️")
	b.await("the reactions", func() bool { return len(b.addOns(events.MessageReaction)) >= 2 && b.sandbox.Queued(owner) == 0 })
	if got, want := b.addOns(events.MessageReaction), []string{"message.reaction " + id + " known " + juan + " 👍", "message.reaction " + id + " known " + juan + " ❤️"}; !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
	if n := one[int64](b, `SELECT last_value FROM tried`); n < 4 {
		t.Errorf("only %d writes were tried: nothing failed", n)
	}
}

package connector

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// written are the chat.updated that were published, by what they say beside the chat.
func (b *bench) chatEvents() []string {
	b.Helper()
	return many[string](b, `SELECT concat_ws(' ', d->'chat'->>'unread', CASE WHEN d->>'cleared' = 'true' THEN 'cleared' END, CASE WHEN d->>'deleted' = 'true' THEN 'deleted' END)
		FROM (SELECT id, convert_from(payload, 'UTF8')::json->'data' AS d FROM queue_messages WHERE lane LIKE 'events/%' AND metadata->>'type' = 'chat.updated') x ORDER BY id`)
}

func TestAChatThatIsEmptiedOnThePhoneIsEmptiedOnceWhereverAProcessDies(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"clearChat", "deleteChat"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
			c := b.connector(same)
			b.phone(juan, "Juan")
			b.linked("sales", owner)
			b.fromPhone(juan, owner, "hello")
			chat := juan + "@" + events.PhoneServer
			b.await("the message", func() bool { return one[int](b, `SELECT count(*)::int FROM chats WHERE id = $1`, chat) == 1 })
			b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
				SELECT gen_random_uuid(), 'sales', $1, 'OLD' || n, 'outgoing', 'sent', 'text', '{"type":"text","text":"old"}', now() - interval '1 hour' FROM generate_series(1, 1500) n`, chat)
			waiting, shared := events.NewID(), events.NewID()
			b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
				VALUES ($2, 'sales', $1, 'LATER', 'outgoing', 'queued', 'text', '{"type":"text","text":"later"}', now() - interval '1 hour')`, chat, waiting)
			for _, id := range []uuid.UUID{shared, events.NewID()} { // the file of one is sent elsewhere too
				b.exec(`INSERT INTO media (id, session_id, message_id, status, mimetype, size, sha256)
					SELECT $1, 'sales', m.id, 'pending', 'text/plain', 1, '\x00' FROM messages m WHERE m.whatsapp_id = 'OLD1'`, id)
			}
			b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp, media_id)
				VALUES (gen_random_uuid(), 'sales', '5491100000099@s.whatsapp.net', 'ELSEWHERE', 'outgoing', 'sent', 'text', '{"type":"text"}', now(), $1)`, shared)
			g := b.gate(`BEFORE DELETE ON messages FOR EACH ROW WHEN (OLD.whatsapp_id = 'OLD1200')`)
			g.shut()
			if err := b.sandbox.ChangeState(b.ctx(), owner, sandbox.StateChange{Action: action, Chat: juan}); err != nil {
				t.Fatal(err)
			}
			g.await()
			g.kill(c)
			g.open()
			b.connector(same)
			b.await("the messages to be gone", func() bool {
				return one[int](b, `SELECT count(*)::int FROM messages WHERE chat_id = $1`, chat) == 1 && len(b.chatEvents()) > 0 &&
					one[int](b, `SELECT count(*)::int FROM queue_lanes WHERE lane = 'commands/sales/changes'`) == 0
			})
			// With a message that waits to be sent, a deleted chat stays.
			if got := b.chatEvents(); !slices.Equal(got, []string{"0 cleared"}) {
				t.Errorf("told %q", got)
			}
			if n := one[int](b, `SELECT count(*)::int FROM messages WHERE id = $1`, waiting); n != 1 {
				t.Error("what is to be sent is gone")
			}
			if left := many[uuid.UUID](b, `SELECT id FROM media`); !slices.Equal(left, []uuid.UUID{shared}) {
				t.Errorf("the media left are %v", left)
			}
			if n := one[int](b, `SELECT unread FROM chats WHERE id = $1`, chat); n != 0 {
				t.Errorf("%d are unread", n)
			}
		})
	}
}

func TestReadingGoesAsFarAsItSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	var ids []string
	for _, text := range []string{"one", "two", "three"} {
		ids = append(ids, b.fromPhone(juan, owner, text))
	}
	chat, own := types.NewJID(juan, types.DefaultUserServer), conn.device.ID.ToNonAD()
	unread := func() int {
		return one[int](b, `SELECT coalesce(max(unread), 0)::int FROM chats WHERE id = $1`, chat.String())
	}
	b.await("three messages", func() bool { return unread() == 3 })
	read := func(id string) {
		t.Helper()
		e := &waevents.Receipt{
			MessageSource: types.MessageSource{Chat: chat, Sender: own, IsFromMe: true}, MessageIDs: []string{id}, Type: types.ReceiptTypeReadSelf, Timestamp: time.Now(),
		}
		if !conn.handle(e) {
			t.Fatal("the receipt was not taken")
		}
	}
	for _, step := range []struct {
		id   string
		want int
	}{{"UNKNOWN", 3}, {ids[1], 1}, {ids[0], 1}, {ids[2], 0}, {ids[2], 0}} {
		if read(step.id); unread() != step.want {
			t.Errorf("after %s %d are unread, want %d", step.id, unread(), step.want)
		}
	}
	if got := b.chatEvents(); !slices.Equal(got, []string{"1", "0"}) {
		t.Errorf("told %q", got)
	}
}

func TestWhatComesInWhileAChatIsReadStaysUnread(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.received(b.fromPhone(juan, owner, "one"))
	conn := b.connection(c, "sales")
	write, err := conn.readChat(b.ctx(), change{chat: juan + "@" + events.PhoneServer}, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	b.received(b.fromPhone(juan, owner, "two"))
	err = conn.s.inTx(b.ctx(), func(ctx context.Context, tx *queue.Tx) error {
		_, err := write(ctx, tx)
		return err
	})
	if unread := one[int](b, `SELECT unread FROM chats`); err != nil || unread != 1 {
		t.Errorf("%d are unread: %v", unread, err)
	}
}

func TestOwnMutationsAreKnownWhenTheyComeBack(t *testing.T) {
	t.Parallel()
	var e echoes
	jid := types.NewJID(juan, types.DefaultUserServer)
	first := e.expect(appstate.BuildPin(jid, true).Mutations)
	second := e.expect(appstate.BuildPin(jid, false).Mutations)
	if !second.After(first) || !e.own(first, jid.String()) || !e.own(second, jid.String()) {
		t.Error("they are not known")
	}
	if e.own(first, "x") || e.own(first.Add(time.Hour), jid.String()) {
		t.Error("another's is taken for its own")
	}
	for range echoesMost {
		e.expect(appstate.BuildPin(jid, true).Mutations)
	}
	if e.own(first, jid.String()) || len(e.target) != echoesMost || len(e.order) != echoesMost {
		t.Errorf("%d are remembered", len(e.target))
	}
}

package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
)

// schedule accepts a text that is due after a while, as the API does: a row alone.
func (b *bench) schedule(session, number, text string, in time.Duration) uuid.UUID {
	b.Helper()
	id := events.NewID()
	b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp, send_at, expires_at)
		VALUES ($1, $2, $3, $4, 'outgoing', 'scheduled', 'text', jsonb_build_object('type', 'text', 'text', $5::text), now(), clock_timestamp() + $6::interval, now() + interval '1 day')`,
		id, session, number+"@"+events.PhoneServer, strings.ToUpper(id.String()), text, in)
	return id
}

func TestScheduledMessagesLeaveOnceWhereverTheProcessDies(t *testing.T) {
	t.Parallel()
	for _, point := range []struct{ name, trigger string }{
		{"before they are queued", `BEFORE UPDATE ON messages FOR EACH ROW WHEN (OLD.status = 'scheduled' AND NEW.status = 'queued')`},
		{"queued, and their commands not there", `BEFORE INSERT ON queue_messages FOR EACH ROW WHEN (NEW.lane LIKE 'commands/%')`},
		{"queued with their commands, and nothing has left", `BEFORE UPDATE ON messages FOR EACH ROW WHEN (OLD.status = 'queued' AND NEW.status = 'sending')`},
	} {
		t.Run(point.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
			c := b.connector(same)
			b.phone(juan, "Juan")
			b.linked("sales", owner)
			g := b.gate(point.trigger)
			var want []string
			for _, how := range []string{"starts again", "another takes over"} {
				g.shut()
				var ids []uuid.UUID
				for i := range 3 {
					want = append(want, fmt.Sprint(how, " ", i))
					ids = append(ids, b.schedule("sales", juan, want[len(want)-1], time.Duration(i)*10*time.Millisecond))
				}
				g.await()
				g.kill(c)
				g.open()
				if how == "starts again" {
					c = b.connector(same)
				} else {
					b.exec(`UPDATE claims SET expires_at = now()`) // 15 s later
					c = b.connector(func(c *Config) { c.Owner = "second" })
				}
				for _, id := range ids {
					b.awaitStatus(id, events.StatusDelivered)
				}
			}
			if got := b.seen(juan); !slices.Equal(got, want) {
				t.Errorf("the phone shows %q, want %q", got, want)
			}
			if got := b.told(); !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
		})
	}
}

// More than one transaction takes, for two processes that look at the same time: each leaves once, in the order of its time and not of its row.
func TestScheduledMessagesLeaveInTheOrderOfTheirTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"one", "two"} {
		b.connector(func(c *Config) { c.Owner = name })
	}
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	const n = dueMost + 20
	b.exec(`INSERT INTO chats (session_id, id, kind) VALUES ('sales', $1, 'user')`, juan+"@"+events.PhoneServer)
	b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp, send_at)
		SELECT gen_random_uuid(), 'sales', $1, 'DUE' || i, 'outgoing', 'scheduled', 'text', jsonb_build_object('type', 'text', 'text', i::text), now(), now() + make_interval(secs => 1 + i * 0.001)
		  FROM generate_series(1, $2) i ORDER BY i DESC`, juan+"@"+events.PhoneServer, n)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i+1))
	}
	if got := b.shown(juan, n); !slices.Equal(got, want) {
		t.Errorf("the phone shows %q", got)
	}
	b.await("all to be told", func() bool { return len(b.told()) == n })
	if !one[bool](b, `SELECT last_message_at IS NOT NULL FROM chats`) {
		t.Error("the chat was not touched when its messages were queued")
	}
}

// A message that is just being cancelled is neither waited for nor queued.
func TestWhatIsBeingCancelledHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	tx, err := b.pool.Begin(b.ctx())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(b.ctx()) }()
	never := b.schedule("sales", juan, "never", time.Second)
	if _, err := tx.Exec(b.ctx(), `UPDATE messages SET status = 'cancelled' WHERE id = $1`, never); err != nil {
		t.Fatal(err)
	}
	b.awaitStatus(b.schedule("sales", juan, "goes", time.Second), events.StatusDelivered)
	if err := tx.Commit(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.awaitStatus(b.schedule("sales", juan, "goes too", 0), events.StatusDelivered)
	if got := b.seen(juan); !slices.Equal(got, []string{"goes", "goes too"}) || b.status(never) != "cancelled" {
		t.Errorf("the phone shows %q, and the cancelled message is %s", got, b.status(never))
	}
}

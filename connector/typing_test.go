package connector

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/util/jsontime"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// sendTyped accepts a text before which typing is shown.
func (b *bench) sendTyped(session, number, text string, seconds int) uuid.UUID {
	b.Helper()
	id := events.NewID()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		_, err := tx.Exec(b.ctx(), `INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp, typing_seconds)
			VALUES ($1, $2, $3, $4, 'outgoing', 'queued', 'text', jsonb_build_object('type', 'text', 'text', $5::text), now(), $6)`,
			id, session, number+"@"+events.PhoneServer, id.String(), text, seconds)
		if err != nil {
			return err
		}
		return events.SendMessage(tx, events.SendCommand{MessageID: id, SessionID: session, TypingSeconds: seconds})
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

// noticed waits until a phone has noticed something of the owner's.
func (b *bench) noticed(number, kind, member string, value any) {
	b.Helper()
	_, err := b.sandbox.WaitEvent(b.ctx(), number, kind, func(e sandbox.Event) bool {
		var data map[string]any
		return json.Unmarshal(e.Data, &data) == nil && data["from"] == owner && data[member] == value
	})
	if err != nil {
		b.Fatalf("%s never was %v: %v", kind, value, err)
	}
}

func TestTypingIsShownAgainAndTheAccountLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.prepared()
	c.pace.typing, c.pace.present = 100*time.Millisecond, 500*time.Millisecond
	if err := c.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	if err := b.sandbox.SetPresence(b.ctx(), juan, true); err != nil {
		t.Fatal(err)
	}
	if err := b.sandbox.Subscribe(b.ctx(), juan, owner); err != nil {
		t.Fatal(err)
	}
	b.awaitStatus(b.sendTyped("sales", juan, "typed", 1), events.StatusDelivered)
	b.noticed(juan, "presence", "available", true)
	b.noticed(juan, "chatState", "state", "paused")
	list, err := b.sandbox.Events(b.ctx(), juan, 0, "chatState", 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 3 || len(list) > 15 {
		t.Errorf("in a second of typing it was said %d times", len(list))
	}
	var last int64
	for _, e := range list {
		last = e.Seq
	}
	if _, err := b.sandbox.WaitEvent(b.ctx(), juan, "presence", func(e sandbox.Event) bool {
		var data struct{ Available bool }
		return e.Seq > last && json.Unmarshal(e.Data, &data) == nil && !data.Available
	}); err != nil {
		t.Errorf("the account is still there: %v", err)
	}
}

// Nothing has left while typing is shown: whoever goes on shows it anew, and the message leaves once.
func TestTypingBeginsAnewWhereTheProcessDied(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
	c := b.connector(same)
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	id := b.sendTyped("sales", juan, "typed", 3)
	b.noticed(juan, "chatState", "state", "typing")
	b.abandon(c)
	if got := b.status(id); got != "queued" {
		t.Errorf("while typing is shown the message is %s", got)
	}
	b.connector(same)
	b.awaitStatus(id, events.StatusDelivered)
	if got := b.seen(juan); !slices.Equal(got, []string{"typed"}) {
		t.Errorf("the phone shows %q", got)
	}
}

func TestARestrictionIsNotedBehindTheFence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	left := func() int {
		return one[int](b, `SELECT coalesce(max(extract(epoch FROM until - now())), 0)::int FROM restrictions`)
	}
	for _, tt := range []struct {
		active          bool
		in, least, most time.Duration
	}{{true, time.Hour, 50 * time.Minute, time.Hour}, {true, 1e6 * time.Hour, 365 * 24 * time.Hour, restrictionMost}, {false, time.Hour, -time.Hour, time.Second}} {
		e := &waevents.NotifyAccountReachoutTimelock{IsActive: tt.active, TimeEnforcementEnds: jsontime.UnixString{Time: time.Now().Add(tt.in)}}
		if !conn.handle(e) {
			t.Fatal(context.Cause(conn.ctx))
		}
		if got := time.Duration(left()) * time.Second; got < tt.least || got > tt.most {
			t.Errorf("active %t for %s: it lasts %s", tt.active, tt.in, got)
		}
	}
	b.exec(`UPDATE claims SET epoch = epoch + 1`)
	if err := conn.restricted(b.ctx(), &waevents.NotifyAccountReachoutTimelock{IsActive: true}); !errors.Is(err, errClaimLost) {
		t.Errorf("without the claim: %v", err)
	}
}

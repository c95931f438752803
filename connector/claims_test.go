package connector

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/signalstore"
)

func TestFairShareLeavesNoSessionOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sessions   int
		capacities []int
		want       int
	}{
		{0, []int{5}, 0}, {10, []int{500}, 10}, {10, []int{500, 500}, 5}, {11, []int{500, 500}, 6}, {10, []int{500, 2}, 8},
		{10, []int{2, 3}, 3}, {7, []int{3, 3, 3}, 3}, {10, nil, 10}, {100, []int{10, 10, 200}, 80},
	} {
		if got := fairShare(tt.sessions, tt.capacities); got != tt.want {
			t.Errorf("fairShare(%d, %v) = %d, want %d", tt.sessions, tt.capacities, got, tt.want)
		}
	}
}

// ten makes ten linked sessions.
func (b *bench) ten() {
	b.Helper()
	for i := range 10 {
		b.createSession(fmt.Sprintf("s%d", i))
		b.phone(fmt.Sprintf("549110000000%d", i), fmt.Sprintf("Phone %d", i))
	}
	for i := range 10 {
		b.scan(fmt.Sprintf("s%d", i), fmt.Sprintf("549110000000%d", i))
	}
}

// owned counts the connected sessions of a connector.
func (b *bench) owned(c *Connector) int {
	return one[int](b, `SELECT count(*)::int FROM session_views WHERE connector = $1 AND shown_state = 'connected'`, c.cfg.Owner)
}

func TestAbandonedSessionsAreTakenWithin20Seconds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.connector(), b.connector()
	b.ten()
	b.await("five sessions each", func() bool { return b.owned(first) == 5 && b.owned(second) == 5 })

	b.abandon(first)
	var sent []uuid.UUID
	for i := range 10 {
		sent = append(sent, b.send(fmt.Sprintf("s%d", i), fmt.Sprintf("549110000000%d", (i+1)%10), "over"))
	}
	b.awaitFor(20*time.Second, "the other to have all ten", func() bool { return b.owned(second) == 10 })
	for _, id := range sent {
		b.awaitStatus(id, events.StatusDelivered)
	}
	if n := one[int](b, `SELECT count(*)::int FROM sessions WHERE state = 'replaced'`); n != 0 {
		t.Errorf("%d sessions fought", n)
	}
}

func TestStopHandsSessionsOverAtOnceAndAStartTakesItsShare(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.connector()
	b.ten()
	second := b.connector()
	b.await("five sessions each", func() bool { return b.owned(first) == 5 && b.owned(second) == 5 })
	id := b.send("s0", "5491100000001", "before")
	b.awaitStatus(id, events.StatusDelivered)

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		b.stop(first)
	}()
	b.awaitFor(5*time.Second, "the other to claim all ten", func() bool {
		return one[int](b, `SELECT count(*)::int FROM claims WHERE owner = $1 AND expires_at > now()`, second.cfg.Owner) == 10
	})
	<-stopped
	b.await("the other to connect all ten", func() bool { return b.owned(second) == 10 })
	if n := one[int](b, `SELECT count(*)::int FROM queue_messages WHERE lane LIKE 'commands/%' AND crashes > 0`); n != 0 {
		t.Errorf("%d commands count a crash", n)
	}
}

func TestTakeOverDoesNotWaitForThePredecessorsClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "dev", true }
	first := b.connector(same)
	b.phone("5491100000002", "Juan")
	b.linked("sales", "5491100000001")
	b.abandon(first)
	b.connector(same)
	b.awaitFor(5*time.Second, "the session to be connected again", func() bool {
		return one[int64](b, `SELECT epoch FROM claims`) == 2 && one[string](b, `SELECT state FROM sessions`) == "connected"
	})
	b.awaitStatus(b.send("sales", "5491100000002", "hello"), events.StatusDelivered)
	if n := len(b.events(events.SessionQR)); n != 1 {
		t.Errorf("%d QR codes were shown, want the first alone", n)
	}
}

func TestStaleOwnerWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone("5491100000002", "Juan")
	b.linked("sales", "5491100000001")
	s := c.session("sales")
	conn := s.sender()
	id := b.send("sales", "5491100000002", "first")
	b.awaitStatus(id, events.StatusDelivered)
	device := *conn.device // as one loaded now would be

	// Another takes the session while this one believes to hold it, as after a long stop.
	b.exec(`UPDATE claims SET owner = 'another', epoch = epoch + 1, expires_at = now() + interval '1 hour'`)
	states := len(b.events(events.SessionStatus))

	incoming := &waevents.Message{Message: &waE2E.Message{Conversation: proto.String("stale")}, Info: types.MessageInfo{
		MessageSource: types.MessageSource{
			Chat: types.NewJID("5491100000002", types.DefaultUserServer), Sender: types.NewJID("5491100000002", types.DefaultUserServer),
		}, ID: "STALE", Timestamp: time.Now(),
	}}
	if err := conn.received(context.Background(), incoming); !errors.Is(err, errClaimLost) {
		t.Errorf("a message was received: %v", err)
	}
	receipt := &waevents.Receipt{MessageSource: incoming.Info.MessageSource, Type: types.ReceiptTypePlayed, Timestamp: time.Now(),
		MessageIDs: []string{one[string](b, `SELECT whatsapp_id FROM messages WHERE id = $1`, id)}}
	if err := conn.receipt(context.Background(), receipt); !errors.Is(err, errClaimLost) {
		t.Errorf("a receipt was written: %v", err)
	}
	if err := device.Identities.PutIdentity(context.Background(), "1:1", [32]byte{}); !errors.Is(err, signalstore.ErrFenced) {
		t.Errorf("Signal state was written: %v", err)
	}
	if got := b.status(id); got != string(events.StatusDelivered) {
		t.Errorf("the message is %s", got)
	}
	b.await("the session to be closed", func() bool { return c.session("sales") == nil })
	<-s.done
	if n := len(b.events(events.SessionStatus)); n != states {
		t.Errorf("%d states were told", n-states)
	}
	if owner := one[string](b, `SELECT owner FROM claims`); owner != "another" {
		t.Errorf("the claim is with %q", owner)
	}
	if n := one[int](b, `SELECT count(*)::int FROM messages WHERE whatsapp_id = 'STALE'`); n != 0 {
		t.Error("the stale owner stored a message")
	}
}

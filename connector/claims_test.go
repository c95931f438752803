package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Feature: Failover of sessions between connectors
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

// An owner who was stopped in the middle of a login sends the rest of it as he wakes, and WhatsApp believes the newer login.
func TestTheOwnerBeforeDoesNotStopASessionByALoginOfHis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	same := func(c *Config) { c.Owner, c.TakeOver = "dev", true }
	first := b.connector(same)
	b.linked("sales", "5491100000001")
	b.abandon(first)
	second := b.connector(same)
	b.await("the session to be connected again", func() bool { return b.owned(second) == 1 && second.session("sales").sender() != nil })
	states := len(b.events(events.SessionStatus))
	if n, err := b.sandbox.StreamError(b.ctx(), "5491100000001", "replaced"); err != nil || n != 1 {
		t.Fatalf("%d connections were replaced: %v", n, err)
	}
	b.await("the session to be connected once more", func() bool {
		all := b.events(events.SessionStatus)
		return len(all) > states+1 && all[len(all)-1].Data.Session.State == events.StateConnected
	})

	// Where the owner before gave it back, whoever replaces the connection is somebody else.
	b.stop(second)
	third := b.connector(same)
	b.await("the session to be connected", func() bool { return b.owned(third) == 1 && third.session("sales").sender() != nil })
	if _, err := b.sandbox.StreamError(b.ctx(), "5491100000001", "replaced"); err != nil {
		t.Fatal(err)
	}
	b.awaitState("sales", events.StateReplaced)
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
	refused := func(err error) bool { // by the fence, or because the session has noticed meanwhile and closed its connection
		return errors.Is(err, errClaimLost) || errors.Is(err, signalstore.ErrFenced) || errors.Is(err, errClosed)
	}
	if err := conn.received(context.Background(), incoming); !refused(err) {
		t.Errorf("a message was received: %v", err)
	}
	receipt := &waevents.Receipt{MessageSource: incoming.Info.MessageSource, Type: types.ReceiptTypePlayed, Timestamp: time.Now(),
		MessageIDs: []string{one[string](b, `SELECT whatsapp_id FROM messages WHERE id = $1`, id)}}
	if err := conn.receipt(context.Background(), receipt); !refused(err) {
		t.Errorf("a receipt was written: %v", err)
	}
	if err := device.Identities.PutIdentity(context.Background(), "1:1", [32]byte{}); !refused(err) {
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

func TestAClaimHoldsByBothClocks(t *testing.T) {
	t.Parallel()
	var claim term
	if claim.holds() {
		t.Error("a claim that was never taken holds")
	}
	soon, past := time.Now().Add(time.Minute), time.Now().Add(-time.Millisecond)
	for _, tt := range []struct {
		end  deadline
		want bool
	}{
		{deadline{soon, soon.Round(0)}, true},
		{deadline{past, soon.Round(0)}, false}, // the wall clock was set back
		{deadline{soon, past.Round(0)}, false}, // the machine was suspended
	} {
		claim.end.Store(&tt.end)
		if got := claim.holds(); got != tt.want {
			t.Errorf("holds(%v) = %v", tt.end, got)
		}
	}
	at := time.Now()
	claim.extend(at)
	if end := claim.end.Load(); end.steady.Sub(at) != claimLength-claimMargin || !end.wall.Equal(end.steady.Round(0)) {
		t.Errorf("taken at %v it ends at %v", at, *end)
	}
}

// A process that slept past its claim and whose watch over claims has not run yet: whatever comes first ends the session. Nobody else has
// taken it, so the same process takes it again when the claim has run out.
func TestAClaimThatEndedIsTakenAgainByTheSameProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	s := c.session("sales")
	conn := s.sender()
	ended := &deadline{time.Now(), time.Now().Round(0)}
	s.term.end.Store(ended)
	if _, err := conn.client.GetUserInfo(b.ctx(), []types.JID{types.NewJID(juan, types.DefaultUserServer)}); err == nil {
		t.Error("something was sent after the claim's end")
	}
	if !errors.Is(context.Cause(s.ctx), errClaimLost) {
		t.Errorf("the session goes on: %v", context.Cause(s.ctx))
	}
	<-s.done
	want := numbered(0, 20)
	for _, text := range want {
		b.fromPhone(juan, owner, text)
	}
	sent := b.send("sales", juan, "hello")
	b.awaitStatus(sent, events.StatusDelivered)
	b.await("all messages", func() bool { return len(b.texts(events.MessageReceived)) >= len(want) })
	if got := b.texts(events.MessageReceived); !slices.Equal(got, want) {
		t.Errorf("received %q", got)
	}
	if epoch := one[int64](b, `SELECT epoch FROM claims`); epoch != 2 {
		t.Errorf("the epoch is %d", epoch)
	}
	if got := b.shown(juan, 1); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("the phone shows %q", got)
	}
}

// A claim that another had in between is lost at the next renewal, and the process may have it again before the session that lost it has ended.
func TestAClaimLostAndTakenAgainNeverRunsTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	before := c.session("sales")
	phones := b.sandbox.Stats().Connections - 1
	before.inHand <- struct{}{} // a command that does not end yet
	b.exec(`UPDATE claims SET owner = 'another', epoch = epoch + 1, expires_at = now()`)
	b.await("the claim to be taken again", func() bool { return one[int64](b, `SELECT epoch FROM claims`) == 3 })
	during(2 * time.Second)
	if n := b.sandbox.Stats().Connections; n != phones {
		t.Errorf("%d connections while the session that lost its claim has not ended", n-phones)
	}
	<-before.inHand
	b.await("the session to run again", func() bool { s := c.session("sales"); return s != nil && s != before && s.sender() != nil })
	if epoch := one[int64](b, `SELECT epoch FROM claims`); epoch != 3 {
		t.Errorf("the epoch is %d", epoch)
	}
	b.awaitStatus(b.send("sales", juan, "hello"), events.StatusDelivered)
	if n := one[int](b, `SELECT count(*)::int FROM sessions WHERE state = 'replaced'`); n != 0 {
		t.Error("the session fought with itself")
	}
}

func TestNoConnectorTakesMoreThanItsCapacity(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sized := func(n int) *Connector { return b.connector(func(c *Config) { c.Capacity = n }) }
	first, second := sized(5), sized(5)
	b.ten()
	b.await("five sessions each", func() bool { return b.owned(first) == 5 && b.owned(second) == 5 })
	held := func(c *Connector) int {
		return one[int](b, `SELECT count(*)::int FROM claims WHERE owner = $1 AND expires_at > now()`, c.cfg.Owner)
	}
	b.stop(second)
	third := sized(2)
	b.await("the third to have its two", func() bool { return b.owned(third) == 2 })
	// Two looks of everybody later it is still so, and who has no owner says that it waits for one.
	looked := time.NewTimer(2*lookEvery + renewEvery)
	defer looked.Stop()
	for end := false; !end; {
		select {
		case <-looked.C:
			end = true
		default:
		}
		if a, c := held(first), held(third); a > 5 || c > 2 {
			t.Fatalf("they hold %d and %d sessions", a, c)
		}
	}
	if b.owned(first) != 5 || b.owned(third) != 2 {
		t.Errorf("they have %d and %d sessions", b.owned(first), b.owned(third))
	}
	waiting := many[string](b, `SELECT shown_state FROM session_views WHERE connector = '' ORDER BY 1`)
	if !slices.Equal(waiting, []string{"reconnecting", "reconnecting", "reconnecting"}) {
		t.Errorf("the others are %q", waiting)
	}
	fourth := sized(500)
	b.await("the fourth to take the rest", func() bool { return b.owned(first)+b.owned(third)+b.owned(fourth) == 10 })
}

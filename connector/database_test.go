package connector

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox/server"
	"github.com/chasqui/chasqui/infra/testwire"
)

// wired is the database behind a wire.
func (b *bench) wired() (*testwire.Wire, func(*Config)) {
	b.Helper()
	wire, dsn := testwire.Database(b, b.dsn)
	return wire, func(c *Config) { c.DSN = dsn }
}

// during waits for a time in which nothing is to happen.
func during(d time.Duration) { <-time.After(d) }

// A session does not outlive its claim while PostgreSQL is away, and comes back with it. pgx waits two minutes for a server that does not answer
// at all, and its pools are full of such waiting meanwhile.
func TestSessionsDisconnectWhenPostgreSQLIsAwayAndComeBackWithIt(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*testwire.Wire){
		"refusing": (*testwire.Wire).Cut, "silent": (*testwire.Wire).Blackhole,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			wire, behind := b.wired()
			c := b.connector(behind)
			b.phone(juan, "Juan")
			b.linked("sales", owner)
			phones := b.sandbox.Stats().Connections - 1
			began := time.Now()
			breaks(wire)
			b.awaitFor(claimLength, "the device to be offline", func() bool { return b.sandbox.Stats().Connections == phones })
			t.Logf("offline after %s", time.Since(began).Round(100*time.Millisecond))
			if expires := one[time.Time](b, `SELECT expires_at FROM claims`); time.Now().After(expires) {
				t.Errorf("offline at %s, when the claim had ended at %s", time.Now(), expires)
			}
			b.fromPhone(juan, owner, "while it was away")
			sent := b.send("sales", juan, "hello")
			during(2*claimLength + claimLength/3)
			if n := b.sandbox.Stats().Connections; n != phones {
				t.Errorf("%d connections without a claim", n-phones)
			}
			if c.Healthy() == nil {
				t.Error("it says that it is well")
			}
			began = time.Now()
			wire.Mend()
			b.awaitFor(15*time.Second, "the session to be connected", func() bool { return b.owned(c) == 1 })
			t.Logf("back after %s", time.Since(began).Round(100*time.Millisecond))
			b.awaitStatus(sent, events.StatusDelivered)
			b.await("the message", func() bool { return len(b.texts(events.MessageReceived)) == 1 })
			if n := len(b.events(events.SessionQR)); n != 1 {
				t.Errorf("%d QR codes were shown, want the first alone", n)
			}
		})
	}
}

// Two renewals may fail, and a renewal may succeed whose answer is lost, without a session noticing.
func TestAClaimOutlivesRenewalsThatAreNotAnswered(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*testwire.Wire){
		"answers are lost for 6 s":            func(w *testwire.Wire) { w.Mute(); during(6 * time.Second); w.Mend() },
		"connections die, new ones are taken": func(w *testwire.Wire) { w.Strand(); during(20 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			wire, behind := b.wired()
			c := b.connector(behind)
			b.phone(juan, "Juan")
			b.linked("sales", owner)
			b.awaitStatus(b.send("sales", juan, "before"), events.StatusDelivered)
			b.awaitQuiet()
			s := c.session("sales")
			conn := s.sender()
			var idle []*pgxpool.Conn // more than one may be idle, and die
			for range 2 {
				taken, err := c.control.Acquire(b.ctx())
				if err != nil {
					t.Fatal(err)
				}
				idle = append(idle, taken)
			}
			for _, taken := range idle {
				taken.Release()
			}
			breaks(wire)
			if c.session("sales") != s || s.sender() != conn {
				t.Errorf("the session ended or was connected again: claim %s, session %v, connection %v", one[time.Time](b, `SELECT expires_at FROM claims`), context.Cause(s.ctx), context.Cause(conn.ctx))
			}
			b.awaitStatus(b.send("sales", juan, "hello"), events.StatusDelivered)
		})
	}
}

// awaitQuiet waits until WhatsApp and its clients have nothing to say to each other: what of a linking is on its way uses the database, and ends
// a connection when that does not answer.
func (b *bench) awaitQuiet() {
	b.Helper()
	before, same := int64(-1), 0
	b.await("quiet", func() bool {
		var said int64
		for _, n := range b.sandbox.Stats().Stanzas {
			said += n
		}
		if said != before {
			before, same = said, 0
		}
		same++
		return same > 20
	})
}

// A process that is told to end ends, whatever the database does: the claims run out by themselves.
func TestStopEndsWhilePostgreSQLIsAway(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*testwire.Wire){
		"refusing": (*testwire.Wire).Cut, "silent": (*testwire.Wire).Blackhole,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			wire, behind := b.wired()
			c := b.connector(behind)
			b.ten()
			phones := b.sandbox.Stats().Connections - 10
			b.sandbox.SetFaults(server.Faults{AckDelay: 200 * time.Millisecond}) // so that something is in hand everywhere
			for i := range 10 {
				for range 5 {
					b.send([]string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"}[i], "5491100000000", "hello")
				}
			}
			b.await("the phone to show something", func() bool { return len(b.shown("5491100000000", 1)) > 0 })
			breaks(wire)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // as the program gives it
			defer cancel()
			if err := c.Stop(ctx); err != nil {
				t.Error(err)
			}
			took := time.Since(began)
			t.Logf("stopped after %s", took.Round(100*time.Millisecond))
			if took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			if n := b.sandbox.Stats().Connections; n != phones {
				t.Errorf("%d connections are left", n-phones)
			}
		})
	}
}

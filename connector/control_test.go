package connector

import (
	"strings"
	"testing"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// Feature: Log out (unlink) apart from stop (keep)
func TestStoppedSessionKeepsItsCommandsUntilItIsStarted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone("5491100000002", "Juan")
	b.linked("sales", "5491100000001")
	b.exec(`UPDATE sessions SET desired = 'stopped' WHERE id = 'sales'`)
	b.awaitState("sales", events.StateStopped)
	b.await("the session to be let go", func() bool { return c.session("sales") == nil })

	first, second := b.send("sales", "5491100000002", "one"), b.send("sales", "5491100000002", "two")
	b.exec(`UPDATE sessions SET desired = 'started' WHERE id = 'sales'`)
	b.awaitStatus(second, events.StatusDelivered)
	b.awaitStatus(first, events.StatusDelivered)
	if got := strings.Join(b.shown("5491100000002", 2), " "); got != "one two" {
		t.Errorf("the phone shows %q", got)
	}
	if n := len(b.events(events.SessionQR)); n != 1 {
		t.Errorf("%d QR codes were shown, want the first alone", n)
	}
}

// Feature: Restart
func TestRestartConnectsAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", "5491100000001")
	before := c.session("sales").sender()
	b.exec(`UPDATE sessions SET restarts = restarts + 1 WHERE id = 'sales'`)
	b.await("another connection", func() bool {
		conn := c.session("sales").sender()
		return conn != nil && conn != before
	})
	b.awaitState("sales", events.StateConnected)
	if n := one[int64](b, `SELECT restarts - restarts_done FROM sessions WHERE id = 'sales'`); n != 0 {
		t.Errorf("%d restarts are still to be done", n)
	}
}

// Feature: Log out (unlink) apart from stop (keep)
func TestLogoutUnlinksTheDeviceAndFailsWhatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone("5491100000002", "Juan")
	b.linked("sales", "5491100000001")
	b.exec(`UPDATE sessions SET desired = 'stopped' WHERE id = 'sales'`)
	b.awaitState("sales", events.StateStopped)
	id := b.send("sales", "5491100000002", "too late")
	b.exec(`UPDATE sessions SET logout_requested_at = now() WHERE id = 'sales'`)
	b.awaitState("sales", events.StateLoggedOut)
	b.awaitStatus(id, events.StatusFailed)
	if code := one[string](b, `SELECT error_code FROM messages WHERE id = $1`, id); code != "session_logged_out" {
		t.Errorf("the message failed with %s", code)
	}
	if one[bool](b, `SELECT jid IS NOT NULL OR logout_requested_at IS NOT NULL OR wanted FROM sessions`) {
		t.Error("the session still has its device or its request")
	}
	if n := one[int](b, `SELECT count(*)::int FROM whatsmeow.whatsmeow_device`); n != 0 {
		t.Errorf("%d devices are stored", n)
	}
	if p, err := b.sandbox.Phone("5491100000001"); err != nil || len(p.Devices) != 0 {
		t.Errorf("the phone lists %v (%v)", p.Devices, err)
	}
	b.await("the session to be let go", func() bool { return c.session("sales") == nil })
}

// Feature: Only an unlinking ends a session: every other loss reconnects
func TestUnlinkedByItsOwnerASessionIsLoggedOutUntilItIsRestarted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("sales", "5491100000001")
	if err := b.sandbox.Unlink(b.ctx(), "5491100000001"); err != nil {
		t.Fatal(err)
	}
	b.awaitState("sales", events.StateLoggedOut)
	b.await("the session to be let go", func() bool { return c.session("sales") == nil })
	if n := one[int](b, `SELECT count(*)::int FROM whatsmeow.whatsmeow_device`); n != 0 {
		t.Errorf("%d devices are stored", n)
	}
	b.exec(`UPDATE sessions SET restarts = restarts + 1 WHERE id = 'sales'`)
	b.scan("sales", "5491100000001")
}

func TestDeleteUnlinksAndRemovesAllButEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone("5491100000002", "Juan")
	b.linked("sales", "5491100000001")
	b.awaitStatus(b.send("sales", "5491100000002", "hello"), events.StatusDelivered)
	b.exec(`UPDATE sessions SET delete_requested_at = now() WHERE id = 'sales'`)
	b.await("the session to be deleted", func() bool { return one[int](b, `SELECT count(*)::int FROM sessions`) == 0 })
	left := one[int](b, `SELECT ((SELECT count(*) FROM messages) + (SELECT count(*) FROM chats) + (SELECT count(*) FROM contacts) +
		(SELECT count(*) FROM claims) + (SELECT count(*) FROM whatsmeow.whatsmeow_device) +
		(SELECT count(*) FROM queue_lanes WHERE session = 'sales'))::int`)
	if left != 0 {
		t.Errorf("%d rows are left", left)
	}
	if p, err := b.sandbox.Phone("5491100000001"); err != nil || len(p.Devices) != 0 {
		t.Errorf("the phone lists %v (%v)", p.Devices, err)
	}
	all := b.events(events.SessionStatus)
	if last := all[len(all)-1].Data.Session; last.State != events.StateLoggedOut || last.Reason != "deleted" {
		t.Errorf("the last event says %s (%s)", last.State, last.Reason)
	}
}

func TestDeleteLeavesTheDeviceLinkedWhereThatIsAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.linked("sales", "5491100000001")
	b.exec(`UPDATE sessions SET delete_requested_at = now(), delete_unlinks = false WHERE id = 'sales'`)
	b.await("the session to be deleted", func() bool { return one[int](b, `SELECT count(*)::int FROM sessions`) == 0 })
	if n := one[int](b, `SELECT count(*)::int FROM whatsmeow.whatsmeow_device`); n != 0 {
		t.Errorf("%d devices are stored", n)
	}
	if p, err := b.sandbox.Phone("5491100000001"); err != nil || len(p.Devices) != 1 {
		t.Errorf("the phone lists %v (%v)", p.Devices, err)
	}
	all := b.events(events.SessionStatus)
	if last := all[len(all)-1].Data.Session; last.State != events.StateLoggedOut || !strings.Contains(last.Reason, "stays linked") {
		t.Errorf("the last event says %s (%s)", last.State, last.Reason)
	}
}

func TestDeleteGoesOnWithoutWhatsAppAndSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.linked("sales", "5491100000001")
	b.sandbox.SetFaults(server.Faults{RefuseConnections: true})
	b.sandbox.Disconnect("")
	b.awaitState("sales", events.StateReconnecting)
	b.exec(`UPDATE sessions SET delete_requested_at = now() WHERE id = 'sales'`)
	b.await("the session to be deleted", func() bool { return one[int](b, `SELECT count(*)::int FROM sessions`) == 0 })
	all := b.events(events.SessionStatus)
	if last := all[len(all)-1].Data.Session; !strings.Contains(last.Reason, "could not be reached") {
		t.Errorf("the last event says %s (%s)", last.State, last.Reason)
	}
	if n := one[int](b, `SELECT count(*)::int FROM whatsmeow.whatsmeow_device`); n != 0 {
		t.Errorf("%d devices are stored", n)
	}
}

// Feature: Only an unlinking ends a session: every other loss reconnects
func TestSessionReconnectsAfterALostConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone("5491100000002", "Juan")
	b.linked("sales", "5491100000001")
	before := c.session("sales").sender()
	b.sandbox.Disconnect("")
	b.await("another connection", func() bool {
		conn := c.session("sales").sender()
		return conn != nil && conn != before
	})
	b.awaitState("sales", events.StateConnected)
	b.awaitStatus(b.send("sales", "5491100000002", "hello"), events.StatusDelivered)
}

// start does what POST .../start does.
func (b *bench) start(id string) {
	b.Helper()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		_, err := db.New().SessionStart(b.ctx(), tx, id)
		tx.Notify(events.WakeControl)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

func TestStartBringsASessionBackThatEndedAndWasStopped(t *testing.T) {
	t.Parallel()
	for _, state := range []events.SessionState{events.StateLoggedOut, events.StateFailed, events.StateBanned, events.StateReplaced} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(`INSERT INTO sessions (id, state, reason, desired) VALUES ('sales', $1, 'the test says so', 'stopped')`, string(state))
			b.start("sales") // before any connector has seen the stop
			c := b.connector()
			b.awaitState("sales", events.StateQR)

			// And once more, with a connector that has seen the stop.
			b.exec(`UPDATE sessions SET desired = 'stopped'`)
			b.awaitState("sales", events.StateStopped)
			b.await("the session to be let go", func() bool { return c.session("sales") == nil })
			b.exec(`UPDATE sessions SET state = $1`, string(state))
			b.await("the session to rest", func() bool { return one[bool](b, `SELECT NOT wanted FROM sessions`) && c.session("sales") == nil })
			b.start("sales")
			b.awaitState("sales", events.StateQR)
		})
	}
}

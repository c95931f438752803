package dispatcher

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// named names a dispatcher.
func named(owner string) func(*Dispatcher) { return func(d *Dispatcher) { d.cfg.Owner = owner } }

// holder is the process id of the connection that holds an owner's lock; 0: none does.
func (b *bench) holder(owner string) int {
	return b.count(`SELECT coalesce(max(pid), 0) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND (classid::bigint << 32 | objid::bigint) = hashtextextended('dispatcher ' || $1::text, 0)`, owner)
}

// holdOwner holds an owner's lock until the connection is closed.
func (b *bench) holdOwner(owner string) *pgx.Conn {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.dsn)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if locked, err := db.New().OwnerTryLock(b.t.Context(), conn, owner); err != nil || !locked {
		b.t.Fatalf("locked: %v, %v", locked, err)
	}
	return conn
}

// addSending adds a delivery that an owner is sending, with a lease of ten minutes.
func (b *bench) addSending(e endpoint, owner string) {
	b.t.Helper()
	b.exec(`INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, state, claim_id, claimed_by, lease_until)
		VALUES ($1, $2, 1, $3, 'sending', $1, $4, now() + interval '10 min')`, events.NewID(), events.NewID(), e.id, owner)
}

func (b *bench) sending(owner string) int {
	return b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending' AND claimed_by = $1`, owner)
}

// Their leases have 90 s to run.
func TestAKilledDispatchersDeliveriesAreTakenBackSoon(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addEndpoint(newHole(t), "timeout_seconds = 60")
	b.publish("s", "1@s.whatsapp.net", 0, 5)
	dead := b.start(named("dead"))
	eventually(t, "they are being sent", func() bool { return b.sending("dead") == 5 })
	b.start(named("alive"))
	kill(dead)
	eventually(t, "the other sends them", func() bool { return b.sending("alive") == 5 })
	if n := b.count(`SELECT count(*) FROM deliveries WHERE attempt = 0`); n != 5 {
		t.Errorf("%d have used no attempt, want 5", n)
	}
}

// A process that is stopped keeps its connection, and so its lock: its leases decide. What a dead one had is taken back meanwhile, which shows
// that there was the time.
func TestAStoppedDispatcherKeepsItsDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.addEndpoint("http://127.0.0.1:1/", "state = 'paused'")
	stopped := b.holdOwner("stopped")
	b.addSending(e, "stopped")
	b.addSending(e, "dead")
	b.start()
	eventually(t, "the dead one's is taken back", func() bool { return b.sending("dead") == 0 })
	if b.sending("stopped") != 1 {
		t.Error("the stopped one's was taken")
	}
	if err := stopped.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it died, and its delivery is taken back", func() bool { return b.sending("stopped") == 0 })
}

// As after a restart of PostgreSQL, whose sessions hold nothing any more.
func TestALostLockIsHadAgainBeforeAnybodyMinds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hole := b.addEndpoint(newHole(t), "timeout_seconds = 60")
	paused := b.addEndpoint("http://127.0.0.1:1/", "state = 'paused'")
	b.publish("s", "1@s.whatsapp.net", 0, 1)
	b.start(named("one"))
	eventually(t, "it is being sent", func() bool { return b.sending("one") == 1 })
	b.start(named("two"))
	first := b.holder("one")
	if first == 0 || b.holder("two") == 0 {
		t.Fatal("a dispatcher works without its lock")
	}
	b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'chasqui dispatcher'`)
	b.addSending(paused, "dead")
	eventually(t, "the lock is had again", func() bool { pid := b.holder("one"); return pid != 0 && pid != first })
	eventually(t, "a dead one's is taken back", func() bool { return b.sending("dead") == 0 })
	if n := b.count(`SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND state = 'sending' AND claimed_by = 'one'`, hole.id); n != 1 {
		t.Error("the living one's was taken")
	}
}

func TestStopReleasesTheOwnersLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.start(named("one"))
	if b.holder("one") == 0 {
		t.Fatal("the lock is not held after Start")
	}
	stopNow(d)
	eventually(t, "the lock is free", func() bool { return b.holder("one") == 0 })
}

func TestOwnersThatAreDead(t *testing.T) {
	t.Parallel()
	free, held := func(o string) db.DeliveryListOwnersRow { return db.DeliveryListOwnersRow{Owner: o, Free: true} },
		func(o string) db.DeliveryListOwnersRow { return db.DeliveryListOwnersRow{Owner: o} }
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var w ownerWatch
	look := func(wait time.Duration, want []string, rows ...db.DeliveryListOwnersRow) {
		t.Helper()
		now = now.Add(wait)
		if got := w.look(now, rows); !slices.Equal(got, want) {
			t.Errorf("after %s: %v are dead, want %v", wait, got, want)
		}
	}
	for range 5 {
		look(time.Second, nil, free("a"), held("b"))
	}
	look(time.Second, []string{"a"}, free("a"), free("b"))
	look(time.Second, []string{"a"}, free("a"), free("b"))
	look(time.Second, nil, held("b"))            // a has nothing under way; b has its lock again
	look(time.Second, nil, free("a"), free("b")) // both anew
	look(3*time.Second, nil, free("a"), free("b"))
	look(4*time.Second, nil, free("a"), free("b")) // PostgreSQL may have been away
	look(3*time.Second, nil, free("a"), free("b"))
	look(2*time.Second, []string{"a", "b"}, free("a"), free("b"))
}

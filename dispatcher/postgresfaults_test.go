package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/dispatcher/receivertest"
	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/testwire"
)

// A server is a PostgreSQL for one test, which may kill it. It comes back by itself.
type server struct {
	*devstack.Postgres
	b *bench
}

// setupServer is setup on a server of the test's own.
func setupServer(t *testing.T) (*bench, server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "chasqui-dispatcher-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the user who runs PostgreSQL for root has to enter it
		t.Fatal(err)
	}
	pg, err := devstack.StartPostgres(t.Context(), devstack.PostgresConfig{Dir: filepath.Join(dir, "pg"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	if err := postgres.Migrate(t.Context(), pg.DSN()); err != nil {
		t.Fatal(err)
	}
	b := setupOn(t, pg.DSN())
	return b, server{pg, b}
}

// restart kills the server as a crash does, and waits until it answers again.
func (s server) restart() {
	s.b.t.Helper()
	before := s.PID()
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		s.b.t.Fatal(err)
	}
	eventually(s.b.t, "PostgreSQL is back", func() bool { return s.PID() != 0 && s.PID() != before && s.b.pool.Ping(s.b.t.Context()) == nil })
	s.b.pool.Reset() // what is left of the connections to the old one
}

// block runs a statement that locks something, in a transaction that lasts until the server or the test ends.
func (b *bench) block(statement string) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.dsn) // on one of the pool's, a transaction that idles ends after 5 s
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, s := range []string{"BEGIN", statement} {
		if _, err := conn.Exec(b.t.Context(), s); err != nil {
			b.t.Fatalf("%s: %v", s, err)
		}
	}
}

// awaitBlocked waits until a query of the dispatcher's waits for a lock.
func (b *bench) awaitBlocked(query string) {
	b.t.Helper()
	eventually(b.t, query+" waits for a lock", func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chasqui dispatcher' AND datname = current_database()
			AND wait_event_type = 'Lock' AND query LIKE '%name: ' || $1 || ' %'`, query) == 1
	})
}

// wantOnce is wantAll for what must not be repeated either.
func wantOnce(t *testing.T, hooks receivertest.Hooks, ids []string) {
	t.Helper()
	wantAll(t, hooks.Accepted(), ids)
	for id, n := range hooks.Accepted() {
		if n != 1 {
			t.Errorf("%s was accepted %d times", id, n)
		}
	}
}

// What was claimed in a transaction that PostgreSQL lost was not sent.
func TestPostgreSQLKilledInMidClaimLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	b, server := setupServer(t)
	r := receivertest.New(t, testSecret)
	// The breaker holds back all of them, until the claim can be caught.
	e := b.addEndpoint(r.URL, "breaker_until = now() + interval '1 h', breaker_trips = 1, consecutive_failures = 10")
	b.start()
	ids := b.publish("s", "1@s.whatsapp.net", 0, 40)
	eventually(t, "all are waiting", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'pending'`) == len(ids) })
	b.block(`LOCK TABLE deliveries IN SHARE ROW EXCLUSIVE MODE`) // reads and row locks pass, updates wait
	b.exec(`UPDATE webhook_endpoints SET breaker_until = NULL, consecutive_failures = 0 WHERE id = $1`, e.id)
	b.awaitBlocked("DeliveryClaimDue")
	server.restart()
	eventually(t, "all delivered", b.settled(len(ids)))
	wantOnce(t, r.Hooks(), ids)
}

// What was sent and accepted is written down once PostgreSQL is back; its lease has not run out meanwhile, so it is not sent again.
func TestPostgreSQLKilledInMidFinishLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	b, server := setupServer(t)
	r := receivertest.New(t, testSecret)
	answer := make(chan struct{})
	r.Answer(func(receivertest.Hook) receivertest.Fault { <-answer; return receivertest.OK })
	b.addEndpoint(r.URL)
	b.start()
	ids := b.publish("s", "1@s.whatsapp.net", 0, 40)
	eventually(t, "as many as may be are under way", func() bool { return r.Begun() == 16 })
	b.block(`SELECT FROM deliveries WHERE state = 'sending' FOR UPDATE`)
	close(answer)
	b.awaitBlocked("DeliveryFinishMany")
	server.restart()
	eventually(t, "all delivered", b.settled(len(ids)))
	wantOnce(t, r.Hooks(), ids)
	if n := b.count(`SELECT count(*) FROM attempts`); n != len(ids) {
		t.Errorf("%d attempts are recorded, want %d", n, len(ids))
	}
}

func TestAnExhaustedPoolDelaysAndLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receivertest.New(t, testSecret)
	answer := make(chan struct{})
	r.Answer(func(receivertest.Hook) receivertest.Fault { <-answer; return receivertest.OK })
	b.addEndpoint(r.URL)
	d := b.start()
	ids := b.publish("s", "1@s.whatsapp.net", 0, 30)
	eventually(t, "as many as may be are under way", func() bool { return r.Begun() == 16 })
	taken := make([]*pgxpool.Conn, d.pool.Config().MaxConns)
	for i := range taken { // the loops give them back after each round, and get none again
		var err error
		if taken[i], err = d.pool.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(answer)
	eventually(t, "they are answered", func() bool { return len(r.Hooks()) == 16 })
	ids = append(ids, b.publish("s", "1@s.whatsapp.net", 30, 10)...)
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded'`); n != 0 {
		t.Errorf("%d are finished: the pool is not exhausted", n)
	}
	for _, c := range taken {
		c.Release()
	}
	eventually(t, "all delivered", b.settled(len(ids)))
	wantOnce(t, r.Hooks(), ids)
}

// No loop holds a connection while it waits for another one.
func TestOneConnectionIsEnough(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receivertest.New(t, testSecret)
	b.addEndpoint(r.URL)
	b.addEndpoint(r.URL, "order_mode = 'chat'")
	b.start(func(d *Dispatcher) { d.cfg.MaxConns = 1 })
	ids := b.publish("s", "1@s.whatsapp.net", 0, 50)
	eventually(t, "all delivered", b.settled(len(ids)))
	wantAll(t, r.Hooks().Accepted(), ids)
}

// NOTIFY is sent and never comes, on a connection that seems to live. Each event takes a poll of the sequencer and one of the claims.
func TestDeliveriesGoOutWithinThePollWhenNotifyIsLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wire, through := testwire.Database(t, b.dsn)
	config, err := pgx.ParseConfig(through)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = "listener"
	r := receivertest.New(t, testSecret)
	b.addEndpoint(r.URL)
	b.start(func(d *Dispatcher) { d.waker = queue.NewWaker(config) })
	eventually(t, "it listens", func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'listener' AND datname = current_database()
			AND state = 'idle' AND query LIKE 'LISTEN%'`) == 1
	})
	wire.Mute()
	began := time.Now()
	const n = 4
	for i := range n { // one at a time: each needs a poll of its own
		b.publish("s", "1@s.whatsapp.net", i, 1)
		eventually(t, "it is delivered", func() bool { return len(r.Hooks()) == i+1 })
	}
	took := time.Since(began)
	if took < (n-2)*poll {
		t.Errorf("%d events took %s: they were told of", n, took)
	}
	if took > n*2*poll+20*time.Second { // with a margin for a busy machine
		t.Errorf("%d events took %s", n, took)
	}
	wire.Mend()
}

// shiftClock sets PostgreSQL's clock off from this process's, for connections that are made from now on: functions of the test's own hide
// those that tell the time. A process's clock that is off by the opposite looks the same.
func (b *bench) shiftClock(by string) {
	b.t.Helper()
	for _, f := range []string{"now", "statement_timestamp", "transaction_timestamp", "clock_timestamp"} {
		b.exec(fmt.Sprintf(`CREATE FUNCTION public.%[1]s() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT pg_catalog.%[1]s() + interval '%[2]s' $$`, f, by))
	}
	b.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$`)
	b.exec(`DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND column_default = 'now()' LOOP
			EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT public.now()', c.table_name, c.column_name);
		END LOOP; END $$`)
	b.pool.Reset()
}

// What is due, when a lease ends and when an attempt comes again are PostgreSQL's to say; how long a request takes is the process's. Neither
// is compared with the other. The signature bears the process's own time.
func TestAClockThatIsHoursOffDelaysNothing(t *testing.T) {
	t.Parallel()
	for _, off := range []string{"5 hours", "-5 hours"} {
		t.Run(off, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.shiftClock(off)
			r := receivertest.New(t, testSecret)
			answer := make(chan struct{})
			r.Answer(func(h receivertest.Hook) receivertest.Fault {
				if h.N == 3 {
					<-answer
				}
				return receivertest.OK
			})
			r.Play(receivertest.Status(500), receivertest.RetryAfter("1"))
			b.addEndpoint(r.URL)
			b.start(quick)
			ids := b.publish("s", "1@s.whatsapp.net", 0, 10)
			eventually(t, "all but one are delivered", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded'`) == 9 })
			if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending'
				AND lease_until BETWEEN statement_timestamp() AND statement_timestamp() + interval '45 s'`); n != 1 {
				t.Error("the lease of the one that is being sent does not end within 45 s")
			}
			close(answer)
			eventually(t, "all delivered", b.settled(len(ids)))
			wantOnce(t, r.Hooks(), ids)
		})
	}
}

// A dispatcher whose clock is two months ahead must not take everything for old.
func TestAClockThatIsAheadDropsNoEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	then := time.Now().Add(-60 * day)
	if err := MaintainPartitions(t.Context(), b.pool, then, 30*day); err != nil {
		t.Fatal(err)
	}
	b.exec(`INSERT INTO events (seq, id, type, occurred_at, body) VALUES (nextval('events_seq'), $1, 'message.received', now(), '{}')`, events.FirstID(then))
	b.shiftClock("-60 days") // now is then
	d := b.start(func(d *Dispatcher) { d.cfg.Retention = 30 * day })
	if err := d.maintainPartitions(t.Context(), d.pool); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM events`); n != 1 {
		t.Error("the event is gone")
	}
}

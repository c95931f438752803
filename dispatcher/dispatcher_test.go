package dispatcher

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/testpoll"
	"github.com/chasqui/chasqui/infra/tests3"
)

func TestMain(m *testing.M) { testdb.Run(tests3.With(m)) }

// deadline bounds every wait of a test; what it waits for takes milliseconds to seconds.
const deadline = 60 * time.Second

// A bench is a database of the test's own with a publisher.
type bench struct {
	t    *testing.T
	dsn  string
	pool *pgxpool.Pool
	db   *queue.DB
	s3   *s3.Store
}

func setup(t *testing.T) *bench {
	t.Helper()
	return setupOn(t, testdb.DSN(t))
}

func setupOn(t *testing.T, dsn string) *bench {
	t.Helper()
	pool, err := postgres.Open(t.Context(), dsn, postgres.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	notifier := queue.NewNotifier(pool)
	t.Cleanup(func() { notifier.Close(); pool.Close() })
	return &bench{t: t, dsn: dsn, pool: pool, db: &queue.DB{Pool: pool, Notifier: notifier}, s3: tests3.Open(t)}
}

// start starts a dispatcher that reaches this machine; change may alter it before it starts.
func (b *bench) start(change ...func(*Dispatcher)) *Dispatcher {
	b.t.Helper()
	d := New(Config{DSN: b.dsn, Guard: localGuard(), S3: b.s3, PublicURL: "http://api.test", Version: "test", Logger: silent()})
	for _, f := range change {
		f(d)
	}
	if err := d.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { stopNow(d) })
	return d
}

func localGuard() *netguard.Guard {
	return netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}

// stopNow stops a dispatcher without patience for attempts under way.
func stopNow(d *Dispatcher) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d.Stop(ctx)
}

// kill ends a dispatcher as kill -9 would: nothing that is under way is finished or given back.
func kill(d *Dispatcher) {
	d.endLife()
	stopNow(d)
}

// quick shortens the waits: 12 attempts within about 2 s, and a breaker to match.
func quick(d *Dispatcher) {
	d.timing = timing{firm: 2, breaker: []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 350 * time.Millisecond}, localGap: 50 * time.Millisecond}
	for range 11 {
		d.timing.waits = append(d.timing.waits, 100*time.Millisecond)
	}
}

type endpoint struct {
	id     uuid.UUID
	secret string
}

// addEndpoint makes an endpoint that gets all but what is told of endpoints; set is SQL that changes its row, such as "max_in_flight = 2".
func (b *bench) addEndpoint(url string, set ...string) endpoint {
	b.t.Helper()
	e := endpoint{id: events.NewID(), secret: testSecret}
	b.exec(`INSERT INTO webhook_endpoints (id, url, secret, events) VALUES ($1, $2, $3, '{session.*,message.*,media.*}')`, e.id, url, e.secret)
	for _, s := range set {
		b.exec(`UPDATE webhook_endpoints SET `+s+` WHERE id = $1`, e.id)
	}
	return e
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(context.WithoutCancel(b.t.Context()), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// count answers a query for one number.
func (b *bench) count(sql string, args ...any) int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&n); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// note is the data of the tests' events.
type note struct {
	Chat string `json:"chat"`
	N    int    `json:"n"`
}

// publish publishes n events of a chat, numbered from first, each in a transaction of its own, and returns their ids.
func (b *bench) publish(session, chat string, first, n int) []string {
	b.t.Helper()
	var ids []string
	for i := range n {
		err := b.db.InTx(b.t.Context(), func(tx *queue.Tx) error {
			id, err := events.Publish(tx, events.MessageReceived, session, chat, time.Now(), note{Chat: chat, N: first + i})
			ids = append(ids, events.EventPrefix.Format(id))
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return ids
}

// settled says that n events, but for those about endpoints, are in the log and no delivery is unfinished.
func (b *bench) settled(n int) func() bool {
	return func() bool {
		return b.count(`SELECT count(*) FROM events WHERE type NOT LIKE 'webhook.%'`) == n && b.count(`SELECT count(*) FROM deliveries WHERE state IN ('pending', 'sending', 'held')`) == 0
	}
}

// eventually waits until ok, which looks at something that no signal tells of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !testpoll.True(deadline, ok) {
		t.Fatalf("not within %s: %s", deadline, what)
	}
}

// wantAll fails unless every id was accepted, and nothing else was.
func wantAll(t *testing.T, times map[string]int, ids []string) {
	t.Helper()
	for _, id := range ids {
		if times[id] == 0 {
			t.Errorf("%s was lost", id)
		}
	}
	if len(times) != len(ids) {
		t.Errorf("%d webhook-ids came, of %d events", len(times), len(ids))
	}
}

// wantOrder fails unless the first acceptances of each chat's events came in their order.
func wantOrder(t *testing.T, hooks []webhook) {
	t.Helper()
	next := map[string]int{}
	seen := map[string]bool{}
	for _, h := range hooks {
		if h.answer/100 != 2 || seen[h.id] {
			continue
		}
		seen[h.id] = true
		if h.note.N != next[h.note.Chat] {
			t.Errorf("chat %s: got %d, want %d", h.note.Chat, h.note.N, next[h.note.Chat])
		}
		next[h.note.Chat] = h.note.N + 1
	}
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

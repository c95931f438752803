package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"

	. "github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/testdb"
)

// patience bounds every wait of a test; it only matters when the test fails.
const patience = 30 * time.Second

const topic = "test"

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		os.Exit(worker())
	}
	slog.SetDefault(quiet)
	testdb.Run(m)
}

var quiet = slog.New(slog.DiscardHandler)

// bundle is a fresh database with everything that the queue needs.
type bundle struct {
	t     testing.TB
	pool  *pgxpool.Pool
	db    *DB
	waker *Waker
}

func setup(t testing.TB) *bundle {
	t.Helper()
	pool := testdb.New(t)
	b := &bundle{t: t, pool: pool, db: &DB{Pool: pool, Notifier: NewNotifier(pool)}, waker: NewWaker(pool.Config().ConnConfig)}
	b.waker.Start()
	t.Cleanup(func() {
		b.waker.Stop()
		b.db.Notifier.Close()
	})
	return b
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), sql, args...)
	b.must(err)
}

// count runs a query that gives one number.
func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	b.must(b.pool.QueryRow(context.WithoutCancel(b.t.Context()), sql, args...).Scan(&n))
	return n
}

// publish publishes payloads to a lane in one transaction.
func (b *bundle) publish(lane string, payloads ...string) {
	b.t.Helper()
	b.publishFor("", lane, payloads...)
}

func (b *bundle) publishFor(session, lane string, payloads ...string) {
	b.t.Helper()
	b.must(b.db.InTx(b.t.Context(), func(tx *Tx) error {
		for _, p := range payloads {
			tx.Publish(topic, Message{Lane: lane, Session: session, Payload: []byte(p)})
		}
		return nil
	}))
}

// claim makes owner the holder of a session's claim for d, creating the session if need be.
func (b *bundle) claim(session, owner string, d time.Duration) {
	b.t.Helper()
	b.exec(`INSERT INTO sessions (id) VALUES ($1) ON CONFLICT DO NOTHING`, session)
	b.exec(`INSERT INTO claims (session, owner, expires_at) VALUES ($1, $2, now() + $3::interval)
		ON CONFLICT (session) DO UPDATE SET owner = excluded.owner, epoch = claims.epoch + 1, expires_at = excluded.expires_at`, session, owner, d)
}

// subscriber returns a running router's subscriber, closed with the test.
func (b *bundle) subscriber(config SubscriberConfig, handler func(*message.Message) error) *Subscriber {
	b.t.Helper()
	if config.Pool == nil {
		config.Pool = b.pool
	}
	if config.Owner == "" {
		config.Owner = "one"
	}
	if config.Waker == nil {
		config.Waker = b.waker
	}
	if config.Logger == nil {
		config.Logger = quiet
	}
	s, err := NewSubscriber(config)
	b.must(err)
	consume(b.t, s, handler)
	return s
}

// consume runs a subscriber in Watermill's router.
func consume(t testing.TB, s *Subscriber, handler func(*message.Message) error) {
	t.Helper()
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	router.AddMiddleware(Outcome)
	router.AddConsumerHandler("test", topic, s, handler)
	var running sync.WaitGroup
	running.Go(func() {
		if err := router.Run(context.Background()); err != nil {
			t.Errorf("run router: %v", err)
		}
	})
	<-router.Running()
	t.Cleanup(func() {
		if err := router.Close(); err != nil {
			t.Errorf("close router: %v", err)
		}
		running.Wait()
	})
}

// receive waits for one value.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// wants waits for these values, in this order.
func wants(t testing.TB, c <-chan string, values ...string) {
	t.Helper()
	for _, want := range values {
		if got := receive(t, c); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// eventually waits for a condition that other processes bring about.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// empty waits until nothing is left in the queue.
func (b *bundle) empty() {
	b.t.Helper()
	eventually(b.t, "the queue is empty", func() bool {
		return b.count(`SELECT (SELECT count(*) FROM queue_messages) + (SELECT count(*) FROM queue_lanes)`) == 0
	})
}

var errBoom = errors.New("boom")

func number(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s%d", prefix, i))
	}
	return list
}

package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/jackc/pgx/v5/pgxpool"

	. "github.com/chasqui/chasqui/events/queue"
)

// long says whether the suites run in their full length, as `make verify` has it: CHASQUI_LONG is set.
func long() bool { return os.Getenv("CHASQUI_LONG") != "" }

// oneLane publishes everything to one lane, so that Watermill's suite may expect order.
type oneLane struct{ message.Publisher }

func (p oneLane) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		m.Metadata[MetaLane] = "lane"
	}
	return p.Publisher.Publish(topic, messages...)
}

// Watermill's own suite, once with a lane for each message and once with a single lane.
func TestWatermillSuite(t *testing.T) {
	t.Parallel()
	for _, ordered := range []bool{false, true} {
		t.Run(map[bool]string{false: "unordered", true: "one lane"}[ordered], func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			tests.TestPubSub(t, tests.Features{GuaranteedOrder: ordered, Persistent: true, ForceShort: !long()},
				func(t *testing.T) (message.Publisher, message.Subscriber) {
					s, err := NewSubscriber(SubscriberConfig{Pool: b.pool, Waker: b.waker, Owner: "suite", Backoff: soon,
						MaxAttempts: 1000, Logger: quiet, Grace: time.Millisecond})
					if err != nil {
						t.Fatal(err)
					}
					// The suite's test of order leaves its subscribers running: its deferred Close is called where it is written.
					t.Cleanup(func() { b.must(s.Close()) })
					var p message.Publisher = NewPublisher(b.db)
					if ordered {
						p = oneLane{p}
					}
					return p, s
				},
				func(t *testing.T, _ string) (message.Publisher, message.Subscriber) {
					t.Fatal("consumer groups are not a feature")
					return nil, nil
				})
		})
	}
}

// Our own suite stops subscribers in the middle: of a fetch, of a lane's batch, of a message. Watermill's does not, and a queue that loses
// what it had fetched passes it.
func TestNothingIsLostWhenSubscribersStopInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]SubscriberConfig{
		"strict":            {},
		"relaxed":           {Relaxed: true},
		"claims":            {Claims: true, Owner: "one"},
		"small":             {MaxLanes: 2, PerLane: 2, FetchLanes: 1},
		"asynchronous done": {CompletePool: new(pgxpool.Pool)}, // replaced below
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if config.CompletePool != nil {
				config.CompletePool = asyncPool(t, b.pool)
			}
			stopInTheMiddle(t, b, config)
		})
	}
}

// asyncPool returns a pool on the same database whose commits do not wait for the disk.
func asyncPool(t testing.TB, pool *pgxpool.Pool) *pgxpool.Pool {
	t.Helper()
	config := pool.Config()
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	config.MaxConns = 4
	async, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(async.Close)
	return async
}

func stopInTheMiddle(t *testing.T, b *bundle, config SubscriberConfig) {
	lanes, perLane := 12, 25
	if long() {
		lanes, perLane = 60, 100
	}
	b.claim("s", "one", time.Hour)
	for n := range perLane {
		b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
			for l := range lanes {
				tx.Publish(topic, Message{Lane: fmt.Sprint("s/", l), Session: "s", Payload: fmt.Appendf(nil, "%d", n)})
			}
			return nil
		}))
	}
	config.Pool, config.Waker, config.Logger, config.Grace = b.pool, b.waker, quiet, 5*time.Millisecond
	if config.Owner == "" {
		config.Owner = "one"
	}
	var mu sync.Mutex
	next, done := map[string]int{}, 0
	for round := 0; done < lanes*perLane; round++ {
		s, err := NewSubscriber(config)
		b.must(err)
		messages, err := s.Subscribe(t.Context(), topic)
		b.must(err)
		stopAfter := 1 + rand.IntN(lanes*perLane/8)
		closed := make(chan error, 1)
		var handlers sync.WaitGroup
		for m := range messages {
			mu.Lock()
			lane, n := m.Metadata[MetaLane], 0
			if _, err := fmt.Sscan(string(m.Payload), &n); err != nil {
				t.Fatal(err)
			}
			if n > next[lane] {
				t.Errorf("round %d: %s: %d came before %d", round, lane, n, next[lane])
			}
			mu.Unlock()
			if stopAfter--; stopAfter == 0 {
				go func() { closed <- s.Close() }()
			}
			if stopAfter <= 0 && rand.IntN(2) == 0 {
				continue // in hand when the subscriber stops, and never answered
			}
			handlers.Go(func() { // as the router does
				mu.Lock()
				defer mu.Unlock()
				if m.Context().Err() != nil { // handed over already
					m.Nack()
					return
				}
				if n == next[lane] { // else it is a repeated one
					next[lane], done = n+1, done+1
				}
				m.Ack()
				if done == lanes*perLane && stopAfter > 0 {
					stopAfter = -1
					go func() { closed <- s.Close() }()
				}
			})
		}
		handlers.Wait()
		b.must(receive(t, closed))
		if n := b.count(`SELECT count(*) FROM queue_lanes WHERE owner IS NOT NULL OR parked IS NOT NULL`); n != 0 {
			t.Fatalf("round %d: %d lanes were not handed back", round, n)
		}
		// What was answered after its lane had been handed over is left to be repeated, so there may be more, but never less.
		if left := b.count(`SELECT count(*) FROM queue_messages`); left < lanes*perLane-done {
			t.Fatalf("round %d: %d messages left, %d not done", round, left, lanes*perLane-done)
		}
	}
	drainRest(t, b, config)
	b.empty()
	if n := b.count(`SELECT count(*) FROM queue_dead`); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// drainRest answers what is to be repeated.
func drainRest(t *testing.T, b *bundle, config SubscriberConfig) {
	t.Helper()
	s, err := NewSubscriber(config)
	b.must(err)
	messages, err := s.Subscribe(t.Context(), topic)
	b.must(err)
	var reader sync.WaitGroup
	reader.Go(func() {
		for m := range messages {
			m.Ack()
		}
	})
	b.empty()
	b.must(s.Close())
	reader.Wait()
}

// Messages and their order also survive a subscriber whose context ends instead of being closed.
func TestSubscribeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, err := NewSubscriber(SubscriberConfig{Pool: b.pool, Owner: "one", Waker: b.waker, Logger: quiet, Grace: time.Millisecond})
	b.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	messages, err := s.Subscribe(ctx, topic)
	b.must(err)
	b.publish("k", "a", "b")
	m := receive(t, messages)
	cancel()
	receive(t, m.Context().Done())
	eventually(t, "the channel is closed", func() bool {
		select {
		case _, open := <-messages:
			return !open
		default:
			return false
		}
	})
	if n := b.count(`SELECT count(*) FROM queue_lanes WHERE owner IS NULL`); n != 1 {
		t.Errorf("%d lanes handed back", n)
	}
	b.must(s.Close())
	if _, err := s.Subscribe(t.Context(), topic); err == nil {
		t.Error("subscribed to a closed subscriber")
	}
}

package queue

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SubscriberConfig says how a Subscriber consumes. Zero values mean the defaults.
type SubscriberConfig struct {
	// Pool runs everything but completion; needed.
	Pool *pgxpool.Pool
	// CompletePool runs completion. Its connections may commit asynchronously (synchronous_commit off): a crash of PostgreSQL then repeats
	// messages that were just completed, and loses none. nil: completion runs on Pool, synchronously.
	CompletePool *pgxpool.Pool
	// Waker tells of new messages at once; nil: they are found by polling.
	Waker *Waker
	// Owner names this process in leases and claims, one name for each run of a process; needed.
	Owner string
	// Claims restricts the lanes to those of sessions that Owner claims (table claims). Messages without a session are then never taken.
	Claims bool
	// Relaxed lets a lane go on while one of its messages waits for its next attempt, so that order is lost for that message. Otherwise
	// (strict) the whole lane waits.
	Relaxed bool

	MaxLanes   int           // lanes in hand at once, each with one message running: 1000
	FetchLanes int           // lanes of one fetch: 200
	PerLane    int           // messages that one lease takes of a lane: 16
	Lease      time.Duration // length of a lease, renewed every third of it: 30 s, 15 s (the length of a claim) with Claims
	Poll       time.Duration // how long a lost wake-up or somebody else's expired lease may go unnoticed: 1 s
	FetchEvery time.Duration // least time between two fetches: 1 ms
	Linger     time.Duration // how long completions are collected: 2 ms

	MaxAttempts int                             // failed attempts before the dead letters: 20
	MaxCrashes  int                             // crashes in a row, with the same message in hand, before its lane is parked: 5
	Backoff     func(attempt int) time.Duration // pause after the given failed attempt (from 1) without RetryAfter: see backoff
	Grace       time.Duration                   // how long Close waits for messages in hand before it cancels them: 1 s

	Logger *slog.Logger // nil: slog.Default()
}

func (c SubscriberConfig) withDefaults() SubscriberConfig {
	if c.CompletePool == nil {
		c.CompletePool = c.Pool
	}
	lease := 30 * time.Second
	if c.Claims {
		lease = 15 * time.Second
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&c.Lease, lease}, {&c.Poll, time.Second}, {&c.FetchEvery, time.Millisecond}, {&c.Linger, 2 * time.Millisecond}, {&c.Grace, time.Second}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	for _, n := range []struct {
		value *int
		or    int
	}{{&c.MaxLanes, 1000}, {&c.FetchLanes, 200}, {&c.PerLane, 16}, {&c.MaxAttempts, 20}, {&c.MaxCrashes, 5}} {
		if *n.value <= 0 {
			*n.value = n.or
		}
	}
	if c.Backoff == nil {
		c.Backoff = backoff
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// backoff doubles from 1 s to 5 min, give or take a quarter so that lanes which failed together do not return together: 20 attempts take
// about an hour.
func backoff(attempt int) time.Duration {
	d := min(time.Second<<min(attempt-1, 9), 5*time.Minute)
	return d*3/4 + rand.N(d/2)
}

// errSubscriberClosed is what Subscribe returns after Close.
var errSubscriberClosed = errors.New("subscribe: the subscriber is closed")

// Subscriber is a Watermill subscriber. The messages of a lane are delivered in order and one at a time: the next only after the one before
// was acknowledged. Lanes are delivered side by side, up to MaxLanes. A message's context ends with its acknowledgement, with the loss of
// its lane (somebody else may then have it in hand), and at Close after the grace. Handlers run under the middleware Outcome and bound their
// own time: one that never returns keeps its lane.
type Subscriber struct {
	config SubscriberConfig

	mu        sync.Mutex
	closed    bool
	consumers []*consumer
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber checks the configuration; nothing runs until Subscribe.
func NewSubscriber(config SubscriberConfig) (*Subscriber, error) {
	switch {
	case config.Pool == nil:
		return nil, errors.New("make subscriber: Pool is missing")
	case config.Owner == "":
		return nil, errors.New("make subscriber: Owner is missing")
	}
	return &Subscriber{config: config.withDefaults()}, nil
}

// Subscribe delivers the messages of a topic until ctx ends or the Subscriber is closed, which is when the channel is closed; ctx gives the
// messages' contexts their values. Several Subscribes share the work.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if !topicName.MatchString(topic) {
		return nil, errors.New("subscribe: the topic does not match " + topicName.String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errSubscriberClosed
	}
	c := newConsumer(ctx, s.config, topic)
	s.consumers = append(s.consumers, c)
	c.start(ctx)
	return c.out, nil
}

// Close stops fetching, waits up to Grace for the messages in hand, cancels the contexts of those that are left, and hands all lanes back,
// so that another owner goes on at once. A handler that ignores its context for another 500 ms may overlap with that other owner. Close may
// be called again; it returns when everything has stopped.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	consumers := s.consumers
	s.mu.Unlock()
	for _, c := range consumers {
		go c.stop()
	}
	for _, c := range consumers {
		<-c.stopped
	}
	return nil
}

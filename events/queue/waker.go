package queue

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bounds of the pause before the Waker connects again; it doubles with each failure.
const (
	minReconnect = 100 * time.Millisecond
	maxReconnect = 5 * time.Second
)

// Waker listens on one connection of its own for the wake-ups of a process and hands them to those who wait.
//
// Failure policy: without a connection nobody is woken, and everybody finds the news at their next poll; after a reconnect everybody is
// woken once, since what was sent meanwhile is lost. A connection that died in silence is noticed by TCP keepalive.
type Waker struct {
	config *pgx.ConnConfig

	mu        sync.Mutex
	topics    map[string]map[*Listener]struct{}
	changed   bool               // topics changed since the connection was told
	interrupt context.CancelFunc // ends the wait for a notification, so that a change is told
	cancel    context.CancelFunc // nil: not running
	done      chan struct{}
}

// A Listener is woken when there is news of its topic.
type Listener struct {
	waker *Waker
	topic string
	key   string // "": the whole topic
	c     chan struct{}
}

// C has a token when there was news since the last one was taken. Spurious tokens are normal: look, then wait again.
func (l *Listener) C() <-chan struct{} { return l.c }

// Close ends the listening; it may be called again.
func (l *Listener) Close() {
	w := l.waker
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.topics[l.topic], l)
	if len(w.topics[l.topic]) == 0 {
		delete(w.topics, l.topic)
		w.change()
	}
}

// NewWaker returns a Waker that connects with a copy of config (a pool's Config().ConnConfig) once it is started. LISTEN needs a
// connection to PostgreSQL itself, not through a pooler that shares connections between transactions.
func NewWaker(config *pgx.ConnConfig) *Waker {
	return &Waker{config: config.Copy(), topics: map[string]map[*Listener]struct{}{}}
}

// Listen returns a Listener that every wake-up of the topic wakes. It is also woken when it begins, and
// at the latest as soon as it surely misses nothing any more.
func (w *Waker) Listen(topic string) *Listener { return w.ListenKey(topic, "") }

// ListenKey is Listen for one key: only wake-ups of that key, and those for everyone, wake it.
func (w *Waker) ListenKey(topic, key string) *Listener {
	l := &Listener{waker: w, topic: topic, key: key, c: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.topics[topic] == nil {
		w.topics[topic] = map[*Listener]struct{}{}
		w.change()
	}
	w.topics[topic][l] = struct{}{}
	signal(l.c) // the topic may be listened to already; if not, a second token comes when it is
	return l
}

// change is called with mu held.
func (w *Waker) change() {
	w.changed = true
	if w.interrupt != nil {
		w.interrupt()
	}
}

// Start connects in the background; on a Waker that runs it does nothing.
func (w *Waker) Start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan struct{})
	go w.run(ctx, w.done)
}

// Stop closes the connection and waits; it may be called again.
func (w *Waker) Stop() {
	w.mu.Lock()
	cancel, done := w.cancel, w.done
	w.cancel = nil
	w.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if done != nil {
		<-done
	}
}

func (w *Waker) run(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	wait := minReconnect
	for ctx.Err() == nil {
		started := time.Now()
		err := w.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) > maxReconnect { // it had worked
			wait = minReconnect
		}
		slog.WarnContext(ctx, "no wake-ups; polling until PostgreSQL answers", "retry_in", wait, "error", err)
		_ = pause(ctx, wait/2+rand.N(wait))
		wait = min(2*wait, maxReconnect)
	}
}

// listen serves one connection until it fails.
func (w *Waker) listen(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, w.config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	listening := map[string]bool{}
	w.mu.Lock()
	w.changed = true // a new connection listens to nothing yet
	w.mu.Unlock()
	for {
		wait, interrupt := context.WithCancel(ctx)
		w.mu.Lock()
		changed := w.changed
		w.changed = false
		w.interrupt = interrupt
		w.mu.Unlock()
		if changed {
			err = w.follow(ctx, conn, listening)
		} else if n, failed := conn.WaitForNotification(wait); failed == nil {
			w.dispatch(strings.TrimPrefix(n.Channel, channelPrefix), n.Payload)
		} else if conn.IsClosed() || ctx.Err() != nil || wait.Err() == nil {
			err = failed
		}
		interrupt()
		if err != nil {
			return err
		}
	}
}

// follow makes the connection listen to the topics that are wanted, and wakes those who wait for a topic that is new to it.
func (w *Waker) follow(ctx context.Context, conn *pgx.Conn, listening map[string]bool) error {
	w.mu.Lock()
	var statements, added []string
	for topic := range w.topics {
		if !listening[topic] {
			statements, added = append(statements, "LISTEN "+channel(topic)), append(added, topic)
			listening[topic] = true
		}
	}
	for topic := range listening {
		if w.topics[topic] == nil {
			statements = append(statements, "UNLISTEN "+channel(topic))
			delete(listening, topic)
		}
	}
	w.mu.Unlock()
	if len(statements) == 0 {
		return nil
	}
	if _, err := conn.PgConn().Exec(ctx, strings.Join(statements, ";")).ReadAll(); err != nil {
		return err
	}
	for _, topic := range added {
		w.dispatch(topic, "")
	}
	return nil
}

func channel(topic string) string { return pgx.Identifier{channelPrefix + topic}.Sanitize() }

// dispatch wakes the listeners of a topic that a notification's payload means; empty means all.
func (w *Waker) dispatch(topic, payload string) {
	keys := map[string]bool{}
	for k := range strings.SplitSeq(payload, ",") {
		keys[k] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.topics[topic] {
		if payload == "" || l.key == "" || keys[l.key] {
			signal(l.c)
		}
	}
}

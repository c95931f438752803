package queue

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// channelPrefix and a topic name the channel of its wake-ups.
	channelPrefix = "chasqui_"
	// maxWake bounds a notification: PostgreSQL takes less than 8,000 bytes.
	maxWake = 7900
	// notifyEvery is the least time between two notifications of a topic. One NOTIFY a message would cost half the throughput: it is
	// serialized across the whole server at commit.
	notifyEvery = 2 * time.Millisecond
	// notifyTimeout bounds one flush, so that Close never hangs on a dead server.
	notifyTimeout = 2 * time.Second
)

// Notifier sends wake-ups, coalesced to one NOTIFY a topic every 2 ms.
//
// Failure policy: a wake-up that cannot be sent is dropped with a log line; whoever waits for it finds the news at the next poll.
type Notifier struct {
	pool *pgxpool.Pool

	mu      sync.Mutex
	pending map[string]*wake
	closed  bool

	kick chan struct{} // capacity 1: something is pending, or closed
	done chan struct{}
}

// wake collects the keys of one topic; everyone is woken once they are too many for one notification.
type wake struct {
	keys map[string]struct{}
	size int
	all  bool
}

func (w *wake) add(keys []string) {
	w.all = w.all || len(keys) == 0
	for _, k := range keys {
		if _, ok := w.keys[k]; ok || w.all {
			continue
		}
		w.size += len(k) + 1
		// A key that holds the separator, or is empty, cannot be sent by name.
		w.all = w.size > maxWake || k == "" || strings.ContainsRune(k, ',')
		w.keys[k] = struct{}{}
	}
}

// payload is the keys with commas between them; empty means everyone.
func (w *wake) payload() string {
	if w.all {
		return ""
	}
	var b strings.Builder
	for k := range w.keys {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k)
	}
	return b.String()
}

// NewNotifier starts a Notifier on pool. Close it before the pool.
func NewNotifier(pool *pgxpool.Pool) *Notifier {
	n := &Notifier{pool: pool, pending: map[string]*wake{}, kick: make(chan struct{}, 1), done: make(chan struct{})}
	go n.run()
	return n
}

// Notify wakes the listeners of a topic: those of the keys (and those of the whole topic), or without keys all of them. It never blocks.
// More than 7,900 bytes of keys within 2 ms wake everyone. After Close it does nothing.
func (n *Notifier) Notify(topic string, keys ...string) {
	n.mu.Lock()
	if !n.closed {
		w := n.pending[topic]
		if w == nil {
			w = &wake{keys: map[string]struct{}{}}
			n.pending[topic] = w
		}
		w.add(keys)
	}
	n.mu.Unlock()
	signal(n.kick)
}

// Close sends what is pending and stops; it may be called again.
func (n *Notifier) Close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	signal(n.kick)
	<-n.done
}

func (n *Notifier) run() {
	defer close(n.done)
	for range n.kick {
		n.mu.Lock()
		pending, closed := n.pending, n.closed
		n.pending = map[string]*wake{}
		n.mu.Unlock()
		if len(pending) > 0 {
			n.send(pending)
		}
		if closed {
			return
		}
		time.Sleep(notifyEvery) // what comes meanwhile goes out together
	}
}

// send notifies in one statement. The transaction does not wait for the disk: notifications do not survive a crash of the server anyway,
// and every other NOTIFY of the database waits for this commit.
func (n *Notifier) send(pending map[string]*wake) {
	ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
	defer cancel()
	channels, payloads := make([]string, 0, len(pending)), make([]string, 0, len(pending))
	for topic, w := range pending {
		channels, payloads = append(channels, channelPrefix+topic), append(payloads, w.payload())
	}
	_, err := n.pool.Exec(ctx, `SELECT set_config('synchronous_commit', 'off', true),
		(SELECT count(pg_notify(t.channel, t.payload)) FROM unnest($1::text[], $2::text[]) AS t(channel, payload))`, channels, payloads)
	if err != nil {
		slog.WarnContext(ctx, "wake-ups lost; polls will find the news", "topics", len(pending), "error", err)
	}
}

// signal leaves a token in a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

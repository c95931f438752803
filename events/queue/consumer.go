package queue

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

const (
	// settle is how long Close waits for handlers whose contexts it has cancelled before it hands their lanes back.
	settle = 500 * time.Millisecond
	// callTimeout bounds one call of the database; each takes milliseconds.
	callTimeout = 5 * time.Second
)

// consumer serves one Subscribe: a fetcher leases lanes, each lane in hand has a goroutine that delivers its messages, the flusher completes
// them in batches, the heartbeat keeps the leases and the watchdog ends what could not be kept.
type consumer struct {
	SubscriberConfig
	topic string
	out   chan *message.Message
	log   *slog.Logger

	base      context.Context // of all messages; it ends when Close runs out of patience
	cancel    context.CancelFunc
	stopping  chan struct{} // closed: fetch and deliver nothing more
	abandon   chan struct{} // closed: wait for no handler any more
	drained   chan struct{} // closed: no lane is in hand any more
	stopped   chan struct{} // closed: everything has ended
	closeOnce sync.Once

	kick  chan struct{} // there may be something to fetch, or room for it
	dirty chan struct{} // there is something to flush
	short chan struct{} // a lease is shorter than usual

	lanesRunning sync.WaitGroup // one for each lane in hand
	loops        sync.WaitGroup // fetcher, flusher, heartbeat and watchdog

	mu      sync.Mutex
	lanes   map[string]*hand // in hand and not lost, by full name
	losing  map[string]*hand // lost, but the handler still runs
	running int              // goroutines of lanes, also of lost ones whose handler still runs
	limited bool             // the last fetch was limited by room
	pending *pendingFlush
	flying  int // lanes in the flush under way
}

func newConsumer(ctx context.Context, config SubscriberConfig, topic string) *consumer {
	c := &consumer{
		SubscriberConfig: config, topic: topic, out: make(chan *message.Message),
		log:      config.Logger.With("topic", topic, "owner", config.Owner),
		stopping: make(chan struct{}), abandon: make(chan struct{}), drained: make(chan struct{}), stopped: make(chan struct{}),
		kick: make(chan struct{}, 1), dirty: make(chan struct{}, 1), short: make(chan struct{}, 1),
		lanes: map[string]*hand{}, losing: map[string]*hand{}, pending: newPendingFlush(),
	}
	c.base, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return c
}

func (c *consumer) start(ctx context.Context) {
	var listener *Listener
	if c.Waker != nil {
		listener = c.Waker.Listen(c.topic)
	}
	c.loops.Add(4)
	fetching := make(chan struct{})
	go func() { defer c.loops.Done(); defer close(fetching); c.fetcher(listener) }()
	go func() { defer c.loops.Done(); c.flusher() }()
	go func() { defer c.loops.Done(); c.heartbeats() }()
	go func() { defer c.loops.Done(); c.watchdog() }()
	go func() { // the only one who closes drained, and it waits for all who may add a lane
		<-fetching
		c.lanesRunning.Wait()
		close(c.drained)
	}()
	go func() {
		select {
		case <-ctx.Done():
			c.stop()
		case <-c.stopped:
		}
	}()
}

// stop ends the consumer as Subscriber.Close says.
func (c *consumer) stop() {
	c.closeOnce.Do(func() {
		close(c.stopping)
		if !c.drainedWithin(c.Grace) {
			c.cancel()
			c.drainedWithin(settle)
		}
		close(c.abandon)
		<-c.drained
		c.cancel()
		c.loops.Wait()
		close(c.out)
		close(c.stopped)
	})
	<-c.stopped
}

func (c *consumer) drainedWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c.drained:
		return true
	case <-timer.C:
		return false
	}
}

// fetcher leases lanes as long as there are some and there is room, then waits for a wake-up.
//
// Failure policy: a fetch that fails is repeated after Poll; a lost wake-up costs Poll.
func (c *consumer) fetcher(listener *Listener) {
	var woken <-chan struct{}
	if listener != nil {
		defer listener.Close()
		woken = listener.C()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		more, err := c.fetch()
		if err != nil {
			c.log.WarnContext(c.base, "fetch failed; trying again", "retry_in", c.Poll, "error", err)
		}
		timer.Reset(c.FetchEvery)
		select {
		case <-timer.C:
		case <-c.stopping:
			return
		}
		if more {
			continue
		}
		timer.Reset(c.Poll*9/10 + rand.N(c.Poll/5)) // so that the processes of a role do not poll in step
		select {
		case <-timer.C:
		case <-c.kick:
		case <-woken:
		case <-c.stopping:
			return
		}
	}
}

// fetch leases what there is room for; more says that there is probably more.
func (c *consumer) fetch() (more bool, err error) {
	c.mu.Lock()
	room := c.MaxLanes - c.running - c.flying - len(c.pending.lanes)
	c.limited = room < c.FetchLanes
	c.mu.Unlock()
	if room <= 0 {
		return false, nil
	}
	// Not under base, which Close cancels: a lease that was committed, but whose answer was not awaited, would have to run out.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.base), callTimeout)
	defer cancel()
	want, asked := min(room, c.FetchLanes), time.Now()
	rows, err := fetch(ctx, c.Pool, fetchArgs{topic: c.topic, owner: c.Owner, lanes: want, perLane: c.PerLane, lease: c.Lease,
		claims: c.Claims, maxCrashes: c.MaxCrashes})
	if err != nil {
		return false, err
	}
	lanes := 0
	for len(rows) > 0 {
		first, n := rows[0], 1
		for n < len(rows) && rows[n].lane == first.lane {
			n++
		}
		mine := rows[:n]
		rows, lanes = rows[n:], lanes+1
		if first.parked {
			c.log.ErrorContext(c.base, "lane parked: the process died too often with this message in hand; look at it, then resume it",
				"lane", first.lane, "session", first.Session, "queue_id", first.QueueID, "id", first.ID, "crashes", first.crashes)
			continue
		}
		c.take(mine, asked)
	}
	return lanes == want, nil
}

// take starts a lane that was just leased. When the process has lost it before (its lease ran out while its handler ran), the lane waits for
// that handler, so that two never run at once here.
func (c *consumer) take(rows []row, asked time.Time) {
	h := &hand{consumer: c, rows: rows, name: rows[0].lane, session: rows[0].Session, epoch: rows[0].epoch,
		deadline: asked.Add(rows[0].left), lost: make(chan struct{}), finished: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancel(c.base)
	if rows[0].empty {
		h.rows = nil
	}
	c.mu.Lock()
	if old := c.lanes[h.name]; old != nil {
		old.lose()
	}
	h.before = c.losing[h.name]
	c.lanes[h.name] = h
	c.running++
	c.mu.Unlock()
	if rows[0].left < c.Lease/2 {
		signal(c.short)
	}
	c.lanesRunning.Add(1)
	go h.run()
}

// wakeIn wakes the fetcher when a short wait of this process's own has ended; longer ones are found by polling.
func (c *consumer) wakeIn(d time.Duration) {
	if d < c.Poll {
		time.AfterFunc(d+time.Millisecond, func() { signal(c.kick) })
	}
}

package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// pendingFlush is what the next flush will write.
type pendingFlush struct {
	completion
	done chan struct{} // closed when it is written, or given up
}

func newPendingFlush() *pendingFlush {
	return &pendingFlush{completion: completion{lanes: map[string]lease{}}, done: make(chan struct{})}
}

// flusher completes what the lanes have finished, all of it in one call every Linger.
//
// Failure policy: a flush is repeated, with pauses from 50 ms to 1 s, until it succeeds; meanwhile no more than MaxLanes lanes pile up. At
// the end it is given up after callTimeout: leases run out, and what was done is done again by others.
func (c *consumer) flusher() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.dirty:
			timer.Reset(c.Linger)
			select {
			case <-timer.C:
			case <-c.drained:
			}
			c.flushPending()
		case <-c.drained:
			c.flushPending()
			return
		}
	}
}

func (c *consumer) flushPending() {
	c.mu.Lock()
	p := c.pending
	c.pending = newPendingFlush()
	c.flying = len(p.lanes)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.flying = 0
		limited := c.limited
		c.mu.Unlock()
		close(p.done)
		if limited {
			signal(c.kick)
		}
	}()
	if len(p.lanes) == 0 {
		return
	}
	var giveUp <-chan time.Time
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.base), callTimeout)
		result, err := p.run(ctx, c.CompletePool)
		cancel()
		if err == nil {
			c.flushed(p, result)
			return
		}
		c.log.WarnContext(c.base, "completion failed; trying again", "lanes", len(p.lanes), "retry_in", wait, "error", err)
		timer, drained := time.NewTimer(wait), c.drained
		if giveUp != nil {
			drained = nil
		}
		select {
		case <-timer.C:
		case <-drained:
			giveUp = time.After(callTimeout)
		case <-giveUp:
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// flushed draws the consequences of a flush.
func (c *consumer) flushed(p *pendingFlush, result completed) {
	if result.now > 0 {
		signal(c.kick)
	}
	if result.later > 0 {
		c.wakeIn(10 * time.Millisecond)
	}
	if len(result.lost) > 0 {
		c.mu.Lock()
		for _, name := range result.lost {
			if h := c.lanes[name]; h != nil && h.epoch == p.lanes[name].epoch {
				h.lose()
			}
		}
		c.mu.Unlock()
	}
}

// heartbeats renews the leases of the lanes in hand at least every third of Lease, sooner where a lease is shorter. A lane that does not come
// back is lost.
//
// Failure policy: a failed heartbeat is repeated every thirtieth of Lease; the watchdog sees to lanes for which no answer comes in time.
func (c *consumer) heartbeats() {
	timer := time.NewTimer(c.Lease / 3)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(c.nextHeartbeat(c.heartbeat()))
		case <-c.short:
			timer.Reset(c.nextHeartbeat(nil))
		case <-c.drained:
			return
		}
	}
}

// watchdog cancels the handlers of lanes whose lease is about to end by this process's own clock: between a tenth and a fifteenth of Lease
// before, while nobody else can have the lane yet. It waits for nothing but the clock; a heartbeat may be waiting for the server.
//
// Failure policy: a process that is itself stopped for longer than that notices too late, and its handler overlaps with the lane's next one.
// No lease can prevent that: what must not happen twice is fenced in the database.
func (c *consumer) watchdog() {
	tick := time.NewTicker(c.Lease / 30)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.drained:
			return
		}
		c.mu.Lock()
		for _, h := range c.lanes {
			if time.Until(h.deadline) < c.Lease/10 {
				h.lose()
			}
		}
		c.mu.Unlock()
	}
}

// nextHeartbeat is the pause until the next heartbeat.
func (c *consumer) nextHeartbeat(failed error) time.Duration {
	if failed != nil {
		c.log.WarnContext(c.base, "heartbeat failed; trying again", "retry_in", c.Lease/30, "error", failed)
		return c.Lease / 30
	}
	now, next := time.Now(), c.Lease/3
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.lanes {
		next = min(next, h.deadline.Sub(now)/2)
	}
	return max(next, c.Lease/30)
}

func (c *consumer) heartbeat() error {
	c.mu.Lock()
	asked := maps.Clone(c.lanes)
	c.mu.Unlock()
	if len(asked) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.base), min(callTimeout, c.Lease/6))
	defer cancel()
	now := time.Now()
	left, err := c.renew(ctx, asked)
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, h := range asked {
		d, kept := left[name]
		switch {
		case c.lanes[name] != h: // ended meanwhile
		case kept:
			h.deadline = now.Add(d)
		case err == nil:
			h.lose()
		}
	}
	return err
}

// renew returns how long each lease that was kept lasts now.
func (c *consumer) renew(ctx context.Context, hands map[string]*hand) (map[string]time.Duration, error) {
	names := slices.Sorted(maps.Keys(hands))
	epochs := make([]int64, len(names))
	for i, name := range names {
		epochs[i] = hands[name].epoch
	}
	rows, err := c.Pool.Query(ctx, `SELECT o_lane, o_left FROM queue_heartbeat($1, $2, $3, $4, $5)`, c.Owner, names, epochs, c.Lease, c.Claims)
	if err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	defer rows.Close()
	left := map[string]time.Duration{}
	for rows.Next() {
		var name string
		var seconds float64
		if err := rows.Scan(&name, &seconds); err != nil {
			return nil, fmt.Errorf("renew leases: %w", err)
		}
		left[name] = time.Duration(seconds * float64(time.Second))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	return left, nil
}

package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
)

// hand is a lane in hand: one lease of it. Its goroutine delivers the leased messages one after the other.
type hand struct {
	*consumer
	rows    []row
	name    string
	session string
	epoch   int64

	ctx    context.Context // of its messages
	cancel context.CancelFunc
	before *hand // an earlier lease of the same lane, lost, whose handler may still run

	deadline time.Time       // when the lease ends; guarded by mu
	lost     chan struct{}   // closed, with mu held, when the lease is somebody else's
	finished chan struct{}   // closed when the goroutine ends: no handler runs
	written  <-chan struct{} // closed when the last flush that has something of this lane is done; the goroutine's own
}

// run delivers the lane's messages and ends with the lane released, handed over to a retry, or lost.
func (h *hand) run() {
	defer h.end()
	if h.before != nil {
		select {
		case <-h.before.finished:
		case <-h.abandon:
		}
	}
	for i, m := range h.rows {
		select { // first, because the select below picks at random among what is ready
		case <-h.lost:
			return
		case <-h.stopping:
			h.release()
			return
		default:
		}
		ctx, cancel := context.WithCancel(h.ctx)
		msg, v := h.message(ctx, m)
		select {
		case h.out <- msg:
		case <-h.lost:
			cancel()
			return
		case <-h.stopping:
			cancel()
			h.release()
			return
		}
		acked := false
		select { // not on lost: while the handler runs, this process does not run the lane again
		case <-msg.Acked():
			acked = true
		case <-msg.Nacked():
		case <-h.abandon: // the handler had its time: another owner repeats the message
			cancel()
			h.release()
			return
		}
		cancel()
		if acked {
			h.complete(m.QueueID, i == len(h.rows)-1)
			continue
		}
		if v.err == nil {
			v.err = errNacked
		}
		if !h.settle(m, v.err) {
			return
		}
	}
	h.release() // where the last message was not completed with the lane; otherwise it does nothing
}

// end lets the fetcher have the room.
func (h *hand) end() {
	h.cancel()
	h.mu.Lock()
	if h.lanes[h.name] == h {
		delete(h.lanes, h.name)
	}
	if h.losing[h.name] == h {
		delete(h.losing, h.name)
	}
	h.running--
	limited := h.limited
	h.mu.Unlock()
	close(h.finished)
	if limited {
		signal(h.kick)
	}
	h.lanesRunning.Done()
}

func (h *hand) message(ctx context.Context, m row) (*message.Message, *verdict) {
	v := &verdict{Delivery: Delivery{Topic: h.topic, Lane: m.Lane, Session: m.Session, ID: m.QueueID, Attempt: m.Attempts + 1, CreatedAt: m.CreatedAt}}
	msg := message.NewMessage(m.ID.String(), m.Payload)
	maps.Copy(msg.Metadata, m.Metadata)
	if m.Lane != "" {
		msg.Metadata[MetaLane] = m.Lane
	}
	if m.Session != "" {
		msg.Metadata[MetaSession] = m.Session
	}
	msg.SetContext(context.WithValue(ctx, deliveryKey{}, v))
	return msg, v
}

// lose ends a lease that is no longer this process's. mu is held.
func (h *hand) lose() {
	if h.lanes[h.name] != h {
		return
	}
	delete(h.lanes, h.name)
	h.losing[h.name] = h
	close(h.lost)
	h.cancel()
	h.log.Warn("lane lost: its lease or claim ran out, or was taken over", "lane", h.name, "session", h.session)
}

// complete hands a finished message to the flusher; with the last one goes the lane.
func (h *hand) complete(id int64, last bool) { h.flush([]int64{id}, last) }

// release hands the lane back as it is.
func (h *hand) release() { h.flush(nil, true) }

// flush adds to what the flusher writes next; of a lost lane nothing, its next holder repeats what is done.
func (h *hand) flush(done []int64, release bool) {
	h.mu.Lock()
	if h.lanes[h.name] != h {
		h.mu.Unlock()
		return
	}
	h.pending.lanes[h.name] = lease{epoch: h.epoch, release: release}
	for _, id := range done {
		h.pending.add(h.name, id)
	}
	h.written = h.pending.done
	if release {
		delete(h.lanes, h.name) // from here on the heartbeat need not keep it
	}
	h.mu.Unlock()
	signal(h.dirty)
}

// settle does what the handler's error asks for; true: the lease goes on with the next message.
func (h *hand) settle(m row, cause error) bool {
	if h.written != nil { // the end of the lease must not overtake the completion of the messages before
		select {
		case <-h.written:
		case <-h.lost:
		case <-h.abandon:
			h.release()
			return false
		}
	}
	select {
	case <-h.lost: // its next holder decides
		return false
	default:
	}
	var (
		wait      WaitFor
		parked    Park
		permanent Permanent
		again     RetryAfter
	)
	attempt := m.Attempts + 1
	log := h.log.With("lane", h.name, "session", h.session, "queue_id", m.QueueID, "id", m.ID, "attempt", attempt)
	switch {
	case errors.As(cause, &wait):
		return h.again(m, max(wait.D, 0), 0, nil, true)
	case errors.As(cause, &parked) && h.session != "":
		return h.park(m, parked)
	case errors.As(cause, &permanent) || (attempt >= h.MaxAttempts && h.ctx.Err() == nil):
		log.ErrorContext(h.ctx, "message goes to the dead letters", "error", cause)
		return h.conclude(func(ctx context.Context) (bool, error) { return kill(ctx, h.Pool, h.name, h.epoch, m.QueueID, cause) }, "kill")
	case errors.As(cause, &again):
		log.InfoContext(h.ctx, "attempt failed", "retry_in", again.D, "error", cause)
		return h.again(m, max(again.D, 0), 1, cause, !h.Relaxed)
	case h.ctx.Err() != nil: // Close cancelled it: that is no failure of the message
		h.release()
		return false
	default:
		d := h.Backoff(attempt)
		log.WarnContext(h.ctx, "attempt failed", "retry_in", d, "error", cause)
		return h.again(m, d, 1, cause, !h.Relaxed)
	}
}

// again lets the message come back after d.
func (h *hand) again(m row, d time.Duration, attempts int, cause error, strict bool) bool {
	held := h.conclude(func(ctx context.Context) (bool, error) {
		return retry(ctx, h.Pool, h.name, h.epoch, m.QueueID, d, attempts, cause, strict)
	}, "retry")
	h.wakeIn(d)
	return held && !strict && !strings.ContainsRune(h.name, '#')
}

// park sets the lane aside, unless the reason has gone.
func (h *hand) park(m row, p Park) bool {
	ready := false
	held := h.conclude(func(ctx context.Context) (held bool, err error) {
		err = pgx.BeginTxFunc(ctx, h.Pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			ready = false
			if p.Unless != nil {
				if ready, err = p.Unless(ctx, tx); err != nil {
					return fmt.Errorf("ask whether to park: %w", err)
				}
			}
			held, err = park(ctx, tx, h.name, h.epoch, m.QueueID, ready)
			return err
		})
		return held, err
	}, "park")
	if held && ready {
		signal(h.kick)
	}
	h.log.DebugContext(h.ctx, "lane parked", "lane", h.name, "session", h.session, "ready", ready, "cause", p.Err)
	return false
}

// conclude repeats a call that ends or changes the lease until it succeeds; false: the lease is lost, or the call was given up.
//
// Failure policy: pauses double from 50 ms to 1 s; what was not written when the lease ends is repeated by the lane's next holder.
func (h *hand) conclude(call func(context.Context) (held bool, err error), what string) bool {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(h.ctx), callTimeout)
		held, err := call(ctx)
		cancel()
		if err == nil {
			if !held {
				h.mu.Lock()
				h.lose()
				h.mu.Unlock()
			}
			return held
		}
		h.log.WarnContext(h.ctx, "settling a message failed; trying again", "what", what, "lane", h.name, "retry_in", wait, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			continue
		case <-h.lost:
		case <-h.abandon:
			h.release()
		}
		timer.Stop()
		return false
	}
}

package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// finishBatch and finishLinger bound what is written together: 200 attempts, or those of 5 ms.
	finishBatch  = 200
	finishLinger = 5 * time.Millisecond
	// finishRetry is the pause before a batch that could not be written is tried again.
	finishRetry = 500 * time.Millisecond
)

// A result is an attempt that ended.
type result struct {
	delivery
	outcome
}

// finish writes the results of attempts in batches until the channel is closed.
//
// Failure policy: a batch is tried until it is written or life ends. Meanwhile its deliveries keep their places, so that claims stop, and
// when their leases run out they are sent again with the same webhook-id.
func (d *Dispatcher) finish() {
	for {
		batch := d.collect()
		if len(batch) == 0 {
			return
		}
		for {
			err := d.write(d.life, batch)
			if err == nil || d.life.Err() != nil {
				break
			}
			d.log.ErrorContext(d.life, "finishing deliveries did not work; again", "deliveries", len(batch), "error", err)
			select {
			case <-d.life.Done():
			case <-time.After(finishRetry):
			}
		}
		d.inFlight.Add(-int64(len(batch)))
		for _, r := range batch {
			d.report(r)
		}
		d.free()
	}
}

// free wakes the claims.
func (d *Dispatcher) free() {
	select {
	case d.freed <- struct{}{}:
	default:
	}
}

// collect waits for a result and takes those that come with it, unless nothing else is under way; an empty batch means that no more will
// come.
func (d *Dispatcher) collect() []result {
	r, ok := <-d.results
	if !ok {
		return nil
	}
	batch := append(make([]result, 0, finishBatch), r)
	linger := time.NewTimer(finishLinger)
	defer linger.Stop()
	for len(batch) < min(finishBatch, int(d.inFlight.Load())) {
		select {
		case r, ok := <-d.results:
			if !ok {
				return batch
			}
			batch = append(batch, r)
		case <-linger.C:
			return batch
		}
	}
	return batch
}

// write finishes a batch: the deliveries with their attempts and, in the same transaction, the health of endpoints to which it matters, and
// the events about those. A
// batch that says of healthy endpoints that they are healthy, which is nearly every one, is a single statement; where an endpoint fails
// meanwhile in another dispatcher's batch, its next success finds that.
func (d *Dispatcher) write(ctx context.Context, batch []result) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	var rows db.DeliveryFinishManyParams
	tallies := map[uuid.UUID]*tally{}
	var well, matter []uuid.UUID
	for _, r := range batch {
		d.verdict(r).appendTo(&rows, r)
		if !r.tried() {
			continue
		}
		if tallies[r.target.id] == nil {
			tallies[r.target.id] = &tally{}
		}
		tallies[r.target.id].add(r)
	}
	for id, t := range tallies {
		if t.well() {
			well = append(well, id)
		} else {
			matter = append(matter, id)
		}
	}
	if len(well) > 0 {
		unwell, err := d.queries.EndpointListUnwell(ctx, d.pool, well)
		if err != nil {
			return fmt.Errorf("look at endpoints: %w", err)
		}
		matter = append(matter, unwell...)
	}
	if len(matter) == 0 {
		if err := d.queries.DeliveryFinishMany(ctx, d.pool, rows); err != nil {
			return fmt.Errorf("finish deliveries: %w", err)
		}
		return nil
	}
	return d.db.InTx(ctx, func(tx *queue.Tx) error {
		before, err := d.queries.EndpointLockHealth(ctx, tx, matter)
		if err != nil {
			return fmt.Errorf("lock endpoints: %w", err)
		}
		if err := d.queries.DeliveryFinishMany(ctx, tx, rows); err != nil {
			return fmt.Errorf("finish deliveries: %w", err)
		}
		for _, e := range before {
			if err := d.judge(ctx, tx, e, *tallies[e.ID]); err != nil {
				return err
			}
		}
		return nil
	})
}

// A verdict is what becomes of a delivery after an attempt.
type verdict struct {
	state   string
	attempt int
	wait    string        // how its time is set: one of the constants below
	delay   time.Duration // with waitDelay and waitFixed
	loose   bool          // it no longer holds back those behind it
}

// How the time of a delivery is set after an attempt; DeliveryFinishMany reads these.
const (
	waitSame    = "same"    // as it was: over, or due again at once
	waitPlanned = "planned" // back to the time that it had before it was brought forward
	waitDelay   = "delay"
	waitFixed   = "fixed" // a delay that is not to be brought forward
)

func (d *Dispatcher) verdict(r result) verdict {
	switch {
	case r.class == classOK:
		return verdict{state: "succeeded", attempt: r.attempt + 1, wait: waitSame}
	case r.class == classExpired, r.class == classUnfit:
		return verdict{state: "cancelled", attempt: r.attempt, wait: waitSame}
	case r.class == classAborted, r.class == classLocal:
		return verdict{state: "pending", attempt: r.attempt, wait: waitSame}
	case r.class == classStorage:
		return verdict{state: "pending", attempt: r.attempt, wait: waitDelay, delay: d.timing.localGap}
	case r.gone():
		return verdict{state: "held", attempt: r.attempt + 1, wait: waitSame}
	case r.early && r.retryAfter > 0:
		return verdict{state: "pending", attempt: r.attempt, wait: waitFixed, delay: r.retryAfter}
	case r.early:
		return verdict{state: "pending", attempt: r.attempt, wait: waitPlanned}
	}
	timing, failed := d.timing.of(r.target), r.attempt+1
	if failed >= timing.attempts() {
		return verdict{state: "exhausted", attempt: failed, wait: waitSame}
	}
	v := verdict{state: "pending", attempt: failed, wait: waitDelay, delay: timing.wait(failed), loose: timing.impatient(failed)}
	if r.retryAfter > v.delay {
		v.wait, v.delay = waitFixed, r.retryAfter
	}
	return v
}

func (v verdict) appendTo(rows *db.DeliveryFinishManyParams, r result) {
	try := 0
	if r.tried() {
		try = r.attempt + 1
	}
	rows.Ids = append(rows.Ids, r.id)
	rows.EventIds = append(rows.EventIds, r.eventID)
	rows.EndpointIds = append(rows.EndpointIds, r.target.id)
	rows.ClaimIds = append(rows.ClaimIds, r.claimID)
	rows.States = append(rows.States, v.state)
	rows.Attempts = append(rows.Attempts, int32(v.attempt))
	rows.Statuses = append(rows.Statuses, int32(r.status))
	rows.Classes = append(rows.Classes, r.class)
	rows.Waits = append(rows.Waits, v.wait)
	rows.DelaysMs = append(rows.DelaysMs, v.delay.Milliseconds())
	rows.Loose = append(rows.Loose, v.loose)
	rows.Tries = append(rows.Tries, int32(try))
	rows.StartedAts = append(rows.StartedAts, r.started)
	rows.DurationsMs = append(rows.DurationsMs, int32(r.took.Milliseconds()))
	rows.Headers = append(rows.Headers, string(r.headers))
	rows.Bodies = append(rows.Bodies, r.answer)
	rows.Errors = append(rows.Errors, r.err)
}

// tried says whether the endpoint was asked, so that there is an attempt to log and to judge by.
func (r result) tried() bool {
	return r.class != classAborted && r.class != classExpired && r.class != classUnfit
}

// report logs and counts an attempt that has been written.
func (d *Dispatcher) report(r result) {
	if r.class == classAborted {
		return
	}
	state := d.verdict(r).state
	d.stats.attempt(r, state)
	d.metrics.attempts.WithLabelValues(r.class).Inc()
	if r.tried() {
		d.metrics.attemptSeconds.Observe(r.took.Seconds())
	}
	if state != "pending" {
		d.metrics.deliveries.WithLabelValues(state).Inc()
	}
	level := slog.LevelInfo
	if r.class == classOK {
		level = slog.LevelDebug
		d.metrics.latency.Observe(max(0, r.started.Add(r.took).Sub(r.occurredAt).Seconds())) // less than 0: a clock is wrong
	}
	ctx := d.cfg.Tracer.Join(d.life, r.trace)
	if !d.log.Enabled(ctx, level) {
		return
	}
	d.log.Log(ctx, level, "webhook attempt", "event", events.EventPrefix.Format(r.eventID), "delivery", events.DeliveryPrefix.Format(r.id),
		"endpoint", events.EndpointPrefix.Format(r.target.id), "attempt", r.attempt+1, "early", r.early, "class", r.class, "status", r.status,
		"took", r.took.Round(time.Millisecond), "retry_after", r.retryAfter, "error", r.err)
}

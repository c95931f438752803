package dispatcher

import (
	"context"
	"fmt"
	"time"

	"github.com/chasqui/chasqui/events"
)

const (
	// sweepBatch bounds the deliveries that one statement of a sweep changes, so that no lock is held for long.
	sweepBatch = 1000
	// sampleEvery is how often the metrics that need a query are refreshed, and endpoints that have failed for days are looked for.
	sampleEvery = 10 * time.Second
	// busiestMany bounds the endpoints that have a metric of their own.
	busiestMany = 1000
	// countMany bounds what is counted of a backlog. 100,000 entries of an index are read in some tens of milliseconds.
	countMany = 100_000
)

// runSweeps keeps deliveries in agreement with what happened beside them: leases that ran out, endpoints that were paused, disabled or
// made active again. A sweep looks at the state as it is and may run in several dispatchers at once.
func (d *Dispatcher) runSweeps() {
	var sampled time.Time
	d.repeat(d.loops, "sweeping deliveries", nil, nil, func(ctx context.Context) (bool, error) {
		if time.Since(sampled) > sampleEvery {
			sampled = time.Now()
			if err := d.disableSpent(ctx); err != nil {
				return false, err
			}
			if err := d.sample(ctx); err != nil {
				return false, err
			}
		}
		return d.sweep(ctx)
	})
}

// sweep does one batch of everything and says whether there may be more.
func (d *Dispatcher) sweep(ctx context.Context) (bool, error) {
	expired, err := d.queries.DeliveryReleaseExpired(ctx, d.pool)
	if err != nil {
		return false, fmt.Errorf("release expired leases: %w", err)
	}
	if expired > 0 {
		d.log.WarnContext(ctx, "deliveries of a dispatcher that died or stood still are due again", "deliveries", expired)
		d.metrics.reclaimed.WithLabelValues("lease").Add(float64(expired))
	}
	reclaimed, err := d.reclaim(ctx)
	if err != nil {
		return false, err
	}
	unsettled, err := d.queries.EndpointListUnsettled(ctx, d.pool)
	if err != nil {
		return false, fmt.Errorf("list unsettled endpoints: %w", err)
	}
	more, due := false, expired+reclaimed > 0
	for _, e := range unsettled {
		settle := d.queries.DeliveryHold
		if e.State == "active" {
			settle, due = d.queries.DeliveryUnhold, true
		}
		n, err := settle(ctx, d.pool, e.ID, sweepBatch)
		if err != nil {
			return false, fmt.Errorf("settle deliveries of an endpoint that is %s: %w", e.State, err)
		}
		more = more || n == sweepBatch
	}
	if due {
		d.notifier.Notify(events.WakeDeliveries)
	}
	return more, nil
}

// sample refreshes the metrics that come from the database.
func (d *Dispatcher) sample(ctx context.Context) error {
	lag, err := d.queries.DeliveryLag(ctx, d.pool)
	if err != nil {
		return fmt.Errorf("measure lag: %w", err)
	}
	counts, err := d.queries.EndpointCountByBreaker(ctx, d.pool)
	if err != nil {
		return fmt.Errorf("count endpoints: %w", err)
	}
	busiest, err := d.queries.EndpointListBusiest(ctx, d.pool, busiestMany)
	if err != nil {
		return fmt.Errorf("count deliveries in flight: %w", err)
	}
	unfinished, err := d.queries.DeliveryCountUnfinished(ctx, d.pool, countMany)
	if err != nil {
		return fmt.Errorf("count unfinished deliveries: %w", err)
	}
	held, err := d.queries.DeliveryOldestHeld(ctx, d.pool)
	if err != nil {
		return fmt.Errorf("find the oldest held delivery: %w", err)
	}
	if err := d.sampleWhole(ctx, lag); err != nil {
		return err
	}
	d.metrics.dueLag.Set(lag)
	d.metrics.unfinished.WithLabelValues("pending").Set(float64(unfinished.Pending))
	d.metrics.unfinished.WithLabelValues("held").Set(float64(unfinished.Held))
	d.metrics.heldAge.Set(0)
	if len(held) > 0 {
		d.metrics.heldAge.Set(time.Since(events.MadeAt(held[0])).Seconds())
	}
	d.metrics.inFlightOf.Reset()
	for _, b := range busiest {
		d.metrics.inFlightOf.WithLabelValues(events.EndpointPrefix.Format(b.EndpointID)).Set(float64(b.Sending))
	}
	d.metrics.endpoints.Reset()
	d.metrics.inFlight.Reset()
	for _, c := range counts {
		d.metrics.endpoints.WithLabelValues(c.Breaker).Set(float64(c.Endpoints))
		d.metrics.inFlight.WithLabelValues(c.Breaker).Set(float64(c.Sending))
	}
	return nil
}

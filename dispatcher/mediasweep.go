package dispatcher

import (
	"context"
	"fmt"
	"time"
)

const (
	// mediaSweepEvery is how often media are looked through. Nothing depends on its being soon.
	mediaSweepEvery = time.Minute
	// staleParts is how old the parts of an upload that a crash left in S3 must be before they go.
	staleParts = 24 * time.Hour
	// mediaSweepBatch bounds what one statement changes.
	mediaSweepBatch = 500
)

// runMediaSweeps ends what nobody waits for any more: bytes that were kept long enough, files that the phone did not bring, and what
// nobody refers to in S3. Any number of dispatchers may do it.
//
// Failure policy: what fails is logged and comes again a minute later.
func (d *Dispatcher) runMediaSweeps() {
	ticker := time.NewTicker(mediaSweepEvery)
	defer ticker.Stop()
	var parts time.Time
	for {
		if err := d.sweepMedia(d.loops); err != nil && d.loops.Err() == nil {
			d.log.WarnContext(d.loops, "sweeping media did not work; again in a minute", "error", err)
		}
		if time.Since(parts) > time.Hour {
			parts = time.Now()
			if _, err := d.cfg.S3.SweepUploads(d.loops, staleParts); err != nil && d.loops.Err() == nil {
				d.log.WarnContext(d.loops, "sweeping parts of uploads did not work; again in an hour", "error", err)
			}
		}
		select {
		case <-d.loops.Done():
			return
		case <-ticker.C:
		}
	}
}

func (d *Dispatcher) sweepMedia(ctx context.Context) error {
	for _, step := range []func() (int64, error){
		func() (int64, error) {
			return d.queries.MediaExpire(ctx, d.pool, int32((d.cfg.MediaRetention+day-1)/day), mediaSweepBatch)
		},
		func() (int64, error) { return d.queries.MediaForget(ctx, d.pool, mediaSweepBatch) },
	} {
		for n := int64(mediaSweepBatch); n == mediaSweepBatch; {
			var err error
			if n, err = step(); err != nil {
				return fmt.Errorf("end media that were kept long enough: %w", err)
			}
		}
	}
	overdue, err := d.queries.MediaListOverdue(ctx, d.pool, phonePatience.Seconds(), mediaSweepBatch)
	if err != nil {
		return fmt.Errorf("list overdue media: %w", err)
	}
	for _, m := range overdue {
		why := failedTries
		if m.Asked {
			why = failedSilent
		}
		if err := d.failMedia(ctx, m.ID, "media_fetch_failed", why); err != nil {
			return err
		}
	}
	for more := true; more; {
		if more, err = d.store.Sweep(ctx); err != nil {
			return err
		}
	}
	return nil
}

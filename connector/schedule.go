package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

const (
	// dueMost bounds the messages that one transaction queues.
	dueMost = 100
	// dueLeast is the shortest wait for the next message: one that is due may be in the hands of another process, or of somebody who reschedules it.
	dueLeast = 50 * time.Millisecond
)

// schedule queues messages whose time has come, those of every session: what decides is their time, and not a claim. A message that was accepted or
// rescheduled meanwhile is seen after sweepEvery at the latest, so none is later than that.
//
// Failure policy: an error is logged, and tried again after sweepEvery. A process that dies has queued a message with its command, or neither.
func (c *Connector) schedule(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wait, err := c.queueDue(ctx)
		if err != nil {
			c.logError(ctx, "queue messages that are due", err)
		}
		timer.Reset(wait)
	}
}

// queueDue queues up to dueMost messages that are due, and returns how long to wait before it is called again.
func (c *Connector) queueDue(ctx context.Context) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	seconds, err := c.queries.MessageNextDue(ctx, c.pool)
	if errors.Is(err, pgx.ErrNoRows) {
		return sweepEvery, nil
	}
	if err != nil {
		return sweepEvery, fmt.Errorf("read when the next is due: %w", err)
	}
	if wait := time.Duration(seconds * float64(time.Second)); wait > 0 {
		return max(dueLeast, min(sweepEvery, wait)), nil
	}
	queued := 0
	err = c.db.InTx(ctx, func(tx *queue.Tx) error {
		due, err := c.queries.MessagePublishDue(ctx, tx, dueMost)
		if err != nil {
			return fmt.Errorf("queue messages: %w", err)
		}
		queued = len(due)
		for _, m := range due {
			tx.Join(m.Trace)
			if err := events.SendMessage(tx, events.SendCommand{MessageID: m.ID, SessionID: m.SessionID, TypingSeconds: int(m.TypingSeconds), Urgent: m.Urgent}); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return sweepEvery, err
	case queued == dueMost:
		return 0, nil
	}
	return dueLeast, nil
}

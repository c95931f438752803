package connector

import (
	"context"
	"fmt"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// sweepEvery is how late an expiry may be noticed.
	sweepEvery = 2 * time.Second
	// sweepMost bounds the messages of one sweep's transaction.
	sweepMost = 100
)

// sweep ends messages whose time ran out, parked or not, and those of sessions that were logged out. Every connector sweeps, whoever holds
// the session: what decides is time and the row, locked, and not the claim. Failure policy: an error is logged; the next sweep tries again.
func (c *Connector) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for more := true; more; {
			n, err := c.sweepOnce(ctx)
			if err != nil {
				c.logError(ctx, "sweep messages", err)
			}
			more = n == sweepMost
		}
		select {
		case <-ctx.Done():
			return
		case <-c.due:
		case <-tick.C:
		}
	}
}

// sweepOnce sweeps once of each kind and returns the larger number of messages.
func (c *Connector) sweepOnce(ctx context.Context) (most int, err error) {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	err = c.db.InTx(ctx, func(tx *queue.Tx) error {
		expired, err := c.queries.MessageSweepExpired(ctx, tx, sweepMost)
		if err != nil {
			return fmt.Errorf("sweep expired messages: %w", err)
		}
		for _, m := range expired {
			if err := publishEnd(tx, unsent(m), events.StatusExpired, nil, nil, time.Now()); err != nil {
				return err
			}
			tx.Notify(events.WakeMessages, m.ID.String())
		}
		code, message := "session_logged_out", "The session was logged out before the message was sent."
		stranded, err := c.queries.MessageSweepLoggedOut(ctx, tx, &code, &message, sweepMost)
		if err != nil {
			return fmt.Errorf("sweep messages of logged out sessions: %w", err)
		}
		for _, m := range stranded {
			if err := publishEnd(tx, unsent(db.MessageSweepExpiredRow(m)), events.StatusFailed, &code, &message, time.Now()); err != nil {
				return err
			}
			tx.Notify(events.WakeMessages, m.ID.String())
		}
		most = max(len(expired), len(stranded))
		return nil
	})
	return most, err
}

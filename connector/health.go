package connector

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
)

// watchHealth tells by session.risk when the level of an account's health changes. It looks at sessions where something happened that may change it,
// and at those that do not fare well.
//
// Failure policy: an error is logged, and the session is looked at again. The level that was told last is in the session's row, and changes in the
// transaction of its event.
func (c *Connector) watchHealth(ctx context.Context) {
	tick := time.NewTicker(c.pace.health)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, s := range c.running() {
			if !s.examine.Swap(false) {
				continue
			}
			if err := s.tellHealth(ctx); err != nil {
				s.examine.Store(true)
				c.logError(ctx, "look at an account's health", err)
			}
		}
	}
}

// tellHealth publishes session.risk if the level of the session's health is another than the one last told.
func (s *session) tellHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	health, told, err := postgres.Health(ctx, s.c.pool, s.c.queries, s.id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if health.Level != events.HealthGood {
		s.examine.Store(true) // it may get better by itself
	}
	if health.Level == told {
		return nil
	}
	return s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		if err := s.hold(ctx, tx); errors.Is(err, errClaimLost) {
			return nil // its next owner looks
		} else if err != nil {
			return err
		}
		n, err := s.c.queries.SessionSetHealth(ctx, tx, health.Level, s.id)
		if err != nil || n == 0 {
			return err
		}
		_, err = events.Publish(tx, events.SessionRisk, s.id, "", time.Now(), events.RiskData{Health: health})
		return err
	})
}

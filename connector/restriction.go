package connector

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// restrictionMost bounds until when a restriction may be said to last; those that are known last for hours or days.
const restrictionMost = 366 * 24 * time.Hour

// restricted notes until when WhatsApp lets the account write to no strangers (code 463), or that it does again.
func (c *connection) restricted(ctx context.Context, e *waevents.NotifyAccountReachoutTimelock) error {
	s, until := c.s, time.Now()
	if most := until.Add(restrictionMost); e.IsActive {
		if until = e.TimeEnforcementEnds.Time; until.After(most) {
			until = most
		}
	}
	err := s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		_, err := s.c.queries.RestrictionPut(ctx, tx, until, s.id, s.c.cfg.Owner, s.epoch)
		if errors.Is(err, pgx.ErrNoRows) {
			return errClaimLost
		}
		if err != nil {
			return fmt.Errorf("write restriction: %w", err)
		}
		entry := events.LogEntry{Kind: events.LogRestriction, Reason: "WhatsApp lets the account write to strangers again"}
		if e.IsActive {
			entry.Reason, entry.Code = "WhatsApp lets the account write to no strangers until "+until.UTC().Format(time.RFC3339), strconv.Itoa(codeReachOut)
		}
		return s.logged(ctx, tx, entry)
	})
	if err != nil {
		return err
	}
	s.examine.Store(true)
	s.log.InfoContext(s.ctx, "WhatsApp tells whether the account may write to strangers", "restricted", e.IsActive, "until", until)
	return nil
}

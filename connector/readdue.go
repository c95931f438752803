package connector

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events/queue"
)

const (
	// readDuePage is how many messages are read by themselves at once: those that came while the ones before were.
	readDuePage = 500
	// readDueKept is for how long it is tried, which is what a change at WhatsApp waits for a connection.
	readDueKept = 24 * time.Hour
	// readDueTries is how often a connection tries the messages of one sender in one chat.
	readDueTries = 5
	// readDueWait is the pause after a try that failed.
	readDueWait = 5 * time.Second
)

// readDue reads the messages that came in while settings.markRead was on, those of a connection before too, until this one ends. Their rows are
// written with them, so none is forgotten; a receipt that goes out twice does no harm.
//
// Failure policy: what WhatsApp does not take is tried readDueTries times a connection, and given up after readDueKept; it holds up nothing else.
func (c *connection) readDue() {
	tries := map[readFrom]int{}
	c.forgetDue()
	for {
		left, err := c.readDueOnce(c.ctx, tries)
		if c.ctx.Err() != nil {
			return
		}
		wait := time.Duration(-1) // until more has come
		switch {
		case err != nil:
			c.s.log.WarnContext(c.ctx, "messages not read by themselves", "error", err)
			wait = readDueWait
		case left:
			wait = 0
		}
		var timer <-chan time.Time
		if wait >= 0 {
			timer = time.After(wait)
		}
		select {
		case <-c.ctx.Done():
			return
		case <-timer:
		case <-c.toRead:
		}
	}
}

// forgetDue gives up what was to be read too long ago. Failure policy: best effort; the next connection does it.
func (c *connection) forgetDue() {
	err := c.s.inTx(c.ctx, func(ctx context.Context, tx *queue.Tx) error {
		_, err := c.s.c.queries.ReadDueGiveUp(ctx, tx, c.s.id, readDueKept.Seconds())
		return err
	})
	if err != nil && c.ctx.Err() == nil {
		c.s.log.WarnContext(c.ctx, "messages to read not given up", "error", err)
	}
}

// readFrom is who is to be told at once that messages were read.
type readFrom struct{ chat, sender string }

// readDueOnce reads what is due, and says whether there is more. Its error is the first of those that it met.
func (c *connection) readDueOnce(ctx context.Context, tries map[readFrom]int) (left bool, failed error) {
	queries := c.s.c.queries
	rows, err := queries.ReadDueList(ctx, c.s.c.pool, c.s.id, readDuePage)
	if err != nil {
		return false, fmt.Errorf("list messages to read: %w", err)
	}
	type batch struct {
		ids    []uuid.UUID
		whats  []types.MessageID
		newest time.Time
	}
	batches := map[readFrom]*batch{}
	for _, row := range rows {
		from := readFrom{row.ChatID, row.SenderID}
		b := batches[from]
		if b == nil {
			b = &batch{}
			batches[from] = b
		}
		b.ids, b.whats = append(b.ids, row.ID), append(b.whats, row.WhatsappID)
		if row.Timestamp.After(b.newest) {
			b.newest = row.Timestamp
		}
	}
	for from, b := range batches {
		if !c.s.holds() {
			return false, errClaimLost
		}
		err := c.tellRead(ctx, from.chat, from.sender, b.whats, time.Now())
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil {
			failed = err
			if tries[from]++; tries[from] < readDueTries {
				continue
			}
			c.s.log.WarnContext(ctx, "messages not read by themselves; given up", "chat", from.chat, "messages", len(b.ids), "error", err)
		}
		told := err == nil
		delete(tries, from)
		err = c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
			if told {
				if _, err := c.keepRead(ctx, tx, from.chat, b.newest); err != nil {
					return err
				}
			}
			if err := queries.ReadDueDone(ctx, tx, c.s.id, b.ids); err != nil {
				return fmt.Errorf("forget messages to read: %w", err)
			}
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	return len(rows) == readDuePage, failed
}

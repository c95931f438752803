package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/seal"
)

const (
	// sweepEvery is how late an expiry may be noticed.
	sweepEvery = 2 * time.Second
	// sweepMost bounds the messages of one sweep's transaction.
	sweepMost = 100
	// sweepSending is how long after the last attempt began a message that reads sending is nobody's. An attempt ends within sendTimeout, the
	// upload before it not counted (connection.send begins anew after it), and a process that sleeps longer has lost its claim, without
	// which the Signal store encrypts nothing.
	sweepSending = 10 * sendTimeout
	// boundEvery is how often messages without a bound are looked for: those that a release before this one accepts.
	boundEvery = time.Hour
)

// ends are the states of a session that sends nothing any more until somebody links it anew, or WhatsApp lifts its ban, with what its waiting
// messages fail with. In every other state they wait for as long as they are valid: somebody can start, restart or link the session.
var ends = []struct {
	state         events.SessionState
	code, message string
}{
	{events.StateLoggedOut, "session_logged_out", "The session was logged out first."},
	{events.StateBanned, "account_banned", "WhatsApp banned the account first."},
}

// sweep ends messages whose time ran out, parked or not, those of sessions that have ended, and those whose command cannot be handled. Every
// connector sweeps, whoever holds the session: what decides is time and the row, locked, and not the claim. Failure policy: an error is
// logged; the next sweep tries again.
func (c *Connector) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var bounded time.Time
	for {
		if time.Since(bounded) >= boundEvery {
			if err := c.bound(ctx); err != nil {
				c.logError(ctx, "bound messages", err)
			} else {
				bounded = time.Now()
			}
		}
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

// bound gives messages that could wait for ever an end, and ends the keeping of status updates.
func (c *Connector) bound(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	if _, err := c.queries.MessageBound(ctx, c.pool); err != nil {
		return err
	}
	return c.sweepStatus(ctx)
}

// sweepOnce sweeps once of each kind and returns the largest number of messages.
func (c *Connector) sweepOnce(ctx context.Context) (most int, err error) {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	err = c.db.InTx(ctx, func(tx *queue.Tx) error {
		most = 0
		expired, err := c.queries.MessageSweepExpired(ctx, tx, codeUnanswered, unanswered, sweepSending.Seconds(), sweepMost)
		if err != nil {
			return fmt.Errorf("sweep expired messages: %w", err)
		}
		if err := swept(tx, events.StatusExpired, expired, &most); err != nil {
			return err
		}
		for _, end := range ends {
			stranded, err := c.queries.MessageSweepEnded(ctx, tx, &end.code, &end.message, string(end.state), sweepMost)
			if err != nil {
				return fmt.Errorf("sweep messages of sessions that ended: %w", err)
			}
			if err := swept(tx, events.StatusFailed, stranded, &most); err != nil {
				return err
			}
		}
		if err := c.sweepChanges(ctx, tx, &most); err != nil {
			return err
		}
		if err := c.sweepCalls(ctx, tx, &most); err != nil {
			return err
		}
		return c.sweepBroken(ctx, tx, &most)
	})
	return most, err
}

// sweepChanges ends changes as messages are ended: those whose time ran out, those of sessions that have ended, and those whose command made
// the program fail each time.
func (c *Connector) sweepChanges(ctx context.Context, tx *queue.Tx, most *int) error {
	code, message := codeUnanswered, "WhatsApp's answer never came, and the time is over. It may have been done all the same."
	rows, err := c.queries.ChangeSweepExpired(ctx, tx, code, message, sweepSending.Seconds(), sweepMost)
	if err != nil {
		return fmt.Errorf("sweep expired changes: %w", err)
	}
	for _, end := range ends {
		stranded, err := c.queries.ChangeSweepEnded(ctx, tx, &end.code, &end.message, string(end.state), sweepMost)
		if err != nil {
			return fmt.Errorf("sweep changes of sessions that ended: %w", err)
		}
		rows = append(rows, stranded...)
	}
	code, message = "internal_error", "The program failed each time it tried it. It may have been done all the same."
	broken, err := c.queries.ChangeSweepBroken(ctx, tx, &code, &message, events.TopicCommands, sweepMost)
	if err != nil {
		return fmt.Errorf("sweep changes of dead letters: %w", err)
	}
	rows = append(rows, broken...)
	*most = max(*most, len(rows))
	for _, row := range rows {
		if err := tellChange(tx, row); err != nil {
			return err
		}
	}
	return nil
}

// sweepBroken fails messages whose command made the program fail or die again and again. A lane that such a command parked goes on: handled
// once more, the command finds its message ended.
func (c *Connector) sweepBroken(ctx context.Context, tx *queue.Tx, most *int) error {
	code, message := "internal_error", "The program failed each time it tried to send the message. It may have been delivered all the same."
	broken, err := c.queries.MessageSweepBroken(ctx, tx, &code, &message, events.TopicCommands, sweepMost)
	if err != nil {
		return fmt.Errorf("sweep messages of dead letters: %w", err)
	}
	for _, m := range broken {
		c.log.ErrorContext(ctx, "message given up: its command failed or ended the process each time", "message", m.ID, "session", m.SessionID)
	}
	if err := swept(tx, events.StatusFailed, broken, most); err != nil {
		return err
	}
	stuck, err := c.queries.MessageListStuck(ctx, tx, events.TopicCommands, sweepMost)
	if err != nil {
		return fmt.Errorf("list lanes that are stuck: %w", err)
	}
	changes, err := c.queries.ChangeListStuck(ctx, tx, events.TopicCommands, sweepMost)
	if err != nil {
		return fmt.Errorf("list lanes that are stuck: %w", err)
	}
	stuck = append(stuck, changes...)
	parts, err := c.sweepHistory(ctx, tx)
	if err != nil {
		return err
	}
	stuck = append(stuck, parts...)
	for _, id := range stuck {
		if err := queue.Resume(ctx, tx, events.TopicCommands, id); err != nil && !errors.Is(err, queue.ErrNoDeadLetter) { // another connector was faster
			return err
		}
	}
	return nil
}

// sweepHistory gives up the parts of histories whose command made the program fail each time, and returns the commands that park a lane.
func (c *Connector) sweepHistory(ctx context.Context, tx *queue.Tx) ([]int64, error) {
	rows, err := c.queries.HistorySweepBroken(ctx, tx, "the program failed each time it tried it", events.TopicCommands)
	if err != nil {
		return nil, fmt.Errorf("sweep parts of history: %w", err)
	}
	for _, row := range rows {
		c.log.ErrorContext(ctx, "part of history given up: its command failed or ended the process each time", "session", row.SessionID)
		told := events.HistoryData{Kind: "other"}
		var offer waE2E.HistorySyncNotification
		notification, err := c.cfg.Keys.Open(row.Notification, seal.HistoryOffer.At(row.SessionID))
		if err == nil && proto.Unmarshal(notification, &offer) == nil {
			told = offeredHistory(&offer, nil)
		}
		told.Missing, told.Messages = events.HistoryUnreadable, int(row.Messages)
		if _, err := events.Publish(tx, events.HistorySynced, row.SessionID, "", time.Now(), told); err != nil {
			return nil, err
		}
	}
	stuck, err := c.queries.HistoryListStuck(ctx, tx, events.TopicCommands, sweepMost)
	if err != nil {
		return nil, fmt.Errorf("list lanes that are stuck: %w", err)
	}
	return stuck, nil
}

// swept tells of messages that were swept, and raises most to their number.
func swept[R ~struct {
	ID           uuid.UUID
	SessionID    string
	ChatID       string
	WhatsappID   string
	ErrorCode    *string
	ErrorMessage *string
	Trace        string
}](tx *queue.Tx, status events.MessageStatus, rows []R, most *int) error {
	*most = max(*most, len(rows))
	for _, row := range rows {
		m := unsent(row)
		tx.Join(m.Trace)
		if err := publishEnd(tx, m, status, time.Now()); err != nil {
			return err
		}
		tx.Notify(events.WakeMessages, m.ID.String())
	}
	tx.Join("") // what else is swept is of no message's trace
	return nil
}

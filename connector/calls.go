package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// callRings is for how long a call rings, as WhatsApp's apps let it.
	callRings = time.Minute
	// callLost is after how long a call whose end nobody told rings no more, whatever was missed.
	callLost = 2 * callRings
)

// callOffered keeps a call that rings, tells of it and, where settings.calls says so, lets it be rejected, in one transaction. The same call is
// told once.
func (c *connection) callOffered(ctx context.Context, meta types.BasicCallMeta, video bool) error {
	caller := user(meta.CallCreator)
	switch {
	case !usableID(meta.CallID), caller.User == "", caller.Server != types.DefaultUserServer && caller.Server != types.HiddenUserServer:
		c.s.log.WarnContext(ctx, "call without a usable id or caller", "caller", meta.CallCreator)
		return nil
	case c.isOwn(caller):
		return nil
	}
	who, err := c.address(ctx, caller, meta.CallCreatorAlt)
	if err != nil {
		return err
	}
	now := time.Now()
	p := db.CallOfferParams{
		ID: events.NewID(), SessionID: c.s.id, WhatsappID: meta.CallID, CallerID: who.id, Creator: caller.String(), Video: video, OfferedAt: meta.Timestamp,
	}
	if p.OfferedAt.Unix() <= 0 || p.OfferedAt.After(now) {
		p.OfferedAt = now
	}
	if meta.GroupJID.Server == types.GroupServer {
		p.GroupID = meta.GroupJID.ToNonAD().String()
	}
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		n, err := c.s.c.queries.CallOffer(ctx, tx, p)
		if err != nil {
			return fmt.Errorf("write call: %w", err)
		}
		if n == 0 {
			return nil
		}
		if err := c.s.c.queries.ContactEnsure(ctx, tx, c.s.id, who.id, who.phone, who.lid); err != nil {
			return fmt.Errorf("ensure contact: %w", err)
		}
		if err := c.s.c.tellCall(ctx, tx, events.CallOffered, c.s.id, p.ID, p.OfferedAt); err != nil {
			return err
		}
		// One that came while the session was offline has stopped ringing.
		if settings := c.s.settings().Calls; settings != nil && settings.Reject && now.Sub(p.OfferedAt) < callRings {
			return c.rejectBySetting(ctx, tx, p, settings.Text)
		}
		return nil
	})
}

// callAccepted takes that a call was accepted on another device of the account. What the members of a group do is not told.
func (c *connection) callAccepted(ctx context.Context, e *waevents.CallAccept) error {
	if !c.isOwn(user(e.From)) {
		return nil
	}
	return c.accepted(ctx, e.CallID)
}

// callRejected takes that another device of the account has rejected a call.
func (c *connection) callRejected(ctx context.Context, e *waevents.CallReject) error {
	if !c.isOwn(user(e.From)) {
		return nil
	}
	return c.ended(ctx, e.CallID, events.CallRejected)
}

// callTerminated takes how a call ended, for this device at least: another may have accepted it, and of how that one ends WhatsApp tells only the
// device that did.
func (c *connection) callTerminated(ctx context.Context, e *waevents.CallTerminate) error {
	switch e.Reason {
	case "accepted_elsewhere":
		return c.accepted(ctx, e.CallID)
	case "rejected_elsewhere":
		return c.ended(ctx, e.CallID, events.CallRejected)
	case "timeout":
		return c.ended(ctx, e.CallID, events.CallTimeout)
	}
	return c.ended(ctx, e.CallID, events.CallMissed)
}

func (c *connection) accepted(ctx context.Context, whatsappID string) error {
	return c.moveCall(ctx, events.CallTaken, whatsappID, func(ctx context.Context, tx *queue.Tx) (uuid.UUID, error) {
		return c.s.c.queries.CallAccept(ctx, tx, c.s.id, whatsappID)
	})
}

func (c *connection) ended(ctx context.Context, whatsappID, reason string) error {
	return c.moveCall(ctx, events.CallOver, whatsappID, func(ctx context.Context, tx *queue.Tx) (uuid.UUID, error) {
		return c.s.c.queries.CallEnd(ctx, tx, reason, c.s.id, whatsappID)
	})
}

// moveCall writes what has become of a call and tells of it, unless it is not known or had ended.
func (c *connection) moveCall(ctx context.Context, t events.Type, whatsappID string, move func(context.Context, *queue.Tx) (uuid.UUID, error)) error {
	if !usableID(whatsappID) {
		return nil
	}
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		id, err := move(ctx, tx)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write call: %w", err)
		}
		return c.s.c.tellCall(ctx, tx, t, c.s.id, id, time.Now())
	})
}

// tellCall publishes what has become of a call.
func (c *Connector) tellCall(ctx context.Context, tx *queue.Tx, t events.Type, sessionID string, id uuid.UUID, at time.Time) error {
	row, err := c.queries.CallGet(ctx, tx, sessionID, id)
	if err != nil {
		return fmt.Errorf("read call: %w", err)
	}
	_, err = events.Publish(tx, t, sessionID, callChat(row.CallerID, row.GroupID), at, events.CallData{Call: postgres.Call(row)})
	return err
}

// callChat is the chat in whose order a call's events are.
func callChat(caller, group string) string {
	if group != "" {
		return group
	}
	return caller
}

// sweepCalls ends calls whose end nobody told, as of sessions that went offline meanwhile.
func (c *Connector) sweepCalls(ctx context.Context, tx *queue.Tx, most *int) error {
	lost, err := c.queries.CallSweepLost(ctx, tx, callLost.Seconds(), sweepMost)
	if err != nil {
		return fmt.Errorf("sweep calls: %w", err)
	}
	*most = max(*most, len(lost))
	for _, row := range lost {
		if err := c.tellCall(ctx, tx, events.CallOver, row.SessionID, row.ID, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

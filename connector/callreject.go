package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// textPause is the least between two texts to one caller, however often he calls.
	textPause = time.Hour
	// textExpires is when a text that could not be sent says nothing any more.
	textExpires = time.Hour
)

var (
	callNotFound = &refusal{"call_not_found", "The call is no longer kept."}
	callOver     = &refusal{"call_over", "The call rings no more."}
)

// rejectBySetting queues the rejection of a call and the text to its caller, in the transaction that writes the call: a call that comes again
// after a crash is known, and makes neither twice. The rejection goes ahead of all other changes, in a lane of its own.
func (c *connection) rejectBySetting(ctx context.Context, tx *queue.Tx, call db.CallOfferParams, text string) error {
	parameters, err := json.Marshal(events.CallRejection{BySetting: true})
	if err != nil {
		return fmt.Errorf("encode parameters: %w", err)
	}
	id := events.NewID()
	command, err := json.Marshal(events.ChangeCommand{ChangeID: id, SessionID: c.s.id})
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	if _, err := c.s.c.queries.ChangeQueue(ctx, tx, db.ChangeQueueParams{
		ID: id, SessionID: c.s.id, Kind: events.RejectCall.Kind, Target: events.CallPrefix.Format(call.ID), ChatID: callChat(call.CallerID, call.GroupID),
		Parameters: parameters, ExpiresAt: time.Now().Add(callLost), MaxOpen: math.MaxInt32,
	}); err != nil {
		return fmt.Errorf("insert change: %w", err)
	}
	tx.Publish(events.TopicCommands, queue.Message{
		ID: id, Lane: events.CallLane(c.s.id), Session: c.s.id, Payload: command, Metadata: map[string]string{events.MetaCommand: events.CommandChange},
	})
	if text == "" || call.GroupID != "" {
		return nil
	}
	lately, err := c.s.c.queries.CallTextedLately(ctx, tx, c.s.id, call.CallerID, textPause.Seconds())
	if err != nil {
		return fmt.Errorf("look for texts to the caller: %w", err)
	}
	if lately {
		return nil
	}
	if err := c.s.c.queries.CallTexted(ctx, tx, call.ID); err != nil {
		return fmt.Errorf("note text to the caller: %w", err)
	}
	return c.queueText(ctx, tx, call.CallerID, text)
}

// queueText queues a text to somebody, as the API does, in his chat.
func (c *connection) queueText(ctx context.Context, tx *queue.Tx, chat, text string) error {
	now := time.Now()
	timer, err := c.s.c.queries.ChatAnswer(ctx, tx, c.s.id, chat, &now)
	if err != nil {
		return fmt.Errorf("touch chat: %w", err)
	}
	content, err := json.Marshal(events.Content{Type: events.ContentText, Text: text})
	if err != nil {
		return fmt.Errorf("encode content: %w", err)
	}
	beside, err := contextJSON(postgres.MessageContext{DisappearsAfter: int(timer)})
	if err != nil {
		return err
	}
	id, expires := events.NewID(), now.Add(textExpires)
	if err := c.s.c.queries.MessageQueue(ctx, tx, db.MessageQueueParams{
		ID: id, SessionID: c.s.id, ChatID: chat, WhatsappID: c.client.GenerateMessageID(), Status: string(events.StatusQueued), Type: events.ContentText,
		Content: content, Context: beside, ExpiresAt: &expires, Timestamp: now,
	}); err != nil {
		return fmt.Errorf("insert message: %w", err)
	}
	return events.SendMessage(tx, events.SendCommand{MessageID: id, SessionID: c.s.id})
}

// rejectCall makes events.RejectCall. A call that is over cannot be rejected, unless this has done it before and did not live to tell; one that is
// rejected by the setting may be over.
func (c *connection) rejectCall(ctx context.Context, ch change, p events.CallRejection) (func(context.Context, *queue.Tx) (events.Call, error), error) {
	id, err := events.CallPrefix.Parse(ch.target)
	if err != nil {
		return nil, fmt.Errorf("parse target: %w", err)
	}
	row, err := c.s.c.queries.CallGet(ctx, c.s.c.pool, c.s.id, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, callNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read call: %w", err)
	}
	err = callOver
	if row.State == events.CallRinging && time.Since(row.CreatedAt) < callLost {
		err = c.sendRejection(ctx, row.Creator, row.WhatsappID)
	}
	if errors.Is(err, callOver) && (p.BySetting || ch.begun) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Call, error) {
		_, err := c.s.c.queries.CallEnd(ctx, tx, events.CallRejected, c.s.id, row.WhatsappID)
		if err == nil {
			err = c.s.c.tellCall(ctx, tx, events.CallOver, c.s.id, id, time.Now())
		}
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return events.Call{}, fmt.Errorf("end call: %w", err)
		}
		row, err := c.s.c.queries.CallGet(ctx, tx, c.s.id, id)
		if err != nil {
			return events.Call{}, fmt.Errorf("read call: %w", err)
		}
		return postgres.Call(row), nil
	}, nil
}

// sendRejection rejects a call as whatsmeow's RejectCall does, which does not wait for what WhatsApp says to it: callOver, where it knows nothing of
// such a call any more.
func (c *connection) sendRejection(ctx context.Context, creator, callID string) error {
	to, err := types.ParseJID(creator)
	if err != nil {
		return fmt.Errorf("parse caller: %w", err)
	}
	internals := c.client.DangerousInternals() //nolint:staticcheck // SA1019: whatsmeow has no other way to wait for an acknowledgement
	ctx, cancel := context.WithTimeout(ctx, c.s.c.pace.ack)
	defer cancel()
	id := c.client.GenerateMessageID()
	answer := internals.WaitResponse(id)
	err = internals.SendNode(ctx, waBinary.Node{
		Tag: "call", Attrs: waBinary.Attrs{"id": id, "from": c.device.GetJID().ToNonAD(), "to": to},
		Content: []waBinary.Node{{Tag: "reject", Attrs: waBinary.Attrs{"call-id": callID, "call-creator": to, "count": "0"}}},
	})
	if err != nil {
		internals.CancelResponse(id, answer)
		return fmt.Errorf("reject call: %w", err)
	}
	select {
	case node := <-answer:
		if node == nil || node.Tag != "ack" {
			return whatsmeow.ErrNotConnected
		}
		if code := node.AttrGetter().OptionalInt("error"); code != 0 {
			c.s.log.InfoContext(ctx, "WhatsApp takes no rejection of the call", "code", code)
			return callOver
		}
		return nil
	case <-ctx.Done(): // the waiter stays until the connection ends, as in readReceipt
		return whatsmeow.ErrMessageTimedOut
	}
}

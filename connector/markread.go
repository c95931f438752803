package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// readBatch is how many messages one read receipt names. The real limit is not known.
const readBatch = 100

// markRead makes events.MarkRead.
func (c *connection) markRead(ctx context.Context, _ change, p events.MarkingRead) (func(context.Context, *queue.Tx) (events.MessagesRead, error), error) {
	ids, done := make([]uuid.UUID, len(p.MessageIDs)), events.MessagesRead{MessageIDs: []string{}}
	for i, text := range p.MessageIDs {
		var err error
		if ids[i], err = events.MessagePrefix.Parse(text); err != nil {
			return nil, fmt.Errorf("parse message id: %w", err)
		}
	}
	rows, err := c.s.c.queries.MessageReadMany(ctx, c.s.c.pool, c.s.id, ids)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	now, newest := time.Now(), map[string]time.Time{}
	for len(rows) > 0 {
		first, batch := rows[0], []types.MessageID{}
		for len(rows) > 0 && rows[0].ChatID == first.ChatID && rows[0].SenderID == first.SenderID {
			batch = append(batch, rows[0].WhatsappID)
			done.MessageIDs = append(done.MessageIDs, events.MessagePrefix.Format(rows[0].ID))
			if rows[0].Timestamp.After(newest[first.ChatID]) {
				newest[first.ChatID] = rows[0].Timestamp
			}
			rows = rows[1:]
		}
		if err := c.tellRead(ctx, first.ChatID, first.SenderID, batch, now); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, tx *queue.Tx) (events.MessagesRead, error) {
		for _, chat := range slices.Sorted(maps.Keys(newest)) {
			if _, err := c.keepRead(ctx, tx, chat, newest[chat]); err != nil {
				return done, err
			}
		}
		return done, nil
	}, nil
}

// tellRead tells the sender of messages that they were read, and the account's other devices, and returns when WhatsApp has taken it. chatID and
// senderID are those of our rows, ids are WhatsApp's.
func (c *connection) tellRead(ctx context.Context, chatID, senderID string, ids []types.MessageID, at time.Time) error {
	chat, err := types.ParseJID(chatID)
	if err != nil {
		return fmt.Errorf("parse chat id: %w", err)
	}
	sender, err := types.ParseJID(senderID)
	if err != nil {
		return fmt.Errorf("parse sender id: %w", err)
	}
	if sender, err = c.participant(ctx, chat, sender); err != nil {
		return err
	}
	if chat.Server == types.DefaultUserServer { // messages come from LIDs, and receipts go where they came from
		lid, err := c.device.LIDs.GetLIDForPN(ctx, chat)
		if err != nil {
			return fmt.Errorf("look up LID: %w", err)
		}
		if !lid.IsEmpty() {
			chat = lid
		}
	}
	for batch := range slices.Chunk(ids, readBatch) {
		if err := c.readReceipt(ctx, chat, sender, batch, at); err != nil {
			return fmt.Errorf("send read receipt: %w", err)
		}
	}
	return nil
}

// readReceipt sends one receipt and waits for its acknowledgement, which has the first id and the receipt's type. That of the receipt for the
// delivery has the same id, and may still be on its way.
func (c *connection) readReceipt(ctx context.Context, chat, sender types.JID, ids []types.MessageID, at time.Time) error {
	internals := c.client.DangerousInternals() //nolint:staticcheck // SA1019: whatsmeow's public API does not wait for what it calls MarkRead
	ctx, cancel := context.WithTimeout(ctx, c.s.c.pace.ack)
	defer cancel()
	answer := internals.WaitResponse(ids[0])
	if err := c.client.MarkRead(ctx, ids, at, chat, sender); err != nil {
		internals.CancelResponse(ids[0], answer)
		return err
	}
	for {
		select {
		case node := <-answer:
			if node == nil || node.Tag != "ack" {
				return whatsmeow.ErrNotConnected
			}
			switch ag := node.AttrGetter(); ag.OptionalString("type") {
			case "", string(types.ReceiptTypeRead), string(types.ReceiptTypeReadSelf):
				return nil
			}
			answer = internals.WaitResponse(ids[0])
		case <-ctx.Done(): // the waiter stays until the connection ends: whatsmeow panics where an answer meets its end (request.go)
			return whatsmeow.ErrMessageTimedOut
		}
	}
}

// keepRead notes that a chat was read up to a time. changed says that it had unread messages or a mark, and has none any more; with something
// newer it keeps both.
func (c *connection) keepRead(ctx context.Context, tx *queue.Tx, chatID string, to time.Time) (changed bool, err error) {
	if _, err := c.s.c.queries.ChatLock(ctx, tx, c.s.id, chatID); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("lock chat: %w", err)
	}
	n, err := c.s.c.queries.ChatReadTo(ctx, tx, c.s.id, chatID, to)
	if err != nil {
		return false, fmt.Errorf("write that a chat was read: %w", err)
	}
	return n > 0, nil
}

package connector

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// receiptStatus is what a receipt of the recipient's says. Others are about the account's own devices or the protocol; "inactive", from a
// device in the background, is not shown by WhatsApp's own apps either (whatsmeow receipt.go, SetForceActiveDeliveryReceipts).
var receiptStatus = map[types.ReceiptType]events.MessageStatus{
	types.ReceiptTypeDelivered: events.StatusDelivered,
	types.ReceiptTypeRead:      events.StatusRead,
	types.ReceiptTypePlayed:    events.StatusPlayed,
}

// receipt moves the messages of one receipt forward, in one transaction. An event is published for each message that moved: in a group that
// is the first member's receipt of each kind. A receipt that overtook the answer to the send proves that the message was sent, so it tells
// that as well; the sender then finds the message moved and does not.
func (c *connection) receipt(ctx context.Context, e *waevents.Receipt) error {
	status, ok := receiptStatus[e.Type]
	if !ok || e.IsFromMe {
		return nil
	}
	chatAlt := e.RecipientAlt
	if !e.IsGroup {
		chatAlt = e.SenderAlt
	}
	chat, err := c.address(ctx, e.Chat, chatAlt)
	if err != nil {
		return err
	}
	by, err := c.address(ctx, e.Sender, e.SenderAlt)
	if err != nil {
		return err
	}
	q := c.s.c.queries
	return c.s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		if err := c.s.hold(ctx, tx); err != nil {
			return err
		}
		moved, err := q.MessageReceiptMany(ctx, tx, string(status), c.s.id, e.MessageIDs, chat.ids())
		if err != nil {
			return fmt.Errorf("write receipt: %w", err)
		}
		if len(moved) == 0 {
			return nil
		}
		name, err := q.ContactName(ctx, tx, c.s.id, by.id)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("read contact: %w", err)
		}
		who := events.NewAddress(by.id, by.phone, by.lid, name)
		for _, m := range moved {
			if !wasSent(events.MessageStatus(m.Before)) {
				if err := c.s.c.publishSent(ctx, tx, m.ID, e.Timestamp); err != nil {
					return err
				}
			}
			data := events.StatusData{
				MessageID: events.MessagePrefix.Format(m.ID), WhatsAppID: m.WhatsappID, ChatID: m.ChatID, Status: status, By: &who, At: e.Timestamp.UTC(),
			}
			if _, err := events.Publish(tx, events.MessageUpdated, c.s.id, m.ChatID, e.Timestamp, data); err != nil {
				return err
			}
			tx.Notify(events.WakeMessages, m.ID.String())
		}
		return nil
	})
}

// wasSent says whether a message with this status has been told to be sent.
func wasSent(status events.MessageStatus) bool {
	switch status {
	case events.StatusSent, events.StatusDelivered, events.StatusRead, events.StatusPlayed:
		return true
	}
	return false
}

package connector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/trace"
)

// receiptStatus is what a receipt of the recipient's says. Others are about the account's own devices or the protocol. "inactive" comes from
// a linked device in the background; the sender's own WhatsApp shows no second tick for it (whatsmeow receipt.go,
// SetForceActiveDeliveryReceipts), so the status stays sent too, until a receipt that is shown: the phone's own has no type.
var receiptStatus = map[types.ReceiptType]events.MessageStatus{
	types.ReceiptTypeDelivered: events.StatusDelivered,
	types.ReceiptTypeRead:      events.StatusRead,
	types.ReceiptTypePlayed:    events.StatusPlayed,
}

// receipt notes who did what with the messages of one receipt, and moves them forward, in one transaction. An event is published for each message that moved: in a group that
// is the first member's receipt of each kind. What the account's own devices have read says nothing of the recipient. A receipt that overtook the answer to the send proves that the message was sent, so it tells
// that as well; the sender then finds the message moved and does not.
func (c *connection) receipt(ctx context.Context, e *waevents.Receipt) error {
	mine := *e // who sends a receipt chooses the ids
	mine.MessageIDs = slices.DeleteFunc(slices.Clone(e.MessageIDs), func(id types.MessageID) bool { return !usableID(id) })
	if e = &mine; len(e.MessageIDs) == 0 {
		return nil
	}
	if readElsewhere(e) {
		return c.ownRead(ctx, e)
	}
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
	s := c.s
	p := db.MessageReceiptManyParams{
		Status: string(status), SessionID: s.id, Owner: s.c.cfg.Owner, Epoch: s.epoch, ContactID: by.id, WhatsappIds: e.MessageIDs, ChatIds: chat.ids(),
		At: e.Timestamp,
	}
	now := time.Now()
	var sent []db.MessageView // that are told to be sent by this, since it is faster than the end of their sending
	err = s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		sent = nil
		moved, err := s.c.queries.MessageReceiptMany(ctx, tx, p)
		if err != nil {
			return fmt.Errorf("write receipt: %w", err)
		}
		if len(moved) == 0 { // nothing to move, unless it is the claim that is gone
			return s.hold(ctx, tx)
		}
		for _, m := range moved {
			within, span := c.receiptSpan(ctx, m.Trace, p.Status)
			defer span.End()
			tx.Join(trace.Parent(within))
			if !wasSent(events.MessageStatus(m.Before)) {
				v, err := s.c.queries.MessageShow(ctx, tx, m.ID)
				if err != nil {
					return fmt.Errorf("read message: %w", err)
				}
				if err := s.publishSent(tx, v, e.Timestamp); err != nil {
					return err
				}
				sent = append(sent, v)
			}
			who := events.NewAddress(by.id, by.phone, by.lid, m.ContactName)
			data := events.StatusData{
				MessageID: events.MessagePrefix.Format(m.ID), WhatsAppID: m.WhatsappID, ChatID: m.ChatID, Status: status, By: &who, At: e.Timestamp.UTC(),
			}
			if _, err := events.Publish(tx, events.MessageUpdated, s.id, m.ChatID, e.Timestamp, data); err != nil {
				return err
			}
			tx.Notify(events.WakeMessages, m.ID.String())
		}
		return nil
	})
	if err == nil {
		for i := range sent {
			s.countSent(&sent[i], now)
		}
	}
	return err
}

// wasSent says whether a message with this status has been told to be sent.
func wasSent(status events.MessageStatus) bool {
	switch status {
	case events.StatusSent, events.StatusDelivered, events.StatusRead, events.StatusPlayed:
		return true
	}
	return false
}

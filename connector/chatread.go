package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// receiptsMost bounds the messages for which one reading of a chat sends receipts: the newest. The rest are read with them, as a phone
	// shows it, and only their senders do not learn of it.
	receiptsMost = 2000
)

// readChat makes events.ReadChat.
func (c *connection) readChat(ctx context.Context, ch change, _ struct{}) (func(context.Context, *queue.Tx) (events.Chat, error), error) {
	chat, err := types.ParseJID(ch.chat)
	if err != nil {
		return nil, fmt.Errorf("parse chat id: %w", err)
	}
	x, err := c.extentOf(ctx, chat)
	if err != nil {
		return nil, err
	}
	read, err := c.sendReceipts(ctx, chat)
	if err != nil {
		return nil, err
	}
	if err := c.sendAppState(ctx, appstate.BuildMarkChatAsRead(x.jid, true, x.at, x.key)); err != nil {
		return nil, err
	}
	return c.writeChat(ch.chat, func(chat *db.Chat) {
		chat.MarkedUnread, chat.Unread = false, max(0, chat.Unread-read) // what has come in meanwhile is unread
	}), nil
}

// sendReceipts tells the senders of what is unread in a chat that it was read, and returns how many messages that are.
func (c *connection) sendReceipts(ctx context.Context, chat types.JID) (unread int32, err error) {
	s := c.s
	row, err := s.c.queries.ChatGet(ctx, s.c.pool, s.id, chat.String())
	if errors.Is(err, pgx.ErrNoRows) || err == nil && row.Unread == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read chat: %w", err)
	}
	messages, err := s.c.queries.ChatListUnread(ctx, s.c.pool, s.id, row.ID, min(row.Unread, receiptsMost))
	if err != nil {
		return 0, fmt.Errorf("list unread messages: %w", err)
	}
	bySender := map[string][]types.MessageID{}
	for _, m := range messages {
		bySender[m.SenderID] = append(bySender[m.SenderID], m.WhatsappID)
	}
	for sender, ids := range bySender {
		if err := c.tellRead(ctx, row.ID, sender, ids, time.Now()); err != nil {
			return 0, err
		}
	}
	return row.Unread, nil
}

// readElsewhere says whether a receipt tells that the account itself has read something on another device.
func readElsewhere(e *waevents.Receipt) bool {
	return e.Type == types.ReceiptTypeReadSelf || e.IsFromMe && e.Type == types.ReceiptTypeRead
}

// ownRead takes the news that the account has read a chat on another device, up to some messages.
func (c *connection) ownRead(ctx context.Context, e *waevents.Receipt) error {
	s := c.s
	if e.Chat == types.StatusBroadcastJID { // whose status updates the account has viewed is told to nobody
		return nil
	}
	chat, err := c.address(ctx, e.Chat, e.RecipientAlt)
	if err != nil {
		return err
	}
	return s.fenced(ctx, func(tx *queue.Tx) error {
		left, err := s.c.queries.ChatUnreadAfter(ctx, tx, s.id, unreadCounted, chat.ids(), e.MessageIDs)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("count unread messages: %w", err)
		}
		return c.setChat(ctx, tx, left.ChatID, true, func(chat *db.Chat) { chat.MarkedUnread, chat.Unread = false, min(chat.Unread, left.Unread) })
	})
}

// unreadCounted is how far messages that came after others are counted.
const unreadCounted = 1000

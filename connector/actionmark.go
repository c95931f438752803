package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// star makes events.Star.
func (c *connection) star(ctx context.Context, ch change, p events.Starring) (func(context.Context, *queue.Tx) (events.Message, error), error) {
	t, err := c.targetOf(ctx, ch)
	if err != nil {
		return nil, err
	}
	own, author := t.Direction == events.Outgoing, t.chat // which stands for nobody in particular
	if !own && t.chat.Server == types.GroupServer {
		author = t.sender
	}
	if err := c.sendAppState(ctx, appstate.BuildStar(t.chat, author, t.WhatsappID, own, p.Starred)); err != nil {
		return nil, err
	}
	at := time.Now().UTC()
	return func(ctx context.Context, tx *queue.Tx) (m events.Message, err error) {
		if err = c.keepStar(ctx, tx, t.ID, events.StarredData{MessageRef: t.ref(), Starred: p.Starred, At: at}); err == nil {
			_, m, err = c.shown(ctx, tx, t.ID)
		}
		return m, err
	}, nil
}

// keepStar writes that a message has a star or has none, and tells of it, once.
func (c *connection) keepStar(ctx context.Context, tx *queue.Tx, id uuid.UUID, data events.StarredData) error {
	changed, err := c.s.c.queries.ActionStar(ctx, tx, data.Starred, id)
	if err != nil {
		return fmt.Errorf("write star: %w", err)
	}
	if changed == 0 {
		return nil
	}
	_, err = events.Publish(tx, events.MessageStarred, c.s.id, data.ChatID, data.At, data)
	return err
}

// starred takes that a message was starred, on the phone or from here.
func (c *connection) starred(ctx context.Context, e *waevents.Star) error {
	m := mark{e.ChatJID, e.SenderJID, e.MessageID, e.IsFromMe}
	return c.marked(ctx, m, func(ctx context.Context, tx *queue.Tx, id uuid.UUID, ref events.MessageRef) error {
		return c.keepStar(ctx, tx, id, events.StarredData{MessageRef: ref, Starred: e.Action.GetStarred(), At: moment(e.Timestamp)})
	})
}

// mark names the message that app state is about.
type mark struct {
	chat, sender types.JID // sender is empty but in groups
	id           string
	own          bool
}

// marked lets does write what app state says of a message. One that the session does not have is passed over: the app state of an account that
// is linked tells of years.
func (c *connection) marked(ctx context.Context, m mark, does func(context.Context, *queue.Tx, uuid.UUID, events.MessageRef) error) error {
	if !usableID(m.id) || m.chat.IsEmpty() {
		return nil
	}
	chat, err := c.address(ctx, m.chat, types.EmptyJID)
	if err != nil {
		return err
	}
	p := db.ActionFindParams{SessionID: c.s.id, WhatsappID: m.id, ChatIds: chat.ids(), Own: m.own, Senders: []string{}}
	if !m.own && !m.sender.IsEmpty() {
		sender, err := c.address(ctx, m.sender, types.EmptyJID)
		if err != nil {
			return err
		}
		p.Senders = sender.ids()
	}
	return c.s.fenced(ctx, func(tx *queue.Tx) error {
		row, err := c.s.c.queries.ActionFind(ctx, tx, p)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find message: %w", err)
		}
		return does(ctx, tx, row.ID, events.MessageRef{MessageID: events.MessagePrefix.Format(row.ID), WhatsAppID: m.id, ChatID: row.ChatID})
	})
}

// moment is a time that the phone tells, or now where that is none that can be shown.
func moment(at time.Time) time.Time {
	now := time.Now()
	if at.Unix() <= 0 || at.After(now.Add(24*time.Hour)) {
		at = now
	}
	return at.UTC()
}

// pin makes events.Pin.
func (c *connection) pin(ctx context.Context, ch change, p events.Pinning) (func(context.Context, *queue.Tx) (events.Message, error), error) {
	t, err := c.targetOf(ctx, ch)
	if err != nil {
		return nil, err
	}
	if t.RevokedAt != nil {
		return nil, &refusal{"message_not_found", "The message was deleted for everybody."}
	}
	message := &waE2E.Message{PinInChatMessage: &waE2E.PinInChatMessage{
		Key: c.client.BuildMessageKey(t.chat, t.sender, t.WhatsappID), Type: waE2E.PinInChatMessage_UNPIN_FOR_ALL.Enum(),
		SenderTimestampMS: proto.Int64(time.Now().UnixMilli()),
	}}
	if p.Seconds > 0 {
		message.PinInChatMessage.Type = waE2E.PinInChatMessage_PIN_FOR_ALL.Enum()
		message.MessageContextInfo = &waE2E.MessageContextInfo{MessageAddOnDurationInSecs: proto.Uint32(uint32(p.Seconds))}
	}
	does := c.pinned(message.PinInChatMessage.GetType(), uint32(p.Seconds))
	at, err := c.act(ctx, t.chat, message, p.WhatsAppID)
	if err != nil {
		return nil, err
	}
	return c.doing(t, at, does), nil
}

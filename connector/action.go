package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// target is a message that something is done to, with the names that WhatsApp has for it.
type target struct {
	db.MessageTargetRow
	chat   types.JID
	sender types.JID // empty: the session's own account
}

// ref names the message in an event.
func (t target) ref() events.MessageRef {
	return events.MessageRef{MessageID: events.MessagePrefix.Format(t.ID), WhatsAppID: t.WhatsappID, ChatID: t.ChatID}
}

// targetOf reads the message that a change is about. One that WhatsApp never got is a refusal: what comes after it in its lane knows how it
// ended.
func (c *connection) targetOf(ctx context.Context, ch change) (t target, err error) {
	id, err := uuid.Parse(ch.target)
	if err != nil {
		return t, fmt.Errorf("parse target: %w", err)
	}
	t.MessageTargetRow, err = c.s.c.queries.MessageTarget(ctx, c.s.c.pool, c.s.id, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, &refusal{"message_not_found", "The message was deleted."}
	}
	if err != nil {
		return t, fmt.Errorf("read message: %w", err)
	}
	if t.Direction == events.Outgoing && !wasSent(events.MessageStatus(t.Status)) {
		return t, &refusal{"message_not_sent", "The message was not sent, it is " + t.Status + "."}
	}
	if t.chat, err = types.ParseJID(t.ChatID); err != nil {
		return t, fmt.Errorf("parse chat id: %w", err)
	}
	if t.SenderID == "" {
		return t, nil
	}
	if t.sender, err = types.ParseJID(t.SenderID); err != nil {
		return t, fmt.Errorf("parse sender id: %w", err)
	}
	t.sender, err = c.participant(ctx, t.chat, t.sender)
	return t, err
}

// participant is how a group names one of its members: by LID where it hides the phones, which is what everybody else in it looks a message up
// by.
func (c *connection) participant(ctx context.Context, chat, who types.JID) (types.JID, error) {
	if chat.Server != types.GroupServer {
		return who, nil
	}
	group, err := c.client.DangerousInternals().GetCachedGroupData(ctx, chat) //nolint:staticcheck // SA1019: what whatsmeow itself sends by
	if err != nil {
		return who, fmt.Errorf("look up group: %w", err)
	}
	switch {
	case group.AddressingMode == types.AddressingModeLID && who.Server == types.DefaultUserServer:
		lid, err := c.device.LIDs.GetLIDForPN(ctx, who)
		if err != nil {
			return who, fmt.Errorf("look up LID: %w", err)
		}
		if !lid.IsEmpty() {
			return lid, nil
		}
	case group.AddressingMode != types.AddressingModeLID && who.Server == types.HiddenUserServer:
		phone, err := c.device.LIDs.GetPNForLID(ctx, who)
		if err != nil {
			return who, fmt.Errorf("look up phone: %w", err)
		}
		if !phone.IsEmpty() {
			return phone, nil
		}
	}
	return who, nil
}

// act sends what is done to a message, under its own id, and returns when WhatsApp took it.
func (c *connection) act(ctx context.Context, to types.JID, message *waE2E.Message, id string) (time.Time, error) {
	if err := c.findLID(ctx, to); err != nil {
		return time.Time{}, err
	}
	resp, err := c.client.SendMessage(ctx, to, message, whatsmeow.SendRequestExtra{ID: id, Timeout: c.s.c.pace.ack})
	if err != nil {
		return time.Time{}, c.notSent(ctx, to, fmt.Errorf("send: %w", err))
	}
	return resp.Timestamp, nil
}

// own is the session's account as an address.
func (c *connection) own(v db.MessageView) events.Address {
	return postgres.OwnAddress(v.OwnPhone, v.OwnLid, v.OwnName)
}

// shown is a message as it is now, in its public form.
func (c *connection) shown(ctx context.Context, tx *queue.Tx, id uuid.UUID) (db.MessageView, events.Message, error) {
	v, err := c.s.c.queries.MessageShow(ctx, tx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, events.Message{}, &refusal{"message_not_found", "The message was deleted."}
	}
	if err != nil {
		return v, events.Message{}, fmt.Errorf("read message: %w", err)
	}
	m, err := postgres.Message(v, c.s.c.cfg.PublicURL)
	return v, m, err
}

// react makes events.React.
func (c *connection) react(ctx context.Context, ch change, p events.Reacting) (func(context.Context, *queue.Tx) (events.Message, error), error) {
	t, err := c.targetOf(ctx, ch)
	if err != nil {
		return nil, err
	}
	to := t.chat
	if to == types.StatusBroadcastJID { // only its author gets it
		to = t.sender
	}
	at, err := c.act(ctx, to, c.client.BuildReaction(t.chat, t.sender, t.WhatsappID, p.Emoji), p.WhatsAppID)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Message, error) {
		v, m, err := c.shown(ctx, tx, t.ID)
		if err != nil {
			return m, err
		}
		data := events.ReactionData{MessageRef: t.ref(), From: c.own(v), Direction: events.Outgoing, Emoji: p.Emoji, At: at}
		return m, c.keepReaction(ctx, tx, t.ID, "", data)
	}, nil
}

// keepReaction writes a reaction and tells of it, unless it was there already or a newer one is. sender is "" for the session's own account.
func (c *connection) keepReaction(ctx context.Context, tx *queue.Tx, message uuid.UUID, sender string, data events.ReactionData) error {
	_, err := c.s.c.queries.ReactionPut(ctx, tx, message, sender, data.Emoji, data.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write reaction: %w", err)
	}
	_, err = events.Publish(tx, events.MessageReaction, c.s.id, data.ChatID, data.At, data)
	return err
}

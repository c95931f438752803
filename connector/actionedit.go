package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// did writes what the account did to a message from here, and publishes its event, as if its phone had done it. It returns the message before it.
func (c *connection) did(ctx context.Context, tx *queue.Tx, t target, at time.Time, does effect) (v db.MessageView, err error) {
	if _, err := c.s.c.queries.ActionLock(ctx, tx, c.s.id, t.ID); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return v, fmt.Errorf("lock message: %w", err)
	}
	if v, _, err = c.shown(ctx, tx, t.ID); err != nil {
		return v, err
	}
	return v, does(ctx, tx, addOn{
		row: db.AddOnTargetRow{MessageID: &t.ID, ChatID: v.ChatID, Type: v.Type, Content: v.Content, Context: v.Context},
		ref: t.ref(), who: c.own(v), direction: events.Outgoing, at: at.UTC(),
	})
}

// doing is did as what is written with the end of a change, which returns the message as it is then.
func (c *connection) doing(t target, at time.Time, does effect) func(context.Context, *queue.Tx) (events.Message, error) {
	return func(ctx context.Context, tx *queue.Tx) (m events.Message, err error) {
		if _, err = c.did(ctx, tx, t, at, does); err == nil {
			_, m, err = c.shown(ctx, tx, t.ID)
		}
		return m, err
	}
}

// edit makes events.Edit. One that was tried before may have been made in time, so that its time is not looked at again.
func (c *connection) edit(ctx context.Context, ch change, p events.Editing) (func(context.Context, *queue.Tx) (events.Message, error), error) {
	t, err := c.targetOf(ctx, ch)
	if err != nil {
		return nil, err
	}
	switch {
	case t.Direction != events.Outgoing:
		return nil, &refusal{"message_not_editable", "Only the account's own messages can be edited."}
	case t.RevokedAt != nil:
		return nil, &refusal{"message_not_editable", "The message was deleted for everybody."}
	}
	if window, words := events.EditableFor(t.ChatID); !p.CancelEvent && !ch.begun && time.Since(t.Timestamp) > window {
		return nil, &refusal{"message_not_editable", "The message was sent more than " + words + " ago."}
	}
	says, message, err := c.revise(ctx, t, p)
	if err != nil {
		return nil, err
	}
	does, err := c.edited(ctx, says)
	if err != nil {
		return nil, err
	}
	at, err := c.act(ctx, t.chat, message, p.WhatsAppID)
	if err != nil {
		return nil, err
	}
	return c.doing(t, at, does), nil
}

// revise makes the new form of a message, and what is sent to make it so.
func (c *connection) revise(ctx context.Context, t target, p events.Editing) (says, message *waE2E.Message, err error) {
	raw, err := c.s.openRaw(t.Raw)
	if err != nil {
		return nil, nil, err
	}
	original := &waE2E.Message{}
	if err := proto.Unmarshal(raw, original); err != nil {
		return nil, nil, fmt.Errorf("parse message: %w", err)
	}
	original, _ = unwrap(original)
	if !p.CancelEvent {
		if says = reworded(original, p.Text); says == nil && t.Type == events.ContentText {
			says = &waE2E.Message{Conversation: &p.Text}
		}
		if says == nil {
			return nil, nil, &refusal{"message_not_editable", "WhatsApp's form of the message is not kept here, of which the edit is made."}
		}
		return says, c.client.BuildEdit(t.chat, t.WhatsappID, says), nil
	}
	if original.GetEventMessage() == nil {
		return nil, nil, &refusal{"message_not_editable", "WhatsApp's form of the event is not kept here, of which the edit is made."}
	}
	event := proto.CloneOf(original.GetEventMessage())
	event.IsCanceled, event.ContextInfo = proto.Bool(true), nil
	says = &waE2E.Message{EventMessage: event}
	sealed, nonce, info, err := c.seal(ctx, t, whatsmeow.EncSecretEventEdit, says)
	if err != nil {
		return nil, nil, err
	}
	return says, &waE2E.Message{SecretEncryptedMessage: &waE2E.SecretEncryptedMessage{
		TargetMessageKey: c.client.BuildMessageKey(info.Chat, info.Sender, t.WhatsappID), EncPayload: sealed, EncIV: nonce,
		SecretEncType: waE2E.SecretEncryptedMessage_EVENT_EDIT.Enum(),
	}}, nil
}

// reworded is a message with another text or caption; nil for one that has neither. Who is mentioned stays so where the new text names him; a
// link's preview stays with its link; what it quotes stays in the original alone.
func reworded(original *waE2E.Message, text string) *waE2E.Message {
	m := proto.CloneOf(original)
	m.MessageContextInfo = nil
	old := contextInfo(m)
	switch {
	case m.Conversation != nil:
		m.Conversation = &text
	case m.ExtendedTextMessage != nil:
		link := m.ExtendedTextMessage
		if link.GetMatchedText() == "" || !strings.Contains(text, link.GetMatchedText()) {
			link = &waE2E.ExtendedTextMessage{TextArgb: link.TextArgb, BackgroundArgb: link.BackgroundArgb, Font: link.Font}
		}
		link.Text = &text
		m.ExtendedTextMessage = link
	case m.ImageMessage != nil:
		m.ImageMessage.Caption = &text
	case m.VideoMessage != nil:
		m.VideoMessage.Caption = &text
	case m.DocumentMessage != nil:
		m.DocumentMessage.Caption = &text
	default:
		return nil
	}
	var kept *waE2E.ContextInfo
	if old != nil {
		kept = &waE2E.ContextInfo{NonJIDMentions: old.NonJIDMentions, Expiration: old.Expiration}
		for _, mention := range old.GetMentionedJID() {
			if jid, err := types.ParseJID(mention); err == nil && strings.Contains(text, "@"+jid.User) {
				kept.MentionedJID = append(kept.MentionedJID, mention)
			}
		}
	}
	return enclosed(withContext(m, kept))
}

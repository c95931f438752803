package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// deleteMessage makes events.Delete. For everybody, twice is once.
func (c *connection) deleteMessage(ctx context.Context, ch change, p events.Deleting) (func(context.Context, *queue.Tx) (events.RevokedData, error), error) {
	if p.ForMe {
		return c.deleteForMe(ctx, ch, p)
	}
	t, err := c.targetOf(ctx, ch)
	if err != nil {
		return nil, err
	}
	at := time.Now()
	switch {
	case t.RevokedAt != nil:
		return func(ctx context.Context, tx *queue.Tx) (events.RevokedData, error) {
			return events.RevokedData{MessageRef: t.ref(), At: *t.RevokedAt}, nil
		}, nil
	case t.Direction == events.Outgoing:
		if window, words := events.RevocableFor(t.ChatID); !ch.begun && time.Since(t.Timestamp) > window {
			return nil, &refusal{"message_not_revocable", "The message was sent more than " + words + " ago."}
		}
	case t.chat.Server != types.GroupServer:
		return nil, &refusal{"message_not_revocable", "Only its sender can delete a message of a person for everybody."}
	default:
		if err := c.administers(ctx, t.chat); err != nil {
			return nil, err
		}
	}
	if at, err = c.act(ctx, t.chat, c.client.BuildRevoke(t.chat, t.sender, t.WhatsappID), p.WhatsAppID); err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.RevokedData, error) {
		v, err := c.did(ctx, tx, t, at, c.revoked)
		own := c.own(v)
		return events.RevokedData{MessageRef: t.ref(), By: &own, At: at.UTC()}, err
	}, nil
}

// administers is a refusal unless the account is an admin of a group. WhatsApp's server would refuse too, but say no more than a code.
func (c *connection) administers(ctx context.Context, group types.JID) error {
	info, err := c.client.GetGroupInfo(ctx, group)
	switch {
	case errors.Is(err, whatsmeow.ErrNotInGroup), errors.Is(err, whatsmeow.ErrGroupNotFound):
		return &refusal{"not_in_group", "The account is not in this group."}
	case err != nil:
		return fmt.Errorf("look up group: %w", err)
	}
	phone, lid := c.device.GetJID().User, c.device.GetLID().User
	for _, p := range info.Participants {
		if (p.IsAdmin || p.IsSuperAdmin) && (p.JID.User == phone || p.JID.User == lid || p.PhoneNumber.User == phone) {
			return nil
		}
	}
	return &refusal{"not_group_admin", "Only an admin of the group can delete what others wrote."}
}

// deleteForMe deletes a message on all devices of the account. whatsmeow tells of it like of what the phone does, so that the row may be gone
// before this is told to be done.
func (c *connection) deleteForMe(ctx context.Context, ch change, p events.Deleting) (func(context.Context, *queue.Tx) (events.RevokedData, error), error) {
	done := events.RevokedData{MessageRef: p.Message, At: time.Now().UTC()}
	t, err := c.targetOf(ctx, ch)
	var known *refusal
	if ch.begun && errors.As(err, &known) && known.code == "message_not_found" {
		return func(context.Context, *queue.Tx) (events.RevokedData, error) { return done, nil }, nil
	}
	if err != nil {
		return nil, err
	}
	own, author := "0", "0" // the author is named in groups alone, and not for what is the account's own
	if t.Direction == events.Outgoing {
		own = "1"
	} else if t.chat.Server == types.GroupServer {
		author = t.sender.String()
	}
	err = c.sendAppState(ctx, appstate.PatchInfo{Type: appstate.WAPatchRegularHigh, Mutations: []appstate.MutationInfo{{
		Index: []string{appstate.IndexDeleteMessageForMe, t.chat.String(), t.WhatsappID, own, author}, Version: 3, // as Baileys has it (chat-utils.ts)
		Value: &waSyncAction.SyncActionValue{DeleteMessageForMeAction: &waSyncAction.DeleteMessageForMeAction{
			DeleteMedia: proto.Bool(true), MessageTimestamp: proto.Int64(t.Timestamp.Unix()),
		}},
	}}})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.RevokedData, error) {
		return done, c.forget(ctx, tx, t.ID, done)
	}, nil
}

// forget deletes a message here and tells of it, once.
func (c *connection) forget(ctx context.Context, tx *queue.Tx, id uuid.UUID, data events.RevokedData) error {
	gone, err := c.s.c.queries.ActionDelete(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("delete message: %w", err)
	}
	if gone == 0 {
		return nil
	}
	_, err = events.Publish(tx, events.MessageDeleted, c.s.id, data.ChatID, data.At, data)
	return err
}

// deletedForMe takes that a message was deleted for the account, on the phone or from here.
func (c *connection) deletedForMe(ctx context.Context, e *waevents.DeleteForMe) error {
	m := mark{e.ChatJID, e.SenderJID, e.MessageID, e.IsFromMe}
	return c.marked(ctx, m, func(ctx context.Context, tx *queue.Tx, id uuid.UUID, ref events.MessageRef) error {
		return c.forget(ctx, tx, id, events.RevokedData{MessageRef: ref, At: moment(e.Timestamp)})
	})
}

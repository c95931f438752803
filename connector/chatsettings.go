package connector

import (
	"context"
	"fmt"
	"math"
	"time"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// What is set on the phone, or on another device, comes as mutations of app state. Those that come with all of it, when a device is linked or
// whatsmeow has to begin anew, are written and not told: nothing has changed at that moment.

// settingOf is the chat that a mutation of app state is about; false where there is nothing to do for it: this connection's own, or what is no
// chat here.
func (c *connection) settingOf(ctx context.Context, jid types.JID, at time.Time) (id string, ok bool, err error) {
	if c.echoes.own(at, jid.String()) {
		return "", false, nil
	}
	switch jid.Server {
	case types.DefaultUserServer, types.HiddenUserServer, types.GroupServer:
	default:
		return "", false, nil
	}
	if jid.User == "" {
		return "", false, nil
	}
	chat, err := c.address(ctx, jid, types.EmptyJID)
	return chat.id, err == nil, err
}

// set writes what a mutation of app state sets for a chat.
func (c *connection) set(ctx context.Context, jid types.JID, at time.Time, full bool, set func(*db.Chat)) error {
	id, ok, err := c.settingOf(ctx, jid, at)
	if err != nil || !ok {
		return err
	}
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error { return c.setChat(ctx, tx, id, !full, set) })
}

func (c *connection) chatArchived(ctx context.Context, e *waevents.Archive) error {
	return c.set(ctx, e.JID, e.Timestamp, e.FromFullSync, func(chat *db.Chat) { chat.Archived = e.Action.GetArchived() })
}

func (c *connection) chatPinned(ctx context.Context, e *waevents.Pin) error {
	return c.set(ctx, e.JID, e.Timestamp, e.FromFullSync, func(chat *db.Chat) {
		setPinned(chat, e.Action.GetPinned())
		if chat.PinnedAt != nil && e.FromFullSync && e.Timestamp.Unix() > 0 {
			chat.PinnedAt = past(uint64(e.Timestamp.Unix()))
		}
	})
}

func (c *connection) chatMuted(ctx context.Context, e *waevents.Mute) error {
	var until *time.Time
	if e.Action.GetMuted() {
		until = mutedUntil(e.Action.GetMuteEndTimestamp())
	}
	return c.set(ctx, e.JID, e.Timestamp, e.FromFullSync, func(chat *db.Chat) { chat.MutedUntil = until })
}

// mutedUntil reads until when a chat is muted, in milliseconds; without an end, or one beyond what a time can be, it is for good.
func mutedUntil(ms int64) *time.Time {
	until := events.MutedForGood
	if ms > 0 && ms < until.UnixMilli() {
		until = time.UnixMilli(ms)
	}
	return &until
}

// chatMarked takes that a chat was marked as read, up to its newest message then, or as unread. Without that message it is all that is
// there, or, where it is told again, what was there when it was marked.
func (c *connection) chatMarked(ctx context.Context, e *waevents.MarkChatAsRead) error {
	id, ok, err := c.settingOf(ctx, e.JID, e.Timestamp)
	if err != nil || !ok {
		return err
	}
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		var failed error
		err := c.setChat(ctx, tx, id, !e.FromFullSync, func(chat *db.Chat) {
			chat.MarkedUnread = !e.Action.GetRead()
			if !e.Action.GetRead() || chat.Unread == 0 {
				return
			}
			until := e.Action.GetMessageRange().GetLastMessageTimestamp()
			if until <= 0 && c.states.again() {
				until = e.Timestamp.Unix()
			}
			if until <= 0 {
				chat.Unread = 0
				return
			}
			left, err := c.s.c.queries.ChatUnreadSince(ctx, tx, *past(uint64(until)), c.s.id, id, chat.Unread)
			chat.Unread, failed = left, err
		})
		if failed != nil {
			return fmt.Errorf("count unread messages: %w", failed)
		}
		return err
	})
}

// timerSet takes the message by which one of the two sets a chat's timer; false for any other.
func (c *connection) timerSet(ctx context.Context, e *waevents.Message) (bool, error) {
	m := e.Message.GetProtocolMessage()
	if m == nil || m.GetType() != waE2E.ProtocolMessage_EPHEMERAL_SETTING || e.Info.IsGroup {
		return false, nil
	}
	switch e.Info.Chat.Server {
	case types.DefaultUserServer, types.HiddenUserServer:
	default:
		return true, nil
	}
	alt := e.Info.RecipientAlt
	if !e.Info.IsFromMe {
		alt = e.Info.SenderAlt
	}
	chat, err := c.address(ctx, e.Info.Chat, alt)
	if err != nil {
		return true, err
	}
	return true, c.setTimer(ctx, chat.id, m.GetEphemeralExpiration())
}

func (c *connection) setTimer(ctx context.Context, chat string, seconds uint32) error {
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		return c.setChat(ctx, tx, chat, true, func(row *db.Chat) { row.DisappearingSeconds = int32(min(seconds, math.MaxInt32)) })
	})
}

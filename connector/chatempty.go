package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// emptyMost is how many messages one transaction deletes.
const emptyMost = 500

// clearChat makes events.ClearChat, and deleteChat events.DeleteChat. The phone keeps the files of the messages, as it does unless its owner
// asks for more.
func (c *connection) clearChat(ctx context.Context, ch change, _ struct{}) (func(context.Context, *queue.Tx) (events.Chat, error), error) {
	return c.empty(ctx, ch, false)
}

func (c *connection) deleteChat(ctx context.Context, ch change, _ struct{}) (func(context.Context, *queue.Tx) (events.Chat, error), error) {
	return c.empty(ctx, ch, true)
}

func (c *connection) empty(ctx context.Context, ch change, deleted bool) (func(context.Context, *queue.Tx) (events.Chat, error), error) {
	chat, err := types.ParseJID(ch.chat)
	if err != nil {
		return nil, fmt.Errorf("parse chat id: %w", err)
	}
	before, err := c.chat(ctx, c.s.c.pool, ch.chat)
	if err != nil {
		return nil, err
	}
	x, err := c.extentOf(ctx, chat)
	if err != nil {
		return nil, err
	}
	if x.at.IsZero() {
		x.at = time.Now()
	}
	patch := appstate.BuildDeleteChat(x.jid, x.at, x.key, false)
	if !deleted {
		patch = buildClearChat(x)
	}
	if err := c.sendAppState(ctx, patch); err != nil {
		return nil, err
	}
	if err := c.s.empty(ctx, events.EmptyChatCommand{SessionID: c.s.id, ChatID: ch.chat, Before: secondAfter(x.at), Deleted: deleted}); err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Chat, error) {
		if deleted {
			return before, nil
		}
		return c.chat(ctx, tx, ch.chat)
	}, nil
}

// buildClearChat makes a patch that whatsmeow has no builder for. The index and version are those that Baileys writes (chat-utils.ts): the
// starred messages go too, and the files of messages stay on the phone.
func buildClearChat(x extent) appstate.PatchInfo {
	span := &waSyncAction.SyncActionMessageRange{LastMessageTimestamp: proto.Int64(x.at.Unix())}
	if x.key != nil {
		span.Messages = []*waSyncAction.SyncActionMessage{{Key: x.key, Timestamp: proto.Int64(x.at.Unix())}}
	}
	return appstate.PatchInfo{Type: appstate.WAPatchRegularHigh, Mutations: []appstate.MutationInfo{{
		Index: []string{appstate.IndexClearChat, x.jid.String(), "1", "0"}, Version: 6,
		Value: &waSyncAction.SyncActionValue{ClearChatAction: &waSyncAction.ClearChatAction{MessageRange: span}},
	}}}
}

// secondAfter is the end of a second: WhatsApp's clock counts whole ones.
func secondAfter(at time.Time) time.Time { return at.Truncate(time.Second).Add(time.Second) }

// emptied takes the news that a chat was emptied or deleted on the phone. That may be many messages: a command deletes them.
func (c *connection) emptied(ctx context.Context, jid types.JID, span *waSyncAction.SyncActionMessageRange, at time.Time, deleted bool) error {
	chat, ok, err := c.settingOf(ctx, jid, at)
	if err != nil || !ok {
		return err
	}
	if seconds := span.GetLastMessageTimestamp(); seconds > 0 {
		at = *past(uint64(seconds))
	}
	payload, err := json.Marshal(events.EmptyChatCommand{SessionID: c.s.id, ChatID: chat, Before: secondAfter(at), Deleted: deleted})
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	return c.s.fenced(ctx, func(tx *queue.Tx) error {
		_, err := c.s.c.queries.ChatGet(ctx, tx, c.s.id, chat)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read chat: %w", err)
		}
		tx.Publish(events.TopicCommands, queue.Message{
			Lane: events.ChangeLane(c.s.id), Session: c.s.id, Payload: payload, Metadata: map[string]string{events.MetaCommand: events.CommandEmptyChat},
		})
		return nil
	})
}

// emptyChat handles the command for a chat that was emptied on the phone. Failure policy: what the database does not take is tried again, in
// order and without counting.
func (s *session) emptyChat(ctx context.Context, cmd events.EmptyChatCommand) (string, error) {
	if err := s.empty(ctx, cmd); err != nil {
		return s.again(err)
	}
	return "done", nil
}

// empty deletes messages of a chat, in batches, and with Deleted the chat. It may be repeated after a crash: what is told is told with the last
// batch, or with the chat's end.
func (s *session) empty(ctx context.Context, cmd events.EmptyChatCommand) error {
	for more := true; more; {
		err := s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
			n, err := s.c.queries.MessageEmpty(ctx, tx, s.id, cmd.ChatID, cmd.Before, emptyMost)
			if err != nil {
				return fmt.Errorf("delete messages: %w", err)
			}
			if more, err = s.c.queries.MessageLeft(ctx, tx, s.id, cmd.ChatID, cmd.Before); err != nil {
				return fmt.Errorf("look for more messages: %w", err)
			}
			if more || n == 0 && !cmd.Deleted {
				return nil
			}
			return s.endChat(ctx, tx, cmd, n > 0)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// endChat tells that a chat has lost its messages, or removes it and tells that. One in which something was written since stays.
func (s *session) endChat(ctx context.Context, tx *queue.Tx, cmd events.EmptyChatCommand, emptied bool) error {
	row, err := s.c.queries.ChatLock(ctx, tx, s.id, cmd.ChatID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read chat: %w", err)
	}
	view, err := s.c.queries.ChatGet(ctx, tx, s.id, cmd.ChatID)
	if err != nil {
		return fmt.Errorf("read chat: %w", err)
	}
	if cmd.Deleted {
		n, err := s.c.queries.ChatRemove(ctx, tx, s.id, cmd.ChatID)
		if err != nil {
			return fmt.Errorf("delete chat: %w", err)
		}
		if n > 0 {
			view.Unread, view.MarkedUnread = 0, false
			return s.tellChat(tx, events.ChatData{Chat: postgres.Chat(view), Cleared: emptied, Deleted: true})
		}
	}
	if !emptied {
		return nil
	}
	left, err := s.c.queries.ChatUnreadSince(ctx, tx, cmd.Before.Add(-time.Second), s.id, cmd.ChatID, row.Unread)
	if err != nil {
		return fmt.Errorf("count unread messages: %w", err)
	}
	view.Unread = left
	if err := s.c.queries.ChatWrite(ctx, tx, db.ChatWriteParams{
		SessionID: s.id, ID: row.ID, Archived: row.Archived, PinnedAt: row.PinnedAt, MutedUntil: row.MutedUntil, Unread: left,
		MarkedUnread: row.MarkedUnread, DisappearingSeconds: row.DisappearingSeconds,
	}); err != nil {
		return fmt.Errorf("write chat: %w", err)
	}
	return s.tellChat(tx, events.ChatData{Chat: postgres.Chat(view), Cleared: true})
}

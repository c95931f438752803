package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// setChat changes a chat's settings. With tell it publishes chat.updated if any did change. A chat that nobody knows is made where it gets a
// setting that is not the usual one.
func (c *connection) setChat(ctx context.Context, tx *queue.Tx, id string, tell bool, set func(*db.Chat)) error {
	s := c.s
	row, err := s.c.queries.ChatLock(ctx, tx, s.id, id)
	if errors.Is(err, pgx.ErrNoRows) {
		before := db.Chat{SessionID: s.id, ID: id, Kind: string(events.KindOf(id))}
		after := before
		if set(&after); sameSettings(before, after) {
			return nil
		}
		if _, err := s.c.queries.ChatEnsure(ctx, tx, s.id, id, before.Kind); err != nil {
			return fmt.Errorf("make chat: %w", err)
		}
		row, err = s.c.queries.ChatLock(ctx, tx, s.id, id)
	}
	if err != nil {
		return fmt.Errorf("read chat: %w", err)
	}
	after := row
	if set(&after); sameSettings(row, after) {
		return nil
	}
	if err := s.c.queries.ChatWrite(ctx, tx, db.ChatWriteParams{
		SessionID: s.id, ID: id, Archived: after.Archived, PinnedAt: after.PinnedAt, MutedUntil: after.MutedUntil, Unread: after.Unread,
		MarkedUnread: after.MarkedUnread, DisappearingSeconds: after.DisappearingSeconds,
	}); err != nil {
		return fmt.Errorf("write chat: %w", err)
	}
	if !tell {
		return nil
	}
	chat, err := c.chat(ctx, tx, id)
	if err != nil {
		return err
	}
	return s.tellChat(tx, events.ChatData{Chat: chat})
}

// sameSettings says whether two states of a chat show the same.
func sameSettings(a, b db.Chat) bool {
	same := func(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }
	return a.Archived == b.Archived && same(a.PinnedAt, b.PinnedAt) && same(a.MutedUntil, b.MutedUntil) && a.Unread == b.Unread &&
		a.MarkedUnread == b.MarkedUnread && a.DisappearingSeconds == b.DisappearingSeconds
}

// setPinned pins a chat, since now unless it is pinned already.
func setPinned(chat *db.Chat, pinned bool) {
	switch {
	case !pinned:
		chat.PinnedAt = nil
	case chat.PinnedAt == nil:
		now := time.Now()
		chat.PinnedAt = &now
	}
}

// tellChat publishes chat.updated.
func (s *session) tellChat(tx *queue.Tx, data events.ChatData) error {
	_, err := events.Publish(tx, events.ChatUpdated, s.id, data.Chat.ID, time.Now(), data)
	return err
}

// chat is the public form of a chat; of one that is gone, its address.
func (c *connection) chat(ctx context.Context, from db.DBTX, id string) (events.Chat, error) {
	return c.s.chat(ctx, from, id)
}

func (s *session) chat(ctx context.Context, from db.DBTX, id string) (events.Chat, error) {
	row, err := s.c.queries.ChatGet(ctx, from, s.id, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return events.Chat{Address: events.NewAddress(id, "", "", ""), Labels: []string{}}, nil
	}
	if err != nil {
		return events.Chat{}, fmt.Errorf("read chat: %w", err)
	}
	return postgres.Chat(row), nil
}

// extent is how far a change of a whole chat goes: to its newest message.
type extent struct {
	jid types.JID // as the app state names the chat
	at  time.Time // zero in a chat without a message
	key *waCommon.MessageKey
}

// extentOf reads how far a change of a chat goes now.
func (c *connection) extentOf(ctx context.Context, chat types.JID) (x extent, err error) {
	if x.jid, err = c.stateJID(ctx, chat); err != nil {
		return x, err
	}
	m, err := c.s.c.queries.ChatNewest(ctx, c.s.c.pool, c.s.id, chat.String())
	if errors.Is(err, pgx.ErrNoRows) {
		return x, nil
	}
	if err != nil {
		return x, fmt.Errorf("read newest message: %w", err)
	}
	x.at = m.Timestamp
	x.key = &waCommon.MessageKey{RemoteJID: proto.String(x.jid.String()), FromMe: proto.Bool(m.Direction == events.Outgoing), ID: &m.WhatsappID}
	if m.Direction == events.Incoming && chat.Server == types.GroupServer {
		sender, err := types.ParseJID(m.SenderID)
		if err != nil {
			return x, fmt.Errorf("parse sender id: %w", err)
		}
		if sender, err = c.participant(ctx, chat, sender); err != nil {
			return x, err
		}
		x.key.Participant = proto.String(sender.String())
	}
	return x, nil
}

// updateChat makes events.UpdateChat. What was done is written also where the rest fails.
func (c *connection) updateChat(ctx context.Context, ch change, p events.ChatChange) (func(context.Context, *queue.Tx) (events.Chat, error), error) {
	var done []func(*db.Chat)
	err := c.updateSettings(ctx, ch, p, func(set func(*db.Chat)) { done = append(done, set) })
	all := func(chat *db.Chat) {
		for _, set := range done {
			set(chat)
		}
	}
	if err == nil {
		return c.writeChat(ch.chat, all), nil
	}
	if len(done) > 0 {
		failed := c.s.inTx(context.WithoutCancel(ctx), func(ctx context.Context, tx *queue.Tx) error {
			return c.setChat(ctx, tx, ch.chat, true, all)
		})
		err = errors.Join(err, failed)
	}
	return nil, err
}

// writeChat is what is written with the end of a change of a chat's settings.
func (c *connection) writeChat(id string, set func(*db.Chat)) func(context.Context, *queue.Tx) (events.Chat, error) {
	return func(ctx context.Context, tx *queue.Tx) (events.Chat, error) {
		if err := c.setChat(ctx, tx, id, true, set); err != nil {
			return events.Chat{}, err
		}
		return c.chat(ctx, tx, id)
	}
}

// updateSettings changes at WhatsApp what is asked, and notes each part that is done. All of it may be repeated.
func (c *connection) updateSettings(ctx context.Context, ch change, p events.ChatChange, done func(func(*db.Chat))) error {
	chat, err := types.ParseJID(ch.chat)
	if err != nil {
		return fmt.Errorf("parse chat id: %w", err)
	}
	x, err := c.extentOf(ctx, chat)
	if err != nil {
		return err
	}
	patch := appstate.PatchInfo{Type: appstate.WAPatchRegularLow}
	add := func(more appstate.PatchInfo) { patch.Mutations = append(patch.Mutations, more.Mutations...) }
	if p.Archived != nil {
		add(appstate.BuildArchive(x.jid, *p.Archived, x.at, x.key)) // which unpins it, as the phone does
	}
	if p.Pinned != nil && (*p.Pinned || p.Archived == nil || !*p.Archived) {
		add(appstate.BuildPin(x.jid, *p.Pinned))
	}
	var read int32
	if p.Unread != nil {
		if !*p.Unread {
			if read, err = c.sendReceipts(ctx, chat); err != nil {
				return err
			}
		}
		add(appstate.BuildMarkChatAsRead(x.jid, !*p.Unread, x.at, x.key))
	}
	if len(patch.Mutations) > 0 {
		if err := c.sendAppState(ctx, patch); err != nil {
			return err
		}
		done(func(chat *db.Chat) {
			if p.Archived != nil {
				chat.Archived = *p.Archived
				if *p.Archived {
					chat.PinnedAt = nil
				}
			}
			if p.Pinned != nil {
				setPinned(chat, *p.Pinned)
			}
			if p.Unread != nil {
				chat.MarkedUnread = *p.Unread
				chat.Unread = max(0, chat.Unread-read)
			}
		})
	}
	if p.Unmute || p.MutedUntil != nil {
		var until *int64 // nil: for good
		if p.MutedUntil != nil && p.MutedUntil.Before(events.MutedForGood) {
			until = proto.Int64(p.MutedUntil.UnixMilli())
		}
		if err := c.sendAppState(ctx, appstate.BuildMuteAbs(x.jid, !p.Unmute, until)); err != nil {
			return err
		}
		done(func(chat *db.Chat) { chat.MutedUntil = p.MutedUntil })
	}
	if p.DisappearingSeconds != nil {
		if err := c.sendTimer(ctx, chat, *p.DisappearingSeconds, ch.created, p.WhatsAppID); err != nil {
			return err
		}
		done(func(chat *db.Chat) { chat.DisappearingSeconds = int32(*p.DisappearingSeconds) })
	}
	return nil
}

// sendTimer sets after how many seconds messages of a chat disappear. To a person that is a message (SetDisappearingTimer in whatsmeow's
// send.go), which goes out under an id of its own: repeated after a crash, it is shown once.
func (c *connection) sendTimer(ctx context.Context, chat types.JID, seconds int, at time.Time, id string) error {
	if chat.Server == types.GroupServer {
		if err := c.client.SetDisappearingTimer(ctx, chat, time.Duration(seconds)*time.Second, at); err != nil {
			return fmt.Errorf("set timer of group: %w", err)
		}
		return nil
	}
	_, err := c.act(ctx, chat, &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type:                waE2E.ProtocolMessage_EPHEMERAL_SETTING.Enum(),
		EphemeralExpiration: proto.Uint32(uint32(seconds)), EphemeralSettingTimestamp: proto.Int64(at.Unix()),
	}}, id)
	return err
}

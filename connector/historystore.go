package connector

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/proto/waWeb"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// historyBatch is how many messages, chats or names one transaction writes.
	historyBatch = 300
	// mostUnread bounds the unread messages of a chat that a phone tells.
	mostUnread = 1_000_000
)

// pastMessage is a message of the history, ready to be written.
type pastMessage struct {
	db.MessageReceiveParams
	starred   bool
	media     *db.Media
	reactions []pastReaction
}

type pastReaction struct {
	sender, emoji string
	at            time.Time
}

// historian stores one part of the history.
type historian struct {
	c         *connection
	part      uuid.UUID
	kind      waHistorySync.HistorySync_HistorySyncType
	addresses map[types.JID]address
	messages  []pastMessage // that are not written yet
}

// storeHistory writes a part of the history, apart from what comes live: chats, names, and messages in batches, without an event for each. It
// may be repeated.
func (c *connection) storeHistory(ctx context.Context, part uuid.UUID, past *waHistorySync.HistorySync) (told events.HistoryData, err error) {
	h := &historian{c: c, part: part, kind: past.GetSyncType(), addresses: map[types.JID]address{}}
	told = events.HistoryData{Kind: historyKind(h.kind), Progress: int(min(past.GetProgress(), 100))}
	if err := h.storeNames(ctx, past.GetPushnames()); err != nil {
		return told, err
	}
	type known struct {
		chat address
		of   *waHistorySync.Conversation
	}
	var chats []known
	for _, conversation := range past.GetConversations() {
		chat, ok, err := h.chat(ctx, conversation)
		if err != nil {
			return told, err
		}
		if ok {
			chats = append(chats, known{chat, conversation})
		}
	}
	told.Chats = len(chats)
	if h.kind == waHistorySync.HistorySync_ON_DEMAND && len(chats) > 0 {
		told.ChatID = chats[0].chat.id
	}
	for batch := range slices.Chunk(chats, historyBatch) {
		err := c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
			for _, k := range batch {
				if err := h.storeChat(ctx, tx, k.chat, k.of); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return told, err
		}
	}
	for _, k := range chats {
		if err := h.storeMessages(ctx, k.chat, k.of.GetMessages()); err != nil {
			return told, err
		}
	}
	return told, h.flush(ctx)
}

// address is connection.address, asked once for everybody.
func (h *historian) address(ctx context.Context, jid, alt types.JID) (a address, err error) {
	a, ok := h.addresses[jid]
	if !ok {
		if a, err = h.c.address(ctx, jid, alt); err == nil {
			h.addresses[jid] = a
		}
	}
	return a, err
}

// chat is the chat that a conversation is; false for status updates and channels.
func (h *historian) chat(ctx context.Context, c *waHistorySync.Conversation) (address, bool, error) {
	jid, err := types.ParseJID(c.GetID())
	if err == nil && h.c.s.ignores(jid) {
		return address{}, false, nil
	}
	if err != nil || jid.User == "" || printable(c.GetID()) != c.GetID() || len(c.GetID()) > maxID {
		return address{}, false, nil //nolint:nilerr // what is no address is nobody's chat
	}
	var alt types.JID
	switch jid.Server {
	case types.DefaultUserServer:
		alt, _ = types.ParseJID(c.GetLidJID()) // empty where it is none
	case types.HiddenUserServer:
		alt, _ = types.ParseJID(c.GetPnJID())
	case types.GroupServer:
	default:
		return address{}, false, nil
	}
	a, err := h.address(ctx, jid, alt)
	return a, err == nil, err
}

// storeNames writes what people call themselves.
func (h *historian) storeNames(ctx context.Context, names []*waHistorySync.Pushname) error {
	for batch := range slices.Chunk(names, historyBatch) {
		err := h.c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
			for _, n := range batch {
				jid, err := types.ParseJID(n.GetID())
				if err != nil || jid.User == "" || printable(n.GetID()) != n.GetID() || events.KindOf(jid.String()) != events.KindUser {
					continue
				}
				if own := h.c.device.ID; own != nil && jid.User == own.User {
					continue
				}
				who, err := h.address(ctx, jid, types.EmptyJID)
				if err != nil {
					return err
				}
				if err := h.storeContact(ctx, tx, who, n.GetPushname()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *historian) storeContact(ctx context.Context, tx *queue.Tx, who address, name string) error {
	err := h.c.s.c.queries.HistoryContact(ctx, tx, db.HistoryContactParams{SessionID: h.c.s.id, ID: who.id, Phone: who.phone, Lid: who.lid, Name: pushName(name)})
	if err != nil {
		return fmt.Errorf("write contact: %w", err)
	}
	return nil
}

// storeChat writes a chat as the phone has it. Only the first part of a history adds to a chat that is known: the later ones are as old, and
// what is set meanwhile is newer.
func (h *historian) storeChat(ctx context.Context, tx *queue.Tx, chat address, c *waHistorySync.Conversation) error {
	name := c.GetName()
	if name == "" {
		name = c.GetDisplayName()
	}
	if err := h.storeContact(ctx, tx, chat, name); err != nil {
		return err
	}
	p := db.HistoryChatParams{
		SessionID: h.c.s.id, ID: chat.id, Kind: string(events.KindOf(chat.id)), Archived: c.GetArchived(), Unread: pastUnread(c.GetUnreadCount()),
		MarkedUnread: c.GetMarkedAsUnread(), DisappearingSeconds: int32(min(c.GetEphemeralExpiration(), math.MaxInt32)),
		Fill: h.kind == waHistorySync.HistorySync_INITIAL_BOOTSTRAP,
	}
	if h.kind == waHistorySync.HistorySync_ON_DEMAND {
		p.Unread = 0 // older messages, which were read long ago
	}
	if at := max(c.GetLastMsgTimestamp(), c.GetConversationTimestamp()); at > 0 {
		p.LastMessageAt = past(at)
	}
	if pinned := c.GetPinned(); pinned > 0 {
		p.PinnedAt = past(uint64(pinned))
	}
	switch until := c.GetMuteEndTime(); {
	case until == 0:
	case until < 1e11: // seconds
		p.MutedUntil = mutedUntil(int64(until) * 1000)
	default: // milliseconds, or -1
		p.MutedUntil = mutedUntil(int64(until)) // what is too large becomes negative, which is for good
	}
	if err := h.c.s.c.queries.HistoryChat(ctx, tx, p); err != nil {
		return fmt.Errorf("write chat: %w", err)
	}
	return nil
}

// pastUnread is how many messages are unread. What does not fit is -1, by which phones mark a chat as unread; and there is room for more to come.
func pastUnread(n uint32) int32 {
	if n > math.MaxInt32 {
		return 0
	}
	return int32(min(n, mostUnread))
}

// past is a time in seconds, which is not in the future.
func past(seconds uint64) *time.Time {
	at := time.Now()
	if seconds < uint64(at.Unix()) {
		at = time.Unix(int64(seconds), 0)
	}
	return &at
}

// storeMessages writes the messages of a chat, the oldest first.
func (h *historian) storeMessages(ctx context.Context, chat address, list []*waHistorySync.HistorySyncMsg) error {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *waHistorySync.HistorySyncMsg) int {
		return cmp.Or(cmp.Compare(a.GetMessage().GetMessageTimestamp(), b.GetMessage().GetMessageTimestamp()), cmp.Compare(a.GetMsgOrderID(), b.GetMsgOrderID()))
	})
	for i, item := range list {
		order := item.GetMsgOrderID()
		if order == 0 {
			order = uint64(i)
		}
		m, ok, err := h.message(ctx, chat, item.GetMessage(), order)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if h.messages = append(h.messages, m); len(h.messages) >= historyBatch {
			if err := h.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// message reads one message; false where it is none that a chat shows.
func (h *historian) message(ctx context.Context, chat address, web *waWeb.WebMessageInfo, order uint64) (m pastMessage, ok bool, err error) {
	if web.GetMessage() == nil || web.GetMessageTimestamp() == 0 {
		return m, false, nil
	}
	jid, err := types.ParseJID(chat.id)
	if err != nil {
		return m, false, fmt.Errorf("parse chat id: %w", err)
	}
	e, err := h.c.client.ParseWebMessage(jid, web)
	if err != nil {
		h.c.s.log.InfoContext(ctx, "message of the history cannot be read", "chat", chat.id, "error", err)
		return m, false, nil
	}
	inner, outer := unwrap(e.Message)
	said, ok, err := read(e, inner, outer)
	if err != nil || !ok {
		return m, false, err
	}
	if jid.Server == types.HiddenUserServer || jid.Server == types.DefaultUserServer {
		alt := types.NewJID(chat.lid, types.HiddenUserServer)
		if chat.lid == "" {
			alt = types.EmptyJID
		}
		e.Info.RecipientAlt, e.Info.SenderAlt = alt, alt
	} else if !e.Info.IsFromMe {
		who, err := h.address(ctx, e.Info.Sender, types.EmptyJID)
		if err != nil {
			return m, false, err
		}
		if e.Info.Sender.Server == types.HiddenUserServer && who.phone != "" {
			e.Info.SenderAlt = types.NewJID(who.phone, types.DefaultUserServer)
		} else if e.Info.Sender.Server == types.DefaultUserServer && who.lid != "" {
			e.Info.SenderAlt = types.NewJID(who.lid, types.HiddenUserServer)
		}
	}
	e.Info.Timestamp = *past(web.GetMessageTimestamp())
	p, ok, err := h.c.row(ctx, &e.Info, said)
	if err != nil || !ok {
		return m, false, err
	}
	p.ID = pastID(e.Info.Timestamp, order)
	if p.Direction == events.Outgoing {
		p.Status = string(pastStatus(web.GetStatus()))
	}
	m = pastMessage{MessageReceiveParams: p, starred: web.GetStarred()}
	if said.media != nil && p.Type == said.content.Type {
		m.media = said.media
	}
	m.reactions, err = h.reactions(ctx, chat, web)
	return m, true, err
}

// reactions reads who has reacted to a message.
func (h *historian) reactions(ctx context.Context, chat address, web *waWeb.WebMessageInfo) (list []pastReaction, err error) {
	for _, r := range web.GetReactions() {
		emoji := printable(r.GetText())
		if emoji == "" || len(emoji) > maxName {
			continue
		}
		one := pastReaction{emoji: emoji, at: time.UnixMilli(min(max(r.GetSenderTimestampMS(), 0), time.Now().UnixMilli()))}
		switch who, err := types.ParseJID(r.GetKey().GetParticipant()); {
		case r.GetKey().GetFromMe():
		case err == nil && who.User != "" && printable(who.User) == who.User:
			a, err := h.address(ctx, who, types.EmptyJID)
			if err != nil {
				return nil, err
			}
			one.sender = a.id
		case events.KindOf(chat.id) == events.KindUser:
			one.sender = chat.id
		default:
			continue
		}
		list = append(list, one)
	}
	return list, nil
}

// pastID is the id of a message of the history: a UUIDv7 of its own time, so that it has its place in the lists, which are in the order of ids.
// WhatsApp's clock counts seconds; within one, order decides.
func pastID(at time.Time, order uint64) uuid.UUID {
	id := events.FirstID(at.Truncate(time.Second))
	id[6], id[7] = 0x70|byte(order>>8)&0x0f, byte(order)
	_, _ = rand.Read(id[8:]) // it never fails
	id[8] = id[8]&0x3f | 0x80
	return id
}

// pastStatus is how far an own message of the history has come.
func pastStatus(s waWeb.WebMessageInfo_Status) events.MessageStatus {
	switch s {
	case waWeb.WebMessageInfo_DELIVERY_ACK:
		return events.StatusDelivered
	case waWeb.WebMessageInfo_READ:
		return events.StatusRead
	case waWeb.WebMessageInfo_PLAYED:
		return events.StatusPlayed
	}
	return events.StatusSent
}

// flush writes the messages that have gathered, in one transaction.
func (h *historian) flush(ctx context.Context) error {
	if len(h.messages) == 0 {
		return nil
	}
	q, s := h.c.s.c.queries, h.c.s
	p := db.HistoryMessagesParams{SessionID: s.id}
	byID := make(map[uuid.UUID]pastMessage, len(h.messages))
	contacts := map[string]db.HistoryContactParams{}
	for _, m := range h.messages {
		byID[m.ID] = m
		file := uuid.Nil
		if m.media != nil {
			file = m.media.ID
		}
		p.Ids, p.ChatIds, p.SenderIds = append(p.Ids, m.ID), append(p.ChatIds, m.ChatID), append(p.SenderIds, m.SenderID)
		p.WhatsappIds, p.Directions, p.Statuses = append(p.WhatsappIds, m.WhatsappID), append(p.Directions, m.Direction), append(p.Statuses, m.Status)
		p.Types, p.Contents, p.Raws = append(p.Types, m.Type), append(p.Contents, string(m.Content)), append(p.Raws, append([]byte{}, m.Raw...))
		p.Contexts = append(p.Contexts, string(m.Context))
		p.MediaIds, p.Starred, p.Timestamps = append(p.MediaIds, file), append(p.Starred, m.starred), append(p.Timestamps, m.Timestamp)
		if m.ContactID != "" && (m.ContactName != "" || contacts[m.ContactID].ID == "") {
			contacts[m.ContactID] = db.HistoryContactParams{SessionID: s.id, ID: m.ContactID, Phone: m.ContactPhone, Lid: m.ContactLid, Name: m.ContactName}
		}
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		fresh, err := q.HistoryMessages(ctx, tx, p)
		if err != nil {
			return fmt.Errorf("write messages of the history: %w", err)
		}
		for _, id := range slices.Sorted(maps.Keys(contacts)) {
			if err := q.HistoryContact(ctx, tx, contacts[id]); err != nil {
				return fmt.Errorf("write contact: %w", err)
			}
		}
		for _, id := range fresh {
			if err := h.attach(ctx, tx, byID[id]); err != nil {
				return err
			}
		}
		if err := q.HistoryCount(ctx, tx, int32(len(fresh)), h.part); err != nil {
			return fmt.Errorf("count messages of the history: %w", err)
		}
		return nil
	})
	h.messages = nil
	return err
}

// attach writes what belongs to a message that is new: its file, which is fetched when somebody wants it, and the reactions to it.
func (h *historian) attach(ctx context.Context, tx *queue.Tx, m pastMessage) error {
	if f := m.media; f != nil {
		if err := h.c.s.c.queries.HistoryMedia(ctx, tx, db.HistoryMediaParams{
			ID: f.ID, SessionID: &m.SessionID, MessageID: &m.ID, Mimetype: f.Mimetype, FileName: f.FileName, Size: f.Size, Sha256: f.Sha256, Kind: f.Kind,
			DirectPath: f.DirectPath, MediaKey: h.c.sealMediaKey(*f), EncSha256: f.EncSha256, RemoteAt: &m.Timestamp,
		}); err != nil {
			return fmt.Errorf("write media: %w", err)
		}
	}
	for _, r := range m.reactions {
		if _, err := h.c.s.c.queries.ReactionPut(ctx, tx, m.ID, r.sender, r.emoji, r.at); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("write reaction: %w", err)
		}
	}
	return nil
}

package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
)

const (
	// maxContent bounds a message's content, far above WhatsApp's own limit of 65,536 characters: what is larger would not fit into an
	// event (1 MiB), and is shown as unsupported instead of stopping the session.
	maxContent = 900 << 10
	// maxID and maxName bound what a sender chooses; WhatsApp's ids have up to 32 characters and its names 25.
	maxID, maxName = 255, 256
)

// received persists a message, its chat and its contact and publishes its event, in one transaction.
func (c *connection) received(ctx context.Context, e *waevents.Message) error {
	if e.Info.Chat.Server == types.NewsletterServer {
		return c.posted(ctx, e)
	}
	if taken, err := c.timerSet(ctx, e); taken || err != nil {
		return err
	}
	if offer := e.Message.GetProtocolMessage().GetHistorySyncNotification(); offer != nil {
		return c.historyOffered(ctx, &e.Info, offer)
	}
	if e.Info.Category == "peer" { // between the account's own devices
		return nil
	}
	m, outer := unwrap(e.Message)
	if done, err := c.addOn(ctx, e, m, outer); done {
		return err
	}
	said, shown, err := read(e, m, outer)
	if err != nil || !shown {
		return err
	}
	return c.keep(ctx, &e.Info, said)
}

// read reads a message, m without its wrappers; false when it says nothing to a person.
func read(e *waevents.Message, m *waE2E.Message, outer wrapping) (said told, shown bool, err error) {
	said.info = contextInfo(m)
	if said.content, said.media = mediaOf(m); said.media == nil && said.content.Type == "" {
		if said.content, shown = contentOf(m); !shown {
			return said, false, nil
		}
	}
	if said.media != nil {
		said.content.ViewOnce = said.content.ViewOnce || e.IsViewOnce || outer.viewOnce
		if a := outer.info.GetMessageAssociation(); a.GetAssociationType() == waE2E.MessageAssociation_MEDIA_ALBUM && usableID(a.GetParentMessageKey().GetID()) {
			said.content.AlbumID = a.GetParentMessageKey().GetID()
		}
	}
	if e.Info.Chat == types.StatusBroadcastJID {
		dressed(m, &said.content)
	}
	said.raw, err = rawOf(e.RawMessage)
	return said, true, err
}

// told is a message as it is kept.
type told struct {
	content events.Content
	media   *db.Media          // nil: it has no file
	info    *waE2E.ContextInfo // nil: it has nothing beside its content
	raw     []byte             // nil: WhatsApp's own form is not kept
}

// undecryptable keeps a message that could not be decrypted, so that it is seen to have come; its event follows when WhatsApp has brought
// the copy that whatsmeow asked for. The stanza is acknowledged before this event (message.go, decryptMessages): a crash just here loses
// the notice, and the copy heals it.
func (c *connection) undecryptable(ctx context.Context, e *waevents.UndecryptableMessage) error {
	if e.DecryptFailMode == waevents.DecryptFailHide || e.Info.Category == "peer" {
		return nil
	}
	return c.keep(ctx, &e.Info, told{content: events.Content{Type: events.ContentUndecryptable}})
}

// keep writes a message of a person or a group, or a status update, and the job to fetch its file, if it has one.
func (c *connection) keep(ctx context.Context, info *types.MessageInfo, said told) error {
	p, ok, err := c.row(ctx, info, said)
	if err != nil || !ok {
		return err
	}
	file := uuid.Nil
	if said.media != nil && p.Type == said.content.Type {
		file, p.MediaID = said.media.ID, &said.media.ID
	}
	fresh, toRead := false, p.Direction == events.Incoming && c.s.settings().MarkRead
	err = c.s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		row, err := c.s.c.queries.MessageReceive(ctx, tx, p)
		if errors.Is(err, pgx.ErrNoRows) {
			return errClaimLost
		}
		if err != nil {
			return fmt.Errorf("write message: %w", err)
		}
		fresh = row.MessageID != nil
		if !fresh || p.Type == events.ContentUndecryptable {
			return nil
		}
		m, err := postgres.Message(view(p, row), c.s.c.cfg.PublicURL)
		if err != nil {
			return err
		}
		t := events.MessageReceived
		if p.Direction == events.Outgoing {
			t = events.MessageSent
		} else if p.ChatID == events.StatusChat {
			t = events.StatusReceived
		}
		if file != uuid.Nil {
			if err := c.keepMedia(ctx, tx, p, row.MessageID, *said.media); err != nil {
				return err
			}
		}
		if toRead {
			if err := c.s.c.queries.ReadDuePut(ctx, tx, *row.MessageID, p.SessionID); err != nil {
				return fmt.Errorf("note message to read: %w", err)
			}
		}
		_, err = events.PublishAwaiting(tx, t, p.SessionID, p.ChatID, p.Timestamp, events.MessageData{Message: m}, file)
		return err
	})
	if err == nil && toRead {
		signal(c.toRead)
	}
	if err == nil && fresh {
		if p.Direction == events.Incoming {
			c.s.pacingMoved() // what waits to be sent may be an answer now
		}
		c.typists.ends(user(info.Chat), user(info.Sender))
		c.s.c.metrics.received.WithLabelValues(p.Direction, p.Type).Inc()
	}
	return err
}

// sealRaw returns WhatsApp's own form of a message as it is stored.
func (s *session) sealRaw(raw []byte) []byte { return s.c.cfg.Keys.Seal(raw, seal.RawMessage.At(s.id)) }

// openRaw returns WhatsApp's own form of a message.
func (s *session) openRaw(raw []byte) ([]byte, error) {
	raw, err := s.c.cfg.Keys.Open(raw, seal.RawMessage.At(s.id))
	if err != nil {
		return nil, fmt.Errorf("open raw message: %w", err)
	}
	return raw, nil
}

// sealMediaKey returns a file's key as it is stored.
func (c *connection) sealMediaKey(m db.Media) []byte {
	return c.s.c.cfg.Keys.Seal(m.MediaKey, seal.MediaKey.At(m.ID.String()))
}

// keepMedia writes the media of a message that was just written, and publishes the job to fetch it.
func (c *connection) keepMedia(ctx context.Context, tx *queue.Tx, p db.MessageReceiveParams, message *uuid.UUID, m db.Media) error {
	err := c.s.c.queries.MediaReceive(ctx, tx, db.MediaReceiveParams{
		ID: m.ID, SessionID: &p.SessionID, MessageID: message, Mimetype: m.Mimetype, FileName: m.FileName, Size: m.Size, Sha256: m.Sha256, Kind: m.Kind,
		DirectPath: m.DirectPath, MediaKey: c.sealMediaKey(m), EncSha256: m.EncSha256, RemoteAt: &p.Timestamp,
	})
	if err != nil {
		return fmt.Errorf("write media: %w", err)
	}
	job, err := json.Marshal(events.MediaJob{MediaID: m.ID})
	if err != nil {
		return fmt.Errorf("encode media job: %w", err)
	}
	tx.Publish(events.TopicMedia, queue.Message{Payload: job})
	return nil
}

// row says what a message's transaction writes; false when it writes nothing.
func (c *connection) row(ctx context.Context, info *types.MessageInfo, said told) (p db.MessageReceiveParams, ok bool, err error) {
	if !usableID(info.ID) {
		c.s.log.WarnContext(ctx, "message without a usable id", "chat", info.Chat)
		return p, false, nil
	}
	room, ok, err := c.room(ctx, info)
	if err != nil || !ok {
		return p, false, err
	}
	content := said.content
	body, err := json.Marshal(content)
	if err != nil {
		return p, false, fmt.Errorf("encode content: %w", err)
	}
	if len(body) > maxContent {
		content = events.Content{Type: events.ContentUnsupported}
		body = []byte(`{"type":"` + events.ContentUnsupported + `"}`)
	}
	p = db.MessageReceiveParams{
		ID: events.NewID(), SessionID: c.s.id, Owner: c.s.c.cfg.Owner, Epoch: c.s.epoch, ChatID: room.id, ChatKind: string(events.KindOf(room.id)),
		WhatsappID: info.ID, Timestamp: info.Timestamp, Type: content.Type, Content: body, QuotedChats: []string{}, QuotedAuthors: []string{}, Raw: c.s.sealRaw(said.raw),
	}
	beside, err := c.readContext(ctx, said.info, room, &p)
	if err != nil {
		return p, false, err
	}
	if p.Context, err = contextJSON(beside); err != nil {
		return p, false, err
	}
	if len(p.Context)+len(body) > maxContent {
		p.Context, p.QuotedID = nil, ""
	}
	contact := room
	if info.IsFromMe {
		p.Direction, p.Status = events.Outgoing, string(events.StatusSent)
		if events.KindOf(room.id) != events.KindUser {
			contact = address{}
		}
	} else {
		if contact, err = c.address(ctx, info.Sender, info.SenderAlt); err != nil {
			return p, false, err
		}
		// An incoming message has been delivered: the status says how far it has come, not who read it.
		p.Direction, p.Status, p.SenderID = events.Incoming, string(events.StatusDelivered), contact.id
		p.ContactName = pushName(info.PushName)
	}
	p.ContactID, p.ContactPhone, p.ContactLid = contact.id, contact.phone, contact.lid
	return p, true, nil
}

// room is the chat that a message is shown in; false for the posts of channels, which are in none, and status updates that are not wanted.
func (c *connection) room(ctx context.Context, info *types.MessageInfo) (room address, ok bool, err error) {
	chat, alt := info.Chat, info.RecipientAlt
	if !info.IsFromMe && !info.IsGroup {
		alt = info.SenderAlt
	}
	if info.IsIncomingBroadcast() { // a broadcast list's message is shown in the chat with its sender
		chat, alt = info.Sender, info.SenderAlt
	}
	switch {
	case chat == types.StatusBroadcastJID && !c.s.ignoresMessage(info.MessageSource):
		return address{id: events.StatusChat}, true, nil
	case chat.Server == types.BroadcastServer, chat.Server == types.NewsletterServer:
		return room, false, nil
	}
	room, err = c.address(ctx, chat, alt)
	return room, err == nil, err
}

// view is the row just written as message_views would show it, without reading it again.
func view(p db.MessageReceiveParams, row db.MessageReceiveRow) db.MessageView {
	v := db.MessageView{
		ID: *row.MessageID, SessionID: p.SessionID, ChatID: p.ChatID, SenderID: p.SenderID, WhatsappID: p.WhatsappID, Direction: p.Direction,
		Status: p.Status, Type: p.Type, Content: p.Content, Context: row.Context, Timestamp: p.Timestamp,
		OwnPhone: row.OwnPhone, OwnLid: row.OwnLid, OwnName: row.OwnName,
	}
	if p.SenderID != "" {
		v.SenderPhone, v.SenderLid, v.SenderName = row.ContactPhone, row.ContactLid, row.ContactName
	}
	if p.ContactID == p.ChatID {
		v.ChatPhone, v.ChatLid, v.ChatName = row.ContactPhone, row.ContactLid, row.ContactName
	}
	return v
}

// pushName is the name a sender gave itself; WhatsApp writes "-" for none.
func pushName(name string) string {
	if name == "-" {
		return ""
	}
	name = printable(name)
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
	}
	return name
}

// printable makes a text of a sender's acceptable to PostgreSQL, which takes neither NUL nor broken UTF-8: refused there, it would come
// again for ever.
func printable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

package postgres

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Message returns the public form of a message; publicURL is the API's address as clients reach it, for the links to media.
func Message(v db.MessageView, publicURL string) (events.Message, error) {
	m := events.Message{
		ID: events.MessagePrefix.Format(v.ID), WhatsAppID: v.WhatsappID, SessionID: v.SessionID, ChatID: v.ChatID, Direction: v.Direction,
		Status: events.MessageStatus(v.Status), ClientReference: Text(v.ClientReference), ExpiresAt: v.ExpiresAt, Timestamp: v.Timestamp,
	}
	if err := json.Unmarshal(v.Content, &m.Content); err != nil {
		return m, fmt.Errorf("decode content of message %s: %w", m.ID, err)
	}
	if len(v.Context) > 0 {
		var context MessageContext
		if err := json.Unmarshal(v.Context, &context); err != nil {
			return m, fmt.Errorf("decode context of message %s: %w", m.ID, err)
		}
		m.ReplyTo, m.Mentions, m.MentionsEveryone, m.Forwarded, m.DisappearsAfter =
			context.ReplyTo, context.Mentions, context.MentionsEveryone, context.Forwarded, context.DisappearsAfter
		m.ServerID = context.ServerID
	}
	m.EditedAt, m.RevokedAt, m.PinnedUntil, m.Starred, m.History = v.EditedAt, v.RevokedAt, v.PinnedUntil, v.Starred, v.History
	if m.Status == events.StatusScheduled {
		m.SendAt = v.SendAt
	}
	if v.Urgent {
		m.Priority = events.PriorityHigh
	}
	if m.Status == events.StatusQueued && v.Held != nil && *v.Held != events.Released {
		m.WaitsFor = *v.Held
	}
	if v.BatchID != nil {
		m.BatchID = events.BatchPrefix.Format(*v.BatchID)
	}
	if media := m.Content.Media; media != nil {
		media.URL = events.MediaURL(publicURL, media.ID)
	}
	if v.ErrorCode != nil {
		m.Error = &events.MessageError{Code: *v.ErrorCode, Message: Text(v.ErrorMessage)}
	}
	own, chat := OwnAddress(v.OwnPhone, v.OwnLid, v.OwnName), events.NewAddress(v.ChatID, v.ChatPhone, v.ChatLid, v.ChatName)
	switch {
	case v.Direction == events.Outgoing:
		m.From, m.To = own, chat
	case chat.Kind == events.KindUser:
		m.From, m.To = events.NewAddress(v.SenderID, v.SenderPhone, v.SenderLid, v.SenderName), own
	default:
		m.From, m.To = events.NewAddress(v.SenderID, v.SenderPhone, v.SenderLid, v.SenderName), chat
	}
	return m, nil
}

// MessageContext is what a message has beside its content, as the column context holds it: the members of events.Message of the same names, and
// what only the sender of the message needs.
type MessageContext struct {
	ReplyTo          *events.Reply    `json:"replyTo,omitempty"`
	Mentions         []events.Address `json:"mentions,omitempty"`
	MentionsEveryone bool             `json:"mentionsEveryone,omitempty"`
	Forwarded        int              `json:"forwarded,omitempty"`
	DisappearsAfter  int              `json:"disappearsAfter,omitempty"`
	ServerID         int              `json:"serverId,omitempty"`

	PreviewThumbnail []byte `json:"previewThumbnail,omitempty"` // JPEG of a link's preview

	Trace string `json:"trace,omitempty"` // traceparent of the request that it came with, for what happens to it later; never shown
}

// Change returns the public form of a change.
func Change(c db.Change) events.Change {
	change := events.Change{
		ID: events.ChangePrefix.Format(c.ID), SessionID: c.SessionID, Kind: c.Kind, Target: c.Target, Status: c.Status, ExpiresAt: c.ExpiresAt,
		CreatedAt: c.CreatedAt, Result: json.RawMessage(c.Result),
	}
	if c.ErrorCode != nil {
		change.Error = &events.MessageError{Code: *c.ErrorCode, Message: Text(c.ErrorMessage)}
	}
	return change
}

// Session returns the public form of a session.
func Session(v db.SessionView) (events.Session, error) {
	s := events.Session{
		ID: v.ID, Name: v.Name, State: events.SessionState(v.ShownState), Reason: v.Reason, Desired: v.Desired, Phone: Text(v.Phone), LID: Text(v.Lid),
		Connector: v.Connector, LastEventAt: v.LastEventAt, CreatedAt: v.CreatedAt, ConnectedAt: v.ConnectedAt,
	}
	if err := json.Unmarshal(v.Settings, &s.Settings); err != nil {
		return s, fmt.Errorf("decode settings of session %s: %w", v.ID, err)
	}
	return s, nil
}

// Media returns the public form of a media.
func Media(m db.Media, publicURL string) events.Media {
	id := events.MediaPrefix.Format(m.ID)
	return events.Media{
		ID: id, URL: events.MediaURL(publicURL, id), Mimetype: m.Mimetype, Size: m.Size, SHA256: hex.EncodeToString(m.Sha256), FileName: m.FileName,
	}
}

// Text is what a nullable column holds, "" for NULL.
func Text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Chat returns the public form of a chat, without its last message.
func Chat(v db.ChatView) events.Chat {
	c := events.Chat{
		Address: events.NewAddress(v.ID, v.Phone, v.Lid, v.Name), LastMessageAt: v.LastMessageAt, Unread: int(v.Unread), MarkedUnread: v.MarkedUnread,
		Archived: v.Archived, Pinned: v.PinnedAt != nil, DisappearingSeconds: int(v.DisappearingSeconds), Labels: v.Labels,
	}
	if v.MutedUntil != nil && v.MutedUntil.After(time.Now()) {
		c.MutedUntil = v.MutedUntil
	}
	if c.Labels == nil {
		c.Labels = []string{}
	}
	return c
}

// OwnAddress is how a session's account is shown, whose phone is known once it was linked.
func OwnAddress(phone, lid *string, name string) events.Address {
	if phone == nil {
		return events.Address{Kind: events.KindUser, Name: name}
	}
	return events.NewAddress(*phone+"@"+events.PhoneServer, *phone, Text(lid), name)
}

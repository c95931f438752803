package sandbox

import (
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
)

// SentMessage is a message that a phone sent by itself, and what became of it.
type SentMessage struct {
	// Change numbers the changes of what one phone sent since the process started; a message has that of its last one.
	Change int64  `json:"change"`
	ID     string `json:"id"`
	// To is whom it is for, as when it was sent.
	To string `json:"to"`
	Content
	// Status is "pending", "sent", "delivered", "read" or "played": what the first of its recipients did. After a restart it is "sent" again.
	Status string `json:"status"`
	// Delivered and Read count the people who did, in a group or for a status.
	Delivered int `json:"delivered"`
	Read      int `json:"read"`
	// Timestamp is when the server acknowledged it.
	Timestamp time.Time `json:"timestamp,omitzero"`
	*Media
}

// ticks is what became of an outgoing message. phone.mu guards it.
type ticks struct {
	change          int64
	delivered, read map[types.JID]struct{}
	played          bool
}

// changed notes a change of an outgoing message; the caller holds phone.mu, and fires sentChanged when it has let go of it.
func (p *phone) changed(m *outgoing) {
	p.lastChange++
	m.ticks.change = p.lastChange
}

// tick notes a receipt for what the phone sent.
func (p *phone) tick(e *events.Receipt) {
	if e.IsFromMe {
		return
	}
	p.mu.Lock()
	for _, id := range e.MessageIDs {
		m := p.outbox[id]
		if m == nil {
			continue
		}
		from := e.Sender.ToNonAD()
		if m.ticks.delivered == nil {
			m.ticks.delivered, m.ticks.read = map[types.JID]struct{}{}, map[types.JID]struct{}{}
		}
		switch e.Type {
		case types.ReceiptTypeDelivered:
		case types.ReceiptTypePlayed:
			m.ticks.played = true
			m.ticks.read[from] = struct{}{}
		case types.ReceiptTypeRead:
			m.ticks.read[from] = struct{}{}
		default:
			continue
		}
		m.ticks.delivered[from] = struct{}{} // who has read it has it
		p.changed(m)
	}
	p.mu.Unlock()
	p.sentChanged.fire()
}

// Sent returns what the phone sent that has changed after a change number, at most 1,000 messages, by change. With none it waits for the
// first, up to wait or the end of ctx, and then returns an empty list.
func (s *Sandbox) Sent(ctx context.Context, number string, after int64, wait time.Duration) ([]SentMessage, error) {
	p, err := s.phone(number)
	if err != nil {
		return nil, err
	}
	return poll(ctx, s, &p.sentChanged, wait, func() []SentMessage { return p.sentAfter(after) }), nil
}

func (p *phone) sentAfter(after int64) []SentMessage {
	p.mu.Lock()
	var found []*outgoing
	for _, m := range p.outbox {
		if m.ticks.change > after {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b *outgoing) int { return int(a.ticks.change - b.ticks.change) })
	found = found[:min(len(found), messagesPage)]
	views := make([]SentMessage, len(found))
	copies := make([]outgoing, len(found))
	for i, m := range found {
		copies[i] = *m
		views[i] = SentMessage{
			Change: m.ticks.change, ID: m.ID, To: m.Recipient, Status: m.status(), Timestamp: m.SentAt,
			Delivered: len(m.ticks.delivered), Read: len(m.ticks.read),
		}
	}
	p.mu.Unlock()
	for i := range views {
		message, err := copies[i].content()
		if err != nil {
			continue // it was marshalled by this process or the one before
		}
		to := recipientJID(views[i].To)
		r := &reader{
			name: p.nameOf, self: p.number, from: p.number, chat: views[i].To, fromMe: true, group: to.Server != types.DefaultUserServer,
		}
		views[i].Content = r.read(message)
		if file := fileOf(message); file != nil {
			views[i].Media = ownMedia(file)
		}
	}
	return views
}

// ownMedia describes a file that the phone made a message of, and knows the size and hash of.
func ownMedia(file whatsmeow.DownloadableMessage) *Media {
	media := described(file)
	if sized, ok := file.(interface{ GetFileLength() uint64 }); ok {
		media.Size = int64(sized.GetFileLength())
	}
	media.SHA256 = hex.EncodeToString(file.GetFileSHA256())
	return &media
}

// nameOf names a user by the number, where the server knows it; else by the JID.
func (p *phone) nameOf(jid types.JID) string {
	if number := p.sandbox.server.Number(jid); number != "" {
		return number
	}
	return jid.String()
}

// status is SentMessage's; the caller holds phone.mu.
func (m *outgoing) status() string {
	switch {
	case m.ticks.played:
		return "played"
	case len(m.ticks.read) > 0:
		return "read"
	case len(m.ticks.delivered) > 0:
		return "delivered"
	case m.Sent:
		return "sent"
	}
	return "pending"
}

func (s *Sandbox) sentOperations() map[string]operation {
	return map[string]operation{
		"GET /phones/{number}/sent":            s.getSent,
		"GET /phones/{number}/sent/{id}/media": s.getSentMedia,
	}
}

func (s *Sandbox) getSent(r *http.Request) (int, any, error) {
	after, wait, err := polled(r)
	if err != nil {
		return 0, nil, err
	}
	messages, err := s.Sent(r.Context(), r.PathValue("number"), after, wait)
	next := after
	if len(messages) > 0 {
		next = messages[len(messages)-1].Change
	}
	return http.StatusOK, map[string]any{"messages": messages, "next": next}, err
}

// getSentMedia answers with the file of a message that the phone sent.
func (s *Sandbox) getSentMedia(r *http.Request) (int, any, error) {
	number, id := r.PathValue("number"), r.PathValue("id")
	p, err := s.phone(number)
	if err != nil {
		return 0, nil, err
	}
	message, err := p.sentMessage(id)
	if err != nil {
		return 0, nil, err
	}
	file := fileOf(message)
	if file == nil {
		return 0, nil, failure(http.StatusNotFound, "phone %s sent no message %s with a file", number, id)
	}
	copied := mediaCopy{Key: file.GetMediaKey(), EncSHA256: file.GetFileEncSHA256(), Class: whatsmeow.GetMediaType(file)}
	handler, err := s.openCopy(r.Context(), ownMedia(file), &copied)
	return http.StatusOK, handler, err
}

package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	waBinary "go.mau.fi/whatsmeow/binary"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxLinkText bounds the text that a message link prefills, in bytes.
	maxLinkText = 4096
	// maxLinks bounds the message links of one account.
	maxLinks = 1000
)

// ErrTooManyLinks is returned by CreateMessageLink for an account that has 1,000.
var ErrTooManyLinks = errors.New("an account has at most 1,000 message links")

// link is what a short link leads to, a record "link" under its code: wa.me/qr/CODE to an account, wa.me/message/CODE to an account with a
// text to begin with.
type link struct {
	Phone string `json:"phone"`
	Kind  string `json:"kind"` // contact or message
	Text  string `json:"text,omitempty"`
}

func registerLinks(r *registry) {
	r.queries[query{"w:qr", "get", "qr"}] = handleLinkGet
	r.queries[query{"w:qr", "set", "qr"}] = handleLinkSet
	r.loaders["link"] = func(s *Server, rec journal.Record) error {
		var l link
		if err := json.Unmarshal(rec.Value, &l); err != nil {
			return err
		}
		a, err := s.recordOwner(l.Phone)
		if err != nil {
			return err
		}
		if l.Kind == "contact" {
			a.link = rec.Key
		}
		s.links[rec.Key] = l
		return nil
	}
}

// newLinkCode has the form of WhatsApp's: 14 capitals and digits.
func newLinkCode() string { return rand.Text()[:14] }

// CreateMessageLink makes a link to an account, which fills in a text of at most 4,096 bytes, and returns its code. It returns ErrNoAccount
// or ErrTooManyLinks.
func (s *Server) CreateMessageLink(ctx context.Context, phone, text string) (code string, err error) {
	a, err := s.accountOf(phone)
	if err != nil {
		return "", err
	}
	if len(text) > maxLinkText {
		text = text[:maxLinkText]
	}
	a.editing.Lock()
	defer a.editing.Unlock()
	n := 0
	s.mu.RLock()
	for _, l := range s.links {
		if l.Phone == phone {
			n++
		}
	}
	s.mu.RUnlock()
	if n > maxLinks {
		return "", ErrTooManyLinks
	}
	code = newLinkCode()
	l := link{Phone: phone, Kind: "message", Text: text}
	if err := s.commit(ctx, []journal.Record{record("link", code, l)}, nil); err != nil {
		return "", fmt.Errorf("store link: %w", err)
	}
	s.mu.Lock()
	s.links[code] = l
	s.mu.Unlock()
	return code, nil
}

// handleLinkGet resolves a link (ResolveContactQRLink and ResolveBusinessMessageLink in user.go).
func handleLinkGet(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("qr")
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	l, ok := c.s.links[attr(&request, "code")]
	if !ok {
		return nil, errItemNotFound
	}
	a := c.s.byPhone[l.Phone]
	answer := waBinary.Node{Tag: "qr", Attrs: waBinary.Attrs{"jid": a.pn(), "type": l.Kind, "notify": a.name}}
	var parts []waBinary.Node
	if l.Text != "" {
		parts = append(parts, waBinary.Node{Tag: "message", Content: []byte(l.Text)})
	}
	if a.business != nil {
		parts = append(parts, waBinary.Node{Tag: "business", Attrs: waBinary.Attrs{
			"is_signed": "true", "verified_name": a.business.Name, "verified_level": "unknown",
		}})
	}
	if len(parts) > 0 {
		answer.Content = parts
	}
	return []waBinary.Node{answer}, nil
}

// handleLinkSet returns the account's contact link, which is made when it is first asked for; revoking it makes another.
func handleLinkSet(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, a := c.s, c.device.account
	request := iq.GetChildByTag("qr")
	action := attr(&request, "action")
	if attr(&request, "type") != "contact" || action != "get" && action != "revoke" {
		return nil, errBadRequest
	}
	a.editing.Lock()
	defer a.editing.Unlock()
	s.mu.RLock()
	old := a.link
	s.mu.RUnlock()
	code := old
	if old == "" || action == "revoke" {
		code = newLinkCode()
		l := link{Phone: a.keys.Phone, Kind: "contact"}
		records := []journal.Record{record("link", code, l)}
		if old != "" {
			records = append(records, journal.Record{Kind: "link", Key: old})
		}
		if err := s.commit(ctx, records, nil); err != nil {
			return nil, fmt.Errorf("store link: %w", err)
		}
		s.mu.Lock()
		delete(s.links, old)
		s.links[code], a.link = l, code
		s.mu.Unlock()
	}
	return []waBinary.Node{{Tag: "qr", Attrs: waBinary.Attrs{"code": code, "type": "contact"}}}, nil
}

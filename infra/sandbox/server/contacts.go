package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// maxContacts bounds the accounts that one account knows; whom it writes to beyond is no contact of it.
const maxContacts = 20_000

// Whom an account knows is needed for the privacy settings that say "contacts". WhatsApp knows the address books that phones upload;
// the contacts of app state are encrypted end to end, and nothing else reaches the server here. So an account's contacts are those that it
// has written to, and those that it gave a trusted-contact token. It is a record "contact" for each, with both phone numbers as the key.
func registerContacts(r *registry) {
	r.loaders["contact"] = func(s *Server, rec journal.Record) error {
		phone, other, _ := strings.Cut(rec.Key, " ")
		a, err := s.recordOwner(phone)
		if err != nil {
			return err
		}
		b, err := s.recordOwner(other)
		if err != nil {
			return err
		}
		a.know(b)
		return nil
	}
}

// remember makes an account know another; it is durable when it returns nil. Two at once store the same record.
func (s *Server) remember(ctx context.Context, a, other *account) error {
	s.mu.RLock()
	known := a == other || a.knows(other) || len(a.contacts) >= maxContacts
	s.mu.RUnlock()
	if known {
		return nil
	}
	if err := s.commit(ctx, []journal.Record{record("contact", a.keys.Phone+" "+other.keys.Phone, true)}, nil); err != nil {
		return fmt.Errorf("store contact: %w", err)
	}
	s.mu.Lock()
	a.know(other)
	s.mu.Unlock()
	return nil
}

// know and knows want Server.mu held.
func (a *account) know(other *account) {
	if a.contacts == nil {
		a.contacts = map[*account]struct{}{}
	}
	if other.knownBy == nil {
		other.knownBy = map[*account]struct{}{}
	}
	a.contacts[other], other.knownBy[a] = struct{}{}, struct{}{}
}

func (a *account) knows(other *account) bool {
	_, ok := a.contacts[other]
	return ok
}

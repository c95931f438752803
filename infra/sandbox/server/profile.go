package server

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// maxTold bounds the accounts that are told of one change of a profile, and so the stanzas of one commit; others learn of it when they ask.
const maxTold = 1000

// profile is what an account shows of itself, and to whom. The file of each feature says what its field means and which records keep it;
// the key of a record is the account's phone number, alone or before a space. All but editing is guarded by Server.mu.
type profile struct {
	editing sync.Mutex // held while any of this is changed, over the commit

	about        about                 // about.go
	disappearing disappearing          // disappearing.go
	business     *business             // business.go; nil for most accounts
	contacts     map[*account]struct{} // contacts.go: whom the account knows
	knownBy      map[*account]struct{} // who knows the account
	blocking     map[*account]struct{} // blocklist.go
	except       map[string][]*account // privacy.go: the people listed for a setting, by its name
	audience     *audience             // status.go; nil stands for all contacts
	link         string                // contactlinks.go: the code of the contact link
	online       int                   // presence.go: connections that are available
	lastSeen     time.Time             // presence.go
	observers    map[*conn]string      // presence.go: who subscribed, and to the address on which server
}

// recordOwner finds the account that a record belongs to, at the start.
func (s *Server) recordOwner(phone string) (*account, error) {
	if a := s.byPhone[phone]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("account %s: %w", phone, ErrNoAccount)
}

// accountOf finds an account for a caller of the server; it returns ErrNoAccount.
func (s *Server) accountOf(phone string) (*account, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.recordOwner(phone)
}

// accountLoader makes a loader for records of one account each.
func accountLoader(load func(*account, journal.Record) error) recordLoader {
	return func(s *Server, r journal.Record) error {
		a, err := s.recordOwner(r.Key)
		if err != nil {
			return err
		}
		return load(a, r)
	}
}

// notification makes a notification as handleNotification (notification.go) reads it.
func notification(from types.JID, kind string, children ...waBinary.Node) waBinary.Node {
	return waBinary.Node{
		Tag: "notification", Content: children,
		Attrs: waBinary.Attrs{"from": from, "type": kind, "id": newID(), "t": time.Now().Unix()},
	}
}

// tellOthers makes notifications for the devices of those who know an account and may see what the setting covers; "" is what everybody may
// see who is not blocked.
func (s *Server) tellOthers(a *account, setting string, notice waBinary.Node) []queued {
	var told []*account
	s.mu.RLock()
	for other := range a.knownBy {
		if len(told) < maxTold && (setting == "" && !a.blocks(other) || setting != "" && a.shows(setting, other)) {
			told = append(told, other)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(told, func(x, y *account) int { return strings.Compare(x.keys.Phone, y.keys.Phone) })
	var stanzas []queued
	for _, other := range told {
		for _, d := range s.devicesOf(other, nil) {
			stanzas = append(stanzas, queued{d, notice})
		}
	}
	return stanzas
}

// tellOwn makes notifications for the account's own devices but one, which may be nil.
func (s *Server) tellOwn(a *account, except *device, notice waBinary.Node) []queued {
	var stanzas []queued
	for _, d := range s.devicesOf(a, except) {
		stanzas = append(stanzas, queued{d, notice})
	}
	return stanzas
}

// profileNode answers one usync protocol about a user; ok is false where there is nothing to say.
func (c *conn) profileNode(a *account, protocol string) (node waBinary.Node, ok bool) {
	s, viewer := c.s, c.device.account
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch protocol {
	case "status":
		return a.aboutNode(viewer), true
	case "picture":
		p := s.picture[a.keys.Phone]
		if p == nil || !a.shows("profile", viewer) {
			return node, false
		}
		return waBinary.Node{Tag: "picture", Attrs: waBinary.Attrs{"id": p.ID}}, true
	case "business":
		if a.business == nil {
			return node, false
		}
		return waBinary.Node{Tag: "business", Content: []waBinary.Node{a.business.verifiedNode()}}, true
	case "disappearing_mode":
		return a.disappearing.node(), true
	}
	return node, false
}

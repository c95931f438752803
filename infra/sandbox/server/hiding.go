package server

import (
	"context"
	"encoding/json"
	"fmt"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// An account may keep its number to itself: what leaves for other accounts' companions names it by its LID alone, as WhatsApp does with people in
// groups and communities whose numbers the account does not know. Whoever asks for the number itself is told whose it is.

// hidingRecord is the journal's form of an account's switch; there is a record for accounts that have it on.
type hidingRecord struct {
	Hidden bool `json:"hidden"`
}

func registerHiding(r *registry) {
	r.loaders["hiding"] = func(s *Server, rec journal.Record) error {
		var kept hidingRecord
		if err := json.Unmarshal(rec.Value, &kept); err != nil {
			return err
		}
		if a := s.byPhone[rec.Key]; a != nil && a.hidden.Swap(kept.Hidden) != kept.Hidden && kept.Hidden {
			s.hiding.Add(1)
		}
		return nil
	}
}

// HideNumber makes an account keep its number from the companions of all others, or show it again. It is durable, in force at once for what leaves
// from then on, and returns ErrNoAccount for an unknown number.
func (s *Server) HideNumber(ctx context.Context, phone string, on bool) error {
	a, err := s.lockAccount(phone)
	if err != nil {
		return err
	}
	defer a.change.Unlock()
	change := journal.Record{Kind: "hiding", Key: phone} // without a value it deletes
	if on {
		change = record("hiding", phone, hidingRecord{Hidden: true})
	}
	if err := s.commit(ctx, []journal.Record{change}, nil); err != nil {
		return fmt.Errorf("store hiding: %w", err)
	}
	if a.hidden.Swap(on) != on {
		if on {
			s.hiding.Add(1)
		} else {
			s.hiding.Add(-1)
		}
	}
	return nil
}

// NumberHidden says whether HideNumber is on for a phone number.
func (s *Server) NumberHidden(phone string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.byPhone[phone]
	return a != nil && a.hidden.Load()
}

// kept says whether something may have to be kept from the connection's client: a companion, while any account hides its number.
func (c *conn) kept() bool { return c.device != nil && c.device.number != 0 && c.s.hiding.Load() > 0 }

// withheld returns a stanza without the numbers that their accounts keep from this connection's client; the one that is given is left as it is.
// It takes no lock.
func (c *conn) withheld(node waBinary.Node) waBinary.Node {
	attrs := make(waBinary.Attrs, len(node.Attrs))
	for name, value := range node.Attrs {
		attrs[name] = value
	}
	for address, other := range beside {
		lid, ok := node.Attrs[address].(types.JID)
		if !ok || lid.Server != types.HiddenUserServer {
			continue
		}
		known, ok := c.s.lids.Load(lid.User)
		if !ok {
			continue
		}
		if a := known.(*account); a.hidden.Load() && a != c.device.account {
			delete(attrs, other.number)
		}
	}
	node.Attrs = attrs
	if children, ok := node.Content.([]waBinary.Node); ok {
		copies := make([]waBinary.Node, len(children))
		for i, child := range children {
			copies[i] = c.withheld(child)
		}
		node.Content = copies
	}
	return node
}

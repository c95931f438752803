package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// Clients that are older than LIDs know users by their phone numbers alone. What leaves for them is rewritten at the last moment, so that no
// feature has to know of it: every LID becomes the number, and goes where an address by number has the LID beside it. They are told by the
// absence of LidDbMigrated in their login; Baileys 7, which knows LIDs, says false.

// addressingRecord is the journal's form of an account's switch; there is a record for accounts that have it on.
type addressingRecord struct {
	ByNumber bool `json:"byNumber"`
}

func registerAddressing(r *registry) {
	r.loaders["addressing"] = func(s *Server, rec journal.Record) error {
		var kept addressingRecord
		if err := json.Unmarshal(rec.Value, &kept); err != nil {
			return err
		}
		if a := s.byPhone[rec.Key]; a != nil {
			a.byNumber.Store(kept.ByNumber)
		}
		return nil
	}
}

// AddressByNumber switches an account's companions to addresses by phone number, whatever they say that they can do; off, those of them
// have them that do not know LidDbMigrated when they log in. It is durable, in force at once, and returns ErrNoAccount for an unknown number.
func (s *Server) AddressByNumber(ctx context.Context, phone string, on bool) error {
	a, err := s.lockAccount(phone)
	if err != nil {
		return err
	}
	defer a.change.Unlock()
	change := journal.Record{Kind: "addressing", Key: phone} // without a value it deletes
	if on {
		change = record("addressing", phone, addressingRecord{ByNumber: true})
	}
	if err := s.commit(ctx, []journal.Record{change}, nil); err != nil {
		return fmt.Errorf("store addressing: %w", err)
	}
	a.byNumber.Store(on)
	return nil
}

// AddressedByNumber says whether AddressByNumber is on for a phone number.
func (s *Server) AddressedByNumber(phone string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.byPhone[phone]
	return a != nil && a.byNumber.Load()
}

// byNumber says whether the connection's client is to be spoken to without LIDs; a simulated phone never is.
func (c *conn) byNumber() bool {
	return c.device != nil && c.device.number != 0 && (c.old || c.device.account.byNumber.Load())
}

// wire is a row's stanza as the connection's client is to see it. The row's key follows, since the client acknowledges what it saw. The
// caller holds the queue's lock.
func (c *conn) wire(r *row) []byte {
	byNumber := c.byNumber()
	if !byNumber && !r.byNumber && !c.kept() {
		return r.stanza
	}
	stanza, err := decode(r.stanza)
	if err != nil {
		return r.stanza // it was marshalled by this process or the one before
	}
	body := r.stanza
	if shown := c.seen(*stanza); byNumber || c.kept() {
		if marshalled, err := waBinary.Marshal(shown); err == nil {
			stanza, body = &shown, marshalled
		}
	}
	r.key, r.byNumber = keyOf(stanza), byNumber
	return body
}

// spoken is a stanza that is not queued as the connection's client is to see it. An iq's answer stays what was asked for, but for groups,
// whose members are named by it.
func (c *conn) spoken(node waBinary.Node) waBinary.Node {
	if !c.byNumber() && !c.kept() {
		return node
	}
	switch node.Tag {
	case "iq":
		if from, ok := node.Attrs["from"].(types.JID); !ok || from.Server != types.GroupServer {
			return node
		}
	case "ack", "success", "failure", "stream:error", "ib":
		return node
	}
	return c.seen(node)
}

// seen is a stanza as the connection's client is to see the people in it.
func (c *conn) seen(node waBinary.Node) waBinary.Node {
	switch {
	case c.byNumber():
		return c.s.numbered(node)
	case c.kept():
		return c.withheld(node)
	}
	return node
}

// beside names, for an attribute with an address, those with the same user's phone number and LID (parseMessageSource in whatsmeow's
// message.go, parseParticipant in group.go).
var beside = map[string]struct{ number, lid string }{
	"from":        {"sender_pn", "sender_lid"},
	"participant": {"participant_pn", "participant_lid"},
	"recipient":   {"peer_recipient_pn", "peer_recipient_lid"},
	"jid":         {"phone_number", "lid"},
	"creator":     {"creator_pn", "creator_lid"},
	"s_o":         {"s_o_pn", "s_o_lid"},
}

// numbered returns a stanza with users addressed by number; the one that is given is left as it is. It takes no lock.
func (s *Server) numbered(node waBinary.Node) waBinary.Node {
	attrs := make(waBinary.Attrs, len(node.Attrs))
	for name, value := range node.Attrs {
		attrs[name] = value
	}
	for name, value := range node.Attrs {
		lid, ok := value.(types.JID)
		if !ok || lid.Server != types.HiddenUserServer || name == "lid" || strings.HasSuffix(name, "_lid") {
			continue
		}
		known, ok := s.lids.Load(lid.User)
		if !ok {
			continue
		}
		number := known.(*account).pn()
		number.Device = lid.Device
		attrs[name] = number
		if other, ok := beside[name]; ok {
			if _, given := attrs[other.number]; given {
				delete(attrs, other.number)
				attrs[other.lid] = lid.ToNonAD()
			}
		}
	}
	if attrs["addressing_mode"] == "lid" {
		attrs["addressing_mode"] = "pn"
	}
	node.Attrs = attrs
	if children, ok := node.Content.([]waBinary.Node); ok {
		copies := make([]waBinary.Node, len(children))
		for i, child := range children {
			copies[i] = s.numbered(child)
		}
		node.Content = copies
	}
	return node
}

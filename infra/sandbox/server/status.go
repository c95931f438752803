package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// maxAudience bounds the people listed in a status privacy setting.
const maxAudience = 10_000

// audience says who is to get an account's statuses, a record "audience": its clients ask for it and encrypt for those people. Its absence
// stands for all contacts.
type audience struct {
	Type   string   `json:"type"`   // contacts, whitelist or blacklist (types.StatusPrivacyType)
	Phones []string `json:"phones"` // the list
}

func registerStatus(r *registry) {
	r.routes[types.BroadcastServer] = routeStatus
	r.queries[query{"status", "get", "privacy"}] = handleAudienceGet
	r.queries[query{"status", "set", "privacy"}] = handleAudienceSet
	r.loaders["audience"] = accountLoader(func(a *account, rec journal.Record) error {
		a.audience = &audience{}
		return json.Unmarshal(rec.Value, a.audience)
	})
}

// handleAudienceGet answers with the one list that is in force (GetStatusPrivacy in broadcast.go). whatsmeow compares a blacklist with the
// names that its address book has for people, so it has both; of a whitelist it sends to each.
func handleAudienceGet(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	list := waBinary.Node{Tag: "list", Attrs: waBinary.Attrs{"type": "contacts", "default": "true"}}
	if set := c.device.account.audience; set != nil {
		list.Attrs["type"] = set.Type
		var users []waBinary.Node
		for _, phone := range set.Phones {
			a := c.s.byPhone[phone]
			users = append(users, waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": a.pn()}})
			if set.Type == "blacklist" {
				users = append(users, waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": a.lid()}})
			}
		}
		list.Content = users
	}
	return []waBinary.Node{{Tag: "privacy", Content: []waBinary.Node{list}}}, nil
}

// handleAudienceSet takes the list in the form in which it is answered: whatsmeow and Baileys cannot set it, so WhatsApp's form is not known.
func handleAudienceSet(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, a := c.s, c.device.account
	request := iq.GetChildByTag("privacy")
	list := request.GetChildByTag("list")
	set := &audience{Type: attr(&list, "type"), Phones: []string{}}
	if !slices.Contains([]string{"contacts", "whitelist", "blacklist"}, set.Type) {
		return nil, errBadRequest
	}
	for _, user := range list.GetChildrenByTag("user") {
		jid, _ := user.Attrs["jid"].(types.JID)
		other := s.user(jid)
		if other == nil {
			return nil, errItemNotFound
		}
		if !slices.Contains(set.Phones, other.keys.Phone) {
			set.Phones = append(set.Phones, other.keys.Phone)
		}
	}
	if len(set.Phones) > maxAudience {
		return nil, queryError{419, "resource-limit"}
	}
	a.editing.Lock()
	defer a.editing.Unlock()
	if err := s.commit(ctx, []journal.Record{record("audience", a.keys.Phone, set)}, nil); err != nil {
		return nil, fmt.Errorf("store status privacy: %w", err)
	}
	s.mu.Lock()
	a.audience = set
	s.mu.Unlock()
	return nil, nil
}

// routeStatus routes a status to those whom its author encrypted it for, but for those who blocked him, and to his other devices; and the
// answer to a retry receipt to its one device. There are no other broadcast lists: whatsmeow has none (ErrBroadcastListUnsupported).
func routeStatus(ctx context.Context, c *conn, message *waBinary.Node) error {
	if to := message.Attrs["to"].(types.JID); to != types.StatusBroadcastJID {
		c.ackMessage(message, "", errItemNotFound.code)
		return nil
	}
	var stanzas []queued
	phash, key := "", ""
	if participant, ok := message.Attrs["participant"].(types.JID); ok {
		if d := c.s.device(participant); d != nil && d != c.device {
			stanzas = []queued{{d, c.s.sharedCopy(c.device, participant.Server, message, message.GetChildrenByTag("enc"))}}
		}
	} else {
		stanzas, phash = c.s.fanOutStatus(c.device, message)
		key = types.StatusBroadcastJID.String() + "/" + attr(message, "id")
	}
	return c.route(ctx, message, stanzas, phash, key)
}

// fanOutStatus makes the copies for all devices of the audience, which is who is in the message's participants. A device that the author
// does not know of gets what is encrypted with his sender key, and asks for the rest; the author then learns by phash that there are others.
func (s *Server) fanOutStatus(author *device, message *waBinary.Node) (stanzas []queued, phash string) {
	type reader struct {
		account *account
		server  string // of the address that the author uses for it
	}
	var readers []reader
	own := map[*device][]waBinary.Node{}
	var to []waBinary.Node
	participants := message.GetChildByTag("participants")
	for _, copied := range participants.GetChildrenByTag("to") {
		jid, _ := copied.Attrs["jid"].(types.JID)
		a, d := s.user(jid), s.device(jid)
		if a == nil {
			continue
		}
		if d != nil && own[d] == nil {
			own[d] = copied.GetChildrenByTag("enc")
		}
		if !slices.ContainsFunc(readers, func(r reader) bool { return r.account == a }) {
			readers = append(readers, reader{a, jid.Server})
			to = append(to, waBinary.Node{Tag: "to", Attrs: waBinary.Attrs{
				"jid": a.jid(jid.Server), otherAddress("peer_recipient", jid.Server): a.otherJID(jid.Server),
			}})
		}
	}
	if !slices.ContainsFunc(readers, func(r reader) bool { return r.account == author.account }) {
		readers = append(readers, reader{author.account, types.DefaultUserServer})
	}
	shared := message.GetChildrenByTag("enc")
	var jids []types.JID
	complete := true
	for _, r := range readers {
		hidden := s.blocked(r.account, author.account)
		for _, d := range s.devicesOf(r.account, nil) {
			jids = append(jids, d.jid(r.server))
			if d == author {
				continue
			}
			complete = complete && own[d] != nil
			if hidden {
				continue
			}
			stanza := s.sharedCopy(author, r.server, message, append(slices.Clone(own[d]), shared...))
			if d.account == author.account { // parseMessageSource (message.go) tells a client who got its status
				stanza.Content = append(stanza.GetChildren(), waBinary.Node{Tag: "participants", Content: to})
			} else {
				stanza.Content = append(stanza.GetChildren(), s.verifiedName(author.account)...)
			}
			stanzas = append(stanzas, queued{d, stanza})
		}
	}
	if !complete {
		phash = listHash(jids)
	}
	return stanzas, phash
}

// otherAddress names the attribute that holds an account's address on the server that is not the given one.
func otherAddress(prefix, server string) string {
	if server == types.HiddenUserServer {
		return prefix + "_pn"
	}
	return prefix + "_lid"
}

// otherJID is the account's address on the server that is not the given one.
func (a *account) otherJID(server string) types.JID {
	if server == types.HiddenUserServer {
		return a.pn()
	}
	return a.lid()
}

// sharedCopy makes what a device receives of a message to a group or of a status, as parseMessageSource (message.go) reads it: from the chat,
// with the author as the participant, by the kind of address that is used there.
func (s *Server) sharedCopy(author *device, server string, message *waBinary.Node, enc []waBinary.Node) waBinary.Node {
	attrs := waBinary.Attrs{
		"id": message.Attrs["id"], "from": message.Attrs["to"], "participant": author.jid(server), "t": strconv.FormatInt(time.Now().Unix(), 10),
		"type": attr(message, "type"), "edit": attr(message, "edit"), "addressing_mode": addressingMode(server),
		otherAddress("participant", server): author.account.otherJID(server),
	}
	if t := attr(message, "t"); t != "" {
		attrs["t"] = t // the answer to a retry receipt keeps the time of the message
	}
	s.mu.RLock()
	attrs["notify"] = author.account.name
	s.mu.RUnlock()
	children := slices.Clone(enc)
	for _, child := range message.GetChildren() {
		if child.Tag != "enc" && child.Tag != "participants" {
			children = append(children, child)
		}
	}
	return waBinary.Node{Tag: "message", Attrs: attrs, Content: children}
}

func addressingMode(server string) string {
	if server == types.HiddenUserServer {
		return "lid"
	}
	return "pn"
}

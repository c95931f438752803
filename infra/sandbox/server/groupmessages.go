package server

import (
	"context"
	"slices"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

const (
	// ackNoSending answers who may not write in the group: is not in it, or no admin where only those write, or writes in a community
	// itself. Clients report 420 for the last; that it is the same for the others is assumed.
	ackNoSending = 420
	// ackStaleAddressing answers a message that is addressed by phone numbers: every group here is addressed by LID (WhatsApp Web calls it
	// "stale group addressing mode").
	ackStaleAddressing = 421
)

// routeGroup routes what is addressed to a group: one ciphertext for all members' devices, with a copy of the key to it for each device
// that the sender made one for, or a single copy for one device, which is how answers to retry receipts come (sendGroup in send.go,
// handleRetryReceipt in retry.go).
func routeGroup(ctx context.Context, c *conn, message *waBinary.Node) error {
	s, to := c.s, message.Attrs["to"].(types.JID)
	g := s.group(to)
	if g == nil {
		c.ackMessage(message, "", errItemNotFound.code)
		return nil
	}
	st := g.now()
	if code := st.refusal(c, message); code != 0 {
		c.ackMessage(message, "", code)
		return nil
	}
	if one, ok := message.Attrs["participant"].(types.JID); ok {
		var stanzas []queued
		if d := s.device(one); d != nil && d != c.device && st.has(d.account.keys.Phone) {
			stanzas = []queued{{d, s.sharedCopy(c.device, types.HiddenUserServer, message, message.GetChildrenByTag("enc"))}}
		}
		return c.route(ctx, message, stanzas, "", "")
	}
	stanzas, phash := s.fanOutGroup(c, st, message)
	return c.route(ctx, message, stanzas, phash, to.User+"/"+attr(message, "id"))
}

// refusal is the error code for a message that is not taken, or 0. Reactions and votes are for all members of an announcement group.
func (st *groupState) refusal(c *conn, message *waBinary.Node) int {
	phone, meta := c.device.account.keys.Phone, message.GetChildByTag("meta")
	answer := attr(message, "type") == "reaction" || attr(&meta, "polltype") == "vote"
	switch {
	case !st.has(phone), st.Parent, st.Announce && !st.admin(phone) && !answer:
		return ackNoSending
	case attr(message, "addressing_mode") == string(types.AddressingModePN) && !c.byNumber():
		return ackStaleAddressing
	}
	return 0
}

// fanOutGroup makes the copies of a message for the devices of all members but the sender's own device. A copy of the key for a device that
// is not a member's is dropped. phash is set when the sender's list, which he gives the hash of, is not that of the members' devices, his
// own included: whatsmeow then asks for the members before its next message.
func (s *Server) fanOutGroup(c *conn, st *groupState, message *waBinary.Node) (stanzas []queued, phash string) {
	sender, addressing := c.device, types.HiddenUserServer
	if c.byNumber() {
		addressing = types.DefaultUserServer
	}
	var copies []waBinary.Node
	if participants, ok := message.GetOptionalChildByTag("participants"); ok {
		copies = participants.GetChildren()
	}
	keys := make(map[types.JID][]waBinary.Node, len(copies))
	for i := range copies {
		if jid, ok := copies[i].Attrs["jid"].(types.JID); ok {
			keys[jid] = copies[i].GetChildrenByTag("enc")
		}
	}
	devices := s.devicesOfAll(st.phones())
	if claimed := attr(message, "phash"); claimed != "" {
		jids := make([]types.JID, len(devices))
		for i, d := range devices {
			jids[i] = d.jid(addressing)
		}
		if present := listHash(jids); present != claimed {
			phash = present
		}
	}
	shared := s.sharedCopy(sender, types.HiddenUserServer, message, message.GetChildrenByTag("enc"))
	for _, d := range reached(devices) {
		if d == sender {
			continue
		}
		stanza := shared
		key, ok := keys[d.jid(types.HiddenUserServer)]
		if !ok {
			key, ok = keys[d.jid(types.DefaultUserServer)]
		}
		if ok { // the key comes first, so that the message after it can be read
			stanza.Content = append(slices.Clone(key), shared.GetChildren()...)
		}
		stanzas = append(stanzas, queued{d, stanza})
	}
	return stanzas, phash
}

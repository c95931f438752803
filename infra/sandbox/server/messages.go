package server

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

func registerMessages(r *registry) {
	r.stanzas["message"] = handleMessage
	r.routes[types.DefaultUserServer] = routeDirect
	r.routes[types.HiddenUserServer] = routeDirect
	r.loaders["sent"] = loadSent
}

// maxID bounds a message's id, in bytes; clients use up to 32 (GenerateMessageID in send.go).
const maxID = 128

// validID says whether a text can be the id of a message.
func validID(id string) bool {
	return id != "" && len(id) <= maxID && utf8.ValidString(id) && !strings.ContainsRune(id, 0)
}

// handleMessage gives a message to the route of its recipient's kind.
func handleMessage(ctx context.Context, c *conn, message *waBinary.Node) error {
	to, ok := message.Attrs["to"].(types.JID)
	if !ok || !validID(attr(message, "id")) {
		c.ackMessage(message, "", errBadRequest.code)
		return nil
	}
	route, ok := c.s.handlers.routes[to.Server]
	if !ok {
		c.unknown(message)
		c.ackMessage(message, "", errUnknown.code)
		return nil
	}
	switch faults := c.faults(); {
	case c.device.account.banned(c.s):
		return nil // nobody answers one who is banned
	case c.happens("cut before", faults.CutBefore):
		c.cut()
		return nil
	case c.happens("ack error", faults.AckError.Sometimes):
		c.ackMessage(message, "", faults.AckError.Code)
		return nil
	}
	return route(ctx, c, message)
}

// ackMessage tells the sender that its message is safe, or why it was not taken. phash is set when the sender encrypted for other devices
// than there are: whatsmeow then asks for the device list before its next message.
func (c *conn) ackMessage(message *waBinary.Node, phash string, code int) {
	ack := waBinary.Node{Tag: "ack", Attrs: waBinary.Attrs{
		"class": "message", "id": message.Attrs["id"], "from": message.Attrs["to"], "t": time.Now().Unix(), "phash": phash,
	}}
	if code != 0 {
		ack.Attrs["error"] = code
	}
	c.sendMessageAck(ack)
}

// sendMessageAck sends a message's acknowledgement, as late as the faults in force want it, or not at all.
func (c *conn) sendMessageAck(ack waBinary.Node) {
	faults := c.faults()
	if !faults.DropAcks {
		c.later(faults.AckDelay, faults.AckJitter, "ack", func() { c.sendNode(ack) })
	}
}

// routeDirect routes what is addressed to a user: a message with a copy for each device of the recipient and each other device of the
// sender, or a single copy for one device, which is how peer messages and answers to retry receipts come.
func routeDirect(ctx context.Context, c *conn, message *waBinary.Node) error {
	s, to := c.s, message.Attrs["to"].(types.JID)
	recipient := s.user(to)
	if recipient == nil {
		c.ackMessage(message, "", errItemNotFound.code)
		return nil
	}
	if !s.meet(c.device.account, recipient) {
		return nil // it is banned for this one
	}
	if err := s.remember(ctx, c.device.account, recipient); err != nil {
		return err
	}
	var stanzas []queued
	phash, repeatable := "", true
	if participants, ok := message.GetOptionalChildByTag("participants"); ok {
		stanzas, phash = s.fanOut(c.device, recipient, message, participants.GetChildren())
	} else if target := s.device(to); target != nil && target != c.device {
		repeatable = false
		if enc := message.GetChildrenByTag("enc"); len(enc) == 1 {
			stanzas = []queued{{target, s.copyFor(c.device, target, message, enc)}}
		}
	}
	if s.blocked(recipient, c.device.account) {
		// The sender is not told: its message stays with one tick.
		stanzas = slices.DeleteFunc(stanzas, func(q queued) bool { return q.to.account == recipient })
	}
	key := ""
	if repeatable {
		// Phone number and LID are the same recipient.
		key = recipient.keys.Phone + "/" + attr(message, "id")
	}
	return c.route(ctx, message, stanzas, phash, key)
}

// route makes the copies of a message durable and acknowledges it. key names the recipient and the id, by which a repetition is known; it is
// "" for what repeats its id by design.
func (c *conn) route(ctx context.Context, message *waBinary.Node, stanzas []queued, phash, key string) error {
	s := c.s
	var records []journal.Record
	repeated := key != "" && c.device.sent.has(key)
	if key != "" && !repeated {
		records = []journal.Record{sentRecord(c.device, key, time.Now())}
	}
	if err := s.commit(ctx, records, stanzas); err != nil {
		return fmt.Errorf("route message: %w", err)
	}
	if key != "" {
		c.device.sent.add(key)
	}
	if repeated {
		s.counts.repeated.Add(1)
	}
	s.counts.sent.Add(1)
	if c.happens("cut after", c.faults().CutAfter) {
		c.cut()
		return nil
	}
	c.ackMessage(message, phash, 0)
	return nil
}

// fanOut makes the copies of a message for the devices that the sender encrypted it for, and compares those with the devices there are. A
// copy for a device that is gone, or is neither the recipient's nor the sender's, is dropped; of two copies for one device the first is
// taken (whatsmeow makes two in a chat with oneself).
func (s *Server) fanOut(sender *device, recipient *account, message *waBinary.Node, copies []waBinary.Node) (stanzas []queued, phash string) {
	server := message.Attrs["to"].(types.JID).Server
	reached, gone := []*device{sender}, false
	for i := range copies {
		jid, ok := copies[i].Attrs["jid"].(types.JID)
		if !ok {
			continue
		}
		d := s.device(jid)
		gone = gone || d == nil
		if d == nil || d.account != recipient && d.account != sender.account || slices.Contains(reached, d) {
			continue
		}
		reached = append(reached, d)
		stanzas = append(stanzas, queued{d, s.copyFor(sender, d, message, copies[i].GetChildrenByTag("enc"))})
	}
	var jids []types.JID
	complete := true
	for _, d := range append(s.devicesOf(sender.account, nil), s.devicesOf(recipient, nil)...) {
		if jid := d.jid(server); !slices.Contains(jids, jid) {
			jids = append(jids, jid)
			complete = complete && slices.Contains(reached, d)
		}
	}
	if gone || !complete {
		phash = listHash(jids)
	}
	return stanzas, phash
}

// copyFor makes the stanza that one device receives, as parseMessageSource (message.go) reads it: from a device of somebody else's with
// his other address beside it, from one's own device with the chat as the recipient. The sender's address is of the kind that it used for
// the recipient.
func (s *Server) copyFor(sender, to *device, message *waBinary.Node, enc []waBinary.Node) waBinary.Node {
	recipient := message.Attrs["to"].(types.JID)
	attrs := waBinary.Attrs{
		"id": message.Attrs["id"], "from": sender.jid(recipient.Server), "t": strconv.FormatInt(time.Now().Unix(), 10),
		"type": attr(message, "type"), "edit": attr(message, "edit"), "category": attr(message, "category"),
	}
	if t := attr(message, "t"); t != "" {
		attrs["t"] = t // the answer to a retry receipt keeps the time of the message
	}
	s.mu.RLock()
	attrs["notify"] = sender.account.name
	s.mu.RUnlock()
	lid := recipient.Server == types.HiddenUserServer
	switch {
	case to.account != sender.account && lid:
		attrs["addressing_mode"], attrs["sender_pn"] = "lid", sender.account.pn()
	case to.account != sender.account:
		attrs["addressing_mode"], attrs["sender_lid"] = "pn", sender.account.lid()
	default:
		// A copy of what the sender wrote to somebody else; the answer to a device's retry receipt names the chat itself. A peer message is
		// in no chat; the other address of the own account lets whatsmeow find the Signal session, which it keeps under the LID.
		chat, ok := message.Attrs["recipient"].(types.JID)
		if !ok {
			chat, ok = recipient.ToNonAD(), attrs["category"] != "peer"
		}
		if ok {
			attrs["recipient"] = chat
		}
		if other := s.user(chat); other != nil && chat.Server == types.HiddenUserServer {
			attrs["peer_recipient_pn"] = other.pn()
		} else if other != nil {
			attrs["peer_recipient_lid"] = other.lid()
		}
	}
	children := slices.Clone(enc)
	for _, child := range message.GetChildren() {
		switch child.Tag {
		case "enc", "participants", "tctoken", "cstoken": // the tokens are the sender's proof to the server
		default:
			children = append(children, child)
		}
	}
	if to.account != sender.account {
		children = append(children, s.verifiedName(sender.account)...)
	}
	return waBinary.Node{Tag: "message", Attrs: attrs, Content: children}
}

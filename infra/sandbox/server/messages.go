package server

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

func registerMessages(r *registry) {
	r.stanzas["message"] = handleMessage
	r.routes[types.DefaultUserServer] = routeDirect
	r.routes[types.HiddenUserServer] = routeDirect
}

// handleMessage gives a message to the route of its recipient's kind.
func handleMessage(ctx context.Context, c *conn, message *waBinary.Node) error {
	to, ok := message.Attrs["to"].(types.JID)
	if !ok || attr(message, "id") == "" {
		c.ackMessage(message, "", errBadRequest.code)
		return nil
	}
	route, ok := c.s.handlers.routes[to.Server]
	if !ok {
		c.unknown(message)
		c.ackMessage(message, "", errUnknown.code)
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
	faults := c.faults()
	switch {
	case faults.DropAcks:
	case faults.AckDelay > 0:
		c.spawn(func() {
			timer := time.NewTimer(faults.AckDelay)
			defer timer.Stop()
			select {
			case <-timer.C:
				c.sendNode(ack)
			case <-c.ctx.Done():
			}
		})
	default:
		c.sendNode(ack)
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
	var batch pgx.Batch
	if repeatable {
		// Phone number and LID are the same recipient.
		batch.Queue(`INSERT INTO sandbox.sent (device_id, recipient, message_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			c.device.id, recipient.keys.Phone, attr(message, "id")).Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() == 0 {
				s.counts.repeated.Add(1)
			}
			return nil
		})
	}
	if err := queueStanzas(&batch, stanzas); err != nil {
		return err
	}
	if batch.Len() > 0 {
		if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("route message: %w", err)
		}
	}
	s.counts.sent.Add(1)
	c.ackMessage(message, phash, 0) // first: Baileys takes the ticks of a message back when its ack comes after a receipt
	s.wake(stanzas)
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
	return waBinary.Node{Tag: "message", Attrs: attrs, Content: children}
}

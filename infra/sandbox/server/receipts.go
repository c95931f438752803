package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

func registerReceipts(r *registry) { r.stanzas["receipt"] = handleReceipt }

// landing lists the types of receipts that end a message's delivery to the device: it was decrypted, or is asked for again (receipt.go,
// retry.go). A delivery receipt has no type.
var landing = []string{"", "inactive", "sender", "peer_msg", "hist_sync", "retry"}

// handleReceipt removes the messages that a receipt speaks of from the device's queue and forwards it, in one transaction, before the
// receipt is acknowledged.
func handleReceipt(ctx context.Context, c *conn, receipt *waBinary.Node) error {
	s, kind := c.s, attr(receipt, "type")
	to, ok := receipt.Attrs["to"].(types.JID)
	if !ok || attr(receipt, "id") == "" {
		c.ackReceipt(receipt)
		return nil
	}
	if kind == "server-error" {
		if err := s.takeMediaRetry(ctx, c.device, receipt); err != nil {
			return err
		}
		c.ackReceipt(receipt)
		return nil
	}
	if to.Server == types.NewsletterServer {
		if err := s.takeChannelReceipt(ctx, c.device, receipt); err != nil {
			return err
		}
		c.ackReceipt(receipt)
		return nil
	}
	q := &c.device.queue
	var done []*row
	var records []journal.Record
	if slices.Contains(landing, kind) {
		for _, id := range receiptIDs(receipt) {
			if r := q.find(stanzaKey("message", id, to.String(), attr(receipt, "participant"), "")); r != nil {
				done = append(done, r)
				records = append(records, journal.Record{Kind: "queue", Key: queueKey(c.device, r.id)})
			}
		}
	}
	if err := s.commit(ctx, records, s.forwardReceipt(c.device, receipt, to, kind)); err != nil {
		return fmt.Errorf("take receipt: %w", err)
	}
	for _, r := range done {
		if q.remove(r, kind == "retry") {
			s.counts.delivered.Add(1)
		}
	}
	c.ackReceipt(receipt)
	return nil
}

func (c *conn) ackReceipt(receipt *waBinary.Node) {
	ack := waBinary.Node{Tag: "ack", Attrs: waBinary.Attrs{"class": "receipt", "id": receipt.Attrs["id"], "from": receipt.Attrs["to"], "type": attr(receipt, "type")}}
	if participant, ok := receipt.Attrs["participant"]; ok {
		ack.Attrs["participant"] = participant
	}
	c.sendNode(ack)
}

// receiptIDs returns the ids of the messages that a receipt speaks of.
func receiptIDs(receipt *waBinary.Node) []string {
	ids := []string{attr(receipt, "id")}
	list := receipt.GetChildByTag("list")
	for _, item := range list.GetChildren() {
		ids = append(ids, attr(&item, "id"))
	}
	return ids
}

// forwardReceipt makes the stanzas that a receipt from a device becomes. Retry and sender receipts go to the one device that sent the
// message, receipts for peer messages to the account's phone, all others to every device of the account that they are addressed to: in a
// group, and for a status, that of the author, whom the receipt names as participant and who is told the one it is from in the same way. What
// a user read or played on one device is also told to his other devices, with the chat, or there the author, as recipient.
func (s *Server) forwardReceipt(from *device, receipt *waBinary.Node, to types.JID, kind string) []queued {
	author, shared := to, to == types.StatusBroadcastJID || to.Server == types.GroupServer
	if shared {
		author, _ = receipt.Attrs["participant"].(types.JID)
	}
	addressee := s.user(author)
	if addressee == nil {
		return nil
	}
	server := author.Server
	attrs := waBinary.Attrs{"id": receipt.Attrs["id"], "type": kind, "t": strconv.FormatInt(time.Now().Unix(), 10)}
	if t := attr(receipt, "t"); t != "" {
		attrs["t"] = t
	}
	if shared {
		if to.Server == types.GroupServer {
			server = types.HiddenUserServer // by which groups know their members
		}
		attrs["from"], attrs["addressing_mode"] = to, addressingMode(server)
		attrs["participant"], attrs[otherAddress("participant", server)] = from.jid(server), from.account.otherJID(server)
	} else {
		attrs["from"], attrs["category"] = from.jid(server), attr(receipt, "category")
		for _, name := range []string{"participant", "recipient"} {
			if jid, ok := receipt.Attrs[name].(types.JID); ok {
				attrs[name] = jid
			}
		}
	}
	var targets []*device
	switch kind {
	case "retry", "sender":
		targets = []*device{s.device(author)}
	case "peer_msg", "hist_sync":
		targets = []*device{s.device(from.account.pn())}
	case "read-self", "played-self":
		// For the reader's own devices alone: he keeps his receipts from others.
	default:
		targets = s.devicesOf(addressee, nil)
	}
	forwarded := waBinary.Node{Tag: "receipt", Content: receipt.Content, Attrs: attrs}
	var stanzas []queued
	for _, d := range targets {
		if d != nil && d != from {
			stanzas = append(stanzas, queued{d, forwarded})
		}
	}
	if slices.Contains([]string{"read", "played", "read-self", "played-self"}, kind) && addressee != from.account {
		own := forwarded
		own.Attrs = maps.Clone(attrs)
		own.Attrs["recipient"] = addressee.jid(server) // whose message it was (Receipt.MessageSender in types/events)
		stanzas = append(stanzas, s.tellOwn(from.account, from, own)...)
	}
	return stanzas
}

// sinkReceipts makes what a phone would answer to a message that is sent to it, whose account is a Sink: it has come, and was read.
func (s *Server) sinkReceipts(to *device, message *waBinary.Node) []queued {
	from, ok := message.Attrs["from"].(types.JID)
	if !ok || message.Tag != "message" || s.user(from) == to.account {
		return nil
	}
	var answers []queued
	for _, kind := range []string{"", "read"} {
		receipt := waBinary.Node{Tag: "receipt", Attrs: waBinary.Attrs{"id": message.Attrs["id"], "to": from, "type": kind}}
		if participant, ok := message.Attrs["participant"].(types.JID); ok {
			receipt.Attrs["participant"] = participant
		}
		answers = append(answers, s.forwardReceipt(to, &receipt, from, kind)...)
	}
	return answers
}

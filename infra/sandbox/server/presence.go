package server

import (
	"context"
	"fmt"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// maxName bounds a push name in bytes; WhatsApp's own limit is 25 characters.
const maxName = 256

func registerPresence(r *registry) {
	r.stanzas["presence"] = handlePresence
	r.stanzas["chatstate"] = handleChatState
	r.stanzas["ib"] = handleInfo
}

// handlePresence takes the push name that comes with a client's presence. Being online is nothing that anyone is told of yet, so a
// subscription has nothing to wait for.
func handlePresence(ctx context.Context, c *conn, presence *waBinary.Node) error {
	name, a := attr(presence, "name"), c.device.account
	c.s.mu.RLock()
	same := name == a.name
	c.s.mu.RUnlock()
	if same || name == "" || len(name) > maxName {
		return nil
	}
	if err := c.s.changeAccount(ctx, a, func(a *account) { a.name = name }, nil); err != nil {
		return fmt.Errorf("store push name: %w", err)
	}
	return nil
}

// handleChatState tells the recipient's connected devices that somebody is typing, or has stopped. It is never queued.
func handleChatState(_ context.Context, c *conn, state *waBinary.Node) error {
	to, _ := state.Attrs["to"].(types.JID)
	recipient := c.s.user(to)
	if recipient == nil || recipient == c.device.account {
		return nil
	}
	forwarded := waBinary.Node{Tag: "chatstate", Attrs: waBinary.Attrs{"from": c.device.account.jid(to.Server)}, Content: state.Content}
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	for _, d := range recipient.devices {
		if d.conn != nil {
			d.conn.sendNode(forwarded)
		}
	}
	return nil
}

// handleInfo takes the one-way notes that need no answer: a client's session statistics (unified_session) and Baileys' wish for how many
// queued stanzas to send at once (offline_batch), which the window decides.
func handleInfo(_ context.Context, c *conn, info *waBinary.Node) error {
	for _, child := range info.GetChildren() {
		if child.Tag != "unified_session" && child.Tag != "offline_batch" {
			c.unknown(info)
		}
	}
	return nil
}

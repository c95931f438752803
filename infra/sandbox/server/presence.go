package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxName bounds a push name in bytes; WhatsApp's own limit is 25 characters.
	maxName = 256
	// maxWatched bounds the subscriptions of one connection; further ones are ignored.
	maxWatched = 5000
)

// availability is a connection's part in presence, guarded by Server.mu. Subscriptions end with the connection: clients subscribe anew.
type availability struct {
	available bool
	watching  map[*account]struct{}
}

// When an account was last seen is a record "lastseen", in unix seconds: written when its first device becomes available, so that a killed
// process leaves at least that, and when its last one no longer is.
func registerPresence(r *registry) {
	r.stanzas["presence"] = handlePresence
	r.stanzas["chatstate"] = handleChatState
	r.stanzas["ib"] = handleInfo
	r.loaders["lastseen"] = accountLoader(func(a *account, rec journal.Record) error {
		var seconds int64
		err := json.Unmarshal(rec.Value, &seconds)
		a.lastSeen = time.Unix(seconds, 0)
		return err
	})
}

// handlePresence takes a client's own presence and the push name that comes with it, and its wish to be told of somebody else's.
func handlePresence(ctx context.Context, c *conn, presence *waBinary.Node) error {
	if err := c.takeName(ctx, attr(presence, "name")); err != nil {
		return err
	}
	switch attr(presence, "type") {
	case "": // it only brings the name (Baileys)
	case "available":
		return c.setAvailable(ctx, true)
	case "unavailable":
		return c.setAvailable(ctx, false)
	case "subscribe":
		c.watch(presence)
	case "unsubscribe":
		c.unwatch(presence)
	default:
		c.unknown(presence)
	}
	return nil
}

// takeName stores a push name that changed. Others see it with the account's next message (notify).
func (c *conn) takeName(ctx context.Context, name string) error {
	a := c.device.account
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

// setAvailable notes whether the user is looking at this client. An account is available while any of its clients is; who subscribed to it
// is told when that changes. A client that becomes available is told the presence of those that it subscribed to, since it is told nothing
// before (SubscribePresence in whatsmeow's presence.go).
func (c *conn) setAvailable(ctx context.Context, available bool) error {
	s, a := c.s, c.device.account
	a.editing.Lock()
	defer a.editing.Unlock()
	s.mu.Lock()
	if c.available == available {
		s.mu.Unlock()
		return nil
	}
	c.available = available
	before := a.online > 0
	if available {
		a.online++
	} else {
		a.online--
	}
	changed := before != (a.online > 0)
	s.mu.Unlock()
	s.mu.RLock()
	if available {
		for other := range c.watching {
			c.tellPresence(other, other.observers[c])
		}
	}
	s.mu.RUnlock()
	if !changed {
		return nil
	}
	now := time.Now().Truncate(time.Second)
	if err := s.commit(ctx, []journal.Record{record("lastseen", a.keys.Phone, now.Unix())}, nil); err != nil {
		return fmt.Errorf("store last seen: %w", err)
	}
	s.mu.Lock()
	a.lastSeen = now
	s.mu.Unlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for observer, server := range a.observers {
		observer.tellPresence(a, server)
	}
	return nil
}

// depart ends a connection's presence and subscriptions. Failure policy: a last-seen time that cannot be stored is logged, and after a
// restart is the time at which the account became available.
func (c *conn) depart() {
	if c.device == nil {
		return
	}
	c.s.mu.Lock()
	for other := range c.watching {
		delete(other.observers, c)
	}
	c.watching = nil
	c.s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), stanzaTimeout)
	defer cancel()
	if err := c.setAvailable(ctx, false); err != nil {
		c.s.log.WarnContext(ctx, "departure not stored", "error", err)
	}
}

// watch subscribes to an account's presence and tells it at once. A group or channel has none.
func (c *conn) watch(presence *waBinary.Node) {
	to, _ := presence.Attrs["to"].(types.JID)
	other := c.s.user(to)
	if other == nil || other == c.device.account {
		return
	}
	c.s.mu.Lock()
	full := len(c.watching) >= maxWatched
	if !full {
		if c.watching == nil {
			c.watching = map[*account]struct{}{}
		}
		if other.observers == nil {
			other.observers = map[*conn]string{}
		}
		c.watching[other], other.observers[c] = struct{}{}, to.Server
	}
	c.s.mu.Unlock()
	if full {
		return
	}
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	c.tellPresence(other, to.Server)
}

func (c *conn) unwatch(presence *waBinary.Node) {
	to, _ := presence.Attrs["to"].(types.JID)
	if other := c.s.user(to); other != nil {
		c.s.mu.Lock()
		delete(c.watching, other)
		delete(other.observers, c)
		c.s.mu.Unlock()
	}
}

// tellPresence sends an account's presence under its address on a server, as handlePresence (whatsmeow's presence.go) reads it, unless this
// connection is not available or may not know it. Who hides his last seen time from the other does not see the other's. The caller holds
// Server.mu.
func (c *conn) tellPresence(other *account, server string) {
	viewer := c.device.account
	if !c.available || other.blocks(viewer) || viewer.blocks(other) {
		return
	}
	seesLast := other.allows("last", viewer) && viewer.allows("last", other)
	seesOnline := other.allows("online", viewer) && viewer.allows("online", other)
	attrs := waBinary.Attrs{"from": other.jid(server)}
	switch {
	case !seesLast && !seesOnline:
		return
	case other.online > 0 && seesOnline: // no type stands for available
	case seesLast && !other.lastSeen.IsZero():
		attrs["type"], attrs["last"] = "unavailable", other.lastSeen.Unix()
	case seesLast:
		attrs["type"] = "unavailable" // it was never seen
	default:
		attrs["type"], attrs["last"] = "unavailable", "deny"
	}
	c.sendNode(waBinary.Node{Tag: "presence", Attrs: attrs})
}

// handleChatState tells the connected devices of the recipient, or of a group's members, that somebody is typing or recording, or has
// stopped. It is never queued.
func handleChatState(_ context.Context, c *conn, state *waBinary.Node) error {
	s, a := c.s, c.device.account
	to, _ := state.Attrs["to"].(types.JID)
	forwarded := waBinary.Node{Tag: "chatstate", Content: state.Content}
	var recipients []*account
	if recipient := s.user(to); recipient != nil {
		if s.blocked(recipient, a) {
			return nil
		}
		recipients = []*account{recipient}
		forwarded.Attrs = waBinary.Attrs{"from": a.jid(to.Server)}
	} else {
		recipients = s.membersOf(to, a)
		forwarded.Attrs = waBinary.Attrs{"from": to, "participant": a.lid(), "participant_pn": a.pn(), "addressing_mode": "lid"}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, recipient := range recipients {
		if recipient == a {
			continue
		}
		for _, d := range recipient.devices {
			if d.conn != nil {
				d.conn.sendNode(forwarded)
			}
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

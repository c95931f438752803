package server

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

const (
	// postsPage is how many messages an answer has when the client names no count, and maxPostsPage how many at most, so that an answer
	// stays far below the largest frame (16 MiB); maxPageBytes ends it earlier.
	postsPage, maxPostsPage, maxPageBytes = 50, 300, 4 << 20
	// liveTime is how long live updates are pushed after one request; WhatsApp answers 300 s or so.
	liveTime = 5 * time.Minute
)

// listed makes the form in which a post is in a list: with its message when that is asked for, and what it was met with
// (parseNewsletterMessages in notification.go). The caller holds mu.
func (p *post) listed(viewer *account, whole bool) waBinary.Node {
	node := waBinary.Node{Tag: "message", Attrs: waBinary.Attrs{"server_id": p.ServerID, "id": p.MessageID, "type": p.Type, "t": p.Time}}
	if viewer != nil && viewer.keys.Phone == p.Sender {
		node.Attrs["is_sender"] = "true"
	}
	children := met(p.views, p.reactions)
	if whole {
		children = append(p.content(), children...)
	}
	node.Content = children
	return node
}

// updated is the post in a live update, as it will be with an account's new mark. The caller holds change.
func (p *post) updated(by *account, m mark) waBinary.Node {
	after := &post{views: p.views, reactions: maps.Clone(p.reactions), marks: map[*account]mark{by: p.marks[by]}}
	if after.reactions == nil {
		after.reactions = map[string]int{}
	}
	after.set(by, m)
	return waBinary.Node{
		Tag: "message", Attrs: waBinary.Attrs{"server_id": p.ServerID, "id": p.MessageID, "type": p.Type, "t": p.Time},
		Content: met(after.views, after.reactions),
	}
}

// met says how often a post was viewed, and what with it was met.
func met(views int, reactions map[string]int) []waBinary.Node {
	children := []waBinary.Node{{Tag: "views_count", Attrs: waBinary.Attrs{"count": views}}}
	var codes []waBinary.Node
	for _, code := range slices.Sorted(maps.Keys(reactions)) {
		codes = append(codes, waBinary.Node{Tag: "reaction", Attrs: waBinary.Attrs{"code": code, "count": reactions[code]}})
	}
	if codes != nil {
		children = append(children, waBinary.Node{Tag: "reactions", Content: codes})
	}
	return children
}

// number reads an attribute that may be absent, which is 0.
func number(n *waBinary.Node, name string) (int, error) {
	text := attr(n, name)
	if text == "" {
		return 0, nil
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 0 {
		return 0, errBadRequest
	}
	return value, nil
}

// page reads what a request for messages says of its size.
func page(request *waBinary.Node) (int, error) {
	count, err := number(request, "count")
	if count == 0 {
		count = postsPage
	}
	return min(count, maxPostsPage), err
}

// handlePosts lists the newest messages of a channel, or the newest before one, oldest first. Anyone may read a channel.
func handlePosts(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("messages")
	count, err := page(&request)
	if err != nil {
		return nil, err
	}
	before, err := number(&request, "before")
	if err != nil {
		return nil, err
	}
	jid, _ := request.Attrs["jid"].(types.JID)
	if attr(&request, "type") == "invite" {
		jid = c.s.channels.invited(attr(&request, "key"))
	}
	ch, err := c.s.channels.get(jid.ToNonAD())
	if err != nil {
		return nil, err
	}
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	var found []waBinary.Node
	for i, bytes := len(ch.posts)-1, 0; i >= 0 && len(found) < count; i-- {
		p := ch.posts[i]
		if p.Revoked || before != 0 && p.ServerID >= before {
			continue
		}
		if bytes += len(p.Plain); bytes > maxPageBytes && len(found) > 0 {
			break
		}
		found = append(found, p.listed(c.device.account, true))
	}
	slices.Reverse(found)
	return []waBinary.Node{ch.messages(found)}, nil
}

// messages wraps a list of messages.
func (ch *channel) messages(list []waBinary.Node) waBinary.Node {
	return waBinary.Node{Tag: "messages", Attrs: waBinary.Attrs{"jid": ch.jid, "t": time.Now().Unix()}, Content: list}
}

// handlePostUpdates lists what messages were met with: of those after one, oldest first, and with `since` of those alone that have changed
// from then on; without `after` it is the newest of them.
func handlePostUpdates(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("message_updates")
	count, err := page(&request)
	if err != nil {
		return nil, err
	}
	after, err := number(&request, "after")
	if err != nil {
		return nil, err
	}
	since, err := number(&request, "since")
	if err != nil {
		return nil, err
	}
	to, _ := iq.Attrs["to"].(types.JID)
	ch, err := c.s.channels.get(to.ToNonAD())
	if err != nil {
		return nil, err
	}
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	var found []waBinary.Node
	for _, p := range ch.posts {
		if !p.Revoked && p.ServerID > after && p.changed >= int64(since) {
			found = append(found, p.listed(c.device.account, false))
		}
	}
	if surplus := len(found) - count; surplus > 0 && after == 0 {
		found = found[surplus:]
	} else if surplus > 0 {
		found = found[:count]
	}
	return []waBinary.Node{{Tag: "message_updates", Content: []waBinary.Node{ch.messages(found)}}}, nil
}

// handleLiveUpdates promises live updates to the device for a time (NewsletterSubscribeLiveUpdates in newsletter.go).
func handleLiveUpdates(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	to, _ := iq.Attrs["to"].(types.JID)
	ch, err := c.s.channels.get(to.ToNonAD())
	if err != nil {
		return nil, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.live[c.device] = time.Now().Add(liveTime)
	return []waBinary.Node{{Tag: "live_updates", Attrs: waBinary.Attrs{"duration": int(liveTime / time.Second)}}}, nil
}

// liveStanzas makes the live update of some posts for each connected device that has asked for them (handleNewsletterNotification in
// notification.go). Baileys reads views and reactions from notes of their own (handleNewsletterNotification in messages-recv).
func (s *Server) liveStanzas(ch *channel, updates, notes []waBinary.Node) []queued {
	ch.mu.Lock()
	var devices []*device
	for d, until := range ch.live {
		if time.Now().After(until) {
			delete(ch.live, d)
			continue
		}
		devices = append(devices, d)
	}
	ch.mu.Unlock()
	s.mu.RLock()
	devices = slices.DeleteFunc(devices, func(d *device) bool { return d.conn == nil })
	s.mu.RUnlock()
	node := waBinary.Node{
		Tag:     "notification",
		Attrs:   waBinary.Attrs{"from": ch.jid, "type": "newsletter", "id": newID(), "t": time.Now().Unix()},
		Content: append([]waBinary.Node{{Tag: "live_updates", Content: updates}}, notes...),
	}
	return s.toDevices(devices, node)
}

func reactionNote(serverID int, code string) waBinary.Node {
	return waBinary.Node{Tag: "reaction", Attrs: waBinary.Attrs{"message_id": serverID}, Content: []waBinary.Node{{Tag: "reaction", Content: []byte(code)}}}
}

func viewNote(serverID, count int) waBinary.Node {
	return waBinary.Node{Tag: "view", Attrs: waBinary.Attrs{"message_id": serverID}, Content: []byte(strconv.Itoa(count))}
}

// toDevices queues one stanza for some devices.
func (s *Server) toDevices(devices []*device, node waBinary.Node) []queued {
	stanzas := make([]queued, len(devices))
	for i, d := range devices {
		stanzas[i] = queued{d, node}
	}
	return stanzas
}

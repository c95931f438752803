package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxPost bounds a message's plaintext in bytes: media are files, so what is large is a preview, of some 100 KB at most.
	maxPost = 1 << 20
	// maxReaction bounds a reaction's code in bytes: the longest emoji have some 35.
	maxReaction = 64
)

// post is a message in a channel, and the record of kind "channel_post". The marks are records of their own.
type post struct {
	ServerID  int    `json:"-"` // in the key
	MessageID string `json:"id"`
	Sender    string `json:"sender"` // phone number
	Type      string `json:"type"`
	MediaType string `json:"mediaType,omitempty"`
	Plain     []byte `json:"plain"` // waE2E.Message; none once it was revoked
	Time      int64  `json:"time"`  // unix seconds
	Edited    int64  `json:"edited,omitempty"`
	Revoked   bool   `json:"revoked,omitempty"`

	marks     map[*account]mark
	views     int
	reactions map[string]int
	changed   int64 // unix seconds of the last change, its marks' included
}

// mark is what one account did to a post, and the record of kind "channel_post_mark".
type mark struct {
	Viewed   bool   `json:"viewed,omitempty"`
	Reaction string `json:"reaction,omitempty"`
	At       int64  `json:"at"`
}

// set replaces an account's mark and counts it.
func (p *post) set(a *account, m mark) {
	old := p.marks[a]
	if p.marks == nil {
		p.marks, p.reactions = map[*account]mark{}, map[string]int{}
	}
	if old.Reaction != "" {
		if p.reactions[old.Reaction]--; p.reactions[old.Reaction] == 0 {
			delete(p.reactions, old.Reaction)
		}
	}
	if m.Reaction != "" {
		p.reactions[m.Reaction]++
	}
	if m.Viewed && !old.Viewed {
		p.views++
	}
	p.marks[a] = m
	p.changed = max(p.changed, m.At)
}

func (ch *channel) postKey(id int) string { return fmt.Sprintf("%s %010d", ch.jid.User, id) }

func (ch *channel) markKey(id int, a *account) string { return ch.postKey(id) + " " + a.keys.Phone }

// add appends a post; the caller holds mu, or loads.
func (ch *channel) add(p *post) {
	ch.posts, ch.byMessage[p.MessageID] = append(ch.posts, p), p
	ch.bytes += len(p.Plain)
}

// post finds a post by its server id; nil when there is none. The caller holds mu or change.
func (ch *channel) post(id int) *post {
	i, found := slices.BinarySearchFunc(ch.posts, id, func(p *post, id int) int { return p.ServerID - id })
	if !found {
		return nil
	}
	return ch.posts[i]
}

func loadPost(s *Server, r journal.Record) error {
	ch, id, _, err := s.postID(r.Key)
	if err != nil {
		return err
	}
	p := &post{ServerID: id}
	if err := json.Unmarshal(r.Value, p); err != nil {
		return err
	}
	p.changed = max(p.Time, p.Edited/1000)
	ch.add(p)
	return nil
}

func loadMark(s *Server, r journal.Record) error {
	ch, id, phone, err := s.postID(r.Key)
	if err != nil {
		return err
	}
	p, a := ch.post(id), s.byPhone[phone]
	if p == nil || a == nil {
		return fmt.Errorf("mark %s on no post, or of no account", r.Key)
	}
	var m mark
	if err := json.Unmarshal(r.Value, &m); err != nil {
		return err
	}
	p.set(a, m)
	return nil
}

// routeChannel takes what is sent to a channel: a message, an edit or a revocation of one (sendNewsletter in send.go), or a reaction
// (NewsletterSendReaction in newsletter.go).
func routeChannel(ctx context.Context, c *conn, message *waBinary.Node) error {
	ch, err := c.s.channels.get(message.Attrs["to"].(types.JID).ToNonAD())
	if err == nil {
		err = ch.lockForChange()
	}
	if err != nil {
		return c.ackPost(message, 0, err)
	}
	defer ch.change.Unlock()
	var id int
	switch edit := types.EditAttribute(attr(message, "edit")); {
	case attr(message, "type") == "reaction":
		id, err = c.s.react(ctx, c.device, ch, message)
	case edit == types.EditAttributeAdminEdit || edit == types.EditAttributeAdminRevoke:
		id, err = c.s.editPost(ctx, c.device, ch, message, edit)
	default:
		id, err = c.s.addPost(ctx, c.device, ch, message)
	}
	return c.ackPost(message, id, err)
}

// ackPost acknowledges a message to a channel with its server id, or says why it was not taken. An error that is not the client's ends the
// connection, so that the client sends again.
func (c *conn) ackPost(message *waBinary.Node, id int, err error) error {
	ack := waBinary.Node{Tag: "ack", Attrs: waBinary.Attrs{
		"class": "message", "id": message.Attrs["id"], "from": message.Attrs["to"], "t": time.Now().Unix(),
	}}
	refused := queryError{}
	switch {
	case err == nil:
		ack.Attrs["server_id"] = id
		c.s.counts.sent.Add(1)
	case errors.As(err, &refused):
		ack.Attrs["error"] = refused.code
	default:
		return err
	}
	c.sendMessageAck(ack)
	return nil
}

// addPost stores a message and queues it for every device that follows the channel, its sender's others included.
func (s *Server) addPost(ctx context.Context, by *device, ch *channel, message *waBinary.Node) (int, error) {
	plaintext, ok := message.GetOptionalChildByTag("plaintext")
	plain := content(plaintext)
	id, phone := attr(message, "id"), by.account.keys.Phone
	old := ch.byMessage[id]
	switch {
	case !ch.members[by.account].manages():
		return 0, errForbidden
	case !ok || len(plain) > maxPost || len(plain) == 0:
		return 0, errBadRequest
	case old != nil && old.Sender == phone: // its ack was lost
		s.counts.repeated.Add(1)
		return old.ServerID, nil
	case old != nil:
		return 0, queryError{409, "conflict"}
	}
	p := &post{
		ServerID: firstPost, MessageID: id, Sender: phone, Type: attr(message, "type"), MediaType: attr(&plaintext, "mediatype"),
		Plain: slices.Clone(plain), Time: time.Now().Unix(),
	}
	p.changed = p.Time
	if n := len(ch.posts); n > 0 {
		p.ServerID = ch.posts[n-1].ServerID + 1
	}
	records := []journal.Record{record(postKind, ch.postKey(p.ServerID), p)}
	surplus, bytes := 0, ch.bytes+len(p.Plain)
	for ; len(ch.posts)+1-surplus > maxPosts || bytes > maxPostBytes; surplus++ {
		old := ch.posts[surplus]
		bytes -= len(old.Plain)
		records = append(records, ch.forgetPost(old)...)
	}
	if err := s.commit(ctx, records, s.postStanzas(ch, p, by)); err != nil {
		return 0, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, old := range ch.posts[:surplus] {
		delete(ch.byMessage, old.MessageID)
		ch.bytes -= len(old.Plain)
	}
	ch.posts = slices.Delete(ch.posts, 0, surplus)
	ch.add(p)
	return p.ServerID, nil
}

// forgetPost makes the records that delete a post.
func (ch *channel) forgetPost(p *post) []journal.Record {
	records := []journal.Record{{Kind: postKind, Key: ch.postKey(p.ServerID)}}
	for a := range p.marks {
		records = append(records, journal.Record{Kind: markKind, Key: ch.markKey(p.ServerID, a)})
	}
	return records
}

// editPost replaces a message, or empties it, and queues what it is now under its old id. Any admin may do both to any message.
func (s *Server) editPost(ctx context.Context, by *device, ch *channel, message *waBinary.Node, edit types.EditAttribute) (int, error) {
	plaintext := message.GetChildByTag("plaintext")
	plain, revoke := content(plaintext), edit == types.EditAttributeAdminRevoke
	p := ch.byMessage[attr(message, "id")]
	switch {
	case !ch.members[by.account].manages():
		return 0, errForbidden
	case p == nil:
		return 0, errItemNotFound
	case p.Revoked && revoke: // its ack was lost
		return p.ServerID, nil
	case p.Revoked:
		return 0, errItemNotFound
	case !revoke && (len(plain) == 0 || len(plain) > maxPost):
		return 0, errBadRequest
	}
	now := time.Now()
	edited := &post{
		ServerID: p.ServerID, MessageID: p.MessageID, Sender: p.Sender, Type: p.Type, MediaType: p.MediaType, Plain: slices.Clone(plain),
		Time: p.Time, Edited: now.UnixMilli(), Revoked: revoke,
	}
	if revoke {
		edited.Plain, edited.MediaType = nil, ""
	}
	if err := s.commit(ctx, []journal.Record{record(postKind, ch.postKey(p.ServerID), edited)}, s.postStanzas(ch, edited, by)); err != nil {
		return 0, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.bytes += len(edited.Plain) - len(p.Plain)
	p.Plain, p.MediaType, p.Edited, p.Revoked, p.changed = edited.Plain, edited.MediaType, edited.Edited, revoke, now.Unix()
	return p.ServerID, nil
}

// postStanzas makes the stanza of a message for each device of the followers but the sending one (parseMessageSource and
// handlePlaintextMessage in message.go). An edit has the message's id and says when it was.
func (s *Server) postStanzas(ch *channel, p *post, by *device) []queued {
	node := waBinary.Node{Tag: "message", Attrs: waBinary.Attrs{
		"id": p.MessageID, "from": ch.jid, "server_id": p.ServerID, "t": p.Time, "type": p.Type,
	}, Content: p.content()}
	switch {
	case p.Revoked:
		node.Attrs["edit"] = string(types.EditAttributeAdminRevoke)
	case p.Edited != 0:
		node.Attrs["edit"] = string(types.EditAttributeAdminEdit)
	}
	own := waBinary.Node{Tag: node.Tag, Attrs: maps.Clone(node.Attrs), Content: node.Content}
	own.Attrs["is_sender"] = "true"
	var stanzas []queued
	for _, d := range s.followerDevices(ch, by) {
		if d.account.keys.Phone == p.Sender {
			stanzas = append(stanzas, queued{d, own})
		} else {
			stanzas = append(stanzas, queued{d, node})
		}
	}
	return stanzas
}

// content is what a message stanza and a message of a list both hold.
func (p *post) content() []waBinary.Node {
	plaintext := waBinary.Node{Tag: "plaintext", Attrs: waBinary.Attrs{}, Content: append([]byte{}, p.Plain...)} // never nil, which would be no content
	if p.MediaType != "" {
		plaintext.Attrs["mediatype"] = p.MediaType
	}
	children := []waBinary.Node{plaintext}
	if p.Edited != 0 {
		children = append(children, waBinary.Node{Tag: "meta", Attrs: waBinary.Attrs{"msg_edit_t": p.Edited, "original_msg_t": p.Time}})
	}
	return children
}

// react sets or removes a follower's reaction to a message.
func (s *Server) react(ctx context.Context, by *device, ch *channel, message *waBinary.Node) (int, error) {
	id, err := strconv.Atoi(attr(message, "server_id"))
	reaction := message.GetChildByTag("reaction")
	code := attr(&reaction, "code")
	p := ch.post(id)
	switch {
	case err != nil || len(code) > maxReaction:
		return 0, errBadRequest
	case p == nil || p.Revoked:
		return 0, errItemNotFound
	case ch.members[by.account].Role == "", code != "" && ch.settings.Reactions == "NONE":
		return 0, errForbidden
	}
	m := p.marks[by.account]
	if m.Reaction == code {
		return id, nil
	}
	m.Reaction, m.At = code, time.Now().Unix()
	return id, s.setMarks(ctx, ch, by.account, map[*post]mark{p: m}, reactionNote(id, code))
}

// setMarks commits an account's marks on posts, tells those who have live updates, and applies them. The caller holds change.
func (s *Server) setMarks(ctx context.Context, ch *channel, by *account, marks map[*post]mark, notes ...waBinary.Node) error {
	var records []journal.Record
	var updates []waBinary.Node
	for p, m := range marks {
		records = append(records, record(markKind, ch.markKey(p.ServerID, by), m))
		updates = append(updates, p.updated(by, m))
	}
	if err := s.commit(ctx, records, s.liveStanzas(ch, updates, notes)); err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for p, m := range marks {
		p.set(by, m)
	}
	return nil
}

// takeChannelReceipt takes a receipt that is addressed to a channel. A view counts once an account (NewsletterMarkViewed in newsletter.go);
// what was read is told to the reader's other devices.
func (s *Server) takeChannelReceipt(ctx context.Context, by *device, receipt *waBinary.Node) error {
	ch, err := s.channels.get(receipt.Attrs["to"].(types.JID).ToNonAD())
	if err != nil {
		return nil //nolint:nilerr // a receipt has no error to answer with
	}
	switch attr(receipt, "type") {
	case "view":
		return s.view(ctx, by, ch, receipt)
	case "read-self", "read":
		node := waBinary.Node{Tag: "receipt", Content: receipt.Content, Attrs: waBinary.Attrs{
			"from": ch.jid, "id": receipt.Attrs["id"], "type": "read-self", "t": time.Now().Unix(),
		}}
		return s.enqueue(ctx, s.toDevices(s.devicesOf(by.account, by), node))
	}
	return nil
}

func (s *Server) view(ctx context.Context, by *device, ch *channel, receipt *waBinary.Node) error {
	if ch.lockForChange() != nil {
		return nil
	}
	defer ch.change.Unlock()
	list := receipt.GetChildByTag("list")
	marks := map[*post]mark{}
	var notes []waBinary.Node
	for _, item := range list.GetChildren() {
		id, err := strconv.Atoi(attr(&item, "server_id"))
		p := ch.post(id)
		if err != nil || p == nil || p.Revoked || p.marks[by.account].Viewed {
			continue
		}
		m := p.marks[by.account]
		m.Viewed, m.At = true, time.Now().Unix()
		if _, repeated := marks[p]; !repeated {
			notes = append(notes, viewNote(id, p.views+1))
		}
		marks[p] = m
	}
	if len(marks) == 0 {
		return nil
	}
	return s.setMarks(ctx, ch, by.account, marks, notes...)
}

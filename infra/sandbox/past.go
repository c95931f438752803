package sandbox

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waWeb"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

const (
	// maxPast bounds the messages of its own that a phone gives as history; the newest count.
	maxPast = 10_000
	// seedChat and seedLID are the phone number and LID of the first made-up chat; the others follow.
	seedChat, seedLID = 19_990_000_000, 990_000_000_000_000
	// seedPrefix begins the ids of made-up messages.
	seedPrefix = "5EED"
)

// seedStart is when the first message of each made-up chat was sent; the others follow a minute after each other.
var seedStart = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// pastMessage is one message that a phone saw or sent.
type pastMessage struct {
	ID        string
	Chat      types.JID
	Sender    types.JID // in a group, who wrote it
	FromMe    bool
	PushName  string
	Timestamp time.Time
	Content   *waE2E.Message
}

// web is the message in the form that history has.
func (m pastMessage) web() *waWeb.WebMessageInfo {
	info := &waWeb.WebMessageInfo{
		Key:     &waCommon.MessageKey{RemoteJID: proto.String(m.Chat.String()), FromMe: &m.FromMe, ID: &m.ID},
		Message: m.Content, MessageTimestamp: proto.Uint64(uint64(m.Timestamp.Unix())),
	}
	switch {
	case m.FromMe:
		info.Status = waWeb.WebMessageInfo_DELIVERY_ACK.Enum()
	case m.PushName != "":
		info.PushName = &m.PushName
	}
	if !m.FromMe && (m.Chat.Server == types.GroupServer || m.Chat.Server == types.BroadcastServer) {
		info.Participant = proto.String(m.Sender.String())
		info.Key.Participant = info.Participant
	}
	return info
}

// conversation is one chat of a phone's past.
type conversation struct {
	jid, lid types.JID     // lid is the same user's, or empty
	name     string        // the other's push name, or a group's subject
	own      []pastMessage // newest first; nil for a made-up chat
	seeded   int           // the number of a made-up chat's messages
}

func (c *conversation) count() int { return len(c.own) + c.seeded }

// page returns the messages from one position to another, newest first.
func (c *conversation) page(from, to int) []pastMessage {
	from, to = min(from, c.count()), min(to, c.count())
	if c.seeded == 0 {
		return c.own[from:to]
	}
	page := make([]pastMessage, 0, to-from)
	for i := from; i < to; i++ {
		page = append(page, c.seed(c.seeded-1-i))
	}
	return page
}

// seed makes up the n-th message of the chat, from 0 for the oldest: always the same.
func (c *conversation) seed(n int) pastMessage {
	return pastMessage{
		ID: fmt.Sprintf("%s%s%010d", seedPrefix, c.jid.User, n), Chat: c.jid, Sender: c.jid, FromMe: n%3 == 2, PushName: c.name,
		Timestamp: seedStart.Add(time.Duration(n) * time.Minute),
		Content:   textMessage(fmt.Sprintf("message %d of %s", n+1, c.name)),
	}
}

// find returns a message's position by its id, or else by the time of the newest that is older.
func (c *conversation) find(id string, before time.Time) (at int, exact bool) {
	if number, ok := strings.CutPrefix(id, seedPrefix+c.jid.User); ok && c.seeded > 0 {
		if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < c.seeded {
			return c.seeded - 1 - n, true
		}
	}
	if i := slices.IndexFunc(c.own, func(m pastMessage) bool { return m.ID == id }); i >= 0 {
		return i, true
	}
	for i := range c.count() {
		if c.page(i, i+1)[0].Timestamp.Before(before) {
			return i, false
		}
	}
	return c.count(), false
}

// conversations returns a phone's chats, those with the newest message first, and after them the made-up ones.
func (p *phone) conversations(seed HistorySeed) []*conversation {
	byChat := map[types.JID]*conversation{}
	var all []*conversation
	for _, m := range p.past() {
		chat := byChat[m.Chat]
		if chat == nil {
			chat = &conversation{jid: m.Chat}
			if account, ok := p.sandbox.server.Account(m.Chat.User); ok && m.Chat.Server == types.DefaultUserServer {
				chat.lid, chat.name = types.NewJID(account.LID, types.HiddenUserServer), account.Name
			}
			byChat[m.Chat] = chat
			all = append(all, chat)
		}
		if !m.FromMe && m.PushName == "" {
			m.PushName = chat.name
		}
		chat.own = append(chat.own, m)
	}
	for i := range seed.Chats {
		all = append(all, &conversation{
			jid: types.NewJID(fmt.Sprint(seedChat+i), types.DefaultUserServer), lid: types.NewJID(fmt.Sprint(seedLID+i), types.HiddenUserServer),
			name: fmt.Sprintf("Contact %d", i+1), seeded: seed.Messages,
		})
	}
	return all
}

// past returns what a phone saw and sent, newest first, 10,000 messages at most. What was done to a message, as a reaction or an edit, is
// none itself and is left out.
func (p *phone) past() []pastMessage {
	var past []pastMessage
	add := func(m pastMessage, raw *waE2E.Message) {
		reading := reader{name: func(jid types.JID) string { return jid.User }}
		if said := reading.read(raw); said.Type != "" && said.Target == nil {
			m.Content = raw
			past = append(past, m)
		}
	}
	p.mu.Lock()
	for _, m := range p.seen[max(0, len(p.seen)-maxPast):] {
		var raw waE2E.Message
		sender, err := types.ParseJID(m.Sender)
		if err != nil || proto.Unmarshal(m.Raw, &raw) != nil || m.Target != nil {
			continue
		}
		add(pastMessage{ID: m.ID, Chat: recipientJID(m.Message.Chat), Sender: sender, FromMe: m.FromMe, Timestamp: m.Timestamp}, &raw)
	}
	for _, m := range p.sentLast[max(0, len(p.sentLast)-maxPast):] {
		if raw, err := m.content(); err == nil {
			add(pastMessage{ID: m.ID, Chat: recipientJID(m.Recipient), FromMe: true, Timestamp: m.SentAt}, raw)
		}
	}
	p.mu.Unlock()
	// The server's times are in seconds. Within one, what came in is taken for the later, as an answer is; else the order is that of the lists.
	slices.Reverse(past)
	slices.SortStableFunc(past, func(a, b pastMessage) int {
		if order := cmp.Compare(b.Timestamp.Unix(), a.Timestamp.Unix()); order != 0 || a.FromMe == b.FromMe {
			return order
		}
		if a.FromMe {
			return 1
		}
		return -1
	})
	return past[:min(len(past), maxPast)]
}

package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// Message is a message as a phone decrypted it.
type Message struct {
	// Seq numbers what one phone saw, rising in the order it was shown; there may be gaps.
	Seq int64 `json:"seq"`
	// ID is WhatsApp's id, chosen by the sender.
	ID string `json:"id"`
	// Chat is where it is shown: a group's or a channel's JID, "status@broadcast", or the other's phone number.
	Chat string `json:"chat"`
	// From is the sender's phone number in digits; a JID where the phone does not know it. To is the recipient's, or as Chat.
	From string `json:"from"`
	To   string `json:"to"`
	// FromMe says that a device linked to this phone sent it.
	FromMe bool `json:"fromMe"`
	// Broadcast says that it came by a broadcast list, or is a status.
	Broadcast bool `json:"broadcast,omitempty"`
	Content
	// Timestamp is the second in which the server accepted the message.
	Timestamp time.Time `json:"timestamp"`
	// Media is there when the message has a file; its members are the message's own in JSON.
	*Media
}

const (
	// messagesPage bounds one answer of Messages.
	messagesPage = 1000
	// maxSeen bounds what one phone keeps of what it saw; the oldest go first, some at a time.
	maxSeen = 100_000
)

// seenMessage is a message that a phone shows, and what it needs beside. Its fields are guarded by phone.mu.
type seenMessage struct {
	Message
	// Chat and Sender are JIDs, as the phone has to name them to the server and to others.
	Chat   string `json:"chatJid"`
	Sender string `json:"senderJid"`
	Read   bool   `json:"read,omitempty"`
	// Raw is the waE2E.Message, which a quote and a forwarded copy are made of.
	Raw []byte `json:"raw"`
	// File is the phone's copy of the message's file, where it has one.
	File *mediaCopy `json:"file,omitempty"`
}

// key is what makes a message known that comes again.
func (m *Message) key() string {
	key := m.From + " " + m.To + " " + m.ID
	if m.Target != nil && m.Target.ID == m.ID { // an edit in a channel comes under the id of what it edits
		key += " " + m.Timestamp.String()
	}
	return key
}

func (p *phone) seenKey(seq int64) string { return fmt.Sprintf("%s/%012d", p.number, seq) }

func (p *phone) seenRecord(m *seenMessage) journal.Record {
	return jsonRecord("phone.seen", p.seenKey(m.Seq), m)
}

// jsonRecord makes a record whose value is JSON.
func jsonRecord(kind, key string, value any) journal.Record {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("record %s is not JSON: %v", kind, err)) // a type that cannot be marshalled is a mistake in this package
	}
	return journal.Record{Kind: kind, Key: key, Value: text}
}

// loadSeen takes a message that an earlier process showed; they come in the order of seq.
func (p *phone) loadSeen(value []byte) error {
	m := &seenMessage{}
	if err := json.Unmarshal(value, m); err != nil {
		return err
	}
	p.addSeen(m)
	return nil
}

// addSeen keeps a message in memory; the caller holds phone.mu, or is the only one who knows the phone.
func (p *phone) addSeen(m *seenMessage) {
	p.seen = append(p.seen, m)
	p.seenKeys[m.key()] = m
	p.lastSeq = m.Seq
}

// show commits what a phone decrypted: once, and with it the reply that an echo phone owes. A further copy changes nothing. It reports
// whether a reply was queued.
//
// A reply is never answered, whoever sent it, so two echo phones cannot talk for ever; nor is what the phone's own linked devices sent, nor
// what others say to more than this phone.
func (p *phone) show(ctx context.Context, m *seenMessage) (replies bool, err error) {
	owes := p.row.AutoReply == "echo" && m.To == p.number && !m.FromMe && !m.Broadcast && m.Type == "text" && !p.sandbox.isReply(m.From, m.ID)
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	_, known := p.seenKeys[m.key()]
	m.Seq = p.lastSeq + 1
	p.mu.Unlock()
	if known {
		return false, nil
	}
	records := []journal.Record{p.seenRecord(m)}
	var reply *outgoing
	if owes {
		reply = p.newOutgoing(outgoing{ID: replyID(p.number, m.Message), Recipient: m.From, Text: m.Text, Reply: true})
		records = append(records, p.outgoingRecord(reply))
	}
	if err := p.sandbox.journal.Commit(ctx, records...); err != nil {
		return false, fmt.Errorf("store message seen: %w", err)
	}
	p.mu.Lock()
	p.addSeen(m)
	if reply != nil {
		p.addOutgoing(reply)
	}
	var old []string
	if len(p.seen) > maxSeen {
		for _, m := range p.seen[:maxSeen/10] {
			old = append(old, p.seenKey(m.Seq))
			delete(p.seenKeys, m.key())
		}
		p.seen = append([]*seenMessage(nil), p.seen[maxSeen/10:]...)
	}
	p.mu.Unlock()
	if err := p.sandbox.journal.Forget(ctx, "phone.seen", old...); err != nil {
		p.log.WarnContext(ctx, "sandbox: old messages not deleted", "error", err) // they come back with the next process
	}
	return reply != nil, nil
}

// isReply says whether a message is the automatic answer of a phone.
func (s *Sandbox) isReply(number, id string) bool {
	p, err := s.phone(number)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.outbox[id]
	return m != nil && m.Reply
}

// Messages returns what the phone saw after seq number after, at most 1,000 messages, oldest first. With none it waits for the first, up
// to wait or the end of ctx, and then returns an empty list.
func (s *Sandbox) Messages(ctx context.Context, number string, after int64, wait time.Duration) ([]Message, error) {
	p, err := s.phone(number)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		changed := p.shown.wait() // taken before the look, so that a message in between is noticed
		if messages := p.messagesAfter(after); len(messages) > 0 {
			return messages, nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			return []Message{}, nil
		case <-ctx.Done():
			return []Message{}, nil
		case <-s.ctx.Done():
			return []Message{}, nil
		}
	}
}

func (p *phone) messagesAfter(after int64) []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := sort.Search(len(p.seen), func(i int) bool { return p.seen[i].Seq > after })
	messages := make([]Message, 0, min(len(p.seen)-first, messagesPage))
	for _, m := range p.seen[first:min(len(p.seen), first+messagesPage)] {
		messages = append(messages, m.Message)
	}
	return messages
}

// readBatch is how many messages one read receipt names. The real limit is not known; whatsmeow accepts any number.
const readBatch = 100

// Read sends read receipts for every message of from that the phone has not read yet, and returns how many there were once the server has
// taken them. After a crash in the middle a receipt may be sent twice.
func (s *Sandbox) Read(ctx context.Context, number, from string) (int, error) {
	p, err := s.phone(number)
	if err != nil {
		return 0, err
	}
	var waiting []*seenMessage
	p.mu.Lock()
	for _, m := range p.seen {
		if m.From == from && !m.FromMe && !m.Read {
			waiting = append(waiting, m)
		}
	}
	p.mu.Unlock()
	for done := 0; done < len(waiting); {
		// One receipt is addressed to one sender in one chat: the same one may have been seen by number and by LID, and in groups.
		end := done + 1
		for end < len(waiting) && end-done < readBatch && waiting[end].Chat == waiting[done].Chat && waiting[end].Sender == waiting[done].Sender {
			end++
		}
		if err := p.markRead(ctx, waiting[done:end]); err != nil {
			return done, err
		}
		done = end
	}
	return len(waiting), nil
}

// storeRead commits that the messages were read.
func (p *phone) storeRead(ctx context.Context, batch []*seenMessage) error {
	records := make([]journal.Record, len(batch))
	p.writing.Lock()
	defer p.writing.Unlock()
	for i, m := range batch {
		read := *m
		read.Read = true
		records[i] = p.seenRecord(&read)
	}
	if err := p.sandbox.journal.Commit(ctx, records...); err != nil {
		return fmt.Errorf("store read messages: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range batch {
		m.Read = true
	}
	return nil
}

// numberOfKey is the phone number that a record's key begins with.
func numberOfKey(key string) string {
	number, _, _ := strings.Cut(key, "/")
	return number
}

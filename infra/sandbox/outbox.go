package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxText bounds a text, in bytes. WhatsApp's own limit is said to be 65,536 characters.
	maxText = 65536
	// sendWait is how long SendText waits for the server's ack before it says that the message is still on its way.
	sendWait = 30 * time.Second
	// ackTimeout is how long a phone waits for the ack of one message before it sends it again under the same id.
	ackTimeout = 20 * time.Second
	// resendPause is what a phone waits before it tries a message again that could not be sent.
	resendPause = time.Second
)

// outgoing is a message that a phone has to send, or has sent. The id is chosen with it, so a repeat after a crash is the same message. But
// for Message, Sent and SentAt, which are guarded by phone.mu, the fields never change.
type outgoing struct {
	ID        string `json:"id"`
	Position  int64  `json:"position"` // rising in the order of sending
	Recipient string `json:"recipient"`
	Text      string `json:"text,omitempty"`
	Message   []byte `json:"message,omitempty"` // a waE2E.Message where it is more than a text; its file has a path once it was uploaded
	Reply     bool   `json:"reply,omitempty"`   // an automatic answer, which no phone answers again
	Sent      bool   `json:"sent,omitempty"`
	// SentAt is when the server acknowledged it.
	SentAt time.Time `json:"sentAt,omitzero"`

	ticks *ticks // what is behind it is guarded by phone.mu
}

// maxSent bounds the messages that a phone keeps after it sent them, for recipients that ask for one again; the oldest go first.
const maxSent = 20_000

// newOutgoing gives a message its position; the caller holds phone.writing.
func (p *phone) newOutgoing(m outgoing) *outgoing {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastPosition++
	m.Position, m.ticks = p.lastPosition, &ticks{}
	return &m
}

func (p *phone) outgoingKey(m *outgoing) string { return fmt.Sprintf("%s/%012d", p.number, m.Position) }

func (p *phone) outgoingRecord(m *outgoing) journal.Record {
	return jsonRecord("phone.outbox", p.outgoingKey(m), m)
}

// loadOutgoing takes a message of an earlier process; they come in the order of position.
func (p *phone) loadOutgoing(value []byte) error {
	m := &outgoing{ticks: &ticks{}}
	if err := json.Unmarshal(value, m); err != nil {
		return err
	}
	p.addOutgoing(m)
	return nil
}

// addOutgoing keeps a message in memory; the caller holds phone.mu, or is the only one who knows the phone.
func (p *phone) addOutgoing(m *outgoing) {
	p.outbox[m.ID] = m
	p.changed(m)
	p.lastPosition = max(p.lastPosition, m.Position)
	if m.Sent {
		p.sentLast = append(p.sentLast, m)
	} else {
		p.unsent = append(p.unsent, m)
	}
}

// SendText makes the phone send a text and returns its id once the server has acknowledged it. The message is stored before it is tried: an
// error with status 504 means that it is not sent yet, and will be, also after a crash.
func (s *Sandbox) SendText(ctx context.Context, number, to, text string) (string, error) {
	return s.Send(ctx, number, Outgoing{To: to, Content: Content{Type: "text", Text: text}})
}

// checkRecipient refuses whom nobody can write to.
func (s *Sandbox) checkRecipient(to string) error {
	if err := checkNumber("to", to); err != nil {
		return err
	}
	if _, ok := s.server.Account(to); !ok {
		return failure(http.StatusUnprocessableEntity, "%s is not on this WhatsApp: create it first with POST /phones", to)
	}
	return nil
}

// post stores a message and waits for the phone to have sent it.
func (s *Sandbox) post(ctx context.Context, p *phone, m outgoing) (string, error) {
	sent := p.awaitSent(m.ID)
	defer p.forgetSent(m.ID)
	if err := p.queue(ctx, m); err != nil {
		return "", err
	}
	p.wake()
	timeout := time.NewTimer(sendWait)
	defer timeout.Stop()
	select {
	case err := <-sent:
		return m.ID, err
	case <-timeout.C:
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return "", failure(http.StatusGatewayTimeout, "message %s is stored and will be sent, but the server has not acknowledged it yet", m.ID)
}

// queue commits a message that is to be sent.
func (p *phone) queue(ctx context.Context, m outgoing) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	queued := p.newOutgoing(m)
	if err := p.sandbox.journal.Commit(ctx, p.outgoingRecord(queued)); err != nil {
		return fmt.Errorf("store message to send: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addOutgoing(queued)
	p.sentChanged.fire()
	return nil
}

// drain sends what the outbox holds, oldest first, until ctx ends.
//
// Failure policy: a message that cannot be sent is tried again each second without end, since it was accepted; the later ones to the same
// recipient wait behind it, those to others do not.
func (c *connection) drain(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := c.drainPage(ctx)
		var pause <-chan time.Time
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			c.phone.log.WarnContext(ctx, "sandbox: phone cannot send yet", "error", err)
			pause = time.After(resendPause)
		} else if more {
			continue
		}
		select {
		case <-c.phone.due:
		case <-pause:
		case <-ctx.Done():
		}
	}
}

// drainPage tries up to 100 messages once. It reports whether there may be more, and the last error.
func (c *connection) drainPage(ctx context.Context) (more bool, last error) {
	const page = 100
	c.phone.mu.Lock()
	due := slices.Clone(c.phone.unsent[:min(len(c.phone.unsent), page)])
	c.phone.mu.Unlock()
	blocked := make(map[string]bool)
	for _, m := range due {
		if blocked[m.Recipient] {
			continue
		}
		if err := c.send(ctx, m); err != nil {
			blocked[m.Recipient], last = true, err
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return len(due) == page, last
}

// send sends one message and commits that it was sent. A crash between the two repeats it under the same id, which recipients show once.
//
// Failure policy: a message whose file is no longer there, which takes 30 days without a connection, is given up and counts as sent; so is
// one that a group or a channel refuses, of which the one who waits for it is told.
func (c *connection) send(ctx context.Context, m *outgoing) error {
	message, err := c.prepare(ctx, m)
	if err == nil {
		_, err = c.client.SendMessage(ctx, recipientJID(m.Recipient), message, whatsmeow.SendRequestExtra{ID: m.ID, Timeout: ackTimeout})
	}
	var refused *whatsmeow.IQError
	var outcome error
	switch {
	case errors.Is(err, journal.ErrNoBlob):
		c.phone.log.ErrorContext(ctx, "sandbox: phone gave up a message whose file has expired", "id", m.ID)
	case strings.Contains(m.Recipient, "@") && (errors.As(err, &refused) || errors.Is(err, whatsmeow.ErrServerReturnedError)):
		c.phone.log.WarnContext(ctx, "sandbox: phone gave up a message that is refused", "id", m.ID, "to", m.Recipient, "error", err)
		outcome = failure(http.StatusConflict, "WhatsApp refuses: %v", err)
	case err != nil:
		return fmt.Errorf("send message %s: %w", m.ID, err)
	}
	if err := c.phone.storeSent(ctx, m); err != nil {
		return err
	}
	c.phone.markSent(m.ID, outcome)
	return nil
}

// storeSent commits that a message was sent.
func (p *phone) storeSent(ctx context.Context, m *outgoing) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	sent := *m
	sent.Sent, sent.SentAt = true, time.Now().UTC()
	if err := p.sandbox.journal.Commit(ctx, p.outgoingRecord(&sent)); err != nil {
		return fmt.Errorf("store message sent: %w", err)
	}
	var old []string
	p.mu.Lock()
	m.Sent, m.SentAt = true, sent.SentAt
	p.changed(m)
	p.unsent = slices.DeleteFunc(p.unsent, func(other *outgoing) bool { return other == m })
	p.sentLast = append(p.sentLast, m)
	if len(p.sentLast) > maxSent {
		for _, m := range p.sentLast[:maxSent/10] {
			old = append(old, p.outgoingKey(m))
			delete(p.outbox, m.ID)
		}
		p.sentLast = slices.Clone(p.sentLast[maxSent/10:])
	}
	p.mu.Unlock()
	p.sentChanged.fire()
	if err := p.sandbox.journal.Forget(ctx, "phone.outbox", old...); err != nil {
		p.log.WarnContext(ctx, "sandbox: old messages sent not deleted", "error", err) // they come back with the next process
	}
	return nil
}

// storeMessage commits what a message became when its file was uploaded.
func (p *phone) storeMessage(ctx context.Context, m *outgoing, message []byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	changed := *m
	changed.Message = message
	if err := p.sandbox.journal.Commit(ctx, p.outgoingRecord(&changed)); err != nil {
		return fmt.Errorf("store message to send: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.Message = message
	return nil
}

// sentAgain finds what the phone sent under an id, for a recipient that could not decrypt it and asks again; nil when there is none.
func (p *phone) sentAgain(ctx context.Context, id string) *waE2E.Message {
	if message := p.peers.message(id); message != nil {
		return message
	}
	message, err := p.sentMessage(id)
	if err != nil {
		p.log.WarnContext(ctx, "sandbox: cannot look up a message to send again", "id", id, "error", err)
	}
	return message
}

func textMessage(text string) *waE2E.Message { return &waE2E.Message{Conversation: proto.String(text)} }

// newMessageID has the form of an Android phone's ids: 32 hexadecimal digits, where whatsmeow's begin with "3EB0" and have 22 (send.go).
func newMessageID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "AC" + strings.ToUpper(hex.EncodeToString(b[:]))
}

// replyID is the id of the automatic answer to a message: a function of the message, so that it is the same however often it is answered.
func replyID(number string, m Message) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{number, m.From, m.ID}, "\x00")))
	return "AC" + strings.ToUpper(hex.EncodeToString(sum[:15]))
}

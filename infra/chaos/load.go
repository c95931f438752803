//go:build linux && !release

package chaos

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

const (
	// mediaShare is the share of messages that carry a file, of fileLeast to fileMost bytes.
	mediaShare          = 0.05
	fileLeast, fileMost = 4 << 10, 96 << 10
)

// entry is a message that was accepted: by the API of a session's, by WhatsApp of a phone's.
type entry struct {
	id     string // WhatsApp's
	text   string // unlike any other; the caption where there is a file
	sha256 string // of its file, in hexadecimal; "" without one
	at     time.Time
}

// chat is what goes on between a session and a customer. Each list has one writer, and is read when that has ended.
type chat struct {
	session, customer int
	out, in           []entry
}

// load is the traffic of one run.
type load struct {
	s     *stack
	chats []*chat // two for each session, and two for each customer
	work  sync.WaitGroup
	fail  context.CancelCauseFunc
}

// startLoad begins the traffic, which ends with ctx; what is being accepted then is waited for as long as patience lasts. fail is called when
// something is refused for good.
func (s *stack) startLoad(ctx, patience context.Context, fail context.CancelCauseFunc) *load {
	l := &load{s: s, fail: fail}
	n := s.cfg.Sessions
	for i := range n {
		l.chats = append(l.chats, &chat{session: i, customer: i}, &chat{session: i, customer: (i + 1) % n})
	}
	for i := range n {
		l.work.Go(func() { l.drive(ctx, patience, uint64(2*i), []*chat{l.chats[2*i], l.chats[2*i+1]}, l.toCustomer) })
		before := l.chats[2*((i+n-1)%n)+1]
		l.work.Go(func() { l.drive(ctx, patience, uint64(2*i+1), []*chat{l.chats[2*i], before}, l.toSession) })
	}
	return l
}

// drive sends into two chats in turn, one message after the other, at random moments around the rate.
func (l *load) drive(ctx, patience context.Context, stream uint64, chats []*chat, send func(context.Context, *chat, int, []byte) error) {
	random := rand.New(rand.NewPCG(uint64(l.s.cfg.Seed), stream))
	mean := time.Duration(float64(time.Second) * float64(l.s.cfg.Sessions) / float64(l.s.cfg.Rate))
	for n := 0; ; n++ {
		timer := time.NewTimer(time.Duration(2 * random.Float64() * float64(mean)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		var file []byte
		if random.Float64() < mediaShare {
			file = make([]byte, fileLeast+random.IntN(fileMost-fileLeast))
			for i := range file {
				file[i] = byte(random.Uint64())
			}
		}
		if err := send(patience, chats[n%2], n, file); err != nil {
			l.fail(err)
			return
		}
	}
}

// toCustomer sends from a session, through the API.
func (l *load) toCustomer(ctx context.Context, c *chat, n int, file []byte) error {
	text := fmt.Sprintf("out %d %d %d", c.session, c.customer, n)
	content, sum := map[string]any{"type": "text", "text": text}, ""
	if file != nil {
		content = map[string]any{"type": "document", "caption": text, "media": map[string]string{
			"base64": base64.StdEncoding.EncodeToString(file), "fileName": "file.bin",
		}}
		sum = hash(file)
	}
	var answer struct{ WhatsAppID string }
	request := map[string]any{"to": customer(c.customer), "content": content}
	path := "/v1/sessions/" + session(c.session) + "/messages"
	if err := l.s.api.insist(ctx, http.MethodPost, path, request, &answer, strings.ReplaceAll(text, " ", "-")); err != nil {
		return fmt.Errorf("send %q: %w", text, err)
	}
	c.out = append(c.out, entry{answer.WhatsAppID, text, sum, time.Now()})
	return nil
}

// toSession sends from a customer's phone.
func (l *load) toSession(ctx context.Context, c *chat, n int, file []byte) error {
	text := fmt.Sprintf("in %d %d %d", c.session, c.customer, n)
	message, sum := sandbox.Outgoing{To: business(c.session), Content: sandbox.Content{Type: "text", Text: text}}, ""
	began := time.Now()
	var id string
	var err error
	if file == nil {
		id, err = l.s.sandbox.Send(ctx, customer(c.customer), message)
	} else {
		sum = hash(file)
		message.Content, message.File = sandbox.Content{Type: "document"}, sandbox.File{Caption: text, FileName: "file.bin"}
		id, err = l.s.sandbox.SendMedia(ctx, customer(c.customer), message, bytes.NewReader(file))
	}
	if err != nil {
		return fmt.Errorf("phone sends %q: %w", text, err)
	}
	c.in = append(c.in, entry{id, text, sum, began})
	return nil
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

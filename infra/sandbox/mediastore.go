package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sort"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// copies finds the files of the messages that a phone saw or sent under an id.
func (p *phone) copies(id string) ([]mediaCopy, error) {
	var found []mediaCopy
	p.mu.Lock()
	for _, m := range p.seen {
		if m.ID == id && m.File != nil {
			found = append(found, *m.File)
		}
	}
	p.mu.Unlock()
	sent, err := p.sentMessage(id)
	if err != nil {
		return nil, err
	}
	if file := fileOf(sent); file != nil {
		found = append(found, mediaCopy{Key: file.GetMediaKey(), EncSHA256: file.GetFileEncSHA256(), Class: whatsmeow.GetMediaType(file)})
	}
	return found, nil
}

// ForgetMedia makes WhatsApp's copy of the file of a message vanish, which the phone saw or sent under this id: downloads are answered with
// 404, until the phone is asked for the file and uploads its own copy. Status 404 when the phone has no such message with a file.
func (s *Sandbox) ForgetMedia(ctx context.Context, number, id string) error {
	p, err := s.phone(number)
	if err != nil {
		return err
	}
	copies, err := p.copies(id)
	if err != nil {
		return err
	}
	if len(copies) == 0 {
		return failure(http.StatusNotFound, "phone %s has no message %s with a file", number, id)
	}
	for _, file := range copies {
		if _, err := s.server.ForgetMedia(ctx, file.EncSHA256); err != nil {
			return err
		}
	}
	return nil
}

// serveMedia answers with the file of a message that the phone shows. It is checked against its hash while it is sent: one that were not
// right is cut off.
func (s *Sandbox) serveMedia(ctx context.Context, number string, seq int64) (http.Handler, error) {
	p, err := s.phone(number)
	if err != nil {
		return nil, err
	}
	m := p.message(seq)
	if m == nil || m.File == nil {
		return nil, failure(http.StatusNotFound, "message %d of phone %s is none with a file that the phone has", seq, number)
	}
	return s.openCopy(ctx, m.Media, m.File)
}

// openCopy answers with a file that a phone has.
func (s *Sandbox) openCopy(ctx context.Context, media *Media, file *mediaCopy) (http.Handler, error) {
	keys, err := keysOf(file.Key, file.Class)
	if err != nil {
		return nil, err
	}
	blob, err := s.journal.OpenBlob(ctx, file.EncSHA256)
	if errors.Is(err, journal.ErrNoBlob) {
		return nil, failure(http.StatusGone, "the file is too old: media are kept for 30 days")
	}
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", contentType(media.Mimetype))
		h.Set("Content-Length", fmt.Sprint(media.Size))
		// The file is anybody's: shown in a browser, it must not be a page of this origin, which could drive the control API.
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodHead {
			return
		}
		if _, err := keys.open(w, blob); err != nil {
			if r.Context().Err() == nil {
				s.log.WarnContext(r.Context(), "sandbox: media not read to its end", "error", err)
			}
			panic(http.ErrAbortHandler) // cutting the answer off is how the caller is told
		}
	}), nil
}

// message finds what the phone shows under a number; nil when there is nothing.
func (p *phone) message(seq int64) *seenMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := sort.Search(len(p.seen), func(i int) bool { return p.seen[i].Seq >= seq })
	if i == len(p.seen) || p.seen[i].Seq != seq {
		return nil
	}
	return p.seen[i]
}

// sentMessage finds what the phone sent under an id; nil when there is none.
func (p *phone) sentMessage(id string) (*waE2E.Message, error) {
	p.mu.Lock()
	m := p.outbox[id]
	var found outgoing
	if m != nil {
		found = *m
	}
	p.mu.Unlock()
	if m == nil {
		return nil, nil
	}
	return found.content()
}

// content is what an outgoing message holds.
func (m outgoing) content() (*waE2E.Message, error) {
	if m.Message == nil {
		return textMessage(m.Text), nil
	}
	var message waE2E.Message
	if err := proto.Unmarshal(m.Message, &message); err != nil {
		return nil, fmt.Errorf("parse message to send: %w", err)
	}
	return &message, nil
}

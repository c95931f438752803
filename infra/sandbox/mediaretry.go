package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/whatsmeow/proto/waMmsRetry"
	"go.mau.fi/whatsmeow/util/gcmutil"
	"go.mau.fi/whatsmeow/util/hkdfutil"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// retryInfo makes of a file's key the one for asking for it again (getMediaRetryKey in whatsmeow's mediaretry.go).
const retryInfo = "WhatsApp Media Retry Notification"

// mediaRetry is what the server calls when a companion asks a phone for a file.
func (s *Sandbox) mediaRetry(number string) {
	s.mu.Lock()
	p := s.phones[number]
	s.mu.Unlock()
	if p != nil { // else it will ask when it connects
		signalTo(p.asked)
	}
}

// answerMediaRetries uploads again what companions ask for, until ctx ends.
//
// Failure policy: a request that cannot be answered is tried again each second, those behind it wait.
func (c *connection) answerMediaRetries(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := c.answerMediaRetriesPage(ctx)
		var pause <-chan time.Time
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			c.phone.log.WarnContext(ctx, "sandbox: phone cannot upload again yet", "error", err)
			pause = time.After(resendPause)
		} else if more {
			continue
		}
		select {
		case <-c.phone.asked:
		case <-pause:
		case <-ctx.Done():
		}
	}
}

func (c *connection) answerMediaRetriesPage(ctx context.Context) (more bool, err error) {
	requests, err := c.phone.sandbox.server.MediaRetries(c.phone.number)
	if err != nil {
		return false, err
	}
	for _, request := range requests {
		if err := c.answerMediaRetry(ctx, request); err != nil {
			return false, err
		}
	}
	return len(requests) > 0, nil
}

// answerMediaRetry answers one request. A crash before the end repeats it, with one more path for the same file.
func (c *connection) answerMediaRetry(ctx context.Context, request server.MediaRetry) error {
	s := c.phone.sandbox.server
	if again, err := c.phone.historyAgain(ctx, request); err != nil {
		return err
	} else if again {
		return s.AnswerMediaRetry(ctx, c.phone.number, request.ID, nil, nil, int(waMmsRetry.MediaRetryNotification_SUCCESS))
	}
	copies, err := c.phone.copies(request.MessageID)
	if err != nil {
		return err
	}
	// Without the file's key nothing can be encrypted for the companion: a code is all that it gets.
	code := waMmsRetry.MediaRetryNotification_NOT_FOUND
	faults, own := s.AccountFaults(c.phone.number)
	if !own {
		faults = s.Faults()
	}
	for _, file := range copies {
		key := hkdfutil.SHA256(file.Key, nil, []byte(retryInfo), 32)
		if !asksFor(request, key) {
			code = waMmsRetry.MediaRetryNotification_DECRYPTION_ERROR
			continue
		}
		answer := &waMmsRetry.MediaRetryNotification{
			StanzaID: proto.String(request.MessageID), Result: waMmsRetry.MediaRetryNotification_NOT_FOUND.Enum(),
		}
		if !faults.Media.PhoneHasNone {
			_, path, err := c.upload(ctx, file)
			if err != nil && !errors.Is(err, journal.ErrNoBlob) {
				return err
			}
			if err == nil {
				answer.DirectPath, answer.Result = &path, waMmsRetry.MediaRetryNotification_SUCCESS.Enum()
			}
		}
		plain, err := proto.Marshal(answer)
		if err != nil {
			return fmt.Errorf("marshal answer to media retry: %w", err)
		}
		iv := make([]byte, 12)
		_, _ = rand.Read(iv) // it never fails
		ciphertext, err := gcmutil.Encrypt(key, iv, plain, []byte(request.MessageID))
		if err != nil {
			return fmt.Errorf("encrypt answer to media retry: %w", err)
		}
		return s.AnswerMediaRetry(ctx, c.phone.number, request.ID, ciphertext, iv, 0)
	}
	return s.AnswerMediaRetry(ctx, c.phone.number, request.ID, nil, nil, int(code))
}

// asksFor says whether a request was encrypted with a file's key, so that it is for this file, among all of the same message id.
func asksFor(request server.MediaRetry, key []byte) bool {
	plain, err := gcmutil.Decrypt(key, request.IV, request.Ciphertext, []byte(request.MessageID))
	var receipt waMmsRetry.ServerErrorReceipt
	return err == nil && proto.Unmarshal(plain, &receipt) == nil && receipt.GetStanzaID() == request.MessageID
}

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// copies finds the files of the messages that a phone saw or sent under an id.
func (s *Sandbox) copies(ctx context.Context, number, id string) ([]mediaCopy, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT media_key, enc_sha256, media_class FROM sandbox.phone_seen WHERE number = $1 AND id = $2 AND media_key IS NOT NULL`, number, id)
	if err != nil {
		return nil, fmt.Errorf("find media seen: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[mediaCopy])
	if err != nil {
		return nil, fmt.Errorf("find media seen: %w", err)
	}
	sent, err := s.sentMessage(ctx, number, id)
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
	if _, err := s.phone(number); err != nil {
		return err
	}
	copies, err := s.copies(ctx, number, id)
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
	if _, err := s.phone(number); err != nil {
		return nil, err
	}
	var file mediaCopy
	var media Media
	err := s.pool.QueryRow(ctx, `
		SELECT media, media_key, enc_sha256, media_class FROM sandbox.phone_seen WHERE number = $1 AND seq = $2 AND media_key IS NOT NULL`,
		number, seq).Scan(&media, &file.Key, &file.EncSHA256, &file.Class)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, failure(http.StatusNotFound, "message %d of phone %s is none with a file that the phone has", seq, number)
	}
	if err != nil {
		return nil, fmt.Errorf("find media seen: %w", err)
	}
	keys, err := keysOf(file.Key, file.Class)
	if err != nil {
		return nil, err
	}
	blob, err := s.server.OpenBlob(ctx, file.EncSHA256)
	if errors.Is(err, server.ErrNoBlob) {
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

// sentMessage finds what the phone sent under an id; nil when there is none.
func (s *Sandbox) sentMessage(ctx context.Context, number, id string) (*waE2E.Message, error) {
	var m outgoing
	err := s.pool.QueryRow(ctx, `SELECT text, message FROM sandbox.phone_outbox WHERE number = $1 AND id = $2`, number, id).Scan(&m.Text, &m.Message)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find message sent: %w", err)
	}
	return m.content()
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

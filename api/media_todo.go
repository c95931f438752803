package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// This file stands in for media.go until that is merged, and is deleted then. It writes the rows of a media and leaves its bytes out.

func (s *Server) storeMedia(ctx context.Context, body io.Reader, _ int64, mimetype, fileName string) (row db.Medium, err error) {
	hash := sha256.New()
	size, err := io.Copy(hash, body)
	if err != nil {
		return row, fmt.Errorf("store media: %w", err)
	}
	sum := hash.Sum(nil)
	if _, err := s.q.ObjectEnsure(ctx, s.pool, sum, fmt.Sprintf("%x", sum), size); err != nil {
		return row, err
	}
	return s.q.MediaInsert(ctx, s.pool, db.MediaInsertParams{ID: events.NewID(), Mimetype: mimetype, FileName: fileName, Size: size, Sha256: sum, Details: json.RawMessage("{}")})
}

func (s *Server) fetchMedia(ctx context.Context, url, mimetype, fileName string) (row db.Medium, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return row, invalid("body.mediaUrl", "expected a URL")
	}
	answer, err := s.guard.Client(s.guard.Transport(), databaseBudget).Do(request)
	if err != nil {
		return row, problem(MediaFetchFailed, "the file cannot be fetched")
	}
	defer answer.Body.Close()
	if mimetype == "" {
		mimetype = answer.Header.Get("Content-Type")
	}
	return s.storeMedia(ctx, answer.Body, answer.ContentLength, mimetype, fileName)
}

func (s *Server) decodeMedia(ctx context.Context, text, mimetype, fileName string) (row db.Medium, err error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return row, invalid("body.mediaBase64", "expected base64")
	}
	return s.storeMedia(ctx, bytes.NewReader(raw), int64(len(raw)), mimetype, fileName)
}

func (s *Server) prepareMedia(ctx context.Context, content *sendContent) error {
	if content.Media == nil {
		return nil
	}
	id, err := events.MediaPrefix.Parse(content.Media.ID)
	if err != nil {
		return err
	}
	row, err := s.q.MediaGet(ctx, s.pool, id)
	if err != nil {
		return err
	}
	content.Media = &events.Media{ID: content.Media.ID, Mimetype: row.Mimetype, Size: row.Size, SHA256: fmt.Sprintf("%x", row.Sha256), FileName: row.FileName}
	return nil
}

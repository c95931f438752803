package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// composePost makes the message of a post. Everybody may read it, so that it has no secret, and its file no keys; it goes through the lane of the
// session's messages like any other, under the same id wherever a process dies, and WhatsApp takes a second copy for the first.
func (c *connection) composePost(ctx context.Context, d *draft) (*waE2E.Message, error) {
	content := &d.content
	if content.Type == events.ContentText {
		return textMessage(content, d.beside.PreviewThumbnail), nil
	}
	if _, ok := kinds[content.Type]; !ok || d.media == nil || content.Media == nil {
		return nil, &refusal{"unavailable", "This version posts no " + content.Type + " to channels."}
	}
	m, up, err := c.uploadPost(ctx, *d.media, content.Type)
	if err != nil {
		return nil, err
	}
	d.handle = up.Handle
	return fileMessage(*content, m, up, time.Now())
}

// uploadPost gives the file of a post to WhatsApp, as it is. It is not kept for further posts, of which each needs a handle of its own.
func (c *connection) uploadPost(ctx context.Context, id uuid.UUID, contentType string) (m db.Media, up whatsmeow.UploadResponse, err error) {
	m, err = c.s.c.queries.MediaGet(ctx, c.s.c.pool, id)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && m.Status != "ready" {
		return m, up, errMediaGone
	}
	if err != nil {
		return m, up, fmt.Errorf("read media: %w", err)
	}
	body, err := c.s.c.media.Open(ctx, m.Object, 0, -1)
	if errors.Is(err, mediastore.ErrNotFound) {
		return m, up, errMediaGone
	}
	if err != nil {
		return m, up, err
	}
	defer body.Close()
	up.FileSHA256, up.FileLength = m.Sha256, uint64(m.Size)
	// whatsmeow's public call reads a file twice, for its hash, which is known here.
	//nolint:staticcheck // SA1019: there is no other way to upload a stream
	if err := c.client.DangerousInternals().RawUpload(ctx, body, up.FileLength, m.Sha256, kinds[contentType].keys, true, &up); err != nil {
		return m, up, fmt.Errorf("upload media: %w", err)
	}
	return m, up, nil
}

// postRefused says why WhatsApp did not take a post.
func postRefused(err error) error { return channelRefused(err, notChannelAdmin) }

// withNumber adds the channel's number of a post to what stands beside it.
func withNumber(beside json.RawMessage, number int) (json.RawMessage, error) {
	var said postgres.MessageContext
	if len(beside) > 0 {
		if err := json.Unmarshal(beside, &said); err != nil {
			return nil, fmt.Errorf("decode context: %w", err)
		}
	}
	said.ServerID = number
	return contextJSON(said)
}

package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waMmsRetry"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
)

// retryMedia asks the phone to upload a file again that WhatsApp has no more. The answer comes as an event, some day: the phone may be off.
// Asking twice, after a crash, does no harm.
func (s *session) retryMedia(ctx context.Context, id uuid.UUID) (outcome string, err error) {
	conn := s.sender()
	if conn == nil {
		return s.park()
	}
	m, err := s.c.queries.MediaRetrySource(ctx, s.c.pool, id, s.id, s.c.cfg.Owner, s.epoch)
	if errors.Is(err, pgx.ErrNoRows) { // there already, deleted, or not ours
		return s.ended(ctx, id)
	}
	if err != nil {
		return s.again(fmt.Errorf("read media: %w", err))
	}
	if m.MediaKey, err = s.c.cfg.Keys.Open(m.MediaKey, seal.MediaKey.At(id.String())); err != nil {
		return s.again(fmt.Errorf("open media key: %w", err))
	}
	info := types.MessageInfo{ID: m.WhatsappID, MessageSource: types.MessageSource{IsFromMe: m.Direction == events.Outgoing}}
	if info.Chat, err = types.ParseJID(m.ChatID); err != nil {
		return "", queue.Permanent{Err: fmt.Errorf("parse chat id: %w", err)}
	}
	info.IsGroup = info.Chat.Server == types.GroupServer
	if m.SenderID != "" {
		if info.Sender, err = types.ParseJID(m.SenderID); err != nil {
			return "", queue.Permanent{Err: fmt.Errorf("parse sender id: %w", err)}
		}
	}
	if !s.holds() {
		return s.again(errClaimLost)
	}
	if err := conn.client.SendMediaRetryReceipt(ctx, &info, m.MediaKey); err != nil {
		s.log.InfoContext(s.ctx, "phone not asked for media yet", "media", events.MediaPrefix.Format(id), "error", err)
		return "waiting", queue.WaitFor{D: brokenWait}
	}
	if err := s.c.queries.MediaAsked(ctx, s.c.pool, id); err != nil {
		return s.again(fmt.Errorf("note that the phone was asked: %w", err))
	}
	return "asked", nil
}

// mediaRetried takes the phone's answer: the file is at a new place, or the phone does not have it.
func (c *connection) mediaRetried(ctx context.Context, e *waevents.MediaRetry) error {
	s := c.s
	asked, err := s.c.queries.MediaListAsked(ctx, s.c.pool, s.id, e.MessageID)
	if err != nil {
		return fmt.Errorf("list media asked for: %w", err)
	}
	for _, m := range asked {
		key, err := s.c.cfg.Keys.Open(m.MediaKey, seal.MediaKey.At(m.ID.String()))
		if err != nil {
			return fmt.Errorf("open media key: %w", err)
		}
		answer, err := whatsmeow.DecryptMediaRetryNotification(e, key)
		switch {
		case errors.Is(err, whatsmeow.ErrMediaNotAvailableOnPhone), errors.Is(err, whatsmeow.ErrUnknownMediaRetryError):
			return c.mediaMissing(ctx, m.ID)
		case err != nil:
			continue // of another message with the same id
		case answer.GetResult() == waMmsRetry.MediaRetryNotification_SUCCESS && strings.HasPrefix(answer.GetDirectPath(), "/"):
			return c.mediaRefound(ctx, m.ID, printable(answer.GetDirectPath()))
		default:
			return c.mediaMissing(ctx, m.ID)
		}
	}
	return nil
}

// mediaRefound lets the file be fetched from its new place.
func (c *connection) mediaRefound(ctx context.Context, id uuid.UUID, directPath string) error {
	s := c.s
	job, err := json.Marshal(events.MediaJob{MediaID: id})
	if err != nil {
		return fmt.Errorf("encode media job: %w", err)
	}
	return s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		_, err := s.c.queries.MediaRefound(ctx, tx, db.MediaRefoundParams{ID: id, DirectPath: directPath, SessionID: s.id, Owner: s.c.cfg.Owner, Epoch: s.epoch})
		if errors.Is(err, pgx.ErrNoRows) {
			return s.hold(ctx, tx)
		}
		if err != nil {
			return fmt.Errorf("write media's new place: %w", err)
		}
		tx.Publish(events.TopicMedia, queue.Message{Payload: job})
		return nil
	})
}

// mediaMissing tells that the phone does not have the file.
func (c *connection) mediaMissing(ctx context.Context, id uuid.UUID) error {
	return c.s.fenced(ctx, func(tx *queue.Tx) error {
		return mediastore.Fail(ctx, tx, id, "media_fetch_failed", "WhatsApp has the file no more, and neither has the phone.", c.s.c.cfg.PublicURL)
	})
}

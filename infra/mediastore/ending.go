package mediastore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Ready notes, in the caller's transaction, that a media's bytes are there, and lets what waited for them go on. False: nobody waits for
// them any more, because the media was deleted.
func (s *Store) Ready(ctx context.Context, tx *queue.Tx, id uuid.UUID, b Blob) (bool, error) {
	if err := s.Keep(ctx, tx, b); err != nil {
		return false, err
	}
	n, err := s.queries.MediaReady(ctx, tx, b.SHA256[:], b.Size, id)
	if err != nil {
		return false, fmt.Errorf("write media: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	return true, done(ctx, s.queries, tx, id)
}

// Fail notes, in the caller's transaction, that a media cannot be had, lets what waited for it go on, and tells it as media.failed. On one
// that has ended already it does nothing.
func Fail(ctx context.Context, tx *queue.Tx, id uuid.UUID, code, message, publicURL string) error {
	q := db.New()
	row, err := q.MediaFail(ctx, tx, code, message, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write media's failure: %w", err)
	}
	if err := done(ctx, q, tx, id); err != nil {
		return err
	}
	if row.Message == nil || row.SessionID == nil {
		return nil
	}
	file := postgres.Media(db.Media{ID: id, Mimetype: row.Mimetype, FileName: row.FileName, Size: row.Size, Sha256: row.Sha256}, publicURL)
	data := events.MediaFailedData{
		MessageID: events.MessagePrefix.Format(*row.Message), WhatsAppID: *row.WhatsappID, ChatID: *row.ChatID, Direction: *row.Direction, Media: file,
		Error: events.MessageError{Code: code, Message: message},
	}
	_, err = events.Publish(tx, events.MediaFailed, *row.SessionID, *row.ChatID, time.Now(), data)
	return err
}

// done makes the deliveries that waited for a media due, and wakes who waits for it.
func done(ctx context.Context, q *db.Queries, tx *queue.Tx, id uuid.UUID) error {
	n, err := q.DeliveryMediaDone(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("end deliveries' wait for media: %w", err)
	}
	if n > 0 {
		tx.Notify(events.WakeDeliveries)
	}
	tx.Notify(events.WakeMedia, id.String())
	return nil
}

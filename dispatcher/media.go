package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/trace"
)

const (
	// mediaWorkers bounds the files that are fetched at once. Each holds one part of an upload, 5 MiB at most.
	mediaWorkers = 4
	// mediaAttempts is how often a file is tried before it has failed: with the queue's waits, about an hour.
	mediaAttempts = 20
	// corruptAttempts is how often a file may come damaged before the phone is asked for another copy.
	corruptAttempts = 3
	// standardMediaWait is how long webhooks wait for the media of their event.
	standardMediaWait = 30 * time.Second
	// phonePatience is how long the phone may take to upload a file again; it may be switched off.
	phonePatience = 24 * time.Hour
	// ourTrouble is the pause after the database or S3 failed, which costs a file no attempt.
	ourTrouble = 2 * time.Second
)

// The ways in which a file cannot be had, for a person.
const (
	failedGone     = "WhatsApp has the file no more, and the phone does not have it either."
	failedPublic   = "WhatsApp has the file no more."
	failedSilent   = "WhatsApp has the file no more, and the phone did not upload it again within a day."
	failedTries    = "The file could not be downloaded from WhatsApp."
	failedCorrupt  = "WhatsApp's copy of the file is damaged, and so is the one that the phone uploaded."
	failedTooLarge = "The file is larger than is taken here."
)

// mediaWorker consumes the topic of media.
type mediaWorker struct {
	d          *Dispatcher
	subscriber *queue.Subscriber
	router     *message.Router
	done       chan struct{}
}

func (d *Dispatcher) startMedia() error {
	subscriber, err := queue.NewSubscriber(queue.SubscriberConfig{
		Pool: d.pool, Waker: d.waker, Owner: d.cfg.Owner, Lease: 15 * time.Second, MaxLanes: mediaWorkers, FetchLanes: mediaWorkers, PerLane: 1,
		MaxAttempts: mediaAttempts + 1, Logger: d.log,
	})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: drain}, watermill.NewSlogLoggerWithLevelMapping(d.log, quieter))
	if err != nil {
		return fmt.Errorf("make router: %w", err)
	}
	w := &mediaWorker{d: d, subscriber: subscriber, router: router, done: make(chan struct{})}
	router.AddMiddleware(queue.Outcome)
	router.AddConsumerHandler("media", events.TopicMedia, subscriber, w.handle)
	go func() {
		defer close(w.done)
		if err := router.Run(context.Background()); err != nil {
			d.log.Error("fetching media ended", "error", err)
		}
	}()
	select {
	case <-router.Running():
	case <-w.done:
		return errors.New("the router of media did not start")
	}
	d.media = w
	return nil
}

// stop cuts off what is being fetched, gives it back, and waits. It is fetched anew by whoever takes it next.
func (w *mediaWorker) stop() {
	if err := w.subscriber.Close(); err != nil {
		w.d.log.Warn("subscriber of media not closed", "error", err)
	}
	if err := w.router.Close(); err != nil {
		w.d.log.Warn("router of media not closed", "error", err)
	}
	<-w.done
}

// handle fetches one file. Failure policy: what WhatsApp or the network did is tried again with growing waits; what the database or S3 did
// is tried again at once and costs no attempt; what WhatsApp has no more the phone is asked for, once.
func (w *mediaWorker) handle(msg *message.Message) error {
	d := w.d
	var job events.MediaJob
	if err := json.Unmarshal(msg.Payload, &job); err != nil {
		return queue.Permanent{Err: fmt.Errorf("decode media job: %w", err)}
	}
	within, span := d.cfg.Tracer.Start(d.cfg.Tracer.Join(msg.Context(), msg.Metadata.Get(queue.MetaTrace)), "media fetch", trace.Consumer)
	defer span.End()
	msg.SetContext(within)
	ctx, cancel := context.WithTimeout(within, downloadTimeout)
	defer cancel()
	m, err := d.queries.MediaGet(ctx, d.pool, job.MediaID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // deleted with its session
	}
	if err != nil {
		return d.troubled(ctx, job.MediaID, fmt.Errorf("read media: %w", err))
	}
	if m.Status != "pending" {
		return nil
	}
	if m.MediaKey, err = d.cfg.Keys.Open(m.MediaKey, seal.MediaKey.At(m.ID.String())); err != nil {
		return d.troubled(ctx, job.MediaID, fmt.Errorf("open media key: %w", err))
	}
	proxy := ""
	if m.SessionID != nil {
		if proxy, err = d.queries.SessionProxy(ctx, d.pool, *m.SessionID); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return d.troubled(ctx, job.MediaID, fmt.Errorf("read the session's proxy: %w", err))
		}
		if proxy, err = d.cfg.Keys.OpenProxy(proxy, *m.SessionID); err != nil {
			return d.troubled(ctx, job.MediaID, fmt.Errorf("open the session's proxy: %w", err))
		}
	}
	began := time.Now()
	var blob mediastore.Blob
	through, err := withProxy(ctx, proxy)
	if err == nil {
		blob, err = d.fetch(through, m)
	}
	outcome := "ready"
	defer func() {
		span.Set("outcome", outcome)
		d.metrics.media.WithLabelValues(outcome).Inc()
		d.metrics.mediaSeconds.Observe(time.Since(began).Seconds())
	}()
	attempt := 1
	if delivery, ok := queue.DeliveryOf(msg.Context()); ok {
		attempt = delivery.Attempt
	}
	var ours *mediastore.StoreError
	switch {
	case err == nil:
		d.metrics.mediaBytes.Add(float64(blob.Size))
		return d.troubled(ctx, m.ID, d.keepMedia(ctx, m.ID, blob))
	case msg.Context().Err() != nil: // this process stops, or has lost the job
		outcome = "waiting"
		return queue.WaitFor{}
	case errors.As(err, &ours):
		outcome = "waiting"
		return d.troubled(ctx, m.ID, err)
	case errors.Is(err, mediastore.ErrTooLarge):
		outcome = "failed"
		return d.troubled(ctx, m.ID, d.failMedia(ctx, m.ID, "media_too_large", failedTooLarge))
	case errors.Is(err, errGone), errors.Is(err, errCorrupt) && attempt >= corruptAttempts:
		if m.AskedAt == nil && !public(m) {
			outcome = "asked"
			return d.troubled(ctx, m.ID, d.askPhone(ctx, m))
		}
		outcome = "failed"
		why := failedGone
		switch {
		case errors.Is(err, errCorrupt):
			why = failedCorrupt
		case public(m):
			why = failedPublic
		}
		return d.troubled(ctx, m.ID, d.failMedia(ctx, m.ID, "media_fetch_failed", why))
	case attempt >= mediaAttempts:
		outcome = "failed"
		d.log.WarnContext(ctx, "media given up", "media", events.MediaPrefix.Format(m.ID), "attempt", attempt, "error", err)
		return d.troubled(ctx, m.ID, d.failMedia(ctx, m.ID, "media_fetch_failed", failedTries))
	}
	outcome = "failed_attempt"
	d.log.InfoContext(ctx, "media not fetched; trying again", "media", events.MediaPrefix.Format(m.ID), "attempt", attempt, "error", err)
	return err
}

// troubled lets a job wait a moment when the database or S3 failed under it; no error is its end.
func (d *Dispatcher) troubled(ctx context.Context, id uuid.UUID, err error) error {
	if err == nil {
		return nil
	}
	d.log.WarnContext(ctx, "media waits for the database or S3", "media", events.MediaPrefix.Format(id), "error", err)
	return queue.WaitFor{D: ourTrouble}
}

// fetch downloads a file, decrypts and checks it, and stores it, all as it streams by.
func (d *Dispatcher) fetch(ctx context.Context, m db.Media) (mediastore.Blob, error) {
	if m.Size > d.cfg.MediaMaxBytes {
		return mediastore.Blob{}, mediastore.ErrTooLarge
	}
	encrypted, err := d.download(ctx, m)
	if err != nil {
		return mediastore.Blob{}, err
	}
	defer encrypted.Close()
	var content io.Reader = encrypted
	if !public(m) {
		if content, err = newDecrypter(encrypted, *m.Kind, m.MediaKey, m.EncSha256); err != nil {
			return mediastore.Blob{}, err
		}
	}
	blob, err := d.store.Save(ctx, content, -1, d.cfg.MediaMaxBytes, m.Mimetype)
	if err == nil && !blob.Equal(m.Sha256) {
		d.store.Abandon(ctx, blob)
		err = errCorrupt
	}
	return blob, err
}

// public says that a file is of a channel's post, and WhatsApp's copy of it is not encrypted. The phone is not asked for one: whatever it has of it
// came from there.
func public(m db.Media) bool { return len(m.MediaKey) == 0 && len(m.EncSha256) == 0 }

// keepMedia makes a fetched file the media's, lets what waited for it go on, and tells nobody else: its event was told when the message came.
func (d *Dispatcher) keepMedia(ctx context.Context, id uuid.UUID, blob mediastore.Blob) error {
	err := d.db.InTx(ctx, func(tx *queue.Tx) error {
		ready, err := d.store.Ready(ctx, tx, id, blob)
		if err == nil && !ready {
			return errUnwanted
		}
		return err
	})
	if errors.Is(err, errUnwanted) {
		d.store.Abandon(ctx, blob)
		return nil
	}
	return err
}

// errUnwanted rolls back the keeping of a file whose media was deleted meanwhile.
var errUnwanted = errors.New("the media is gone")

// failMedia tells that a file cannot be had.
func (d *Dispatcher) failMedia(ctx context.Context, id uuid.UUID, code, why string) error {
	return d.db.InTx(ctx, func(tx *queue.Tx) error { return mediastore.Fail(ctx, tx, id, code, why, d.cfg.PublicURL) })
}

// askPhone leaves the file to the connector of its session, which asks the phone to upload it again; a new job comes of the answer.
func (d *Dispatcher) askPhone(ctx context.Context, m db.Media) error {
	if m.SessionID == nil {
		return d.failMedia(ctx, m.ID, "media_fetch_failed", failedGone)
	}
	command, err := json.Marshal(events.RetryMediaCommand{MediaID: m.ID, SessionID: *m.SessionID})
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	return d.db.InTx(ctx, func(tx *queue.Tx) error {
		n, err := d.queries.MediaAsk(ctx, tx, m.ID)
		if err != nil {
			return fmt.Errorf("note that the phone is asked: %w", err)
		}
		if n > 0 {
			tx.Publish(events.TopicCommands, queue.Message{
				Lane: events.MediaLane(*m.SessionID), Session: *m.SessionID, Payload: command,
				Metadata: map[string]string{events.MetaCommand: events.CommandRetryMedia},
			})
		}
		return nil
	})
}

// withoutURL is an error of an HTTP client without the URL, which names what is secret.
func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

package dispatcher

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
)

// formatLegacy is the format of endpoints that get the original's messages instead of events.
const formatLegacy = "legacy"

const (
	// storePatience is how old an event may be while its delivery still waits for an object store that is away. After that the file is named
	// by its URL: the message matters more than having its file in the same request.
	storePatience = 10 * time.Minute
	// storeTimeout bounds the first reading of a file, together with half of the endpoint's timeout: 5 MiB take less than a second.
	storeTimeout = 10 * time.Second
	// encodeChunk is how much of a file is encoded at once, a multiple of the three bytes that base64 takes together. With its text it is all
	// of a file that a delivery holds: 14 KiB, so 14 MiB for 1,024 of them.
	encodeChunk = 6 << 10
)

// errUnfit says that a format has no form for an event.
var errUnfit = errors.New("the endpoint's format has no form for this event")

// A storeError is a failure of ours to read a file, which says nothing about the endpoint.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }

// A content is the body of a delivery: bytes, and for a file inside of it the place where it is read from, each time anew. Nothing of a file
// is kept in memory, so that it may be read by many deliveries at once.
type content struct {
	before, after []byte
	size          int64 // of the file
	open          func(context.Context) (io.ReadCloser, error)
	broken        atomic.Bool // the file could not be read to its end
}

// length is the number of bytes that reader yields.
func (c *content) length() int64 {
	if c.open == nil {
		return int64(len(c.before))
	}
	return int64(len(c.before)+len(c.after)) + (c.size+2)/3*4
}

// reader yields the body from its beginning.
func (c *content) reader(ctx context.Context) (io.ReadCloser, error) {
	if c.open == nil {
		return io.NopCloser(bytes.NewReader(c.before)), nil
	}
	file, err := c.open(ctx)
	if err != nil {
		return nil, &storeError{fmt.Errorf("open file: %w", err)}
	}
	encoder := &encodingReader{content: c, file: file, left: c.size}
	return &contentReader{io.MultiReader(bytes.NewReader(c.before), encoder, bytes.NewReader(c.after)), encoder}, nil
}

type contentReader struct {
	io.Reader
	encoder *encodingReader
}

// Close may be called while a Read is under way, as net/http's transport does.
func (r *contentReader) Close() error {
	r.encoder.closed.Store(true)
	return r.encoder.file.Close()
}

// An encodingReader reads a file of a known size as base64. A file that ends before or goes on after it is an error: the request has
// announced its length, and its signature is made.
type encodingReader struct {
	content *content
	file    io.ReadCloser
	left    int64 // bytes of the file
	raw     [encodeChunk]byte
	text    [encodeChunk / 3 * 4]byte
	ready   []byte // of text
	closed  atomic.Bool
}

// Read is io.Reader's.
func (r *encodingReader) Read(p []byte) (int, error) {
	if len(r.ready) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		chunk := r.raw[:min(r.left, encodeChunk)]
		if _, err := io.ReadFull(r.file, chunk); err != nil {
			if !r.closed.Load() { // by whoever sent it, who wants no more
				r.content.broken.Store(true)
			}
			return 0, &storeError{fmt.Errorf("read file: %w", err)}
		}
		r.left -= int64(len(chunk))
		r.ready = r.text[:base64.StdEncoding.EncodedLen(len(chunk))]
		base64.StdEncoding.Encode(r.ready, chunk)
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// contentOf returns what a delivery sends: the event's own bytes, or the original's message where the endpoint wants that, with its file if
// files says so.
func (d *Dispatcher) contentOf(ctx context.Context, c delivery, files bool) (*content, error) {
	if c.target.format != formatLegacy {
		return &content{before: d.thin(c.body)}, nil
	}
	var event struct {
		Type events.Type `json:"type"`
		Data struct {
			Message *events.Message `json:"message"`
		} `json:"data"`
	}
	if err := json.Unmarshal(c.body, &event); err != nil || event.Type != events.MessageReceived && event.Type != events.WebhookTest || event.Data.Message == nil {
		return nil, errUnfit
	}
	message := events.Legacy(*event.Data.Message)
	whole := &content{}
	if media := event.Data.Message.Content.Media; media != nil && files {
		if err := d.inline(ctx, media.ID, whole); err != nil {
			return nil, err
		}
	}
	// The place of the file is marked by a text that nobody can foresee, and so that nobody's message can hold.
	mark := ""
	if whole.open != nil {
		mark = uuid.NewString()
		message.Media.Data, message.Media.URL = mark, ""
	}
	body, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	whole.before = body
	if whole.open != nil {
		whole.before, whole.after, _ = bytes.Cut(body, []byte(mark))
	}
	return whole, nil
}

// patient says whether a delivery may still wait for its file.
func (c delivery) patient() bool { return time.Since(events.MadeAt(c.eventID)) < storePatience }

// inline has the file stand in the body where it is there and small enough.
//
// Failure policy: a store or a database that is away is a storeError, and the delivery waits without using up an attempt, for storePatience;
// after that, and for a file that has not come or will not, the message names its URL.
func (d *Dispatcher) inline(ctx context.Context, publicID string, into *content) error {
	id, err := events.MediaPrefix.Parse(publicID)
	if err != nil {
		return nil //nolint:nilerr // not an id of ours: the message names its URL
	}
	file, err := d.queries.MediaContent(ctx, d.pool, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return &storeError{fmt.Errorf("look up file: %w", err)}
	case file.Status != "ready" || file.Key == nil || file.Size > events.LegacyMediaInline:
		return nil
	}
	into.size = file.Size
	into.open = func(ctx context.Context) (io.ReadCloser, error) { return d.readObject(ctx, *file.Key, 0, -1) }
	return nil
}

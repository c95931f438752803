// Package mediastore keeps the bytes of media: in S3, each content once, with the rows that say what is there. Between the two stores
// nothing is lost and nothing is left: a key of S3 is in the table uploads from before its first byte until, in one transaction, it becomes
// an object that media refer to; what stays in uploads is swept.
package mediastore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/s3"
)

const (
	// uploadKept is how long an upload may take, and then wait to be kept: twice the longest that anybody here lets one take.
	uploadKept = time.Hour
	// cleanUp bounds what is done about an upload after its own context has ended.
	cleanUp = 5 * time.Second
)

var (
	// ErrTooLarge says that a body has more bytes than it may have.
	ErrTooLarge = errors.New("the file is larger than allowed")
	// ErrNotFound says that no object has this content.
	ErrNotFound = errors.New("nothing has this content")
	// ErrLost says that an upload was swept before it was kept, because it took longer than an hour.
	ErrLost = errors.New("the upload took too long and was given up")
)

// A StoreError is trouble of S3 or the database, as opposed to what is wrong with a file.
type StoreError struct{ Err error }

func (e *StoreError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StoreError) Unwrap() error { return e.Err }

// Config says where the bytes and the rows are; both are required. The store closes neither.
type Config struct {
	S3     *s3.Store
	Pool   *pgxpool.Pool
	Logger *slog.Logger // nil means slog.Default
}

// Store keeps bytes. It is safe for concurrent use.
type Store struct {
	s3      *s3.Store
	pool    *pgxpool.Pool
	log     *slog.Logger
	queries *db.Queries
}

// New returns a store.
func New(c Config) *Store {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Store{s3: c.S3, pool: c.Pool, log: c.Logger, queries: db.New()}
}

// A Blob is what was uploaded, before anything refers to it.
type Blob struct {
	key    string
	SHA256 [sha256.Size]byte
	Size   int64
}

// Save uploads body, which has size bytes (-1: not known) and may have at most limit. It is held nowhere whole. An error
// of body is returned as it is, ErrTooLarge when there is too much of it, and any other is a *StoreError. What an error or a crash leaves is
// swept.
func (s *Store) Save(ctx context.Context, body io.Reader, size, limit int64, mimetype string) (Blob, error) {
	if size > limit {
		return Blob{}, ErrTooLarge
	}
	// The id's time is in front, as a key of S3 that is read in order likes it; the folder makes them few at the top.
	blob := Blob{key: "media/" + hex.EncodeToString(newKey())}
	if err := s.queries.UploadBegin(ctx, s.pool, blob.key, uploadKept.Seconds()); err != nil {
		return blob, &StoreError{fmt.Errorf("begin upload: %w", err)}
	}
	hash := sha256.New()
	source := &source{r: io.TeeReader(body, hash), left: limit}
	written, err := s.s3.Put(ctx, blob.key, source, size, mimetype)
	if err != nil {
		s.Abandon(ctx, blob)
		if source.err != nil {
			return blob, source.err
		}
		return blob, &StoreError{fmt.Errorf("store media: %w", err)}
	}
	blob.SHA256, blob.Size = [sha256.Size]byte(hash.Sum(nil)), written
	return blob, nil
}

func newKey() []byte {
	id := events.NewID()
	return id[:]
}

// Abandon leaves a blob that is not wanted to the next sweep. Failure policy: when it cannot be noted, the sweep comes when the upload's
// time is over.
func (s *Store) Abandon(ctx context.Context, b Blob) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	if err := s.queries.UploadAbandon(ctx, s.pool, b.key); err != nil {
		s.log.WarnContext(ctx, "an upload that is not wanted is swept later", "error", err)
	}
}

// Keep makes a blob the object of its content, in the caller's transaction, which also writes the media row that refers to it by the hash.
// Where the content is there already, that stays and the blob is swept.
func (s *Store) Keep(ctx context.Context, tx pgx.Tx, b Blob) error {
	key, err := s.queries.ObjectEnsure(ctx, tx, b.SHA256[:], b.key, b.Size)
	if err != nil {
		return fmt.Errorf("keep object: %w", err)
	}
	if key != b.key {
		if err := s.queries.UploadAbandon(ctx, tx, b.key); err != nil {
			return fmt.Errorf("abandon upload: %w", err)
		}
		return nil
	}
	n, err := s.queries.UploadFinish(ctx, tx, b.key)
	if err != nil {
		return fmt.Errorf("finish upload: %w", err)
	}
	if n == 0 {
		return ErrLost
	}
	return nil
}

// Read opens a blob that was just saved.
func (s *Store) Read(ctx context.Context, b Blob) (io.ReadCloser, error) {
	return s.s3.Get(ctx, b.key, 0, -1)
}

// Open opens the object with this content, length bytes from offset on (-1: to the end). ErrNotFound when it is gone.
func (s *Store) Open(ctx context.Context, hash []byte, offset, length int64) (io.ReadCloser, error) {
	key, err := s.key(ctx, hash)
	if err != nil {
		return nil, err
	}
	body, err := s.s3.Get(ctx, key, offset, length)
	if errors.Is(err, s3.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read media: %w", err)
	}
	return body, nil
}

// Presign returns a URL of S3 itself that gives the object to whoever has it, for a time.
func (s *Store) Presign(ctx context.Context, hash []byte, expires time.Duration, fileName, mimetype string) (string, error) {
	key, err := s.key(ctx, hash)
	if err != nil {
		return "", err
	}
	return s.s3.Presign(ctx, key, expires, fileName, mimetype)
}

func (s *Store) key(ctx context.Context, hash []byte) (string, error) {
	object, err := s.queries.ObjectGet(ctx, s.pool, hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("look up object: %w", err)
	}
	return object.Key, nil
}

// source reads a body up to a limit and remembers its error, so that Save can tell it from the store's.
type source struct {
	r    io.Reader
	left int64
	err  error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if s.left -= int64(n); s.left < 0 {
		err = ErrTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
		return 0, err
	}
	return n, err
}

// Equal says whether a blob has the content that a hash promised.
func (b Blob) Equal(hash []byte) bool { return bytes.Equal(b.SHA256[:], hash) }

package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// chunkSize is how much of a blob is in memory at a time, and in one row: PostgreSQL moves rows of this size at the speed of larger ones.
	chunkSize = 256 << 10
	// blobLife is how long a blob is kept after its last upload; WhatsApp is said to keep media for 30 days.
	blobLife = 30 * 24 * time.Hour
	// unfinishedLife is how long the chunks of an upload that a crash ended are kept; transferTime bounds one that lives.
	unfinishedLife = 2 * transferTime
	// sweepPause passes between two sweeps, and sweepTime bounds one.
	sweepPause, sweepTime = time.Hour, 10 * time.Minute
)

// ErrNoBlob is returned for a blob that was never completed, or that the expiry has swept.
var ErrNoBlob = errors.New("no such blob")

// BlobWriter stores what is written to it, chunk by chunk. It is known by its hash once Commit has returned, and is to be ended by Commit or
// Discard; what a crash leaves behind is swept.
type BlobWriter struct {
	s    *Server
	ctx  context.Context
	id   int64
	n    int // the next chunk
	size int64
	hash hash.Hash
	buf  []byte
}

// CreateBlob begins a blob. The context is for all that is written to it.
func (s *Server) CreateBlob(ctx context.Context) (*BlobWriter, error) {
	w := &BlobWriter{s: s, ctx: ctx, hash: sha256.New(), buf: make([]byte, 0, chunkSize)}
	if err := s.pool.QueryRow(ctx, `INSERT INTO sandbox.media_blobs DEFAULT VALUES RETURNING id`).Scan(&w.id); err != nil {
		return nil, fmt.Errorf("create blob: %w", err)
	}
	return w, nil
}

// Write implements io.Writer.
func (w *BlobWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		n := min(len(p), chunkSize-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		w.hash.Write(p[:n])
		w.size += int64(n)
		p, written = p[n:], written+n
		if len(w.buf) == chunkSize {
			if err := w.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// flush stores the chunk that is in memory. It does not wait for the disk: Commit does, for everything before it too.
func (w *BlobWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	var batch pgx.Batch
	batch.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
	batch.Queue(`INSERT INTO sandbox.media_chunks (blob_id, n, data) VALUES ($1, $2, $3)`, w.id, w.n, w.buf)
	if err := w.s.pool.SendBatch(w.ctx, &batch).Close(); err != nil {
		return fmt.Errorf("store chunk: %w", err)
	}
	w.n++
	w.buf = w.buf[:0]
	return nil
}

// Size is the number of bytes written.
func (w *BlobWriter) Size() int64 { return w.size }

// SHA256 is the hash of what was written.
func (w *BlobWriter) SHA256() []byte { return w.hash.Sum(nil) }

// Commit makes the blob durable. Nobody can fetch it until it is uploaded: that makes its path.
func (w *BlobWriter) Commit() error { return w.commit("") }

// commit makes the blob durable together with the path that it can be fetched from, if any.
func (w *BlobWriter) commit(path string) error {
	if err := w.flush(); err != nil {
		return err
	}
	var batch pgx.Batch
	batch.Queue(`UPDATE sandbox.media_blobs SET sha256 = $2, size = $3, stored_at = now() WHERE id = $1`, w.id, w.SHA256(), w.size)
	if path != "" {
		batch.Queue(`INSERT INTO sandbox.media_paths (path, blob_id) VALUES ($1, $2)`, path, w.id)
	}
	if err := w.s.pool.SendBatch(w.ctx, &batch).Close(); err != nil {
		return fmt.Errorf("complete blob: %w", err)
	}
	return nil
}

// Reader reads what was written, before Commit and Discard too; nothing may be written after it.
func (w *BlobWriter) Reader(ctx context.Context) (*BlobReader, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	return &BlobReader{s: w.s, ctx: ctx, id: w.id, size: w.size, chunk: -1}, nil
}

// Discard deletes a blob that is not committed. Failure policy: what cannot be deleted is left to the sweep.
func (w *BlobWriter) Discard() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), stanzaTimeout)
	defer cancel()
	if _, err := w.s.pool.Exec(ctx, `DELETE FROM sandbox.media_blobs WHERE id = $1 AND sha256 IS NULL`, w.id); err != nil {
		w.s.log.DebugContext(ctx, "blob not discarded", "error", err)
	}
}

// BlobReader reads a blob, one chunk at a time; it implements io.ReadSeeker.
type BlobReader struct {
	s      *Server
	ctx    context.Context
	id     int64
	size   int64
	sha256 []byte
	at     int64
	chunk  int64 // the number of the chunk in data; -1 for none
	data   []byte
}

// OpenBlob finds a complete blob by its hash, or returns ErrNoBlob. The context is for all that is read.
func (s *Server) OpenBlob(ctx context.Context, sha256 []byte) (*BlobReader, error) {
	return s.openBlob(ctx, `SELECT id, size, sha256 FROM sandbox.media_blobs WHERE sha256 = $1 ORDER BY stored_at DESC LIMIT 1`, sha256)
}

func (s *Server) openBlob(ctx context.Context, query string, key any) (*BlobReader, error) {
	r := &BlobReader{s: s, ctx: ctx, chunk: -1}
	err := s.pool.QueryRow(ctx, query, key).Scan(&r.id, &r.size, &r.sha256)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNoBlob
	}
	if err != nil {
		return nil, fmt.Errorf("find blob: %w", err)
	}
	return r, nil
}

// Size is the blob's length in bytes.
func (r *BlobReader) Size() int64 { return r.size }

// Read implements io.Reader.
func (r *BlobReader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if chunk := r.at / chunkSize; chunk != r.chunk {
		err := r.s.pool.QueryRow(r.ctx, `SELECT data FROM sandbox.media_chunks WHERE blob_id = $1 AND n = $2`, r.id, chunk).Scan(&r.data)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, ErrNoBlob // swept since it was opened
		}
		if err != nil {
			return 0, fmt.Errorf("read chunk: %w", err)
		}
		r.chunk = chunk
	}
	n := copy(p, r.data[r.at%chunkSize:])
	r.at += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (r *BlobReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of a blob")
	}
	r.at = offset
	return offset, nil
}

// publish gives a complete blob one more path; it returns ErrNoBlob when the sweep was faster.
func (s *Server) publish(ctx context.Context, id int64, path string) error {
	tag, err := s.pool.Exec(ctx, `WITH blob AS (UPDATE sandbox.media_blobs SET stored_at = now() WHERE id = $1 RETURNING id)
		INSERT INTO sandbox.media_paths (path, blob_id) SELECT $2, id FROM blob`, id, path)
	if err != nil {
		return fmt.Errorf("publish blob: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNoBlob
	}
	return nil
}

// ForgetMedia makes WhatsApp's copy of a file vanish, by the hash of its encrypted form: its paths answer 404 from now on, until it is
// uploaded again. The phones that have it keep it. It reports whether there was anything to forget.
func (s *Server) ForgetMedia(ctx context.Context, sha256 []byte) (bool, error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM sandbox.media_paths p USING sandbox.media_blobs b WHERE b.id = p.blob_id AND b.sha256 = $1`, sha256)
	if err != nil {
		return false, fmt.Errorf("forget media: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// sweepBlobs deletes what is too old, now and once an hour until the server closes. Failure policy: what it cannot delete it tries an hour
// later.
func (s *Server) sweepBlobs() {
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(s.ctx, sweepTime)
		tag, err := s.pool.Exec(ctx, `DELETE FROM sandbox.media_blobs
			WHERE stored_at < now() - $1::interval OR sha256 IS NULL AND stored_at < now() - $2::interval`, blobLife, unfinishedLife)
		cancel()
		switch {
		case s.ctx.Err() != nil:
			return
		case err != nil:
			s.log.WarnContext(s.ctx, "old media not swept", "error", err)
		case tag.RowsAffected() > 0:
			s.log.InfoContext(s.ctx, "old media swept", "blobs", tag.RowsAffected())
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

package journal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

const (
	// chunkSize is how much of a blob is in memory at a time, and in one row: PostgreSQL moves rows of this size at the speed of larger ones.
	chunkSize = 256 << 10
	// discardTimeout bounds the deletion of a blob whose writer's context may have ended.
	discardTimeout = 30 * time.Second
)

// ErrNoBlob is returned for a blob that was never completed, or was swept.
var ErrNoBlob = errors.New("no such blob")

// chunks is where a journal keeps the bytes of its blobs. complete makes a blob durable, with everything that was put before.
type chunks interface {
	putChunk(ctx context.Context, id int64, n int, data []byte) error
	getChunk(ctx context.Context, id int64, n int64) ([]byte, error)
	complete(ctx context.Context, id int64, sha256 []byte, size int64) error
	discard(ctx context.Context, id int64) error
}

// BlobWriter stores what is written to it, chunk by chunk. It is known by its hash once Commit has returned, and is to be ended by Commit or
// Discard; what a crash leaves behind is swept.
type BlobWriter struct {
	to   chunks
	ctx  context.Context
	id   int64
	n    int // the next chunk
	size int64
	hash hash.Hash
	buf  []byte
}

func newBlobWriter(ctx context.Context, to chunks, id int64) *BlobWriter {
	return &BlobWriter{to: to, ctx: ctx, id: id, hash: sha256.New(), buf: make([]byte, 0, chunkSize)}
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
	if err := w.to.putChunk(w.ctx, w.id, w.n, w.buf); err != nil {
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

// Commit makes the blob durable and lets OpenBlob find it. The same bytes again renew its age.
func (w *BlobWriter) Commit() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.to.complete(w.ctx, w.id, w.SHA256(), w.size); err != nil {
		return fmt.Errorf("complete blob: %w", err)
	}
	return nil
}

// Reader reads what was written, before Commit; nothing may be written after it.
func (w *BlobWriter) Reader(ctx context.Context) (*BlobReader, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	return newBlobReader(ctx, w.to, w.id, w.size), nil
}

// Discard deletes a blob that is not committed, and does nothing to one that is. Failure policy: what cannot be deleted is left to the sweep.
func (w *BlobWriter) Discard() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), discardTimeout)
	defer cancel()
	_ = w.to.discard(ctx, w.id)
}

// BlobReader reads a blob, one chunk at a time; it implements io.ReadSeeker.
type BlobReader struct {
	from  chunks
	ctx   context.Context
	id    int64
	size  int64
	at    int64
	chunk int64 // the number of the chunk in data; -1 for none
	data  []byte
}

func newBlobReader(ctx context.Context, from chunks, id, size int64) *BlobReader {
	return &BlobReader{from: from, ctx: ctx, id: id, size: size, chunk: -1}
}

// Size is the blob's length in bytes.
func (r *BlobReader) Size() int64 { return r.size }

// Read implements io.Reader.
func (r *BlobReader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if chunk := r.at / chunkSize; chunk != r.chunk {
		data, err := r.from.getChunk(r.ctx, r.id, chunk)
		if err != nil {
			return 0, fmt.Errorf("read chunk: %w", err)
		}
		r.data, r.chunk = data, chunk
	}
	n := copy(p, r.data[min(r.at%chunkSize, int64(len(r.data))):])
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
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

package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/net/http/httpguts"
)

const (
	// partSize is the smallest part that S3 allows but for the last one, because
	// a part is held in memory while it is sent. With at most 10,000 parts an
	// object of unknown size can have 48 GiB; WhatsApp's largest has 2 GB.
	partSize = 5 << 20

	// maxSingle is the most that AWS takes in one request.
	maxSingle = 5 << 30

	// What is in memory is sent up to three times, 200 and 400 ms apart.
	attempts     = 3
	attemptPause = 200 * time.Millisecond

	// abortTimeout bounds the abort of an upload, which also happens when the
	// caller's context has ended.
	abortTimeout = 10 * time.Second
)

// Put stores body under key and returns how many bytes that were. It is atomic:
// readers see the whole object or what was there before, and an error leaves
// nothing behind (after kill -9 or while the server is gone, an invisible
// incomplete upload, which SweepUploads aborts). A size of -1 means that it is
// unknown; any other must be exact.
//
// An error of body comes back wrapped. Put reads body in this call only, never
// after it has returned: so it does not return while body.Read hangs, and body
// must end with ctx as well. It takes 5 MiB of memory when the size is unknown or
// at most that, 0.1 MB otherwise.
//
// Failure policy: what fits into 5 MiB, and each 5 MiB part of a body of unknown
// size, is sent again twice when the server is unavailable. A longer body of
// known size is streamed and can only be put again by the caller.
func (s *Store) Put(ctx context.Context, key string, body io.Reader, size int64, contentType string) (written int64, err error) {
	if contentType == "" || !httpguts.ValidHeaderFieldValue(contentType) {
		contentType = "application/octet-stream"
	}
	if err := s.ensureBucket(ctx); err != nil {
		return 0, err
	}
	from := &source{body: body, size: size}
	defer from.close()
	if size > partSize && size <= maxSingle {
		written, err = size, s.putStream(ctx, key, from, size, contentType)
	} else {
		written, err = s.putBuffered(ctx, key, from, contentType)
	}
	if err != nil {
		return 0, err
	}
	if s.disk != nil {
		if err := s.disk.sync(); err != nil {
			return 0, fmt.Errorf("put object: %w", err)
		}
	}
	return written, nil
}

// putStream sends the body as it comes, in one request.
func (s *Store) putStream(ctx context.Context, key string, from *source, size int64, contentType string) error {
	_, err := s.core.PutObject(ctx, s.config.Bucket, key, from, size, "", "", minio.PutObjectOptions{ContentType: contentType})
	from.close()
	if from.err != nil {
		return fmt.Errorf("put object: %w", from.err)
	}
	if err != nil {
		return s.failure(ctx, "put object", err)
	}
	return nil
}

// putBuffered sends the body part by part through one buffer, in one request
// when the buffer holds all of it.
func (s *Store) putBuffered(ctx context.Context, key string, from *source, contentType string) (int64, error) {
	pooled := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(pooled)
	buffer := *pooled
	n, ended, err := from.fill(ctx, buffer)
	if err != nil {
		return 0, fmt.Errorf("put object: %w", err)
	}
	options := minio.PutObjectOptions{ContentType: contentType, DisableContentSha256: true} // attempt sees to it
	if ended {
		err := s.attempt(ctx, buffer[:n], func(part io.Reader, sum string) error {
			_, err := s.core.PutObject(ctx, s.config.Bucket, key, part, int64(n), "", sum, options)
			return err
		})
		return int64(n), err
	}
	upload, err := s.core.NewMultipartUpload(ctx, s.config.Bucket, key, options)
	if err != nil {
		return 0, s.failure(ctx, "put object", err)
	}
	written, err := s.putParts(ctx, key, upload, from, buffer)
	if err != nil {
		s.abort(ctx, key, upload)
		return 0, err
	}
	return written, nil
}

// putParts sends what is in the full buffer and then the rest of the body.
func (s *Store) putParts(ctx context.Context, key, upload string, from *source, buffer []byte) (written int64, err error) {
	var parts []minio.CompletePart
	n, ended := len(buffer), false
	for {
		number := len(parts) + 1
		err := s.attempt(ctx, buffer[:n], func(part io.Reader, sum string) error {
			options := minio.PutObjectPartOptions{Sha256Hex: sum, DisableContentSha256: true}
			sent, err := s.core.PutObjectPart(ctx, s.config.Bucket, key, upload, number, part, int64(n), options)
			if err == nil {
				parts = append(parts, minio.CompletePart{PartNumber: number, ETag: sent.ETag})
			}
			return err
		})
		if err != nil {
			return 0, err
		}
		written += int64(n)
		if ended {
			break
		}
		if n, ended, err = from.fill(ctx, buffer); err != nil {
			return 0, fmt.Errorf("put object: %w", err)
		}
		if n == 0 {
			break
		}
	}
	if _, err := s.core.CompleteMultipartUpload(ctx, s.config.Bucket, key, upload, parts, minio.PutObjectOptions{}); err != nil {
		return 0, s.failure(ctx, "put object", err)
	}
	return written, nil
}

// attempt sends what is in memory, again while that is worth it. Without TLS the
// request's signature covers the content by its sum: signing chunk by chunk, the
// library's way with streams, makes garbage that doubles the peak of the heap (24
// instead of 14 MiB with two uploads of 100 MiB).
func (s *Store) attempt(ctx context.Context, part []byte, send func(part io.Reader, sum string) error) error {
	sum := "" // unsigned
	if s.core.EndpointURL().Scheme == "http" {
		hash := sha256.Sum256(part)
		sum = hex.EncodeToString(hash[:])
	}
	for n := 1; ; n++ {
		// net/http may go on reading a request's body after it has given up on it,
		// so each attempt has a reader of its own, which is shut off afterwards.
		from := &source{body: bytes.NewReader(part), size: int64(len(part))}
		err := send(from, sum)
		from.close()
		if err == nil {
			return nil
		}
		if err = s.failure(ctx, "put object", err); n == attempts || !Unavailable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(n) * attemptPause):
		}
	}
}

// abort gives an upload up.
//
// Failure policy: one attempt; SweepUploads finds what is left.
func (s *Store) abort(ctx context.Context, key, upload string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := s.core.AbortMultipartUpload(ctx, s.config.Bucket, key, upload); err != nil {
		err = s.failure(ctx, "abort upload", err)
		s.log.WarnContext(ctx, "an incomplete S3 upload stays until the next sweep", "error", err)
	}
}

var (
	errClosed   = errors.New("the upload is over")
	errTooShort = errors.New("the body is shorter than its size")
	errTooLong  = errors.New("the body is longer than its size")
)

// source is a body that is checked against its size, keeps its error, and can be
// shut off from whoever still has it. It is no io.Seeker, so that nobody reads it
// twice.
type source struct {
	mu     sync.Mutex
	body   io.Reader
	size   int64 // -1: unknown
	read   int64
	err    error // what ended it, other than io.EOF
	closed bool
}

// close returns when nobody reads the body any more, nor will.
func (r *source) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

func (r *source) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, errClosed
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.body.Read(p)
	r.read += int64(n)
	switch {
	case r.size < 0:
	case r.read > r.size:
		err = errTooLong
	case err == io.EOF && r.read < r.size:
		err = errTooShort
	case err == nil && r.read == r.size && n > 0:
		// The last byte completes the object, so what follows it is looked for
		// before that byte is passed on.
		extra, extraErr := io.ReadFull(r.body, make([]byte, 1))
		if err = extraErr; extra > 0 {
			err = errTooLong
		}
	}
	if err != nil && err != io.EOF {
		r.err = fmt.Errorf("read the body: %w", err)
		return 0, r.err
	}
	return n, err
}

// fill reads until the buffer is full or the body has ended. io.ReadFull would
// not do: it cannot tell an end from a body that says io.ErrUnexpectedEOF, as one
// does that was cut off.
func (r *source) fill(ctx context.Context, buffer []byte) (n int, ended bool, err error) {
	for n < len(buffer) {
		m, err := r.Read(buffer[n:])
		n += m
		if errors.Is(err, io.EOF) {
			return n, true, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, false, err
		}
	}
	return n, false, nil
}

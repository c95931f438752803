package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
)

// Get returns length bytes of an object from offset on, or all that follow with a
// length of -1; fewer where the object ends. The request is made before Get
// returns, so that ErrNotFound and an unavailable server show at once; then the
// bytes stream until the reader is closed or ctx ends. A server that breaks off
// gives an error that is Unavailable, never an early end.
func (s *Store) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, errors.New("get object: the offset is negative")
	}
	if length == 0 { // no range of HTTP's says that
		_, err := s.Stat(ctx, key)
		return http.NoBody, err
	}
	var options minio.GetObjectOptions
	switch {
	case length > 0:
		options.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		options.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	body, _, _, err := s.core.GetObject(ctx, s.config.Bucket, key, options)
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && answer.Code == minio.InvalidRange {
		return http.NoBody, nil // it begins at the object's end or beyond
	}
	if err != nil {
		return nil, s.failure(ctx, "get object", err)
	}
	return &object{ReadCloser: body, store: s, ctx: ctx}, nil
}

// object words the errors of an object's bytes.
type object struct {
	io.ReadCloser
	store *Store
	ctx   context.Context
}

// errBrokeOff is what a body says that ends before its length.
var errBrokeOff = errors.New("the server broke off")

func (o *object) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	// Whoever fills buffers takes io.ErrUnexpectedEOF for the end of a body that fills none (io.ReadFull; cbcutil.EncryptStream of whatsmeow does, and would
	// give WhatsApp the half of a file).
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errBrokeOff
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = o.store.failure(o.ctx, "read object", err)
	}
	return n, err
}

// Stat returns an object's size in bytes, or ErrNotFound.
func (s *Store) Stat(ctx context.Context, key string) (size int64, err error) {
	info, err := s.core.StatObject(ctx, s.config.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return 0, s.failure(ctx, "look for object", err)
	}
	return info.Size, nil
}

// Delete removes an object; one that is not there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	err := s.core.RemoveObject(ctx, s.config.Bucket, key, minio.RemoveObjectOptions{})
	if err == nil {
		return nil
	}
	if err = s.failure(ctx, "delete object", err); errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Presign returns a URL at the public address from which anybody can GET the
// object until it expires, in a second to a week. The server is not asked. Its
// answer names contentType ("": the object's own) and has a browser save the
// object as fileName ("": a name of its own choice) instead of showing it:
// whoever sent the object must not have a page on the server's host.
func (s *Store) Presign(ctx context.Context, key string, expires time.Duration, fileName, contentType string) (string, error) {
	disposition := "attachment"
	if fileName != "" {
		disposition = mime.FormatMediaType("attachment", map[string]string{"filename": fileName})
	}
	parameters := url.Values{"response-content-disposition": {disposition}}
	if contentType != "" {
		parameters.Set("response-content-type", contentType)
	}
	address, err := s.public.PresignedGetObject(ctx, s.config.Bucket, key, expires, parameters)
	if err != nil {
		return "", s.failure(ctx, "sign URL", err)
	}
	return address.String(), nil
}

// An Object is what List tells of one.
type Object struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
}

// List yields the objects whose keys begin with prefix, in the order of their
// keys, a page of 1,000 in memory at a time. An error is the last that it yields.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		options := minio.ListObjectsOptions{Prefix: prefix, Recursive: true}
		for info := range s.core.ListObjectsIter(ctx, s.config.Bucket, options) {
			if info.Err != nil {
				yield(Object{}, s.failure(ctx, "list objects", info.Err))
				return
			}
			if !yield(Object{info.Key, info.Size, info.LastModified}, nil) {
				return
			}
		}
		if ctx.Err() != nil {
			yield(Object{}, fmt.Errorf("list objects: %w", ctx.Err()))
		}
	}
}

// SweepUploads aborts the uploads that were begun longer than olderThan ago and
// never completed, and returns how many. Their parts take space that nothing else
// shows.
//
// Failure policy: ends at the first error; what is left is for the next sweep.
func (s *Store) SweepUploads(ctx context.Context, olderThan time.Duration) (int, error) {
	limit, swept := time.Now().Add(-olderThan), 0
	keyMarker, uploadMarker := "", ""
	for {
		page, err := s.core.ListMultipartUploads(ctx, s.config.Bucket, "", keyMarker, uploadMarker, "", 1000)
		if err != nil {
			return swept, s.failure(ctx, "list uploads", err)
		}
		for _, upload := range page.Uploads {
			if upload.Initiated.After(limit) {
				continue
			}
			err := s.core.AbortMultipartUpload(ctx, s.config.Bucket, upload.Key, upload.UploadID)
			if answer, ok := errors.AsType[minio.ErrorResponse](err); ok && answer.Code == minio.NoSuchUpload {
				continue // somebody was faster
			}
			if err != nil {
				return swept, s.failure(ctx, "abort upload", err)
			}
			swept++
		}
		if !page.IsTruncated || page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == uploadMarker {
			return swept, nil
		}
		keyMarker, uploadMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

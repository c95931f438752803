package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
)

// ErrNotFound says that there is no object of that key.
var ErrNotFound = errors.New("no such object")

// unavailableError is a failure that may pass.
type unavailableError struct{ err error }

func (e *unavailableError) Error() string { return e.err.Error() }
func (e *unavailableError) Unwrap() error { return e.err }

// Unavailable reports whether the server could not be reached, broke off, or
// answered that it cannot serve now: the same call is worth trying again. The end
// of the caller's own context is no such failure, nor is an error of Put's body.
func Unavailable(err error) bool {
	var unavailable *unavailableError
	return errors.As(err, &unavailable)
}

// failure words what the client library returned. Its own errors, and net/http's,
// hold URLs and with them keys; the server's messages may as well, so only their
// codes are kept.
func (s *Store) failure(ctx context.Context, verb string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", verb, ctx.Err())
	}
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok {
		switch {
		case answer.Code == minio.NoSuchKey:
			return fmt.Errorf("%s: %w", verb, ErrNotFound)
		case passes(answer):
			return &unavailableError{fmt.Errorf("%s: the S3 server answers %s (HTTP status %d)", verb, answer.Code, answer.StatusCode)}
		}
		return fmt.Errorf("%s: the S3 server answers %s (HTTP status %d)", verb, answer.Code, answer.StatusCode)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return &unavailableError{fmt.Errorf("%s: %w", verb, err)}
}

// passes reports whether a refusal is for now only.
func passes(answer minio.ErrorResponse) bool {
	if answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout {
		return true
	}
	// CompleteMultipartUpload may say so after a status of 200, and AWS has its
	// RequestTimeout as 400. An upload that is gone was aborted or already
	// completed by an attempt whose answer got lost: starting over cures both.
	switch answer.Code {
	case minio.InternalError, minio.NoSuchUpload, "RequestTimeout", "SlowDown", "ServiceUnavailable":
		return true
	}
	return false
}

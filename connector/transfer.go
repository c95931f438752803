package connector

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// transferStall is how long a file's transfer may stand still, as it is for downloads in the dispatcher.
const transferStall = 30 * time.Second

// errStalled says that a transfer stood still.
var errStalled = errors.New("nothing moved for 30 s")

// steady is the transport of files. A transfer may take long but must not stand still: whatsmeow bounds it by its context alone, and a
// session sends nothing else while it uploads. What moves is seen in the bodies, since over HTTP/2 a connection's own deadlines would not
// tell one stalled transfer among others.
type steady struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s steady) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	idle := time.AfterFunc(transferStall, func() { cancel(errStalled) })
	request = request.Clone(ctx)
	if request.Body != nil && request.Body != http.NoBody {
		request.Body = &watchedBody{ReadCloser: request.Body, idle: idle}
	}
	answer, err := s.base.RoundTrip(request)
	if err != nil {
		if errors.Is(context.Cause(ctx), errStalled) {
			err = errStalled
		}
		idle.Stop()
		cancel(nil)
		return nil, err
	}
	idle.Reset(transferStall)
	answer.Body = &watchedBody{ReadCloser: answer.Body, idle: idle, ctx: ctx, cancel: cancel}
	return answer, nil
}

// watchedBody is a body whose every read gives its transfer more time.
type watchedBody struct {
	io.ReadCloser
	idle   *time.Timer
	ctx    context.Context         // of an answer, whose end is the transfer's; nil with a request
	cancel context.CancelCauseFunc // of an answer
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.idle.Reset(transferStall)
	}
	if err != nil && !errors.Is(err, io.EOF) && b.ctx != nil && errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	if b.cancel != nil {
		b.idle.Stop()
		b.cancel(nil)
	}
	return b.ReadCloser.Close()
}

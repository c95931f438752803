// Package steady is for HTTP transfers that may take long and must not stand still: those of files to and from WhatsApp.
package steady

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Stall is how long a transfer may stand still.
const Stall = 30 * time.Second

// ErrStalled says that a transfer stood still for so long.
var ErrStalled = errors.New("nothing moved for 30 s")

// Transport ends transfers that stand still. What moves is seen in the bodies, since over HTTP/2 a connection's own deadlines would not tell
// one stalled transfer among others.
type Transport struct{ Base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	idle := time.AfterFunc(Stall, func() { cancel(ErrStalled) })
	request = request.Clone(ctx)
	if request.Body != nil && request.Body != http.NoBody {
		request.Body = &watchedBody{ReadCloser: request.Body, idle: idle}
	}
	answer, err := t.Base.RoundTrip(request)
	if err != nil {
		if errors.Is(context.Cause(ctx), ErrStalled) {
			err = ErrStalled
		}
		idle.Stop()
		cancel(nil)
		return nil, err
	}
	idle.Reset(Stall)
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
		b.idle.Reset(Stall)
	}
	if err != nil && !errors.Is(err, io.EOF) && b.ctx != nil && errors.Is(context.Cause(b.ctx), ErrStalled) {
		err = ErrStalled
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

package mcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// fromHeader holds where a request came from, for its calls. What a client writes there is overwritten.
const fromHeader = "X-Chasqui-From"

// NewHandler serves the tools over HTTP, by MCP's streamable transport without sessions: nothing is kept between requests, and any process behind
// an address answers any of them. Its caller has seen to it that the request comes from whom it may, that the key which key returns is valid, and
// that the body is of bounded size; api answers the calls, in this process, with that key.
func NewHandler(c Config, api http.Handler, key func(*http.Request) string) http.Handler {
	c.URL, c.Key, c.Transport = "http://chasqui.invalid", "", within{api} // nobody is asked there
	server := NewServer(c)
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
		// Answers are JSON and no streams: the tools tell nothing before they are done. Who has left is not waited for, where the protocol allows it.
		Stateless: true, JSONResponse: true, PropagateRequestCancellation: true,
		// It would refuse everybody who comes through a proxy on this machine. The caller looks at Origin, which a rebound page cannot choose.
		DisableLocalhostProtection: true,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-API-Key", key(r)) // the SDK gives tools the header of their request, and nothing else of it
		r.Header.Set(fromHeader, r.RemoteAddr)
		handler.ServeHTTP(w, r)
	})
}

// Serve speaks MCP over standard input and output until its client is gone or ctx ends.
func Serve(ctx context.Context, c Config) error {
	return NewServer(c).Run(ctx, &mcp.StdioTransport{})
}

// calmly answers an error to a request whose handling panicked. The SDK handles each in a goroutine of its own, where a panic would end the process.
func calmly(log *slog.Logger) mcp.Middleware {
	return func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (result mcp.Result, err error) {
			defer func() {
				if cause := recover(); cause != nil {
					log.ErrorContext(ctx, "a request of MCP panicked", "method", method, "cause", cause, "stack", string(debug.Stack()))
					result, err = nil, errors.New("something went wrong; the log of chasqui has the cause")
				}
			}()
			return next(ctx, method, r)
		}
	}
}

// within answers requests by a handler of this process, as coming from their RemoteAddr.
type within struct{ http.Handler }

func (t within) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(bare{r.Context()})
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &kept{header: http.Header{}}
	t.ServeHTTP(w, in)
	w.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// bare is a context without values: those of the request that came to /mcp say how that one was routed.
type bare struct{ context.Context }

func (bare) Value(any) any { return nil }

// kept is an answer that is kept, as far as call reads it.
type kept struct {
	header http.Header
	status int // 0: not yet known
	body   bytes.Buffer
}

func (w *kept) Header() http.Header { return w.header }

func (w *kept) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *kept) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body.Write(p[:min(len(p), answerMost+1-w.body.Len())]) // one byte more tells that it was too long
	return len(p), nil
}

package mcp

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// bodyMost bounds a request of MCP: a text of WhatsApp's has up to 64 KiB.
const bodyMost = 1 << 20

// NewHandler serves the tools over HTTP (MCP's streamable transport, without sessions of its own). Its caller has seen to it that the key which key
// returns is valid; api answers the calls, in this process.
func NewHandler(c Config, api http.Handler, key func(*http.Request) string) http.Handler {
	c.URL = "http://chasqui.invalid"
	handler := mcp.NewStreamableHTTPHandler(func(r *http.Request) *mcp.Server {
		mine := c
		mine.Key, mine.Client = key(r), &http.Client{Transport: within{api, r.RemoteAddr}}
		return NewServer(mine)
	}, &mcp.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true,
		// A page that was led to this address by its own name has no key to send; behind a proxy on the same machine the check would refuse everybody.
		DisableLocalhostProtection: true,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, bodyMost)
		handler.ServeHTTP(w, r)
	})
}

// Serve speaks MCP over standard input and output until its client is gone or ctx ends.
func Serve(ctx context.Context, c Config) error {
	return NewServer(c).Run(ctx, &mcp.StdioTransport{})
}

// within answers requests by a handler of this process, as coming from addr.
type within struct {
	handler http.Handler
	addr    string
}

func (t within) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(bare{r.Context()})
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), t.addr
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &kept{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(w, in)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// bare is a context without values: those of the request that came to /mcp say how that one was routed.
type bare struct{ context.Context }

func (bare) Value(any) any { return nil }

// kept is an answer that is kept. The operations that the tools call answer JSON of bounded size.
type kept struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (w *kept) Header() http.Header { return w.header }

func (w *kept) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
}

func (w *kept) Write(p []byte) (int, error) {
	w.wrote = true
	return w.body.Write(p)
}

package sandbox

import (
	"context"
	"net/http"
)

// T is the part of *testing.T that Start needs.
type T interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
	Context() context.Context
}

// Start returns a running sandbox that ends with the test. Without a DSN it is in memory; without an address it picks a free port.
func Start(t T, cfg Config) *Sandbox {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	s := New(cfg)
	t.Cleanup(s.Stop)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// HTTPClient leads a whatsmeow client of this process to the sandbox: give it to SetWebsocketHTTPClient, SetPreLoginHTTPClient and
// SetMediaHTTPClient before Connect. Its idle connections end with the sandbox.
func (s *Sandbox) HTTPClient() *http.Client {
	return &http.Client{Transport: loopback{addr: s.dialAddr(), mark: func(http.Header) {}, base: s.transport}}
}

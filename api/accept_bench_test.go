package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkAccept measures what it takes to accept a message, without the network between client and server.
func BenchmarkAccept(b *testing.B) {
	f := setup(b, func(c *Config) { c.Logger = slog.New(slog.DiscardHandler) })
	f.session("sales")
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		body := fmt.Sprintf(`{"to":"549115%07d","content":{"type":"text","text":"hello"}}`, n%1000)
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/sessions/sales/messages", strings.NewReader(body))
		r.Header.Set("X-API-Key", testKey)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if f.router.ServeHTTP(w, r); w.Code != http.StatusAccepted {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

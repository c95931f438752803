package api

import (
	"bytes"
	"io"
	"net/http"
	"testing"
)

// BenchmarkAccept is the way of a message into the API: one client, one session, each message durable when it is answered.
func BenchmarkAccept(b *testing.B) {
	f := setup(b)
	f.session("sales")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	body := []byte(`{"to":"5491123456789","content":{"type":"text","text":"Your order is on its way."}}`)
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, f.base+"/v1/sessions/sales/messages", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("X-API-Key", testKey)
		r.Header.Set("Content-Type", "application/json")
		a, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		if text, err := io.ReadAll(a.Body); err != nil || a.StatusCode != http.StatusAccepted {
			b.Fatalf("%d %s %v", a.StatusCode, text, err)
		}
		_ = a.Body.Close()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

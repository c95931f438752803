package sdk

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// faults is a server that fails as servers and networks do. It keeps the requests that it got, so that a test can say how a client took it.
type faults struct {
	mu   sync.Mutex
	seen map[string][]http.Header
}

// count notes a request and returns which of its kind it is, from 1.
func (f *faults) count(r *http.Request) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := r.Method + " " + r.URL.Path
	f.seen[of] = append(f.seen[of], r.Header)
	return len(f.seen[of])
}

func refuse(w http.ResponseWriter, status int, code, retryAfter string) {
	w.Header().Set("Content-Type", "application/problem+json")
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"type":"/problems/%[1]s","title":"%[1]s","status":%[2]d,"code":"%[1]s","detail":"it is so","requestId":"req_1"}`, code, status)
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

const (
	sentMessage = `{"id":"msg_1","whatsappId":"3EB0","sessionId":"s","chatId":"1@s.whatsapp.net","direction":"outgoing","from":{"id":"2@s.whatsapp.net","kind":"user"},` +
		`"to":{"id":"1@s.whatsapp.net","kind":"user"},"status":"sent","content":{"type":"text","text":"x"},"timestamp":"2026-01-01T12:00:00Z"}`
	queuedChange = `{"id":"chg_1","sessionId":"s","kind":"chat.change","status":"queued","expiresAt":"2026-01-01T12:00:00Z","createdAt":"2026-01-01T12:00:00Z"}`
	streamEvent  = "id: %[1]s\nevent: message.revoked\ndata: {\"id\":\"%[1]s\",\"type\":\"message.revoked\",\"timestamp\":\"2026-01-01T12:00:00Z\",\"data\":{}}\n\n"
)

// newFaults starts the server. What programs must make of it stands in their step faults.
func newFaults(t *testing.T) (*faults, string) {
	t.Helper()
	f := &faults{seen: map[string][]http.Header{}}
	mux := http.NewServeMux()
	cut := func() { panic(http.ErrAbortHandler) } // ends the connection in the middle of the answer
	mux.HandleFunc("POST /v1/sessions/s/messages", func(w http.ResponseWriter, r *http.Request) {
		switch f.count(r) {
		case 1:
			refuse(w, 503, "unavailable", "0")
		case 2:
			answer(w, 200, sentMessage[:40])
			_ = http.NewResponseController(w).Flush()
			cut()
		default:
			answer(w, 200, sentMessage)
		}
	})
	mux.HandleFunc("GET /v1/sessions", func(w http.ResponseWriter, r *http.Request) {
		f.count(r)
		refuse(w, 429, "rate_limited", "3600")
	})
	mux.HandleFunc("GET /v1/sessions/proxy", func(w http.ResponseWriter, r *http.Request) {
		f.count(r)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(403)
		_, _ = w.Write([]byte("<h1>no</h1>"))
	})
	mux.HandleFunc("GET /v1/sessions/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/stolen", http.StatusFound) })
	mux.HandleFunc("/stolen", func(_ http.ResponseWriter, r *http.Request) { f.count(r) })
	mux.HandleFunc("PATCH /v1/sessions/s/chats/{chat}", func(w http.ResponseWriter, _ *http.Request) { answer(w, 202, queuedChange) })
	mux.HandleFunc("GET /v1/events/stream", func(w http.ResponseWriter, r *http.Request) {
		stream := func(text string, args ...any) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprintf(w, text, args...)
			_ = http.NewResponseController(w).Flush()
		}
		switch f.count(r) {
		case 1:
			stream("retry: 2000\n\n"+streamEvent+":\nid: evt_2\n\nid: evt_3\nevent: message.revoked\ndata: {\"id\":", "evt_1")
			cut()
		case 2:
			refuse(w, 503, "unavailable", "")
		case 3:
			stream(streamEvent, "evt_3")
		default:
			refuse(w, 410, "cursor_expired", "")
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return f, server.URL
}

// check says whether the requests were those of a client that does it right.
func (f *faults) check(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	posts := f.seen["POST /v1/sessions/s/messages"]
	if len(posts) != 3 {
		t.Fatalf("%d attempts to send, want 3", len(posts))
	}
	for _, h := range posts {
		if key := h.Get("Idempotency-Key"); key == "" || key != posts[0].Get("Idempotency-Key") {
			t.Fatalf("an attempt has the key %q, the first %q", key, posts[0].Get("Idempotency-Key"))
		}
		if h.Get("X-API-Key") != "secret" {
			t.Fatal("an attempt has no API key")
		}
	}
	for of, want := range map[string]int{"GET /v1/sessions": 1, "GET /v1/sessions/proxy": 1, "GET /stolen": 0, "GET /v1/events/stream": 4} {
		if got := len(f.seen[of]); got != want {
			t.Errorf("%d requests of %s, want %d", got, of, want)
		}
	}
	for i, want := range []string{"", "evt_2", "evt_2", "evt_3"} {
		if got := f.seen["GET /v1/events/stream"][i].Get("Last-Event-ID"); got != want {
			t.Errorf("connection %d of the stream goes on after %q, want %q", i+1, got, want)
		}
	}
}

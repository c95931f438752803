package api

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestIdempotency(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	first := f.must(202, nil, "POST", sales+"/messages", text("5491123456789", "x"), "Idempotency-Key", "k")
	if first.Header.Get("Idempotency-Replayed") != "" {
		t.Error("the first is a replay")
	}
	f.exec("UPDATE messages SET status = 'sent'") // the stored answer is given, whatever came after
	again := f.must(202, nil, "POST", sales+"/messages", text("5491123456789", "x"), "Idempotency-Key", "k")
	if again.Header.Get("Idempotency-Replayed") != "true" || string(again.body) != string(first.body) || again.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("replayed %v %s, first %s", again.Header, again.body, first.body)
	}
	if f.count("messages") != 1 || len(f.commands()) != 1 {
		t.Errorf("sent twice: %s", f.written())
	}
	f.problem(f.do("POST", sales+"/messages", text("5491123456789", "y"), "Idempotency-Key", "k"), IdempotencyKeyReused)
	f.problem(f.do("POST", sales+"/restart", nil, "Idempotency-Key", "k"), IdempotencyKeyReused)

	// After 24 h the key is free, and the sweep removes it.
	f.exec("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
	if a := f.must(202, nil, "POST", sales+"/messages", text("5491123456789", "z"), "Idempotency-Key", "k"); a.Header.Get("Idempotency-Replayed") != "" {
		t.Error("an expired answer was replayed")
	}
	f.exec("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
	f.kickSweep()
	f.eventually("the sweep", func() bool { return f.count("idempotency_keys") == 0 })
}

func TestFailuresFreeTheKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.problem(f.do("POST", "/v1/sessions/sales/messages", text("5491123456789", "x"), "Idempotency-Key", "k"), SessionNotFound)
	f.session("sales")
	f.must(202, nil, "POST", "/v1/sessions/sales/messages", text("5491123456789", "x"), "Idempotency-Key", "k")
}

// TestParallelRepeats sends one request 50 times at once: one effect, and nobody hears anything else.
func TestParallelRepeats(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	var wait sync.WaitGroup
	answers := make([]answer, 50)
	for i := range answers {
		wait.Go(func() {
			answers[i] = f.do("POST", sales+"/messages", text("5491123456789", "x"), "Idempotency-Key", "k")
		})
	}
	wait.Wait()
	var accepted, fresh int
	bodies := map[string]bool{}
	for _, a := range answers {
		switch a.StatusCode {
		case 202:
			accepted++
			bodies[string(a.body)] = true
			if a.Header.Get("Idempotency-Replayed") == "" {
				fresh++
			}
		default:
			f.problem(a, IdempotencyInProgress)
		}
	}
	if accepted == 0 || fresh != 1 || len(bodies) != 1 || f.count("messages") != 1 || len(f.commands()) != 1 {
		t.Errorf("%d accepted, %d as the first, %d answers; %s", accepted, fresh, len(bodies), f.written())
	}
}

// TestARunningKeyIsNotWaitedFor: while the first request runs, in this process or another, a repeat is told so; when the first dies before
// its commit, nothing is left of it.
func TestARunningKeyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	tx, err := f.db.Begin(t.Context()) // holds up the effect: it waits for this lock after it has taken its key
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE chats IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	first := make(chan answer, 1)
	go func() { first <- f.do("POST", sales+"/messages", text("5491123456789", "x"), "Idempotency-Key", "k") }()
	blocked := `pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	f.eventually("the first to run", func() bool { return f.count(blocked) == 1 })
	if a := f.do("POST", sales+"/messages", text("5491123456789", "x"), "Idempotency-Key", "k"); a.Header.Get("Retry-After") == "" {
		t.Errorf("without Retry-After: %v", a.Header)
	} else {
		f.problem(a, IdempotencyInProgress)
	}
	f.exec("SELECT pg_terminate_backend(pid) FROM " + blocked) // as the death of its process does
	if a := <-first; a.StatusCode < 500 {
		t.Errorf("the first, whose connection was cut: %d %s", a.StatusCode, a.body)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.must(202, nil, "POST", sales+"/messages", text("5491123456789", "x"), "Idempotency-Key", "k")
	if f.count("messages") != 1 || len(f.commands()) != 1 {
		t.Errorf("written: %s", f.written())
	}
}

func TestEveryPostTakesAKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for path, body := range map[string]string{
		"/v1/sessions": `{"id":"sales"}`, "/v1/webhook-endpoints": `{"url":"https://203.0.113.9"}`,
	} {
		first := f.must(201, nil, "POST", path, body, "Idempotency-Key", path)
		again := f.must(201, nil, "POST", path, body, "Idempotency-Key", path)
		if string(first.body) != string(again.body) || again.Header.Get("Idempotency-Replayed") != "true" || again.Header.Get("Location") != first.Header.Get("Location") {
			t.Errorf("%s: %s, then %s", path, first.body, again.body)
		}
	}
	if f.count("sessions") != 1 || f.count("webhook_endpoints") != 1 {
		t.Errorf("written: %s", f.written())
	}
	without := map[string]bool{
		"/v1/stream-tickets":                            true, // whose answer must not be stored, and of which a second one does no harm
		"/v1/api-keys":                                  true, // likewise
		"/v1/api-keys/{keyId}/rotate":                   true, // likewise
		"/v1/sessions/{sessionId}/links":                true, // likewise
		"/v1/sessions/{sessionId}/contacts/check":       true, // which changes nothing
		"/v1/sessions/{sessionId}/pairing-code":         true, // whose answers end with their connection, and must not be stored
		"/v1/sessions/{sessionId}/passkey/response":     true, // which WhatsApp takes once, and of which a second is told so
		"/v1/sessions/{sessionId}/passkey/confirmation": true, // likewise
		"/v1/sessions/{sessionId}/simulated-scan":       true, // which the sandbox does, and of which a second is told that it was done
		"/v1/sessions/{sessionId}/export":               true, // which changes nothing but the audit log, and whose answer must not be stored
		"/v1/sessions/{sessionId}/simulated-message":    true, // which a contact in the sandbox writes, twice if asked to
	}
	for path, item := range f.huma.OpenAPI().Paths {
		if item.Post == nil || without[path] {
			continue
		}
		if !strings.Contains(fmt.Sprint(names(item.Post.Parameters)), "Idempotency-Key") {
			t.Errorf("POST %s takes no Idempotency-Key", path)
		}
	}
}

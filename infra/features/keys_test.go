package features

import (
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// key makes a key and returns it with its id.
func key(t *testing.T, rules map[string]any) (secret, id string) {
	t.Helper()
	rules["name"] = "key of " + t.Name()
	var created struct{ ID, Key string }
	if status, body := call(t, "POST", running.URL+"/v1/api-keys", rules, &created); status != 201 {
		t.Fatalf("create key: %d %s", status, body)
	}
	return created.Key, created.ID
}

// Feature: Scoped keys and audit log
func TestAScopedKey(t *testing.T) {
	t.Parallel()
	s, other := newSession(t), newSession(t)
	juan := newPhone(t, "Juan")
	secret, id := key(t, map[string]any{"scopes": []string{"send", "read"}, "sessions": []string{s.id}})
	with := func(method, path string, body, out any) int {
		t.Helper()
		status, _ := call(t, method, running.URL+path, body, out, "X-API-Key", secret)
		return status
	}
	message := map[string]any{"to": juan.number, "content": map[string]any{"type": "text", "text": "by a key of its own"}}
	if status := with("POST", "/v1/sessions/"+s.id+"/messages", message, nil); status != 202 {
		t.Fatalf("sending: %d", status)
	}
	juan.sees("the message", func(m sandbox.Message) bool { return m.Text == "by a key of its own" })
	if status := with("POST", "/v1/sessions/"+other.id+"/messages", message, nil); status != 404 {
		t.Errorf("from another session: %d", status)
	}
	if status := with("PATCH", "/v1/sessions/"+s.id, map[string]any{"name": "x"}, nil); status != 403 {
		t.Errorf("managing: %d", status)
	}
	var sessions struct{ Data []struct{ ID string } }
	if with("GET", "/v1/sessions", nil, &sessions); len(sessions.Data) != 1 || sessions.Data[0].ID != s.id {
		t.Errorf("it lists %v", sessions)
	}
	var log struct {
		Data []struct{ Operation, SessionID, KeyName, Address string }
	}
	call(t, "GET", running.URL+"/v1/audit-log?keyId="+id, nil, &log)
	if len(log.Data) != 1 || log.Data[0].Operation != "send-message" || log.Data[0].SessionID != s.id || !strings.Contains(log.Data[0].KeyName, t.Name()) {
		t.Errorf("the audit log has %+v", log.Data)
	}
	if status, _ := call(t, "DELETE", running.URL+"/v1/api-keys/"+id, nil, nil); status != 204 {
		t.Errorf("delete: %d", status)
	}
	if status := with("GET", "/v1/sessions", nil, nil); status != 401 {
		t.Errorf("after its end: %d", status)
	}
}

func TestACustomerLinksBySomebodyElsesLink(t *testing.T) {
	t.Parallel()
	p := newPhone(t, "Customer")
	s := unlinked(t, p)
	var link struct {
		Token, URL string
		ExpiresAt  time.Time
	}
	s.must(201, "POST", "/links", map[string]any{"brand": map[string]any{"name": "The Shop"}}, &link)
	if link.URL != running.URL+"/link/"+link.Token {
		t.Errorf("the page is %s", link.URL)
	}
	s.must(202, "POST", "/start", nil, nil)
	// The customer's page has nothing but the token.
	page := func(path string, out any) int {
		t.Helper()
		status, _ := call(t, "GET", running.URL+path, nil, out, "X-API-Key", "", "Authorization", "Bearer "+link.Token, "Accept", "application/json")
		return status
	}
	var code struct{ QR string }
	if status := page("/v1/sessions/"+s.id+"/qr?wait=30", &code); status != 200 || code.QR == "" {
		t.Fatalf("the code: %d %+v", status, code)
	}
	if status := page("/v1/sessions/"+s.id, nil); status != 403 {
		t.Errorf("the session itself: %d", status)
	}
	p.act("POST", "/scan", map[string]any{"qr": code.QR}, nil)
	s.awaitState("connected")
	if status := page("/v1/link", nil); status != 401 {
		t.Errorf("once it is linked the link answers %d", status)
	}
}

package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
)

// key creates a key and returns it with its id.
func (f *fixture) key(rules map[string]any) (key, id string) {
	f.t.Helper()
	if rules["name"] == nil {
		rules["name"] = "test"
	}
	var created CreatedKey
	f.must(201, &created, "POST", "/v1/api-keys", rules)
	return created.Key, created.ID
}

// another is a second process with the same database.
func (f *fixture) another() *fixture {
	f.t.Helper()
	other, err := New(Config{DSN: f.config.DSN, Addr: "127.0.0.1:0", APIKey: testKey, Keys: testKeys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := other.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := other.Stop(context.Background()); err != nil {
			f.t.Error(err)
		}
	})
	return &fixture{t: f.t, Server: other, base: other.URL(), log: &logBuffer{}}
}

// with is a request with another key.
func (f *fixture) with(key, method, path string, body any) answer {
	f.t.Helper()
	return f.do(method, path, body, "X-API-Key", key)
}

func TestKeysOpenWhatTheirScopesSay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	reads, _ := f.key(map[string]any{"scopes": []string{"read"}})
	sends, _ := f.key(map[string]any{"scopes": []string{"send"}})
	manages, _ := f.key(map[string]any{"scopes": []string{"manage"}})
	admin, _ := f.key(map[string]any{"scopes": []string{"admin"}})
	for _, c := range []struct {
		method, path string
		body         any
		allowed      []string
	}{
		{"GET", "/v1/sessions", nil, []string{reads, admin}},
		{"GET", "/v1/events", nil, []string{reads, admin}},
		{"POST", "/v1/sessions/sales/messages", text("5491123456789", "hello"), []string{sends, admin}},
		{"PATCH", "/v1/sessions/sales", map[string]any{"name": "Sales"}, []string{manages, admin}},
		{"GET", "/v1/webhook-endpoints", nil, []string{reads, admin}},
		{"POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook"}, []string{manages, admin}},
		{"GET", "/v1/api-keys", nil, []string{admin}},
		{"GET", "/v1/audit-log", nil, []string{admin}},
		{"GET", "/v1/me", nil, []string{reads, sends, manages, admin}},
	} {
		for name, key := range map[string]string{"read": reads, "send": sends, "manage": manages, "admin": admin} {
			a := f.with(key, c.method, c.path, c.body)
			if slices.Contains(c.allowed, key) {
				if a.StatusCode >= 300 {
					t.Errorf("%s %s with %s: %d %s", c.method, c.path, name, a.StatusCode, a.body)
				}
				continue
			}
			f.problem(a, InsufficientScope)
		}
	}
}

func TestAKeyEndsWhenItIsChanged(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.another() // which is told
	f.session("sales")
	key, id := f.key(map[string]any{"scopes": []string{"read"}})
	both := func(what string, code Code) {
		t.Helper()
		for _, process := range []*fixture{f, other} {
			f.eventually(what, func() bool {
				a := process.with(key, "GET", "/v1/sessions", nil)
				return code == "" && a.StatusCode == 200 || code != "" && strings.Contains(string(a.body), string(code))
			})
		}
	}
	both("the key to be known", "")
	f.must(200, nil, "PATCH", "/v1/api-keys/"+id, map[string]any{"scopes": []string{"send"}})
	if a := f.with(key, "GET", "/v1/sessions", nil); a.StatusCode != 403 {
		t.Errorf("behind the answer it still reads: %d", a.StatusCode)
	}
	both("the change", InsufficientScope)
	f.must(200, nil, "PATCH", "/v1/api-keys/"+id, map[string]any{"scopes": []string{"read"}, "networks": []string{"203.0.113.0/24"}})
	both("the networks", AddressNotAllowed)
	f.must(200, nil, "PATCH", "/v1/api-keys/"+id, map[string]any{"networks": []string{"127.0.0.1"}})
	both("its own network", "")

	var rotated CreatedKey
	f.must(200, &rotated, "POST", "/v1/api-keys/"+id+"/rotate", map[string]any{"overlapSeconds": 600})
	both("the old key beside the new", "")
	if rotated.ID != id || rotated.Key == key || rotated.PreviousUntil == nil {
		t.Errorf("rotated: %+v", rotated.APIKey)
	}
	old := key
	key = rotated.Key
	both("the new key", "")
	f.must(200, &rotated, "POST", "/v1/api-keys/"+id+"/rotate", map[string]any{})
	both("the end of the key before", Unauthorized)
	key = old
	both("the end of the first", Unauthorized)
	key = rotated.Key
	both("the third", "")
	soon := time.Now().Add(time.Hour)
	f.must(200, nil, "PATCH", "/v1/api-keys/"+id, map[string]any{"expiresAt": soon})
	row, err := events.KeyPrefix.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	f.exec(`UPDATE api_keys SET expires_at = now() WHERE id = $1`, row)
	f.keys.forget()
	other.keys.forget()
	both("its expiry", Unauthorized)
	f.must(200, nil, "PATCH", "/v1/api-keys/"+id, map[string]any{"expiresAt": nil})
	both("that it does not expire", "")
	f.must(204, nil, "DELETE", "/v1/api-keys/"+id, nil)
	if a := f.with(key, "GET", "/v1/sessions", nil); a.StatusCode != 401 {
		t.Errorf("behind its deletion it still reads: %d", a.StatusCode)
	}
	both("its end", Unauthorized)
	f.problem(f.do("DELETE", "/v1/api-keys/"+id, nil), KeyNotFound)
}

func TestKeysAreStoredAsHashes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	key, _ := f.key(map[string]any{"scopes": []string{"admin"}})
	f.must(200, nil, "GET", "/v1/sessions", nil, "X-API-Key", key)
	var link Link
	f.must(201, &link, "POST", "/v1/sessions/sales/links", map[string]any{})
	var all string
	if err := f.db.QueryRow(t.Context(), `SELECT (SELECT json_agg(k)::text FROM api_keys k) || (SELECT json_agg(a)::text FROM audit_log a)`).Scan(&all); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(key))
	if !strings.Contains(all, fmt.Sprintf("%x", hash)) {
		t.Error("the hash is not found, so that this test finds nothing")
	}
	for _, secret := range []string{key, link.Token} {
		if strings.Contains(all, secret) || strings.Contains(f.log.String(), secret) {
			t.Error("a key is stored or logged")
		}
	}
	if list := string(f.must(200, nil, "GET", "/v1/api-keys", nil).body); strings.Contains(list, key) || strings.Contains(list, fmt.Sprintf("%x", hash)) || strings.Contains(list, "link") {
		t.Errorf("the list is %s", list)
	}
}

func TestKeysHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.RateLimit, c.SessionRateLimit = 1000, 8 })
	f.session("sales")
	f.session("support")
	few, _ := f.key(map[string]any{"scopes": []string{"read"}, "requestsPerMinute": 3})
	many, _ := f.key(map[string]any{"scopes": []string{"read"}})
	within(t, func() {
		got := []int{}
		for range 4 {
			got = append(got, f.with(few, "GET", "/v1/me", nil).StatusCode)
		}
		if !slices.Equal(got, []int{200, 200, 200, 429}) {
			t.Errorf("a key of three a minute: %v", got)
		}
	})
	// A session's requests are counted over all keys, and leave other sessions alone.
	within(t, func() {
		var last answer
		n := 0
		for range 20 {
			if last = f.with([]string{many, testKey}[n%2], "GET", "/v1/sessions/sales", nil); last.StatusCode != 200 {
				break
			}
			n++
		}
		if f.problem(last, RateLimited); n > 8 || last.Header.Get("Retry-After") == "" || !strings.Contains(last.Header.Get("RateLimit"), `"session";r=0`) {
			t.Errorf("%d requests; %v", n, last.Header)
		}
		f.must(200, nil, "GET", "/v1/sessions/support", nil)
		f.must(200, nil, "GET", "/v1/sessions", nil)
	})
}

// within runs a test of a minute's limit again when the minute ended within it.
func within(t *testing.T, test func()) {
	t.Helper()
	if left := time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)); left < 5*time.Second {
		<-time.After(left)
	}
	test()
}

func TestBadKeysAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, body := range map[string]map[string]any{
		"no name":                 {"scopes": []string{"read"}},
		"no scope":                {"name": "x"},
		"an unknown scope":        {"name": "x", "scopes": []string{"write"}},
		"a link's scope":          {"name": "x", "scopes": []string{"pair"}},
		"an admin of one session": {"name": "x", "scopes": []string{"admin"}, "sessions": []string{"sales"}},
		"a network that is none":  {"name": "x", "scopes": []string{"read"}, "networks": []string{"203.0.113.0/33"}},
		"a time gone by":          {"name": "x", "scopes": []string{"read"}, "expiresAt": "2020-01-01T00:00:00Z"},
		"a bad session":           {"name": "x", "scopes": []string{"read"}, "sessions": []string{"a b"}},
		"no requests":             {"name": "x", "scopes": []string{"read"}, "requestsPerMinute": 0},
	} {
		if a := f.do("POST", "/v1/api-keys", body); a.StatusCode != 422 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	if n := f.count("api_keys") + f.count("audit_log"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
	f.problem(f.do("GET", "/v1/api-keys/key_1", nil), KeyNotFound)
}

func TestTheAuditLogSaysWhoDidWhatFromWhere(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	key, id := f.key(map[string]any{"name": "CRM", "scopes": []string{"send", "read"}})
	f.must(202, nil, "POST", "/v1/sessions/sales/messages", text("5491123456789", "a secret word"), "X-API-Key", key, "Idempotency-Key", "1", "X-Request-Id", "mine")
	f.must(202, nil, "POST", "/v1/sessions/sales/messages", text("5491123456789", "a secret word"), "X-API-Key", key, "Idempotency-Key", "1") // done once
	f.must(200, nil, "GET", "/v1/sessions/sales/messages", nil, "X-API-Key", key)
	f.problem(f.with(key, "DELETE", "/v1/sessions/sales", nil), InsufficientScope)
	f.do("POST", "/v1/sessions/nobody/messages", text("5491123456789", "x"), "X-API-Key", key)
	var page List[AuditEntry]
	f.must(200, &page, "GET", "/v1/audit-log", nil)
	var got []string
	for _, e := range page.Data {
		if e.At.IsZero() || e.Address != "127.0.0.1" || e.RequestID == "" {
			t.Errorf("entry: %+v", e)
		}
		got = append(got, e.KeyName+" "+e.Operation+" "+e.SessionID)
	}
	if want := []string{"CRM send-message sales", "API_KEY create-api-key ", "API_KEY create-session "}; !slices.Equal(got, want) {
		t.Errorf("the log is %q, want %q", got, want)
	}
	if e := page.Data[0]; e.KeyID != id || e.RequestID != "mine" || e.Path != "/v1/sessions/sales/messages" {
		t.Errorf("the entry is %+v", e)
	}
	for query, want := range map[string]int{"keyId=" + id: 1, "sessionId=sales": 1, "operation=create-session": 1, "operation=x": 0, "limit=1": 1} {
		if f.must(200, &page, "GET", "/v1/audit-log?"+query, nil); len(page.Data) != want {
			t.Errorf("?%s: %d entries", query, len(page.Data))
		}
	}
	f.must(200, &page, "GET", "/v1/audit-log?limit=1&cursor="+page.NextCursor, nil)
}

func TestALinkLinksOneSessionAndNothingElse(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.session("support")
	var link, second Link
	f.must(201, &link, "POST", "/v1/sessions/sales/links", map[string]any{})
	var state LinkState
	f.must(200, &state, "GET", "/v1/link", nil, "X-API-Key", "", "Authorization", "Bearer "+link.Token)
	if state.SessionID != "sales" || time.Until(state.ExpiresAt) > time.Hour || time.Until(state.ExpiresAt) < 50*time.Minute {
		t.Errorf("the link says %+v", state)
	}
	f.exec(`UPDATE sessions SET state = 'qr', qr = 'text', qr_expires_at = now() + interval '1 minute' WHERE id = 'sales'`)
	f.claim("sales")
	f.must(200, nil, "GET", "/v1/sessions/sales/qr", nil, "X-API-Key", link.Token)
	operations, g := readOperations(t)
	for _, o := range operations {
		if slices.Contains([]string{"get-session-qr", "get-passkey", "ask-pairing-code", "answer-passkey", "confirm-passkey", "legacy-get-qr", "get-link", "simulate-scan"}, o.id) || public[o.id] {
			continue
		}
		r := g.request(o, f.base, true)
		if strings.Contains(r.url, "%00") {
			continue
		}
		r.header = http.Header{"X-Api-Key": {link.Token}}
		response, body, err := r.do(t.Context(), client)
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		if response.StatusCode != 403 {
			t.Errorf("%s: %d %s", r, response.StatusCode, body)
		}
	}
	f.problem(f.with(link.Token, "GET", "/v1/sessions/support/qr", nil), SessionNotFound)
	f.must(201, &second, "POST", "/v1/sessions/sales/links", map[string]any{"validSeconds": 60})
	f.problem(f.with(link.Token, "GET", "/v1/link", nil), Unauthorized)
	f.must(200, nil, "GET", "/v1/link", nil, "X-API-Key", second.Token)
	f.linked("sales", "connected")
	f.problem(f.with(second.Token, "GET", "/v1/link", nil), LinkUsed)
	f.problem(f.do("POST", "/v1/sessions/sales/links", map[string]any{}), SessionAlreadyLinked)
}

func TestTheCallerOutsideOfARequestIsTheServer(t *testing.T) {
	t.Parallel()
	if c := callerOf(context.Background()); !c.may(scopeAdmin) || !c.sees("any") {
		t.Errorf("the caller is %+v", c)
	}
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/testpoll"
	"github.com/chasqui/chasqui/infra/tests3"
)

func TestMain(m *testing.M) { testdb.Run(tests3.With(m)) }

const testKey = "test-key-5d41402abc4b2a76"

// patience bounds what a test waits for; only a failure takes that long.
const patience = 30 * time.Second

// A fixture is a running server on a database of its own.
type fixture struct {
	*Server
	t    testing.TB
	db   *pgxpool.Pool // the test's own
	wake *queue.Notifier
	log  *logBuffer
	base string
}

// logBuffer keeps what the server logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testKeys are those of all servers in tests, since what is sealed goes through more than what is not.
var testKeys = func() *seal.Keys {
	keys, err := seal.Parse(strings.Repeat("a7", 32))
	if err != nil {
		panic(err)
	}
	return keys
}()

func setup(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, log: &logBuffer{}}
	config := Config{
		DSN: testdb.DSN(t), Addr: "127.0.0.1:0", APIKey: testKey, Version: "test", S3: tests3.Open(t), Keys: testKeys,
		Guard:  netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}),
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&config)
	}
	var err error
	if f.db, err = postgres.Open(t.Context(), config.DSN, postgres.Options{Name: "api test", MaxConns: 4}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.db.Close)
	f.wake = queue.NewNotifier(f.db)
	t.Cleanup(f.wake.Close)
	if f.Server, err = New(config); err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	f.base = f.URL()
	return f
}

// An answer is what the server answered, its body read.
type answer struct {
	*http.Response
	body []byte
}

// do makes a request with the key and holds it against the contract; headers are pairs of name and value, and an empty value removes the header. body is sent as it is when
// it is a string, else as JSON.
func (f *fixture) do(method, path string, body any, headers ...string) answer {
	f.t.Helper()
	var sent []byte
	switch b := body.(type) {
	case nil:
	case string:
		sent = []byte(b)
	default:
		var err error
		if sent, err = json.Marshal(b); err != nil {
			f.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, f.base+path, bytes.NewReader(sent))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("X-API-Key", testKey)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	a := f.send(r)
	if a.StatusCode != 0 {
		checkContract(f.t, method, f.base+path, r.Header, sent, a)
	}
	return a
}

// send makes a request and reads its answer; StatusCode is 0 when there is none.
func (f *fixture) send(r *http.Request) answer {
	f.t.Helper()
	response, err := client.Do(r)
	if err != nil {
		f.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		return answer{Response: &http.Response{Header: http.Header{}}}
	}
	defer response.Body.Close()
	a := answer{Response: response}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		f.t.Errorf("%s %s: read answer: %v", r.Method, r.URL.Path, err)
	}
	return a
}

// client keeps no connections, so that none outlives a test.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// must is do for a request that succeeds with status; it decodes the answer into out.
func (f *fixture) must(status int, out any, method, path string, body any, headers ...string) answer {
	f.t.Helper()
	a := f.do(method, path, body, headers...)
	if a.StatusCode != status {
		f.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.StatusCode, status, a.body)
	}
	if out != nil {
		reflect.ValueOf(out).Elem().SetZero() // what the answer leaves out is not what was there before
		if err := json.Unmarshal(a.body, out); err != nil {
			f.t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
		}
	}
	return a
}

// problem checks that a is the problem of a code, in every respect that a client can rely on, and returns it.
func (f *fixture) problem(a answer, code Code) Problem {
	f.t.Helper()
	var p Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		f.t.Fatalf("want problem %s, got %d %s", code, a.StatusCode, a.body)
	}
	want := explanations[code]
	if p.Code != code || a.StatusCode != want.status || p.Status != want.status || p.Title != want.title || p.Type != "/problems/"+string(code) || p.Detail == "" {
		f.t.Errorf("want problem %s, got %d %s", code, a.StatusCode, a.body)
	}
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		f.t.Errorf("%s: Content-Type %q", code, ct)
	}
	if p.RequestID == "" || p.RequestID != a.Header.Get("X-Request-Id") || p.Instance == "" {
		f.t.Errorf("%s: request id %q, header %q, instance %q", code, p.RequestID, a.Header.Get("X-Request-Id"), p.Instance)
	}
	if len(a.body) > 8<<10 {
		f.t.Errorf("%s: an answer of %d bytes repeats too much of the request", code, len(a.body))
	}
	return p
}

// exec changes the database behind the server's back, as a connector does.
func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.db.Exec(context.Background(), sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// count returns how many rows a table has.
func (f *fixture) count(table string) (n int) {
	f.t.Helper()
	if err := f.db.QueryRow(context.Background(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// written is how many rows there are in all tables that a request can write, as text.
func (f *fixture) written() string {
	f.t.Helper()
	return fmt.Sprint(f.rows()) // a map is printed in the order of its keys
}

// rows is how many there are in each table that a request can write.
func (f *fixture) rows() map[string]int {
	f.t.Helper()
	counts := map[string]int{}
	for _, table := range []string{"sessions", "messages", "chats", "contacts", "webhook_endpoints", "webhook_replays", "idempotency_keys", "stream_tickets", "deliveries", "events", "queue_messages", "queue_lanes"} {
		counts[table] = f.count(table)
	}
	return counts
}

// session creates a session and returns its path.
func (f *fixture) session(id string) string {
	f.t.Helper()
	f.must(201, nil, "POST", "/v1/sessions", map[string]any{"id": id})
	return "/v1/sessions/" + id
}

// linked makes a session look linked and connected, held by a connector that is alive.
func (f *fixture) linked(id, state string) {
	f.t.Helper()
	f.exec(`UPDATE sessions SET jid = '5491100000000:7@s.whatsapp.net', phone = '5491100000000', state = $2 WHERE id = $1`, id, state)
	f.claim(id)
	f.wake.Notify(events.WakeSessions, id)
}

func (f *fixture) claim(id string) {
	f.t.Helper()
	f.exec(`INSERT INTO claims (session, owner, epoch, expires_at) VALUES ($1, 'test', 1, now() + interval '1 hour')
		ON CONFLICT (session) DO UPDATE SET owner = 'test', expires_at = excluded.expires_at`, id)
}

func text(to, text string) map[string]any {
	return map[string]any{"to": to, "content": map[string]string{"type": "text", "text": text}}
}

func TestNewRefusesAnEmptyKey(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("an API without a key was made")
	}
}

func TestStartRefusesAnOldSchema(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	pool, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)"); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{DSN: dsn, Addr: "127.0.0.1:0", APIKey: testKey})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("it runs on a schema that lacks a migration")
		_ = s.Stop(t.Context())
	}
}

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	f := setup(t)
	if err := f.Start(t.Context()); err != nil {
		t.Errorf("a second Start: %v", err)
	}
	f.session("long")
	// A long poll is in flight when the server stops: it answers at once.
	waiting := make(chan answer, 1)
	go func() { waiting <- f.do("GET", "/v1/events?wait=30", nil) }()
	f.eventually("the long poll", func() bool {
		metrics := f.do("GET", "/metrics", nil).body
		return bytes.Contains(metrics, []byte("chasqui_http_requests_in_flight 2"))
	})
	began := time.Now()
	if err := f.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stop took %s", took)
	}
	if a := <-waiting; a.StatusCode != 200 {
		t.Errorf("the long poll got %d %s", a.StatusCode, a.body)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
	if err := f.Start(t.Context()); err != nil {
		t.Fatalf("start again: %v", err)
	}
	f.base = f.URL()
	f.must(200, nil, "GET", "/v1/sessions/long", nil)
}

// eventually looks until what is true, pausing on a timer between.
func (f *fixture) eventually(what string, is func() bool) {
	f.t.Helper()
	if !testpoll.True(patience, is) {
		f.t.Fatalf("%s did not come to be", what)
	}
}

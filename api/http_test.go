package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// endless is a body of n zeros that counts what was taken of it.
type endless struct {
	left  int64
	taken atomic.Int64 // a transport may still read when its request is over
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.left))
	for i := range p[:n] {
		p[i] = ' '
	}
	e.left -= int64(n)
	e.taken.Add(int64(n))
	return n, nil
}

// TestRefusals sends every kind of wrong request: each gets a clear problem, writes nothing and leaks nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.session("out")
	f.exec("UPDATE sessions SET state = 'logged_out' WHERE id = 'out'")
	f.must(201, nil, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook"})
	f.must(202, nil, "POST", sales+"/messages", text("5491123456789", "used"), "Idempotency-Key", "used")
	before := f.written()
	const unknownMessage, unknownEndpoint, unknownEvent = "msg_00000000000070008000000000000000", "we_00000000000070008000000000000000", "evt_00000000000070008000000000000000"
	huge := strings.Repeat("x", 200<<10)
	for _, c := range []struct {
		name, method, path string
		body               any
		headers            []string
		code               Code
		location, says     string // expected in errors[0].location, and anywhere in the answer
	}{
		{name: "no key", method: "GET", path: "/v1/sessions", headers: []string{"X-API-Key", ""}, code: Unauthorized},
		{name: "wrong key", method: "GET", path: "/v1/sessions", headers: []string{"X-API-Key", "wrong"}, code: Unauthorized},
		{name: "wrong bearer", method: "POST", path: sales + "/messages", body: text("5491123456789", "x"), headers: []string{"X-API-Key", "", "Authorization", "Bearer wrong"}, code: Unauthorized},
		{name: "a prefix of the key", method: "GET", path: "/v1/sessions", headers: []string{"X-API-Key", testKey[:8]}, code: Unauthorized},
		{name: "basic is no bearer", method: "GET", path: "/v1/events", headers: []string{"X-API-Key", "", "Authorization", "Basic " + testKey}, code: Unauthorized},
		{name: "unknown path", method: "GET", path: "/v1/nothing", code: NotFound},
		{name: "unknown method", method: "PUT", path: "/v1/sessions/sales", code: MethodNotAllowed},
		{name: "unknown session", method: "GET", path: "/v1/sessions/nobody", code: SessionNotFound},
		{name: "unknown session's messages", method: "GET", path: "/v1/sessions/nobody/messages", code: SessionNotFound},
		{name: "unknown session's message", method: "GET", path: "/v1/sessions/nobody/messages/" + unknownMessage, code: SessionNotFound},
		{name: "unknown session's QR", method: "GET", path: "/v1/sessions/nobody/qr", code: SessionNotFound},
		{name: "send by an unknown session", method: "POST", path: "/v1/sessions/nobody/messages", body: text("5491123456789", "x"), headers: []string{"Idempotency-Key", "nobody"}, code: SessionNotFound},
		{name: "start an unknown session", method: "POST", path: "/v1/sessions/nobody/start", code: SessionNotFound},
		{name: "change an unknown session", method: "PATCH", path: "/v1/sessions/nobody", body: `{"name":"x"}`, code: SessionNotFound},
		{name: "delete an unknown session", method: "DELETE", path: "/v1/sessions/nobody", code: SessionNotFound},
		{name: "an impossible session", method: "GET", path: "/v1/sessions/a%20b", code: ValidationFailed, location: "path.sessionId"},
		{name: "unknown message", method: "GET", path: sales + "/messages/" + unknownMessage, code: MessageNotFound},
		{name: "unknown WhatsApp id", method: "GET", path: sales + "/messages/3EB0ABCDEF", code: MessageNotFound},
		{name: "unknown endpoint", method: "GET", path: "/v1/webhook-endpoints/" + unknownEndpoint, code: NotFound},
		{name: "no endpoint's id", method: "GET", path: "/v1/webhook-endpoints/1/secret", code: NotFound},
		{name: "change an unknown endpoint", method: "PATCH", path: "/v1/webhook-endpoints/" + unknownEndpoint, body: `{"state":"active"}`, code: NotFound},
		{name: "delete an unknown endpoint", method: "DELETE", path: "/v1/webhook-endpoints/" + unknownEndpoint, code: NotFound},
		{name: "unknown event", method: "GET", path: "/v1/events/" + unknownEvent, code: NotFound},
		{name: "unknown problem", method: "GET", path: "/problems/nothing", code: NotFound},
		{name: "malformed JSON", method: "POST", path: "/v1/sessions", body: `{"id": "x"`, code: MalformedJSON},
		{name: "malformed JSON in a send", method: "POST", path: sales + "/messages", body: `{"to": }`, headers: []string{"Idempotency-Key", "malformed"}, code: MalformedJSON},
		{name: "two JSON values", method: "POST", path: "/v1/sessions", body: `{"id":"x"} {"id":"y"}`, code: MalformedJSON},
		{name: "malformed and large", method: "POST", path: "/v1/sessions", body: `{"id": ` + huge, code: MalformedJSON},
		{name: "U+0000 in a text", method: "POST", path: sales + "/messages", body: `{"to":"5491123456789","content":{"type":"text","text":"a\u0000b"}}`, code: MalformedJSON},
		{name: "U+0000 in the query", method: "GET", path: "/v1/events?after=%00", code: BadRequest},
		{name: "no UTF-8 in the query", method: "GET", path: "/v1/events?after=%ff", code: BadRequest},
		{name: "no UTF-8 in the path", method: "GET", path: sales + "/messages/%ff", code: BadRequest},
		{name: "no body", method: "POST", path: "/v1/sessions", code: BadRequest},
		{name: "a form", method: "POST", path: "/v1/sessions", body: `id=x`, headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, code: UnsupportedMediaType},
		{name: "a compressed body", method: "POST", path: "/v1/sessions", body: `x`, headers: []string{"Content-Encoding", "gzip"}, code: UnsupportedMediaType},
		{name: "null", method: "POST", path: "/v1/sessions", body: `null`, code: ValidationFailed},
		{name: "an array", method: "POST", path: "/v1/sessions", body: `[]`, code: ValidationFailed, location: "body"},
		{name: "unknown field", method: "POST", path: "/v1/sessions", body: `{"id":"new","nama":"x"}`, code: ValidationFailed, location: "body.nama", says: "unknown_field"},
		{name: "a field in the wrong case", method: "POST", path: "/v1/sessions", body: `{"id":"new","Name":"x"}`, code: ValidationFailed, location: "body.Name"},
		{name: "unknown field in a send", method: "POST", path: sales + "/messages", body: `{"to":"5491123456789","content":{"type":"text","text":"x","txt":"y"}}`, code: ValidationFailed, location: "body.content.txt", says: "unknown_field"},
		{name: "a huge unknown field", method: "POST", path: "/v1/sessions", body: `{"id":"new","` + huge + `":"` + huge + `"}`, code: ValidationFailed},
		{name: "a huge value", method: "POST", path: "/v1/sessions", body: `{"id":"` + huge + `"}`, code: ValidationFailed, location: "body.id"},
		{name: "unknown query parameter", method: "GET", path: "/v1/sessions?limt=3", code: ValidationFailed, location: "query.limt", says: "unknown_field"},
		{name: "limit too large", method: "GET", path: "/v1/sessions?limit=201", code: ValidationFailed, location: "query.limit"},
		{name: "limit no number", method: "GET", path: sales + "/messages?limit=ten", code: ValidationFailed, location: "query.limit"},
		{name: "a made-up cursor", method: "GET", path: "/v1/sessions?cursor=abc", code: ValidationFailed, location: "query.cursor"},
		{name: "a cursor of another list", method: "GET", path: sales + "/messages?cursor=" + unknownEndpoint, code: ValidationFailed, location: "query.cursor"},
		{name: "a cursor that is no event", method: "GET", path: "/v1/events?after=17", code: ValidationFailed, location: "query.after"},
		{name: "a cursor that is gone", method: "GET", path: "/v1/events?after=" + unknownEvent, code: CursorExpired},
		{name: "unknown event type", method: "GET", path: "/v1/events?type=message.recieved", code: ValidationFailed, location: "query.type[0]"},
		{name: "an id with a space", method: "POST", path: "/v1/sessions", body: `{"id":"a b"}`, code: ValidationFailed, location: "body.id"},
		{name: "an id twice", method: "POST", path: "/v1/sessions", body: `{"id":"sales"}`, headers: []string{"Idempotency-Key", "twice"}, code: SessionAlreadyExists},
		{name: "metadata of numbers", method: "PATCH", path: sales, body: `{"settings":{"metadata":{"a":1}}}`, code: ValidationFailed, location: "body.settings.metadata.a"},
		{name: "a number with letters", method: "POST", path: sales + "/messages", body: text("54911abc3456", "x"), headers: []string{"Idempotency-Key", "letters"}, code: ValidationFailed, location: "body.to", says: "country code"},
		{name: "a number too short", method: "POST", path: sales + "/messages", body: text("12345", "x"), code: ValidationFailed, location: "body.to"},
		{name: "an unknown server", method: "POST", path: sales + "/messages", body: text("5491123456789@example.com", "x"), code: ValidationFailed, location: "body.to"},
		{name: "a channel", method: "POST", path: sales + "/messages", body: text("120363025246125486@newsletter", "x"), code: ValidationFailed, location: "body.to"},
		{name: "no content", method: "POST", path: sales + "/messages", body: `{"to":"5491123456789"}`, code: ValidationFailed, location: "body", says: "required"},
		{name: "content without type", method: "POST", path: sales + "/messages", body: `{"to":"5491123456789","content":{"text":"x"}}`, code: ValidationFailed, location: "body.content", says: "required"},
		{name: "content of an unknown type", method: "POST", path: sales + "/messages", body: `{"to":"5491123456789","content":{"type":"txt","text":"x"}}`, code: ValidationFailed, location: "body.content.type"},
		{name: "content of no type", method: "POST", path: sales + "/messages", body: `{"to":"5491123456789","content":{"type":null}}`, code: ValidationFailed, location: "body.content.type"},
		{name: "content that is a text", method: "POST", path: sales + "/messages", body: `{"to":"5491123456789","content":"x"}`, code: ValidationFailed, location: "body.content"},
		{name: "an empty text", method: "POST", path: sales + "/messages", body: text("5491123456789", ""), code: ValidationFailed, location: "body.content.text"},
		{name: "a text too long", method: "POST", path: sales + "/messages", body: text("5491123456789", huge), code: ValidationFailed, location: "body.content.text"},
		{name: "expired already", method: "POST", path: sales + "/messages", body: `{"to":"5491123456789","content":{"type":"text","text":"x"},"expiresAt":"2020-01-01T00:00:00Z"}`, code: ValidationFailed, location: "body.expiresAt"},
		{name: "logged out", method: "POST", path: "/v1/sessions/out/messages", body: text("5491123456789", "x"), headers: []string{"Idempotency-Key", "out"}, code: SessionLoggedOut},
		{name: "a key with a space", method: "POST", path: sales + "/messages", body: text("5491123456789", "x"), headers: []string{"Idempotency-Key", "a b"}, code: ValidationFailed, location: "header.Idempotency-Key"},
		{name: "a key too long", method: "POST", path: sales + "/messages", body: text("5491123456789", "x"), headers: []string{"Idempotency-Key", strings.Repeat("k", 256)}, code: ValidationFailed, location: "header.Idempotency-Key"},
		{name: "a key used for another body", method: "POST", path: sales + "/messages", body: text("5491123456789", "other"), headers: []string{"Idempotency-Key", "used"}, code: IdempotencyKeyReused},
		{name: "a key used for another route", method: "POST", path: "/v1/sessions/out/messages", body: text("5491123456789", "used"), headers: []string{"Idempotency-Key", "used"}, code: IdempotencyKeyReused},
		{name: "webhook at the metadata service", method: "POST", path: "/v1/webhook-endpoints", body: `{"url":"http://169.254.169.254/latest/meta-data"}`, headers: []string{"Idempotency-Key", "metadata"}, code: ValidationFailed, location: "body.url", says: "metadata"},
		{name: "webhook at the loopback", method: "POST", path: "/v1/webhook-endpoints", body: `{"url":"http://127.0.0.1:5432"}`, code: ValidationFailed, location: "body.url", says: "WEBHOOK_ALLOW_CIDRS"},
		{name: "webhook at a mapped address", method: "POST", path: "/v1/webhook-endpoints", body: `{"url":"http://[::ffff:10.0.0.1]/"}`, code: ValidationFailed, location: "body.url", says: "WEBHOOK_ALLOW_CIDRS"},
		{name: "webhook at a file", method: "POST", path: "/v1/webhook-endpoints", body: `{"url":"file:///etc/passwd"}`, code: ValidationFailed, location: "body.url"},
		{name: "webhook without a URL", method: "POST", path: "/v1/webhook-endpoints", body: `{}`, code: ValidationFailed, location: "body"},
		{name: "webhook for a misspelt type", method: "POST", path: "/v1/webhook-endpoints", body: `{"url":"https://203.0.113.9","events":["message.recieved"]}`, code: ValidationFailed, location: "body.events[0]"},
		{name: "webhook with a header of ours", method: "POST", path: "/v1/webhook-endpoints", body: `{"url":"https://203.0.113.9","headers":{"webhook-id":"x"}}`, code: ValidationFailed, location: "body.headers"},
		{name: "webhook with a header of two lines", method: "POST", path: "/v1/webhook-endpoints", body: `{"url":"https://203.0.113.9","headers":{"X-A":"x\r\nHost: y"}}`, code: ValidationFailed, location: "body.headers.X-A"},
		{name: "webhook with a timeout of a day", method: "POST", path: "/v1/webhook-endpoints", body: `{"url":"https://203.0.113.9","timeoutSeconds":86400}`, code: ValidationFailed, location: "body.timeoutSeconds"},
		{name: "QR as a film", method: "GET", path: sales + "/qr", headers: []string{"Accept", "video/mp4"}, code: NotAcceptable},
		{name: "QR not there yet", method: "GET", path: sales + "/qr", code: Unavailable},
		{name: "QR of a logged-out session", method: "GET", path: "/v1/sessions/out/qr", code: SessionLoggedOut},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := *f
			g.t = t
			a := g.do(c.method, c.path, c.body, c.headers...)
			p := g.problem(a, c.code)
			if c.location != "" && (len(p.Errors) == 0 || p.Errors[0].Location != c.location) {
				t.Errorf("want the error at %s: %s", c.location, a.body)
			}
			if c.code == ValidationFailed && len(p.Errors) != 1 {
				t.Errorf("want one error: %s", a.body)
			}
			if !strings.Contains(string(a.body), c.says) {
				t.Errorf("want it to say %q: %s", c.says, a.body)
			}
			for _, leak := range []string{testKey, "SELECT", "INSERT", "pgx", "SQLSTATE", "goroutine", ".go:", "panic"} {
				if strings.Contains(string(a.body), leak) {
					t.Errorf("it leaks %q: %s", leak, a.body)
				}
			}
			if now := g.written(); now != before {
				t.Errorf("it wrote: %s, before %s", now, before)
			}
		})
	}
	if log := f.log.String(); strings.Contains(log, testKey) || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log holds the key, or an error: %s", log)
	}
}

func TestRefusalNamesWhatIsPossible(t *testing.T) {
	t.Parallel()
	f := setup(t)
	if allow := f.do("PUT", "/v1/sessions/x", nil).Header.Values("Allow"); strings.Join(allow, ",") != "GET,PATCH,DELETE" {
		t.Errorf("Allow: %v", allow)
	}
	if a := f.do("GET", "/v1/sessions", nil, "X-API-Key", ""); a.Header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
}

func TestBothFormsOfTheKeyOpen(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.must(200, nil, "GET", "/v1/sessions", nil)
	f.must(200, nil, "GET", "/v1/sessions", nil, "X-API-Key", "", "Authorization", "Bearer "+testKey)
	f.must(200, nil, "GET", "/v1/sessions", nil, "X-API-Key", "", "Authorization", "bearer "+testKey)
}

// TestLargeBodies: 2 GB announced are refused without being read, 2 GB not announced after 1 MiB.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	before := f.written()
	address := f.Addr().String()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "POST %s/messages HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: 2147483648\r\n\r\n", sales, testKey)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil) // not one byte of the body was sent
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	f.problem(answer{response, body}, PayloadTooLarge)

	chunked := &endless{left: 2 << 30}
	request, err := http.NewRequestWithContext(t.Context(), "POST", f.base+sales+"/messages", chunked)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", testKey)
	request.Header.Set("Content-Type", "application/json")
	if response, err = client.Do(request); err == nil { // the connection may break before the answer is seen
		body, _ = io.ReadAll(response.Body)
		response.Body.Close()
		f.problem(answer{response, body}, PayloadTooLarge)
	}
	if taken := chunked.taken.Load(); taken > 64<<20 {
		t.Errorf("%d bytes were taken", taken)
	}
	if now := f.written(); now != before {
		t.Errorf("it wrote: %s, before %s", now, before)
	}
	// 1 MiB is accepted, to the byte, and one more is not.
	const rest = `{"id":"big"}`
	f.must(201, nil, "POST", "/v1/sessions", strings.Repeat(" ", maxBody-len(rest))+rest)
	f.problem(f.do("POST", "/v1/sessions", strings.Repeat(" ", maxBody-len(rest)+1)+rest), PayloadTooLarge)
}

// TestUnauthorizedBodiesAreNotRead: without a key, nothing of a body is wanted.
func TestUnauthorizedBodiesAreNotRead(t *testing.T) {
	t.Parallel()
	f := setup(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	f.problem(answer{response, body}, Unauthorized)
}

func TestPanicsBecomeProblems(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.router.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("secret of the inside") })
	a := f.do("GET", "/panic", nil)
	f.problem(a, InternalError)
	if strings.Contains(string(a.body), "secret") {
		t.Errorf("the cause is shown: %s", a.body)
	}
	if !strings.Contains(f.log.String(), "secret of the inside") {
		t.Error("the cause is not logged")
	}
	f.must(200, nil, "GET", "/healthz", nil)
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	if id := f.do("GET", "/healthz", nil, "X-Request-Id", "trace-1.A_b").Header.Get("X-Request-Id"); id != "trace-1.A_b" {
		t.Errorf("a good id became %q", id)
	}
	for _, bad := range []string{"a b", strings.Repeat("x", 129), `"><script>`} {
		if id := f.do("GET", "/healthz", nil, "X-Request-Id", bad).Header.Get("X-Request-Id"); !strings.HasPrefix(id, "req_") {
			t.Errorf("%q became %q", bad, id)
		}
	}
	if !strings.Contains(f.log.String(), "requestId=trace-1.A_b") {
		t.Error("the log does not name the request")
	}
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	f.must(200, nil, "GET", "/readyz", nil)
	config := f.db.Config().ConnConfig.Copy()
	name := config.Database
	config.Database = "postgres"
	outside, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close(context.Background())
	allow := func(connections bool) {
		t.Helper()
		if _, err := outside.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS %t", name, connections)); err != nil {
			t.Fatal(err)
		}
	}
	allow(false)
	if _, err := outside.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name); err != nil {
		t.Fatal(err)
	}
	a := f.do("POST", sales+"/messages", text("5491123456789", "x"), "Idempotency-Key", "away")
	if p := f.problem(a, Unavailable); a.Header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After: %v", p)
	}
	f.problem(f.do("GET", "/readyz", nil), Unavailable)
	f.must(200, nil, "GET", "/healthz", nil)
	allow(true)
	f.eventually("the database", func() bool { return f.do("GET", "/readyz", nil).StatusCode == 200 })
	f.must(202, nil, "POST", sales+"/messages", text("5491123456789", "x"), "Idempotency-Key", "away")
}

func TestPagesAndDocuments(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for path, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/docs": "text/html; charset=utf-8", "/problems/session_not_found": "text/html; charset=utf-8", "/openapi.json": "application/openapi+json", "/openapi.yaml": "application/openapi+yaml",
		"/metrics": "text/plain", "/healthz": "application/json", "/readyz": "application/json", "/v1/version": "application/json",
	} {
		a := f.must(200, nil, "GET", path, nil, "X-API-Key", "")
		if got := a.Header.Get("Content-Type"); !strings.HasPrefix(got, contentType) {
			t.Errorf("%s: Content-Type %q", path, got)
		}
		if a.Header.Get("X-Content-Type-Options") != "nosniff" || len(a.body) == 0 {
			t.Errorf("%s: %v", path, a.Header)
		}
		if head := f.must(200, nil, "HEAD", path, nil, "X-API-Key", ""); len(head.body) != 0 {
			t.Errorf("HEAD %s has a body", path)
		}
	}
	for code := range explanations {
		if a := f.must(200, nil, "GET", "/problems/"+string(code), nil); !strings.Contains(string(a.body), string(code)) {
			t.Errorf("the page of %s does not name it", code)
		}
	}
	spec, err := Spec()
	if err != nil {
		t.Fatal(err)
	}
	if a := f.do("GET", "/openapi.yaml", nil); string(a.body) != string(spec) {
		t.Error("the document that is served is another than Spec's")
	}
	if metrics := string(f.do("GET", "/metrics", nil).body); !strings.Contains(metrics, `route="/problems/{code}"`) {
		t.Errorf("metrics: %s", metrics)
	}
}

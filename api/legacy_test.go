package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testdb"
)

const legacySessionID = "mi-sesion-01"

// varying is what differs from run to run in a golden answer.
var varying = []struct{ pattern, instead string }{
	{`3EB0[0-9A-F]{18}`, "WID"}, {`msg_[0-9a-f]{32}`, "MSG"}, {`"uptime":\d+`, `"uptime":0`}, {`"timestamp":\d+`, `"timestamp":0`},
	{`"(timestamp|expiresAt)":"[^"]+"`, `"$1":"TIME"`}, {`base64,[A-Za-z0-9+/=]+`, "base64,PNG"}, {`med_[0-9a-f]{32}`, "MED"}, {`http://127.0.0.1:\d+`, "BASE"},
}

// golden compares an answer with what clients of the original are promised, to the byte.
func (f *fixture) golden(a answer, status int, want string) {
	f.t.Helper()
	got := strings.TrimSpace(string(a.body))
	for _, v := range varying {
		got = regexp.MustCompile(v.pattern).ReplaceAllString(got, v.instead)
	}
	if a.StatusCode != status || got != want {
		f.t.Errorf("got  %d %s\nwant %d %s", a.StatusCode, got, status, want)
	}
	if a.Header.Get("Deprecation") != "true" || !strings.Contains(a.Header.Get("Link"), `rel="successor-version"`) {
		f.t.Errorf("headers %v", a.Header)
	}
	if ct := a.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		f.t.Errorf("Content-Type %s", ct)
	}
}

// legacyProblem checks that a is the problem of a code in the form of the original.
func (f *fixture) legacyProblem(a answer, code Code) LegacyProblem {
	f.t.Helper()
	f.problem(a, code)
	var p LegacyProblem
	var raw map[string]any
	if err := json.Unmarshal(a.body, &p); err != nil || json.Unmarshal(a.body, &raw) != nil || raw["success"] != false || p.Sentence == "" {
		f.t.Errorf("%s is not in the original's form: %s", code, a.body)
	}
	return p
}

// sending makes a request that waits until its message is sent, and has it sent.
func (f *fixture) sending(do func() answer) answer {
	f.t.Helper()
	before := f.count("messages")
	waiting := make(chan answer, 1)
	go func() { waiting <- do() }()
	f.eventually("the message", func() bool { return f.count("messages") > before })
	var page List[events.Message]
	f.must(200, &page, "GET", "/v1/sessions/"+legacySessionID+"/messages?limit=1", nil)
	f.finish(page.Data[0].ID, "sent", nil, nil)
	return <-waiting
}

func TestLegacyRoutes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	start := func() answer {
		return f.do("POST", "/api/start-session", map[string]any{"sessionId": legacySessionID, "webhook": "ignored"})
	}
	const starting = `{"success":true,"sessionId":"mi-sesion-01","status":"starting","message":"The session is starting; get its QR code from /api/qr/mi-sesion-01"}`
	f.golden(start(), 200, starting)
	f.golden(start(), 200, starting) // again is the same
	f.golden(f.do("GET", "/api/status/"+legacySessionID, nil), 200, `{"success":true,"sessionId":"mi-sesion-01","status":"stopped","connected":false,"phone":"","name":""}`)

	f.claim(legacySessionID)
	f.exec("UPDATE sessions SET state = 'qr', qr = 'THE CODE', qr_expires_at = now() + interval '1 minute'")
	f.golden(f.do("GET", "/api/qr/"+legacySessionID+"?nobody=knows", nil), 200,
		`{"success":true,"sessionId":"mi-sesion-01","qr":"data:image/png;base64,PNG","qrText":"THE CODE","expiresAt":"TIME"}`)

	f.linked(legacySessionID, "connected")
	f.exec("UPDATE sessions SET qr = NULL, name = 'Sales'")
	f.legacyProblem(f.do("GET", "/api/qr/"+legacySessionID, nil), SessionAlreadyLinked)
	f.golden(start(), 200, `{"success":true,"sessionId":"mi-sesion-01","status":"connected","message":"The session is connected"}`)
	f.golden(f.do("GET", "/api/status/"+legacySessionID, nil), 200, `{"success":true,"sessionId":"mi-sesion-01","status":"connected","connected":true,"phone":"5491100000000","name":"Sales"}`)
	f.golden(f.do("GET", "/api/sessions", nil), 200, `{"success":true,"sessions":[{"sessionId":"mi-sesion-01","status":"connected","connected":true,"phone":"5491100000000","name":"Sales"}]}`)

	const sent = `{"success":true,"messageId":"WID","id":"MSG","status":"sent","timestamp":0}`
	for _, number := range []any{"5491123456789", "+54 9 11 2345-6789", "5491123456789@c.us", 5491123456789} {
		a := f.sending(func() answer {
			return f.do("POST", "/api/send-message", map[string]any{"sessionId": legacySessionID, "number": number, "message": "¡Hola desde la API!", "linkPreview": true})
		})
		f.golden(a, 200, sent)
	}
	if n := f.count("messages WHERE chat_id = '5491123456789@s.whatsapp.net'"); n != 4 {
		t.Errorf("%d messages went to the person", n)
	}
	// A simple form does as well.
	form := url.Values{"sessionId": {legacySessionID}, "number": {"120363025246125486@g.us"}, "message": {"a+b&c"}}.Encode()
	f.golden(f.sending(func() answer {
		return f.plain("POST", "/api/send-message", "application/x-www-form-urlencoded", strings.NewReader(form))
	}), 200, sent)
	if f.count("messages WHERE chat_id = '120363025246125486@g.us' AND content->>'text' = 'a+b&c'") != 1 {
		t.Error("the form was read otherwise")
	}

	f.exec("DELETE FROM messages")
	f.exec(`INSERT INTO contacts (session_id, id, phone, name) VALUES ($1, '5491123456789@s.whatsapp.net', '5491123456789', 'Juan Pérez')
		ON CONFLICT (session_id, id) DO UPDATE SET name = excluded.name`, legacySessionID)
	for i, m := range []struct{ sender, direction, content string }{
		{"5491123456789@s.whatsapp.net", "incoming", `{"type":"text","text":"Texto del mensaje"}`},
		{"", "outgoing", `{"type":"text","text":"¡Hola!"}`},
		{"5491123456789@s.whatsapp.net", "incoming", `{"type":"image","caption":"una imagen","media":{"id":"med_01932f0c5d6b7a10b1f4d0c4a8e2f001","mimetype":"image/jpeg","size":3}}`},
	} {
		f.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
			VALUES ($1, $2, '5491123456789@s.whatsapp.net', $3, $4, $5, 'sent', 'text', $6, to_timestamp(1640995200))`,
			events.NewID(), legacySessionID, m.sender, fmt.Sprintf("3EB0%018X", i), m.direction, m.content)
	}
	const text = `{"id":"WID","sessionId":"mi-sesion-01","from":"5491123456789@c.us","body":"Texto del mensaje","type":"chat","timestamp":0,"contact":{"name":"Juan Pérez","number":"5491123456789"},"fromMe":false}`
	const out = `{"id":"WID","sessionId":"mi-sesion-01","from":"5491100000000@c.us","body":"¡Hola!","type":"chat","timestamp":0,"contact":{"name":"Sales","number":"5491100000000"},"fromMe":true,"to":"5491123456789@c.us"}`
	const image = `{"id":"WID","sessionId":"mi-sesion-01","from":"5491123456789@c.us","body":"una imagen","type":"image","timestamp":0,"contact":{"name":"Juan Pérez","number":"5491123456789"},` +
		`"media":{"mimetype":"image/jpeg","url":"BASE/v1/media/MED/content","filename":""},"fromMe":false}`
	f.golden(f.do("GET", "/api/messages/"+legacySessionID, nil), 200, `{"success":true,"sessionId":"mi-sesion-01","messages":[`+image+","+out+","+text+`]}`)
	f.golden(f.do("GET", "/api/messages/"+legacySessionID+"?limit=1&offset=3", nil), 200, `{"success":true,"sessionId":"mi-sesion-01","messages":[`+image+`]}`)
	f.golden(f.do("GET", "/api/messages/"+legacySessionID+"?limit=100000", nil), 200, `{"success":true,"sessionId":"mi-sesion-01","messages":[`+image+","+out+","+text+`]}`)

	f.golden(f.do("GET", "/info", nil, "X-API-Key", ""), 200, `{"success":true,"name":"chasqui","version":"test","uptime":0,"sessions":{"total":1,"connected":1}}`)
	f.golden(f.do("GET", "/api/health", nil, "X-API-Key", ""), 200, `{"success":true,"status":"ok","uptime":0,"timestamp":"TIME"}`)

	f.golden(f.do("POST", "/api/logout/"+legacySessionID, nil), 200, `{"success":true,"message":"The session mi-sesion-01 is being logged out"}`)
	if f.count("sessions WHERE logout_requested_at IS NOT NULL") != 1 {
		t.Error("nobody is asked to log it out")
	}
	f.exec("UPDATE sessions SET state = 'logged_out', jid = NULL, logout_requested_at = NULL")
	f.golden(f.do("POST", "/api/logout/"+legacySessionID, nil), 200, `{"success":true,"message":"The session mi-sesion-01 is not linked"}`)
	f.golden(start(), 200, `{"success":true,"sessionId":"mi-sesion-01","status":"logged_out","message":"The session is starting; get its QR code from /api/qr/mi-sesion-01"}`)
	if f.count("sessions WHERE restarts > restarts_done") != 1 {
		t.Error("a session that was logged out is not started again")
	}
}

// plain makes a request in a form that the document does not promise.
func (f *fixture) plain(method, path, contentType string, body interface{ Read([]byte) (int, error) }, headers ...string) answer {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.base+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("X-API-Key", testKey)
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return f.send(r)
}

// plainJSON posts JSON to a route whose document names another form.
func (f *fixture) plainJSON(path string, body any) answer {
	f.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.plain("POST", path, "application/json", bytes.NewReader(raw))
}

func TestLegacySendFails(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session(legacySessionID)
	code, why := "recipient_not_on_whatsapp", "5491123456789 has no WhatsApp"
	waiting := make(chan answer, 1)
	go func() {
		waiting <- f.do("POST", "/api/send-message", map[string]any{"sessionId": legacySessionID, "number": "5491123456789", "message": "x"})
	}()
	f.eventually("the message", func() bool { return f.count("messages") == 1 })
	var page List[events.Message]
	f.must(200, &page, "GET", "/v1/sessions/"+legacySessionID+"/messages", nil)
	f.finish(page.Data[0].ID, "failed", &code, &why)
	a := <-waiting
	if p := f.legacyProblem(a, RecipientNotOnWhatsApp); p.Sentence != why || p.MessageID != page.Data[0].ID {
		t.Errorf("%s", a.body)
	}
	// Who stops the server while a send waits leaves it queued, and the answer says so.
	go func() {
		waiting <- f.do("POST", "/api/send-message", map[string]any{"sessionId": legacySessionID, "number": "5491123456789", "message": "x"})
	}()
	f.eventually("the message", func() bool { return f.count("messages") == 2 })
	f.exec("UPDATE messages SET status = 'sending' WHERE status = 'queued'")
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.golden(<-waiting, 200, `{"success":true,"messageId":"WID","id":"MSG","status":"queued","timestamp":0}`)
}

func TestLegacyRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session(legacySessionID)
	f.session("out")
	f.exec("UPDATE sessions SET state = 'logged_out' WHERE id = 'out'")
	before := f.written()
	for _, c := range []struct {
		name, method, path string
		body               any
		headers            []string
		code               Code
		says               string // in error
	}{
		{name: "no key", method: "GET", path: "/api/sessions", headers: []string{"X-API-Key", ""}, code: Unauthorized},
		{name: "wrong key", method: "POST", path: "/api/send-message", body: `{}`, headers: []string{"X-API-Key", "whatsapp-api-key-2024"}, code: Unauthorized},
		{name: "wrong key to the webhook", method: "POST", path: "/webhook/config", body: `{"webhookUrl":null}`, headers: []string{"X-API-Key", "x"}, code: Unauthorized},
		{name: "wrong key for a file", method: "POST", path: "/api/send-media", body: `{}`, headers: []string{"X-API-Key", "x"}, code: Unauthorized},
		{name: "unknown path", method: "GET", path: "/api/nothing", code: NotFound},
		{name: "unknown method", method: "GET", path: "/api/send-message", code: MethodNotAllowed},
		{name: "unknown method for the webhook", method: "GET", path: "/webhook/config", code: MethodNotAllowed},
		{name: "unknown session", method: "GET", path: "/api/status/nobody", code: SessionNotFound, says: "nobody"},
		{name: "unknown session's QR", method: "GET", path: "/api/qr/nobody", code: SessionNotFound},
		{name: "unknown session's messages", method: "GET", path: "/api/messages/nobody", code: SessionNotFound},
		{name: "log an unknown session out", method: "POST", path: "/api/logout/nobody", code: SessionNotFound},
		{name: "send by an unknown session", method: "POST", path: "/api/send-message", body: `{"sessionId":"nobody","number":"5491123456789","message":"x"}`, code: SessionNotFound},
		{name: "an impossible session", method: "POST", path: "/api/start-session", body: `{"sessionId":"a b"}`, code: ValidationFailed, says: "sessionId"},
		{name: "no session", method: "POST", path: "/api/start-session", body: `{}`, code: ValidationFailed, says: "sessionId"},
		{name: "malformed JSON", method: "POST", path: "/api/start-session", body: `{"sessionId":`, code: MalformedJSON},
		{name: "no body", method: "POST", path: "/api/start-session", code: BadRequest},
		{name: "XML", method: "POST", path: "/api/start-session", body: `<a/>`, headers: []string{"Content-Type", "application/xml"}, code: UnsupportedMediaType},
		{name: "a bad form", method: "POST", path: "/api/start-session", body: `a=%zz`, headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, code: BadRequest},
		{name: "no number", method: "POST", path: "/api/send-message", body: `{"sessionId":"mi-sesion-01","message":"x"}`, code: ValidationFailed, says: "number"},
		{name: "letters", method: "POST", path: "/api/send-message", body: `{"sessionId":"mi-sesion-01","number":"54911CALLME","message":"x"}`, code: ValidationFailed, says: "number: give a phone number"},
		{name: "a fraction", method: "POST", path: "/api/send-message", body: `{"sessionId":"mi-sesion-01","number":5491123456789.5,"message":"x"}`, code: ValidationFailed, says: "number"},
		{name: "a channel", method: "POST", path: "/api/send-message", body: `{"sessionId":"mi-sesion-01","number":"120363025246125486@newsletter","message":"x"}`, code: ValidationFailed, says: "a person or a group"},
		{name: "no text", method: "POST", path: "/api/send-message", body: `{"sessionId":"mi-sesion-01","number":"5491123456789","message":""}`, code: ValidationFailed, says: "message"},
		{name: "U+0000", method: "POST", path: "/api/send-message", body: `{"sessionId":"mi-sesion-01","number":"5491123456789","message":"a\u0000b"}`, code: MalformedJSON},
		{name: "logged out", method: "POST", path: "/api/send-message", body: `{"sessionId":"out","number":"5491123456789","message":"x"}`, code: SessionLoggedOut},
		{name: "limit 0", method: "GET", path: "/api/messages/mi-sesion-01?limit=0", code: ValidationFailed, says: "limit"},
		{name: "limit no number", method: "GET", path: "/api/messages/mi-sesion-01?limit=ten", code: ValidationFailed, says: "limit"},
		{name: "no UTF-8", method: "GET", path: "/api/status/%ff", code: BadRequest},
		{name: "webhook at the metadata service", method: "POST", path: "/webhook/config", body: `{"webhookUrl":"http://169.254.169.254/"}`, code: ValidationFailed, says: "webhookUrl"},
		{name: "webhook at the loopback", method: "POST", path: "/webhook/config", body: `{"webhookUrl":"http://127.0.0.1/"}`, code: ValidationFailed, says: "WEBHOOK_ALLOW_CIDRS"},
		{name: "webhook that is no URL", method: "POST", path: "/webhook/config", body: `{"webhookUrl":"tu-servidor"}`, code: ValidationFailed, says: "webhookUrl"},
		{name: "no webhook named", method: "POST", path: "/webhook/config", body: `{"url":"https://203.0.113.9/"}`, code: ValidationFailed, says: "webhookUrl"},
		{name: "no file", method: "POST", path: "/api/send-media", body: `{"sessionId":"mi-sesion-01","number":"5491123456789"}`, code: ValidationFailed, says: "media"},
		{name: "two files", method: "POST", path: "/api/send-media", body: `{"sessionId":"mi-sesion-01","number":"5491123456789","mediaUrl":"https://203.0.113.9/","mediaBase64":"AA=="}`, code: ValidationFailed, says: "media"},
		{name: "a file from nobody", method: "POST", path: "/api/send-media", body: `{"number":"5491123456789","mediaBase64":"AA=="}`, code: ValidationFailed, says: "sessionId"},
		{name: "a file to nobody", method: "POST", path: "/api/send-media", body: `{"sessionId":"mi-sesion-01","mediaBase64":"AA=="}`, code: ValidationFailed, says: "number"},
		{name: "a file of no type", method: "POST", path: "/api/send-media", body: `{"sessionId":"mi-sesion-01","number":"5491123456789","mediaBase64":"AA==","mimetype":"jpeg"}`, code: ValidationFailed, says: "mimetype"},
		{name: "no file's body", method: "POST", path: "/api/send-media", code: BadRequest},
		{name: "malformed JSON for a file", method: "POST", path: "/api/send-media", body: `{"sessionId":`, code: MalformedJSON},
		{name: "an array for a file", method: "POST", path: "/api/send-media", body: `[]`, code: ValidationFailed},
		{name: "a caption that is none", method: "POST", path: "/api/send-media", body: `{"caption":7}`, code: ValidationFailed, says: "caption"},
		{name: "XML for a file", method: "POST", path: "/api/send-media", body: `<a/>`, headers: []string{"Content-Type", "application/xml"}, code: UnsupportedMediaType},
		{name: "a form without boundary", method: "POST", path: "/api/send-media", body: `x`, headers: []string{"Content-Type", "multipart/form-data"}, code: BadRequest},
		{name: "a form that is none", method: "POST", path: "/api/send-media", body: `x`, headers: []string{"Content-Type", "multipart/form-data; boundary=b"}, code: BadRequest},
		{name: "too much base64", method: "POST", path: "/api/send-media", body: `{"mediaBase64":"` + strings.Repeat("A", maxBase64+4) + `"}`, code: MediaTooLarge, says: "multipart"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := *f
			g.t = t
			a := g.do(c.method, c.path, c.body, c.headers...)
			p := g.legacyProblem(a, c.code)
			if !strings.Contains(p.Sentence, c.says) {
				t.Errorf("error %q, want %q in it", p.Sentence, c.says)
			}
			if now := g.written(); now != before {
				t.Errorf("it wrote: %s, before %s", now, before)
			}
		})
	}
	if n := f.count("media"); n != 0 {
		t.Errorf("%d files stay of what was refused", n)
	}
	// What is announced as too large is refused before it is sent.
	for path, contentType := range map[string]string{"/api/send-message": "application/json", "/api/send-media": "application/json", "/webhook/config": "application/x-www-form-urlencoded"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Type: %s\r\nContent-Length: 2147483648\r\n\r\n", path, testKey, contentType)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := io.ReadAll(response.Body)
		f.legacyProblem(answer{response, raw}, PayloadTooLarge)
	}
}

func TestLegacyQRIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session(legacySessionID)
	f.claim(legacySessionID)
	waiting := make(chan answer, 1)
	go func() { waiting <- f.do("GET", "/api/qr/"+legacySessionID, nil) }()
	f.eventually("the request", func() bool {
		return strings.Contains(string(f.do("GET", "/metrics", nil).body), "chasqui_http_requests_in_flight 2")
	})
	f.exec("UPDATE sessions SET state = 'qr', qr = 'LATE', qr_expires_at = now() + interval '1 minute'")
	f.wake.Notify(events.WakeSessions, legacySessionID)
	if a := <-waiting; a.StatusCode != 200 || !strings.Contains(string(a.body), "LATE") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	f.exec("UPDATE sessions SET state = 'starting', qr = NULL")
	began := time.Now()
	a := f.do("GET", "/api/qr/"+legacySessionID, nil)
	f.legacyProblem(a, Unavailable)
	if took := time.Since(began); took < legacyQRWait || a.Header.Get("Retry-After") == "" {
		t.Errorf("after %s: %v", took, a.Header)
	}
}

// TestWebhookConfig: one endpoint, set by a setting and by a route, whichever spoke last.
func TestWebhookConfig(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	start := func(raw string) *fixture { return setup(t, func(c *Config) { c.DSN, c.WebhookURL = dsn, raw }) }
	endpoints := func(f *fixture) string {
		f.t.Helper()
		var list List[Endpoint]
		f.must(200, &list, "GET", "/v1/webhook-endpoints", nil)
		var all []string
		for _, e := range list.Data {
			all = append(all, strings.TrimPrefix(e.URL, "https://203.0.113.9/")+" "+e.Format+" "+strings.Join(e.Events, ",")+" "+e.State)
		}
		return strings.Join(all, "; ")
	}
	set := func(f *fixture, url string) {
		f.t.Helper()
		f.golden(f.do("POST", "/webhook/config", map[string]any{"webhookUrl": "https://203.0.113.9/" + url, "events": "ignored"}), 200,
			`{"success":true,"webhookUrl":"https://203.0.113.9/`+url+`"}`)
	}
	want := func(f *fixture, want string) {
		f.t.Helper()
		if got := endpoints(f); got != want {
			f.t.Errorf("endpoints: %q, want %q", got, want)
		}
	}
	f := start("")
	want(f, "")
	set(f, "a")
	want(f, "a legacy message.received active")
	f.exec("UPDATE webhook_endpoints SET state = 'disabled', disabled_reason = '410', consecutive_failures = 9, failing_since = now(), breaker_until = now(), breaker_trips = 2")
	set(f, "a")
	if f.count("webhook_endpoints WHERE state = 'active' AND disabled_reason = '' AND consecutive_failures = 0 AND failing_since IS NULL AND breaker_until IS NULL AND breaker_trips = 0") != 1 {
		t.Error("its record is not clean")
	}
	want(start(""), "a legacy message.received active") // no setting takes nothing away that was set by the route
	for _, none := range []string{`{"webhookUrl":null}`, `{"webhookUrl":""}`} {
		set(f, "b")
		f.golden(f.do("POST", "/webhook/config", none), 200, `{"success":true,"webhookUrl":null}`)
		want(f, "")
	}

	f = start("https://203.0.113.9/setting")
	want(f, "setting legacy message.received active")
	set(f, "c")
	want(start("https://203.0.113.9/setting"), "c legacy message.received active") // that value was applied before
	want(start("https://203.0.113.9/other"), "other legacy message.received active")
	f = start("https://203.0.113.9/other")
	f.must(200, nil, "POST", "/webhook/config", `{"webhookUrl":null}`)
	f.eventually("the sweep", func() bool { f.kickSweep(); return f.count("webhook_endpoints WHERE state = 'deleted'") == 1 })
	want(start("https://203.0.113.9/other"), "")
	want(start("https://203.0.113.9/third"), "third legacy message.received active")
	set(f, "d")
	want(start(""), "d legacy message.received active")
	want(start("https://203.0.113.9/third"), "third legacy message.received active") // it was unset in between
	want(start(""), "")
}

func TestLegacyFormatOfEndpoints(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) {
		c.Guard = netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	})
	var made CreatedEndpoint
	a := f.must(201, &made, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook", "format": "legacy", "waitForMedia": false})
	if fmt.Sprint(made.Events) != "[message.received]" || made.Format != "legacy" || made.WaitForMedia {
		t.Errorf("made %s", a.body)
	}
	f.must(201, nil, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook", "format": "legacy", "events": []string{"message.received"}})
	for _, types := range []string{`["*"]`, `["message.sent"]`, `["message.received","message.sent"]`} {
		f.problem(f.do("POST", "/v1/webhook-endpoints", `{"url":"https://203.0.113.9/hook","format":"legacy","events":`+types+`}`), ValidationFailed)
		f.problem(f.do("PATCH", a.Header.Get("Location"), `{"events":`+types+`}`), ValidationFailed)
	}
	f.problem(f.do("POST", "/v1/webhook-endpoints", `{"url":"https://203.0.113.9/hook","format":"xml"}`), ValidationFailed)
	var changed Endpoint
	f.must(200, &changed, "PATCH", a.Header.Get("Location"), `{"waitForMedia":true,"events":["message.received"]}`)
	if !changed.WaitForMedia || changed.Format != "legacy" {
		t.Errorf("changed %+v", changed)
	}
	f.must(201, &made, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook"})
	if !made.WaitForMedia || made.Format != "standard" {
		t.Errorf("defaults %+v", made)
	}
}

package features

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testproxy"
)

// unlinked makes a session that no phone has linked, and does not start it.
func unlinked(t *testing.T, p phone) session {
	t.Helper()
	s := session{t, "s" + strconv.FormatInt(lastNumber.Add(1), 10), p}
	s.must(201, "POST", "/v1/sessions", map[string]any{"id": s.id, "start": false}, nil)
	return s
}

type pairingCode struct {
	Code, Phone string
	ExpiresAt   time.Time
}

func (s session) pairingCode() (code pairingCode) {
	s.t.Helper()
	s.must(200, "POST", "/pairing-code", map[string]any{"phone": "+" + s.phone.number}, &code, "Prefer", "wait=30")
	return code
}

// enters makes the phone's owner enter a code, and returns the status that the phone answers.
func (p phone) enters(code string) int {
	p.t.Helper()
	status, _ := call(p.t, "POST", running.SandboxURL+"/phones/"+p.number+"/code", map[string]string{"code": code}, nil)
	return status
}

// Feature: Pairing code and passkey
func TestPairingCode(t *testing.T) {
	t.Parallel()
	p := newPhone(t, "Owner")
	s := unlinked(t, p)
	s.refused("validation_failed", "POST", "/pairing-code", map[string]any{"phone": "12"})
	s.refused("validation_failed", "POST", "/pairing-code", map[string]any{})
	s.refused("recipient_not_on_whatsapp", "POST", "/pairing-code", map[string]any{"phone": "5491159999999"}, "Prefer", "wait=30")
	s.refused("session_not_found", "POST", "/v1/sessions/nobody/pairing-code", map[string]any{"phone": p.number})

	first := s.pairingCode()
	if left := time.Until(first.ExpiresAt); len(first.Code) != 9 || first.Code[4] != '-' || first.Phone != p.number || left < 90*time.Second || left > 161*time.Second {
		t.Errorf("code %+v", first)
	}
	s.awaitState("pairing_code")
	data := s.gets("session.pairing-code", func(map[string]any) bool { return true })
	if dig(data, "pairingCode", "code") != first.Code || dig(data, "session", "state") != "pairing_code" {
		t.Errorf("event %v", data)
	}
	s.gets("session.status", func(d map[string]any) bool { return dig(d, "session", "state") == "pairing_code" })
	if shown := p.notices("pairing_code_requested", func(map[string]any) bool { return true }); shown["client"] != "Chrome (Linux)" {
		t.Errorf("the phone shows %v", shown)
	}
	var qr struct{ QR string }
	s.must(200, "GET", "/qr?wait=10", nil, &qr, "Accept", "application/json") // it goes on
	if qr.QR == "" {
		t.Error("no QR code beside the pairing code")
	}

	// A wrong code does no harm, and another code ends the first.
	wrong := "11111111"
	if first.Code == "1111-1111" {
		wrong = "22222222"
	}
	if status := p.enters(wrong); status != 409 {
		t.Errorf("a wrong code is answered %d", status)
	}
	second := s.pairingCode()
	if status := p.enters(first.Code); second.Code == first.Code || status != 409 {
		t.Errorf("the first code is %s, the second %s; the first is answered %d", first.Code, second.Code, status)
	}
	if status := p.enters(strings.ToLower(second.Code)); status != 200 {
		t.Fatalf("the code is answered %d", status)
	}
	s.awaitState("connected")
	s.refused("session_already_linked", "POST", "/pairing-code", map[string]any{"phone": p.number})
	s.send(newPhone(t, "Friend").number, map[string]any{"type": "text", "text": "linked by code"})

	// A session that was logged out is started by the wish for a code.
	s.must(202, "POST", "/logout", nil, nil)
	s.awaitState("logged_out")
	if status := p.enters(s.pairingCode().Code); status != 200 {
		t.Fatalf("the code after a logout is answered %d", status)
	}
	s.awaitState("connected")
}

// Feature: Pairing code and passkey
func TestPairingCodeOrItsQRCode(t *testing.T) {
	t.Parallel()
	p := newPhone(t, "Owner")
	s := unlinked(t, p)
	s.pairingCode()
	var qr struct{ QR string }
	s.must(200, "GET", "/qr?wait=10", nil, &qr, "Accept", "application/json")
	p.act("POST", "/scan", map[string]string{"qr": qr.QR}, nil)
	s.awaitState("connected")

	// A wrong code makes the QR code of its time void; others follow, and the session does not give up.
	late := newPhone(t, "Late")
	s = unlinked(t, late)
	s.pairingCode()
	s.must(200, "GET", "/qr?wait=10", nil, &qr, "Accept", "application/json")
	late.enters("11111111")
	if status, _ := call(t, "POST", running.SandboxURL+"/phones/"+late.number+"/scan", map[string]string{"qr": qr.QR}, nil); status == 200 {
		t.Error("a QR code was scanned whose secret has changed")
	}
	if status := late.enters(s.pairingCode().Code); status != 200 {
		t.Errorf("the next code is answered %d", status)
	}
	s.awaitState("connected")
}

type passkey struct {
	Step, Code string
	Request    json.RawMessage
	ExpiresAt  time.Time
}

// Feature: Pairing code and passkey
func TestPasskeyAfterAQRCode(t *testing.T) {
	t.Parallel()
	p := newPhone(t, "Guarded")
	p.act("PUT", "/passkey", nil, nil)
	s := unlinked(t, p)
	s.refused("passkey_not_required", "GET", "/passkey", nil)
	s.refused("passkey_not_required", "POST", "/passkey/confirmation", nil)
	s.must(202, "POST", "/start", nil, nil)
	linked := s.passkeyStep(func() (string, any) {
		var qr struct{ QR string }
		s.must(200, "GET", "/qr?wait=30", nil, &qr, "Accept", "application/json")
		return "/scan", map[string]string{"qr": qr.QR}
	})

	var asked passkey
	s.must(200, "GET", "/passkey", nil, &asked)
	var options struct{ Challenge, RPID string }
	if err := json.Unmarshal(asked.Request, &options); err != nil || asked.Step != "request" || options.RPID != "whatsapp.com" || options.Challenge == "" ||
		time.Until(asked.ExpiresAt) < 9*time.Minute || asked.Code != "" {
		t.Fatalf("asked %+v, %s", asked, asked.Request)
	}
	data := s.gets("session.status", func(d map[string]any) bool { return dig(d, "session", "state") == "passkey_required" })
	if dig(data, "passkey", "step") != "request" || dig(data, "passkey", "request", "challenge") != options.Challenge || dig(data, "session", "reason") == "" {
		t.Errorf("event %v", data)
	}
	s.refused("unavailable", "GET", "/qr", nil)
	s.refused("passkey_required", "POST", "/pairing-code", map[string]any{"phone": p.number})
	s.refused("passkey_not_required", "POST", "/passkey/confirmation", nil)

	// What is no answer, another account's answer, and an answer to another request.
	s.refused("validation_failed", "POST", "/passkey/response", map[string]any{"id": "a+b"})
	other := newPhone(t, "Other")
	other.act("PUT", "/passkey", nil, nil)
	s.refused("passkey_refused", "POST", "/passkey/response", other.assertion(asked.Request))
	s.refused("passkey_refused", "POST", "/passkey/response", p.assertion(json.RawMessage(strings.Replace(string(asked.Request), options.Challenge, "AAAA", 1))))

	var next passkey
	s.must(200, "POST", "/passkey/response", p.assertion(asked.Request), &next)
	if next.Step != "waiting" || next.Request != nil {
		t.Errorf("after the answer it is %+v", next)
	}
	if err := <-linked; err != "" {
		t.Fatal(err)
	}
	s.awaitState("connected")
	if shown := p.notices("passkey_code", func(map[string]any) bool { return true }); shown["compare"] != false {
		t.Errorf("the phone shows %v", shown)
	}
	s.refused("session_already_linked", "GET", "/passkey", nil)
	s.send(newPhone(t, "Friend").number, map[string]any{"type": "text", "text": "linked by passkey"})
}

// Feature: Pairing code and passkey
func TestPasskeyAfterAPairingCode(t *testing.T) {
	t.Parallel()
	p := newPhone(t, "Guarded")
	p.act("PUT", "/passkey", nil, nil)
	s := unlinked(t, p)
	linked := s.passkeyStep(func() (string, any) { return "/code", map[string]string{"code": s.pairingCode().Code} })
	var asked passkey
	s.must(200, "GET", "/passkey", nil, &asked)
	s.must(200, "POST", "/passkey/response", p.assertion(asked.Request), nil)
	if err := <-linked; err != "" {
		t.Fatal(err)
	}
	s.awaitState("connected")
}

// passkeyStep makes the phone link the session, as its owner does with what how returns, and waits until WhatsApp asks for the passkey. What it
// returns tells when the phone is done: "" or what is wrong.
func (s session) passkeyStep(how func() (string, any)) <-chan string {
	s.t.Helper()
	path, body := how()
	done := make(chan string, 1)
	go func() {
		status, raw := call(s.t, "POST", running.SandboxURL+"/phones/"+s.phone.number+path, body, nil)
		if status != 200 {
			done <- "the phone could not link the session: " + string(raw)
			return
		}
		done <- ""
	}()
	s.awaitState("passkey_required")
	return done
}

// assertion is the answer of the phone's passkey to a request, as a browser has it.
func (p phone) assertion(request json.RawMessage) map[string]any {
	p.t.Helper()
	var options map[string]any
	if err := json.Unmarshal(request, &options); err != nil {
		p.t.Fatal(err)
	}
	var out struct{ Response map[string]any }
	p.act("POST", "/passkey", map[string]any{"request": options}, &out)
	out.Response["authenticatorAttachment"], out.Response["clientExtensionResults"] = "platform", map[string]any{}
	return out.Response
}

// Feature: Proxy of a session, media included
func TestProxy(t *testing.T) {
	t.Parallel()
	proxy := testproxy.Open(t, "someuser", "s3cr3tpassword")
	p := newPhone(t, "Owner")
	s := unlinked(t, p)
	set := func(proxy string) map[string]any { return map[string]any{"settings": map[string]any{"proxy": proxy}} }
	for _, wrong := range []string{"gopher://127.0.0.1:1", "socks5://", "127.0.0.1:1080", "http://127.0.0.1:1/path", "http://169.254.169.254:80", "http://10.1.2.3:3128", "socks5://***@127.0.0.1:1080", "socks5://u:" + strings.Repeat("p", 256) + "@127.0.0.1:1"} {
		s.refused("validation_failed", "PATCH", "", set(wrong))
	}
	var shown struct {
		Settings struct{ Proxy string }
	}
	s.must(200, "PATCH", "", set(proxy.URL("socks5")), &shown)
	if shown.Settings.Proxy != "socks5://***@"+proxy.Addr() {
		t.Errorf("the proxy is shown as %s", shown.Settings.Proxy)
	}
	s.must(202, "POST", "/start", nil, nil)
	if status := p.enters(s.pairingCode().Code); status != 200 {
		t.Fatalf("the code is answered %d", status)
	}
	s.awaitState("connected")

	friend := newPhone(t, "Friend")
	picture := map[string]any{"type": "document", "media": map[string]any{"base64": "aGVsbG8=", "mimetype": "text/plain", "fileName": "a.txt"}}
	s.send(friend.number, picture)
	friend.sees("the file", func(m sandbox.Message) bool { return m.Media != nil && m.MediaError == "" })
	m := s.received(friend.send(map[string]any{"to": p.number, "type": "document", "data": "d29ybGQ=", "mimetype": "text/plain", "fileName": "b.txt"}))
	media, _ := dig(m.Content, "media", "id").(string)
	if status, raw := call(t, "GET", s.url("/v1/media/"+media+"/content"), nil, nil); status != 200 || string(raw) != "world" {
		t.Fatalf("the file that came is %d %s", status, raw)
	}
	kinds := map[string]bool{}
	for _, seen := range proxy.Seen() {
		switch {
		case seen == "GET /ws/chat":
			kinds["socket"] = true
		case strings.HasPrefix(seen, "POST /mms/"):
			kinds["upload"] = true
		case strings.HasPrefix(seen, "GET /"):
			kinds["download"] = true
		}
	}
	if !kinds["socket"] || !kinds["upload"] || !kinds["download"] {
		t.Errorf("through the proxy went %q", proxy.Seen())
	}

	// A change connects anew: without the proxy, which may go then, and with one that is gone.
	s.must(200, "PATCH", "", set(""), nil)
	s.gets("session.status", func(d map[string]any) bool { return dig(d, "session", "reason") == "the session's proxy was changed" })
	s.awaitState("connected")
	proxy.Close()
	s.send(friend.number, map[string]any{"type": "text", "text": "without"})
	s.must(200, "PATCH", "", set(proxy.URL("http")), nil)
	s.gets("session.status", func(d map[string]any) bool {
		return dig(d, "session", "reason") == "WhatsApp cannot be reached through the session's proxy"
	})
	s.must(200, "PATCH", "", set(""), nil)
	s.awaitState("connected")

	for _, path := range []string{"", "/log", "/v1/events?limit=200&sessionId=" + s.id, "/v1/sessions?limit=200"} {
		if _, raw := call(t, "GET", s.url(path), nil, nil); strings.Contains(string(raw), "s3cr3t") || strings.Contains(string(raw), "someuser") {
			t.Errorf("GET %s shows the proxy's password", path)
		}
	}
}

// Feature: Ignore groups, status, broadcasts, channels
func TestIgnoreRules(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	friend := newPhone(t, "Friend")
	s.must(200, "PATCH", "", map[string]any{"settings": map[string]any{"ignore": map[string]any{"groups": true, "status": true}}}, nil)
	eventually(t, "the connector to know", func() error {
		probe := friend.group("Probe", s.phone)
		id := friend.send(map[string]any{"to": probe, "type": "text", "text": "probe"})
		after := friend.send(map[string]any{"to": s.phone.number, "type": "text", "text": "after the probe"})
		s.received(after)
		if status, _ := call(t, "GET", s.url("/messages/"+id), nil, nil); status != 404 {
			return fmt.Errorf("the message is there: %d", status)
		}
		return nil
	})
	ignored := friend.group("Ignored", s.phone)
	inGroup := friend.send(map[string]any{"to": ignored, "type": "text", "text": "not for you"})
	s.received(friend.send(map[string]any{"to": s.phone.number, "type": "text", "text": "for you"}))
	s.refused("message_not_found", "GET", "/messages/"+inGroup, nil)
	s.refused("chat_not_found", "GET", "/chats/"+ignored, nil)
	var page struct{ Data []json.RawMessage }
	s.must(200, "GET", "/v1/events?limit=200&sessionId="+s.id, nil, &page)
	for _, e := range page.Data {
		if strings.Contains(string(e), ignored) {
			t.Errorf("an event of what is ignored: %s", e)
		}
	}
	// What is sent there goes out, and once it is ignored no more it is told.
	s.send(ignored, map[string]any{"type": "text", "text": "hello all"})
	friend.sees("the text", func(m sandbox.Message) bool { return m.Text == "hello all" })
	s.must(200, "PATCH", "", map[string]any{"settings": map[string]any{"ignore": map[string]any{"status": true}}}, nil)
	eventually(t, "a message of the group", func() error {
		id := friend.send(map[string]any{"to": ignored, "type": "text", "text": "for all"})
		s.received(friend.send(map[string]any{"to": s.phone.number, "type": "text", "text": "and you"}))
		if status, raw := call(t, "GET", s.url("/messages/"+id), nil, nil); status != 200 {
			return fmt.Errorf("%d %s", status, raw)
		}
		return nil
	})
}

// Feature: Log of a session
func TestSessionLog(t *testing.T) {
	t.Parallel()
	p := newPhone(t, "Owner")
	s := unlinked(t, p)
	s.refused("session_not_found", "GET", "/v1/sessions/nobody/log", nil)
	s.refused("validation_failed", "GET", "/log?cursor=x", nil)
	s.refused("recipient_not_on_whatsapp", "POST", "/pairing-code", map[string]any{"phone": "5491159999999"}, "Prefer", "wait=30")
	if status := p.enters(s.pairingCode().Code); status != 200 {
		t.Fatalf("the code is answered %d", status)
	}
	s.awaitState("connected")
	s.must(200, "PATCH", "", map[string]any{"name": "Sales", "settings": map[string]any{"deviceName": "Desk"}}, nil)
	s.must(202, "POST", "/logout", nil, nil)
	s.awaitState("logged_out")

	type entry struct {
		ID, Kind, State, Reason, Code string
		At                            time.Time
		Settings                      []string
	}
	var log []entry
	for path := "/log?limit=3"; path != ""; {
		var page struct {
			Data       []entry
			NextCursor string
		}
		s.must(200, "GET", path, nil, &page)
		if len(page.Data) > 3 {
			t.Fatalf("a page of %d", len(page.Data))
		}
		log, path = append(log, page.Data...), ""
		if page.NextCursor != "" {
			path = "/log?limit=3&cursor=" + page.NextCursor
		}
	}
	var told []string
	for i, e := range log {
		if e.At.IsZero() || i > 0 && e.At.After(log[i-1].At) {
			t.Errorf("entry %d is of %s", i, e.At)
		}
		line := e.Kind
		for _, part := range append([]string{e.State, e.Code}, e.Settings...) {
			if part != "" {
				line += " " + part
			}
		}
		told = append(told, line)
	}
	slices.Reverse(told)
	want := []string{"state starting", "state qr", "pairing 404", "state pairing_code", "pairing", "linked", "state connected", "settings deviceName name", "state logged_out"}
	missing := want
	for _, line := range told {
		if len(missing) > 0 && line == missing[0] {
			missing = missing[1:]
		}
	}
	if len(missing) > 0 {
		t.Errorf("the log tells %q, and not %q in its place", told, missing[0])
	}
}

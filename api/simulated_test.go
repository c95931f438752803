package api

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// simulated starts a server beside a sandbox, with a session that shows a QR code.
func simulated(t *testing.T, sandboxURL string) *fixture {
	t.Helper()
	f := setup(t, func(c *Config) { c.SandboxURL = sandboxURL })
	f.session("sales")
	f.exec(`UPDATE sessions SET state = 'qr', qr = 'no code', qr_expires_at = now() + interval '1 minute' WHERE id = 'sales'`)
	f.claim("sales")
	return f
}

func TestSimulatedPhonesNeedASandbox(t *testing.T) {
	t.Parallel()
	f := simulated(t, "")
	f.problem(f.do("POST", "/v1/sessions/sales/simulated-scan", map[string]any{}), SandboxNotAvailable)
	f.problem(f.do("POST", "/v1/sessions/sales/simulated-message", map[string]any{"text": "hi"}), SandboxNotAvailable)
	var version Version
	if f.must(200, &version, "GET", "/v1/version", nil); version.Sandbox {
		t.Error("it says that there is a sandbox")
	}
}

func TestASandboxThatIsNotThere(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("<p>somebody else's page", 1<<14), http.StatusNotFound)
	}))
	t.Cleanup(page.Close)
	for name, url := range map[string]string{"nobody listens": "http://" + closed.Addr().String(), "something else answers": page.URL} {
		f := simulated(t, url)
		if a := f.do("POST", "/v1/sessions/sales/simulated-scan", map[string]any{}); f.problem(a, Unavailable).Detail == "" || strings.Contains(string(a.body), url) || strings.Contains(string(a.body), "<p>") {
			t.Errorf("%s: %s", name, a.body)
		}
		f.linked("sales", "connected")
		f.problem(f.do("POST", "/v1/sessions/sales/simulated-message", map[string]any{"text": "hi"}), Unavailable)
		if n := f.count("audit_log WHERE operation LIKE 'simulate-%'"); n != 0 {
			t.Errorf("%s: the audit log has what was not done", name)
		}
	}
}

func TestSimulatedScanIsRefused(t *testing.T) {
	t.Parallel()
	f := simulated(t, sandbox.Start(t, sandbox.Config{}).URL()+"/")
	scan := func(session string, body map[string]any, headers ...string) answer {
		t.Helper()
		return f.do("POST", "/v1/sessions/"+session+"/simulated-scan", body, headers...)
	}
	var version Version
	if f.must(200, &version, "GET", "/v1/version", nil, "X-API-Key", ""); !version.Sandbox {
		t.Error("it says that there is no sandbox")
	}
	for _, number := range []string{"12", "somebody", "120363025246125486@g.us", "5491155550120/../x"} {
		if p := f.problem(scan("sales", map[string]any{"number": number}), ValidationFailed); len(p.Errors) != 1 || p.Errors[0].Location != "body.number" {
			t.Errorf("%s: %+v", number, p.Errors)
		}
	}
	if p := f.problem(scan("sales", map[string]any{}), WhatsAppRejected); !strings.Contains(p.Detail, "QR code") {
		t.Errorf("a QR code that is none: %s", p.Detail)
	}
	f.problem(scan("nobody", map[string]any{}), SessionNotFound)
	reader, _ := f.key(map[string]any{"scopes": []string{"read", "send"}})
	f.problem(scan("sales", map[string]any{}, "X-API-Key", reader), InsufficientScope)
	other, _ := f.key(map[string]any{"scopes": []string{"manage"}, "sessions": []string{"other"}})
	f.problem(scan("sales", map[string]any{}, "X-API-Key", other), SessionNotFound)

	f.must(201, nil, "POST", "/v1/sessions", map[string]any{"id": "stopped", "start": false})
	f.problem(scan("stopped", map[string]any{}), SessionNotConnected)
	f.session("guarded")
	f.exec(`UPDATE sessions SET state = 'passkey_required' WHERE id = 'guarded'`)
	f.claim("guarded")
	f.problem(scan("guarded", map[string]any{}), PasskeyRequired)
	f.session("given-up")
	f.exec(`UPDATE sessions SET state = 'failed' WHERE id = 'given-up'`)
	f.claim("given-up")
	f.problem(scan("given-up", map[string]any{}), PairingExpired)
	f.linked("sales", "connected")
	f.problem(scan("sales", map[string]any{}), SessionAlreadyLinked)
}

// TestSimulatedScanOfAnExpiredCode shows a code that has the form of one, and that WhatsApp knows no more: the next is waited for.
func TestSimulatedScanOfAnExpiredCode(t *testing.T) {
	t.Parallel()
	target, err := url.Parse(sandbox.Start(t, sandbox.Config{}).URL())
	if err != nil {
		t.Fatal(err)
	}
	var scans atomic.Int32
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if strings.HasSuffix(r.Request.URL.Path, "/scan") {
			scans.Add(1)
		}
		return nil
	}
	before := httptest.NewServer(proxy)
	t.Cleanup(before.Close)
	f := simulated(t, before.URL)
	show := func(code string) {
		f.exec(`UPDATE sessions SET qr = $1, qr_expires_at = now() + interval '1 minute' WHERE id = 'sales'`, code)
		f.wake.Notify(events.WakeSessions, "sales")
	}
	show(exampleQRText)
	scanned := make(chan answer, 1)
	go func() { scanned <- f.do("POST", "/v1/sessions/sales/simulated-scan", map[string]any{}) }()
	f.eventually("the scan", func() bool { return scans.Load() > 0 })
	show("another, which has not even the form")
	if a := <-scanned; !strings.Contains(f.problem(a, WhatsAppRejected).Detail, "is not the text of a client's QR code") || scans.Load() != 2 {
		t.Errorf("%d scans: %s", scans.Load(), a.body)
	}
}

func TestSimulatedMessageIsRefused(t *testing.T) {
	t.Parallel()
	f := simulated(t, sandbox.Start(t, sandbox.Config{}).URL())
	write := func(session string, body map[string]any, headers ...string) answer {
		t.Helper()
		return f.do("POST", "/v1/sessions/"+session+"/simulated-message", body, headers...)
	}
	hi := map[string]any{"text": "hi"}
	f.problem(write("nobody", hi), SessionNotFound)
	f.problem(write("sales", hi), SessionNotConnected)
	f.linked("sales", "connected")
	for _, body := range []map[string]any{{}, {"text": ""}, {"text": strings.Repeat("x", 4097)}, {"text": "hi", "from": "12"}, {"text": "hi", "from": "1@g.us"}, {"text": "hi", "from": "5491100000000"}} {
		f.problem(write("sales", body), ValidationFailed)
	}
	reader, _ := f.key(map[string]any{"scopes": []string{"read", "manage"}})
	f.problem(write("sales", hi, "X-API-Key", reader), InsufficientScope)
	// The sandbox knows no account of this number.
	if p := f.problem(write("sales", hi), WhatsAppRejected); !strings.Contains(p.Detail, "5491100000000") {
		t.Errorf("to a number that has no account: %s", p.Detail)
	}
	f.exec(`UPDATE sessions SET state = 'logged_out', jid = NULL WHERE id = 'sales'`)
	f.problem(write("sales", hi), SessionLoggedOut)
}

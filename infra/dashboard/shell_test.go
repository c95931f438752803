package dashboard

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/chasqui/chasqui/infra/testbrowser"
	"github.com/chasqui/chasqui/infra/testdev"
	"github.com/chasqui/chasqui/infra/testwire"
)

// TestSignIn signs in with a wrong key, a link's token and the right one: the key is in no URL and outlives a reload only where that was asked for, a key that is deleted signs out,
// and what a key may not do is not shown.
//
// Feature: Dashboard
func TestSignIn(t *testing.T) {
	t.Parallel()
	tab := testbrowser.Open(t)
	tab.Go(running.URL + "/")
	tab.Fill("#key", "wrong")
	tab.Click("text=Sign in")
	tab.Sees("This key is not valid.")
	tab.Fill("#key", "cl_token")
	tab.Click("text=Sign in")
	tab.Sees("This is a link for linking a session")
	tab.Fill("#key", running.APIKey)
	tab.Click("text=Sign in")
	tab.Sees("Overview")
	tab.Sees("Live")
	tab.Sees("Audit log")

	tab.Go(running.URL + "/sessions")
	tab.Await(`!!document.querySelector('#key')`) // the key was kept in memory alone

	var key struct{ ID, Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "reader of TestSignIn", "scopes": []string{"read"}}, &key)
	tab.Fill("#key", key.Key)
	tab.Click("input[name=remember]")
	tab.Click("text=Sign in")
	tab.Sees("Sessions")
	tab.SeesNot("Audit log")
	tab.Go(running.URL + "/keys")
	tab.Sees("This key may not see this page")
	tab.Go(running.URL + "/nowhere-else")
	tab.Sees("not_found") // the API's answer: the dashboard has no such page
	tab.Go(running.URL + "/sessions")
	tab.Sees("Live")
	must(t, "DELETE", "/v1/api-keys/"+key.ID, nil, nil)
	tab.Sees("The key that you signed in with is not valid any more.")
	if kept := tab.Evaluate(`JSON.stringify(sessionStorage) + JSON.stringify(localStorage) + document.cookie`); kept != "{}{}" {
		t.Errorf("after signing out the browser keeps %s", kept)
	}
	for _, request := range tab.Requests() {
		if contains(request, running.APIKey, key.Key) {
			t.Errorf("a key stands in the URL %s", request)
		}
	}
}

// TestTheStreamComesBack cuts the network between the browser and the API: the page says so, keeps what it shows, and learns afterwards what happened meanwhile, without being loaded
// anew.
func TestTheStreamComesBack(t *testing.T) {
	t.Parallel()
	wire, address := testwire.Server(t, running.URL)
	tab := testbrowser.Open(t)
	tab.Go(address + "/settings")
	tab.Fill("#key", running.APIKey)
	tab.Click("text=Sign in")
	tab.Sees("Live")
	wire.Cut()
	tab.Sees("Offline, trying again")
	must(t, "POST", "/v1/sessions", map[string]any{"id": "made-meanwhile"}, nil)
	t.Cleanup(func() { testdev.Call(t, "DELETE", running.URL+"/v1/sessions/made-meanwhile", nil, nil) })
	must(t, "GET", "/v1/sessions/made-meanwhile/qr?wait=30", nil, nil)
	wire.Mend()
	tab.SeesNot("Offline, trying again")
	tab.PressControl("k")
	tab.Fill("dialog input[type=search]", "made-mean")
	tab.Sees("made-meanwhile")
}

// TestKeyboard goes from page to page without a mouse, and switches the single keys off.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	tab := open(t, "/settings")
	tab.Press("g")
	tab.Press("w")
	tab.Await(`location.pathname === '/webhooks' && document.activeElement.tagName === 'H1'`) // where a screen reader goes on
	tab.Press("?")
	tab.Sees("Keyboard shortcuts")
	tab.Click("text=Single keys are shortcuts")
	tab.Press(kb.Escape)
	tab.Await(`!document.querySelector('dialog[open]')`)
	tab.Press("g")
	tab.Press("s")
	tab.PressControl("k")
	tab.Await(`location.pathname === '/webhooks' && !!document.querySelector('dialog[open]')`)
	tab.Fill("dialog input[type=search]", "audit")
	tab.Press(kb.Enter)
	tab.Await(`location.pathname === '/audit'`)
	tab.Evaluate(`history.back()`)
	tab.Await(`location.pathname === '/webhooks'`)
}

// TestLanguages shows the page in the browser's language, and in the one that is chosen.
func TestLanguages(t *testing.T) {
	t.Parallel()
	tab := testbrowser.Open(t)
	tab.Go(running.URL + "/")
	tab.Click("text=Español")
	tab.Await(`document.documentElement.lang === 'es'`)
	tab.Fill("#key", "mala")
	tab.Click("text=Entrar")
	tab.Sees("Esta clave no es válida.")
	tab.Go(running.URL + "/") // chosen for good
	tab.Fill("#key", running.APIKey)
	tab.Click("text=Entrar")
	tab.Sees("Sesiones")
}

// TestFirstPageIsLight weighs what the first page loads, as the browser got it, against its budget: 120 kB, where the promise is under 200.
func TestFirstPageIsLight(t *testing.T) {
	t.Parallel()
	tab := open(t, "/")
	tab.Await(`!document.querySelector('[aria-busy=true]')`)
	weight, err := strconv.Atoi(tab.Evaluate(`performance.getEntriesByType('navigation')[0].transferSize +
		performance.getEntriesByType('resource').filter((r) => r.name.includes('/assets/')).reduce((sum, r) => sum + r.transferSize, 0)`))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the first page weighs %d bytes in gzip", weight)
	if weight < 30_000 || weight > 120_000 {
		t.Errorf("the first page weighs %d bytes in gzip, and should stay under 120,000", weight)
	}
}

// TestOnePanelFails lets one request of a page fail: its panel says what, under which id it is in the log, and tries again when it is told to; the rest of the page stands.
func TestOnePanelFails(t *testing.T) {
	t.Parallel()
	target, err := url.Parse(running.URL)
	if err != nil {
		t.Fatal(err)
	}
	var broken atomic.Bool
	broken.Store(true)
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/stats" && broken.Load() {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"type":"/problems/internal_error","title":"Internal error","status":500,"code":"internal_error","detail":"something went wrong","requestId":"req_of_the_panel"}`)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	tab := testbrowser.Open(t)
	tab.Go(server.URL + "/")
	tab.Fill("#key", running.APIKey)
	tab.Click("text=Sign in")
	tab.Sees("req_of_the_panel")
	tab.Sees("internal_error")
	tab.Sees("Sessions connected")
	broken.Store(false)
	tab.Click("text=Try again")
	tab.SeesNot("req_of_the_panel")
	tab.Sees("Messages per minute")
}

package api

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/chasqui/chasqui/infra/testbrowser"
	"github.com/chasqui/chasqui/infra/testpoll"
)

// serveRoutes serves everything that needs no database.
func serveRoutes(t *testing.T) string {
	t.Helper()
	s, err := New(Config{APIKey: testKey, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.router)
	t.Cleanup(server.Close)
	return server.URL
}

// TestDocsOverHTTP: the page and the document it reads, in gzip and without, with HEAD and ETag.
func TestDocsOverHTTP(t *testing.T) {
	t.Parallel()
	base := serveRoutes(t)
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(client.CloseIdleConnections)
	get := func(method, path string, header ...string) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, body
	}
	for path, contentType := range map[string]string{
		"/docs": "text/html; charset=utf-8", "/openapi.json": "application/openapi+json", "/openapi.yaml": "application/openapi+yaml", "/openapi-3.0.json": "application/openapi+json",
	} {
		res, plain := get("GET", path)
		tag := res.Header.Get("ETag")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != contentType || res.Header.Get("Cache-Control") != "no-cache" || res.Header.Get("Content-Encoding") != "" ||
			res.Header.Get("Vary") != "Accept-Encoding" || res.Header.Get("X-Content-Type-Options") != "nosniff" || tag == "" || res.ContentLength != int64(len(plain)) {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
		res, packed := get("GET", path, "Accept-Encoding", "br;q=1, gzip;q=0.8")
		packedTag := res.Header.Get("ETag")
		if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Content-Type") != contentType || packedTag == tag || len(packed) > len(plain)/2 {
			t.Errorf("%s in gzip: %d %v, %d bytes of %d", path, res.StatusCode, res.Header, len(packed), len(plain))
		} else if r, err := gzip.NewReader(bytes.NewReader(packed)); err != nil {
			t.Error(err)
		} else if unpacked, err := io.ReadAll(r); err != nil || !bytes.Equal(unpacked, plain) {
			t.Errorf("%s is another in gzip: %v", path, err)
		}
		for _, accepted := range []string{"gzip;q=0", "gzip; q=0.00", "br", "identity"} {
			if res, _ := get("GET", path, "Accept-Encoding", accepted); res.Header.Get("Content-Encoding") != "" || res.Header.Get("ETag") != tag {
				t.Errorf("%s with Accept-Encoding %q: %v", path, accepted, res.Header)
			}
		}
		if res, body := get("HEAD", path); res.StatusCode != 200 || len(body) != 0 || res.Header.Get("ETag") != tag || res.Header.Get("Content-Type") != contentType {
			t.Errorf("HEAD %s: %d %v", path, res.StatusCode, res.Header)
		}
		if res, body := get("GET", path, "If-None-Match", tag); res.StatusCode != 304 || len(body) != 0 {
			t.Errorf("%s that is known: %d", path, res.StatusCode)
		}
		if res, body := get("GET", path, "If-None-Match", packedTag, "Accept-Encoding", "gzip"); res.StatusCode != 304 || len(body) != 0 || res.Header.Get("ETag") != packedTag {
			t.Errorf("%s that is known in gzip: %d", path, res.StatusCode)
		}
		if res, _ := get("GET", path, "If-None-Match", `"another"`); res.StatusCode != 200 {
			t.Errorf("%s with another tag: %d", path, res.StatusCode)
		}
		if res, _ := get("POST", path); res.StatusCode != 405 {
			t.Errorf("POST %s: %d", path, res.StatusCode)
		}
	}
	res, page := get("GET", "/docs")
	policy := regexp.MustCompile(`^default-src 'none'; script-src 'sha256-[^' ]+'; style-src 'sha256-[^' ]+'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; ` +
		`frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'$`)
	if got := res.Header.Get("Content-Security-Policy"); !policy.MatchString(got) || res.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("policy: %s", got)
	}
	if strings.Contains(string(page), "//"+"cdn") || regexp.MustCompile(`(src|href)="(https?:)?//`).Match(page) {
		t.Error("the page names another host")
	}
	if res, _ := get("GET", "/docs/"); res.StatusCode != 308 || res.Header.Get("Location") != "/docs" {
		t.Errorf("/docs/: %d %v", res.StatusCode, res.Header)
	}
	for _, path := range []string{"/", "/problems/session_not_found"} {
		if _, body := get("GET", path); !strings.Contains(string(body), `href="/docs"`) {
			t.Errorf("%s does not lead to /docs", path)
		}
	}
}

// TestDocsInABrowser reads the documentation as a person does: finds an operation by search and an event in the list, sees its parameters,
// fields, example, curl command and codes, by keyboard on a desk, and on a phone. Every entry of the document is opened once. The page breaks no
// policy, asks no other host for anything and keeps nothing.
func TestDocsInABrowser(t *testing.T) {
	t.Parallel()
	tab := testbrowser.Open(t)
	base := serveRoutes(t)
	tab.Do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(base+"/docs"))
	tab.Await(`document.querySelector('h1')?.textContent === 'chasqui API'`)

	// By keyboard: / goes to the search, Enter opens what it found first.
	tab.Do(chromedp.KeyEvent("/"))
	tab.Await(`document.activeElement.id === 'search'`)
	tab.Do(chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("send message post")) // the driver types the / all the same, as no keyboard does
	tab.Await(`/^[1-9]\d* found$/.test(document.querySelector('#found').textContent) && document.activeElement.id === 'search'`)
	tab.Do(chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("send-message"), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.Enter))
	tab.Await(`location.hash === '#send-message' && document.activeElement === document.querySelector('h1')`)
	tab.Await(`document.title.includes('chasqui API') && document.querySelector('.route').textContent === 'POST/v1/sessions/{sessionId}/messages'`)
	tab.Await(`document.querySelector('[aria-current=page]').getAttribute('href') === '#send-message'`)
	tab.Await(`(() => { const curl = document.querySelector('[aria-label="the curl command"]').textContent;
		return curl.startsWith("curl -X POST '" + location.origin + "/v1/sessions/sales/messages'") && curl.includes('-H "X-API-Key: $CHASQUI_KEY"') && curl.includes('Your order is ready.'); })()`)
	tab.Await(`[...document.querySelectorAll('.fields > li > code')].some((c) => c.textContent === 'Idempotency-Key')`)
	tab.Await(`document.querySelector('[aria-label="the example of the answer"]').textContent.includes('"status": "sent"')`)
	tab.Await(`[...document.querySelectorAll('.codes a')].some((a) => a.getAttribute('href') === '/problems/session_not_found')`)
	// The variants of the content unfold, and theirs.
	tab.Evaluate(`(() => { [...document.querySelectorAll('.fields > li')].find((li) => li.firstChild.textContent === 'content').querySelector('details').open = true; return true; })()`)
	tab.Await(`[...document.querySelectorAll('.fields summary')].some((s) => s.textContent === 'type: "image"')`)
	tab.Screenshot("CHASQUI_SCREENSHOT", "-docs-1440")

	// An event, by its address.
	tab.Do(chromedp.Navigate(base + "/docs#on-message-received"))
	tab.Await(`document.querySelector('.route')?.textContent === 'EVENTmessage.received' && document.querySelector('[aria-label="the example of the body"]').textContent.includes('Is my order ready?')`)
	tab.Await(`document.querySelector('main').textContent.includes('webhook-signature')`)

	// Everything there is can be shown, and nothing of it names what is not there.
	tab.Evaluate(`(() => { window.bad = []; for (const e of entries) { try {
		const made = make('div', null, e.show().filter(Boolean));
		for (const fold of made.querySelectorAll('details')) { fold.open = true; fold.dispatchEvent(new Event('toggle')); }
		if (!made.querySelector('h1').textContent || /\bundefined\b|\[object /.test(made.textContent)) bad.push(e.id);
		for (const a of made.querySelectorAll('a[href^="#"]')) if (!entries.some((o) => '#' + o.id === a.getAttribute('href'))) bad.push(e.id + ' leads to ' + a.getAttribute('href'));
	} catch (error) { bad.push(e.id + ': ' + error); } } return true; })()`)
	tab.Await(`entries.length > 400`)
	if bad := tab.Evaluate(`bad.join('\n')`); bad != "" {
		t.Errorf("not shown as it should be:\n%s", bad)
	}

	// On a phone the list is behind a button.
	tab.Do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile), chromedp.Navigate(base+"/docs"))
	tab.Await(`document.querySelector('h1')?.textContent === 'chasqui API' && !document.querySelector('#search').checkVisibility()`)
	// press takes what a finger would meet in the middle of an element.
	press := func(selector string) {
		tab.Evaluate(`(() => { const box = document.querySelector('` + selector + `').getBoundingClientRect();
			document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2).click(); })()`)
	}
	press("#contents")
	tab.Await(`document.querySelector('#contents').getAttribute('aria-expanded') === 'true' && document.querySelector('#search').checkVisibility()`)
	tab.Evaluate(`document.querySelector('#search').focus()`)
	tab.Do(chromedp.KeyEvent("groupId participants"))
	tab.Await(`/^[1-9]\d* found$/.test(document.querySelector('#found').textContent)`)
	tab.Do(chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("list-sessions"))
	tab.Await(`[...document.querySelectorAll('#list a')].filter((a) => a.checkVisibility())[0].getAttribute('href') === '#list-sessions'`)
	press(`a[href="#list-sessions"]`)
	tab.Await(`location.hash === '#list-sessions' && !document.querySelector('#search').checkVisibility() && document.querySelector('h1').checkVisibility()`)
	tab.Await(`document.documentElement.scrollWidth <= innerWidth`)
	tab.Screenshot("CHASQUI_SCREENSHOT", "-docs-390")
	tab.Evaluate(`(() => { location.hash = '#send-message'; return true; })()`)
	tab.Await(`document.querySelector('.route').textContent.startsWith('POST') && document.documentElement.scrollWidth <= innerWidth`)

	if kept := tab.Evaluate(`String(localStorage.length + sessionStorage.length) + document.cookie`); kept != "0" {
		t.Errorf("the page keeps %s", kept)
	}
	for _, url := range tab.Requests() {
		if !strings.HasPrefix(url, base+"/") && url != "data:," {
			t.Errorf("the page asked for %s", url)
		}
	}
	if complaints := tab.Complaints(); len(complaints) > 0 {
		t.Errorf("the page: %q", complaints)
	}
	// What the test looks for would be seen: a request to another host, and markup out of text.
	tab.Evaluate(`(() => { new Image().src = 'http://192.0.2.1/x.png'; try { document.body.innerHTML = '<b>x</b>'; } catch { return 'refused'; } })()`)
	seen := ""
	if !testpoll.True(20*time.Second, func() bool {
		seen += strings.Join(tab.Complaints(), "\n")
		return strings.Contains(seen, "192.0.2.1") && strings.Contains(seen, "TrustedHTML")
	}) {
		t.Errorf("forbidden things go unseen: %q", seen)
	}
}

package dashboard

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testbrowser"
	"github.com/chasqui/chasqui/infra/testwire"
)

// statsStep is a step of GET /v1/stats.
type statsStep struct {
	At       time.Time
	Messages struct{ Received, Sent, Failed int }
}

// minutes are the messages of each minute of the last hour, as the API has them.
func minutes(t *testing.T) map[int64]string {
	t.Helper()
	var stats struct{ Data []statsStep }
	must(t, "GET", "/v1/stats?step=60", nil, &stats)
	out := map[int64]string{}
	for _, s := range stats.Data {
		out[s.At.Unix()] = fmt.Sprintf("%d %d %d", s.Messages.Received, s.Messages.Sent, s.Messages.Failed)
	}
	return out
}

// TestOverviewFigures sends messages while the overview is open: without being loaded anew its figures move, and the plot's table says minute for minute what GET /v1/stats says.
//
// Feature: Dashboard
func TestOverviewFigures(t *testing.T) {
	t.Parallel()
	own := newSession(t, "overview-figures")
	friend := newPhone(t, "Friend of overview-figures")
	tab := open(t, "/")
	tab.Sees("Live")
	tab.Await(`!!document.querySelector('figure canvas')`)
	tab.Click("figure[aria-label='Messages per minute'] button")
	tab.Await(`!!document.querySelector('figure[aria-label="Messages per minute"] table') && /^[0-9.]+$/.test(document.querySelector('[data-tile=messages] .value').innerText)`)
	tab.Evaluate(`window.__loadedOnce = true`)
	total := func(all map[int64]string) (received, sent int) {
		for _, minute := range all {
			var in, out, failed int
			if _, err := fmt.Sscanf(minute, "%d %d %d", &in, &out, &failed); err != nil {
				t.Fatal(err)
			}
			received, sent = received+in, sent+out
		}
		return received, sent
	}
	hadReceived, hadSent := total(minutes(t))
	for range 3 {
		must(t, "POST", "/v1/sessions/overview-figures/messages", map[string]any{"to": friend, "content": map[string]string{"type": "text", "text": "figures"}}, nil, "Prefer", "wait=20")
	}
	sandbox(t, "POST", "/phones/"+friend+"/messages", map[string]any{"to": own, "type": "text", "text": "figures"}, nil)

	row := regexp.MustCompile(`^(\d+) (.*)$`)
	eventually(t, "the table to say what the API says", func() error {
		want := minutes(t)
		if received, sent := total(want); received <= hadReceived || sent < hadSent+3 {
			return fmt.Errorf("the API has counted %d and %d", received, sent)
		}
		shown := tab.Evaluate(`[...document.querySelectorAll('figure[aria-label="Messages per minute"] tbody tr')].map((r) => r.dataset.at + ' ' + [...r.cells].slice(1).map((c) => c.innerText).join(' ')).join('\n')`)
		rows := strings.Split(shown, "\n")
		for _, r := range rows {
			m := row.FindStringSubmatch(r)
			if m == nil {
				return fmt.Errorf("a row says %q", r)
			}
			at, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if w, ok := want[at]; ok && w != m[2] {
				return fmt.Errorf("at %d the page shows %q, the API %q", at, m[2], w)
			}
		}
		if len(rows) < 60 {
			return fmt.Errorf("%d minutes", len(rows))
		}
		return nil
	})
	tab.Await(`Number(document.querySelector('[data-tile=messages] .value').innerText) > 0`)
	if tab.Evaluate(`window.__loadedOnce`) != "true" {
		t.Error("the page was loaded anew")
	}

	tab.Click("text=7 days")
	tab.Await(`new URLSearchParams(location.search).get('range') === '7d' && !document.querySelector('[aria-busy=true]')`)
	tab.Await(`document.querySelectorAll('figure[aria-label="Messages per minute"] tbody tr').length < 200`)
}

// TestOverviewProblems logs a session out at its phone and lets a webhook's receiver fail: the overview says so with the remedy as a button, and no more once both are mended.
func TestOverviewProblems(t *testing.T) {
	t.Parallel()
	own := newSession(t, "overview-problems")
	var failing atomic.Bool
	failing.Store(true)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(receiver.Close)
	tab := open(t, "/")
	tab.Sees("Problems")
	tab.Await(`!document.querySelector('[data-session=overview-problems]')`)

	sandbox(t, "DELETE", "/phones/"+own+"/devices", nil, nil)
	tab.Await(`document.querySelector('[data-session=overview-problems]')?.innerText.includes('was logged out at the phone')`)
	tab.Click("[data-session=overview-problems] a.button")
	tab.Await(`location.pathname + location.search === '/sessions/overview-problems?tab=link'`)
	tab.Evaluate(`history.back()`)
	tab.Await(`!!document.querySelector('[data-session=overview-problems]')`)
	must(t, "POST", "/v1/sessions/overview-problems/restart", nil, nil)
	must(t, "POST", "/v1/sessions/overview-problems/simulated-scan", map[string]string{"number": own}, nil)
	tab.Await(`!document.querySelector('[data-session=overview-problems]')`)

	var endpoint struct{ ID string }
	must(t, "POST", "/v1/webhook-endpoints", map[string]any{"url": receiver.URL, "sessions": []string{"overview-problems"}, "events": []string{"message.sent"}}, &endpoint)
	friend := newPhone(t, "Friend of overview-problems")
	for range 12 {
		must(t, "POST", "/v1/sessions/overview-problems/messages", map[string]any{"to": friend, "content": map[string]string{"type": "text", "text": "to nobody"}}, nil, "Prefer", "wait=20")
	}
	tab.Await(`document.querySelector('[data-endpoint="` + endpoint.ID + `"]')?.innerText.includes('attempts in a row')`)
	failing.Store(false)
	must(t, "PATCH", "/v1/webhook-endpoints/"+endpoint.ID, map[string]any{"state": "active"}, nil)
	tab.Await(`!document.querySelector('[data-endpoint="` + endpoint.ID + `"]')`) // its deliveries show that it works
}

// TestOverviewOfSomeSessions opens the overview with a key of one session, on a phone: it shows that session, and asks for no figures of the whole.
func TestOverviewOfSomeSessions(t *testing.T) {
	t.Parallel()
	newSession(t, "overview-some")
	var key struct{ Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "overview-some", "scopes": []string{"read"}, "sessions": []string{"overview-some"}}, &key)
	tab := openAs(t, key.Key, "/")
	tab.Size(390, 844)
	tab.Sees("All is well")
	tab.Sees("Your sessions")
	tab.Await(`document.querySelector('[data-tile=sessions] .value').innerText === '1 of 1' && !document.querySelector('[data-tile=messages]')`)
	fits(t, tab)
	for _, request := range tab.Requests() {
		if contains(request, "/v1/stats", "stats=true") {
			t.Errorf("the page asks for %s, which this key may not", request)
		}
	}
}

// TestOverviewOffline cuts the network: that is a problem too, as long as it lasts.
func TestOverviewOffline(t *testing.T) {
	t.Parallel()
	wire, address := testwire.Server(t, running.URL)
	tab := testbrowser.Open(t)
	tab.Go(address + "/")
	signIn(tab, running.APIKey)
	tab.Sees("Live")
	tab.Await(`!!document.querySelector('canvas')`) // what draws it is loaded
	wire.Cut()
	tab.Sees("This page is cut off from the API")
	wire.Mend()
	tab.SeesNot("This page is cut off from the API")
}

// fits fails where something is wider than the screen.
func fits(t *testing.T, tab *testbrowser.Tab) {
	t.Helper()
	if wide := tab.Evaluate(`Math.max(document.scrollingElement.scrollWidth, document.querySelector('main').scrollWidth) - innerWidth`); wide != "0" {
		t.Errorf("the page is %s px wider than the screen", wide)
	}
}

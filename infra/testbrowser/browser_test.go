package testbrowser

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
)

// TestTabsAreApart opens two pages of one Chromium: neither finds what the other keeps, and each is seen and has the focus.
func TestTabsAreApart(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<input>`))
	}))
	t.Cleanup(server.Close)
	a, b := Open(t), Open(t)
	if chromedp.FromContext(a.ctx).Browser != chromedp.FromContext(b.ctx).Browser {
		t.Error("each has a Chromium")
	}
	a.Go(server.URL)
	b.Go(server.URL)
	a.Run(`localStorage.setItem('kept', 'here'); document.cookie = 'kept=here'`)
	if kept := a.Evaluate(`localStorage.kept + document.cookie`); kept != "herekept=here" {
		t.Errorf("a page keeps %q", kept)
	}
	if kept := b.Evaluate(`JSON.stringify(localStorage) + document.cookie`); kept != "{}" {
		t.Errorf("the other finds %q", kept)
	}
	for _, tab := range []*Tab{a, b} {
		tab.Fill("input", "typed")
		tab.Await(`document.hasFocus() && document.visibilityState === 'visible' && document.querySelector('input:focus').value === 'typed'`)
	}
}

// TestBrowserDies has a Chromium die: who uses it knows at once, and the next test has another.
func TestBrowserDies(t *testing.T) {
	t.Parallel()
	const own = "mute-audio" // a flag that no other test has, so that the Chromium is this one's
	first := Open(t, own)
	_, _ = chromedp.Call(first.ctx, browser.Crash, cdp.Empty{}) // it has no time to answer
	select {
	case <-first.ctx.Done():
	case <-time.After(wait):
		t.Fatal("nobody knows that it died")
	}
	second := Open(t, own)
	second.Go("about:blank")
	if is := second.Evaluate(`document.visibilityState`); is != "visible" {
		t.Errorf("the next page is %s", is)
	}
}

// TestClickComes has a page replace its button while the mouse is held down on it, once: the click comes to the next.
func TestClickComes(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<main><button>Do</button></main><script>
			let clicks = 0, replaced = false;
			const main = document.querySelector('main');
			addEventListener('click', (e) => { if (e.target.matches('button')) clicks++; });
			addEventListener('mousedown', () => { if (!replaced) main.innerHTML = '<button>Do</button>'; replaced = true; });
		</script>`))
	}))
	t.Cleanup(server.Close)
	tab := Open(t)
	tab.Go(server.URL)
	tab.Click("text=Do")
	if clicks := tab.Evaluate(`clicks + ' ' + replaced`); clicks != "1 true" {
		t.Errorf("clicks and whether it was replaced: %s", clicks)
	}
	tab.Click("text=Do")
	if clicks := tab.Evaluate(`clicks`); clicks != "2" {
		t.Errorf("%s clicks", clicks)
	}
}

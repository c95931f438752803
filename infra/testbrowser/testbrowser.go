// Package testbrowser gives tests a page in a real Chromium.
package testbrowser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long one test may use its browser, and wait how long it may wait for one thing in the page.
const patience, wait = 2 * time.Minute, 40 * time.Second

// Tab is a tab of a headless Chromium.
type Tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// Open gives the test a page in a browser context of its own, which shares no cookies, storage, cache or permissions with any other, in a Chromium that runs with these flags
// (see take). Where there is none the test is skipped, but in CI that is a failure; so is, at the end of the test, an exception that a page did not catch, and what its
// Content-Security-Policy refused. Flags are of Chromium, such as use-fake-ui-for-media-stream.
func Open(t *testing.T, flags ...string) *Tab {
	t.Helper()
	browser := take(t, flags)
	ctx, cancel := context.WithTimeout(browser, patience)
	t.Cleanup(cancel)
	tab := &Tab{t: t}
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(func(event any) {
		tab.mu.Lock()
		defer tab.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			complaint := e.ExceptionDetails.Text
			if e.ExceptionDetails.Exception != nil {
				complaint += " " + e.ExceptionDetails.Exception.Description
			}
			tab.complaints = append(tab.complaints, complaint)
		case *log.EventEntryAdded:
			if e.Entry.Source == log.EntrySourceSecurity || strings.Contains(e.Entry.Text, "Content Security Policy") {
				tab.complaints = append(tab.complaints, e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			tab.requests = append(tab.requests, e.Request.URL)
		}
	}))
	tab.ctx = ctx
	t.Cleanup(func() {
		cancel()
		tab.mu.Lock()
		defer tab.mu.Unlock()
		for _, complaint := range tab.complaints {
			t.Errorf("the page: %s", complaint)
		}
	})
	// Of several pages in one browser only one has the focus; each of them is to behave as if it had.
	send(tab, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	return tab
}

// Do takes steps in the page. A page that draws itself anew replaces a node between the moment in which a step finds it and that in which it uses it;
// such a step has done nothing, and is taken again.
func (tab *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	for _, step := range steps {
		err := chromedp.Do(tab.ctx, step)
		for replaced := 0; err != nil && replaced < 20 && strings.Contains(err.Error(), "Could not find node with given id"); replaced++ {
			err = chromedp.Do(tab.ctx, step)
		}
		if err != nil {
			tab.t.Fatal(err)
		}
	}
}

// Await waits until an expression is true in the page.
func (tab *Tab) Await(expression string) {
	tab.t.Helper()
	if _, err := chromedp.Run(tab.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(wait))); err != nil {
		page, _ := chromedp.Run(tab.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		tab.t.Fatalf("wait for %s: %v\n%s", expression, err, page)
	}
}

// Requests returns the URLs of everything that the page has asked for so far, whether it was let or not.
func (tab *Tab) Requests() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.requests)
}

// Complaints returns what would fail the test at its end, and forgets it.
func (tab *Tab) Complaints() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	complaints := tab.complaints
	tab.complaints = nil
	return complaints
}

// Evaluate returns what an expression is in the page, as text.
func (tab *Tab) Evaluate(expression string) string {
	tab.t.Helper()
	value, err := chromedp.Run(tab.ctx, chromedp.Evaluate[string](`String(`+expression+`)`))
	if err != nil {
		tab.t.Fatal(err)
	}
	return value
}

// Screenshot writes what the page shows as a PNG to a file named by an environment variable, where that is set.
func (tab *Tab) Screenshot(variable, suffix string) {
	tab.t.Helper()
	file := os.Getenv(variable)
	if file == "" {
		return
	}
	png, err := chromedp.Run(tab.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		tab.t.Fatal(err)
	}
	if err := os.WriteFile(file+suffix+".png", png, 0o600); err != nil { //nolint:gosec // G703: who runs the test says where
		tab.t.Fatal(err)
	}
}

// Go opens an address, and waits until it is loaded.
func (tab *Tab) Go(address string) {
	tab.t.Helper()
	tab.Do(chromedp.Navigate(address))
}

// Size gives the page a width and height in CSS pixels; below 720 it is a phone's, with touch and twice as many pixels a side.
func (tab *Tab) Size(width, height int64) {
	tab.t.Helper()
	p := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 720}
	if p.Mobile {
		p.DeviceScaleFactor = 2
	}
	send(tab, emulation.SetDeviceMetricsOverride, p)
	send(tab, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: p.Mobile})
}

// Prefers sets a media feature, such as prefers-color-scheme to dark.
func (tab *Tab) Prefers(feature, value string) {
	tab.t.Helper()
	send(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
}

// find is the element that a selector names, once it can be seen and used, as an expression of JavaScript; "text=…" names the button, link, tab or label whose text or
// aria-label is that.
func find(selector string) string {
	if text, ok := strings.CutPrefix(selector, "text="); ok {
		return fmt.Sprintf(`[...document.querySelectorAll('dialog[open] :is(a, button, label, summary, [role=option], [role=tab], [role=menuitem])'), ...document.querySelectorAll('a, button, label, summary, [role=option], [role=tab], [role=menuitem]')]
			.find((e) => (e.innerText?.trim() === %[1]q || e.getAttribute('aria-label') === %[1]q) && e.checkVisibility() && !e.disabled)`, text)
	}
	return fmt.Sprintf(`[...document.querySelectorAll(%q)].find((e) => e.checkVisibility() && !e.disabled)`, selector)
}

// Click clicks with the mouse in the middle of what a selector names (see find), once that has stood still for 60 ms and nothing covers it. Where the page moves or replaces it in
// that very moment, so that the click does not come to it, it is clicked again.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	for tab.click(selector); tab.Evaluate(fmt.Sprintf(`window.__missed === true && !!%s`, find(selector))) == "true"; {
		tab.click(selector)
	}
}

// click clicks once; __missed stays true where the click came to something else, or to nothing.
func (tab *Tab) click(selector string) {
	tab.t.Helper()
	tab.Await(fmt.Sprintf(`(() => {
		const e = %s;
		if (!e) return false;
		e.scrollIntoView({block: 'nearest', behavior: 'instant'});
		const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2, top = document.elementFromPoint(x, y);
		if (!top || !(e.contains(top) || top.contains(e))) return false;
		if (window.__at !== x + ' ' + y) {
			window.__at = x + ' ' + y;
			window.__since = performance.now();
		}
		if (performance.now() - window.__since <= 60) return false;
		window.__missed = true;
		addEventListener('click', (event) => { if (e.contains(event.target) || event.target.contains(e)) window.__missed = false; }, {capture: true, once: true});
		return true;
	})()`, find(selector)))
	at := strings.Fields(tab.Evaluate(`window.__at`))
	x, errX := strconv.ParseFloat(at[0], 64)
	y, errY := strconv.ParseFloat(at[1], 64)
	if err := errors.Join(errX, errY); err != nil {
		tab.t.Fatal(err)
	}
	tab.Do(chromedp.MouseClickXY(x, y))
}

// Fill gives a field another text, as typing does.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.Await(fmt.Sprintf(`(() => { const e = %s; if (!e) return false; e.focus(); e.select?.(); return document.activeElement === e; })()`, find(selector)))
	if text == "" {
		tab.Do(chromedp.KeyEvent(kb.Delete))
		return
	}
	send(tab, input.InsertText, input.InsertTextParams{Text: text})
}

// Choose takes an option of a select by its value.
func (tab *Tab) Choose(selector, value string) {
	tab.t.Helper()
	tab.Await(fmt.Sprintf(`(() => {
		const e = %s;
		if (![...(e?.options ?? [])].some((o) => o.value === %[2]q)) return false;
		e.value = %[2]q;
		e.dispatchEvent(new Event('input', {bubbles: true}));
		e.dispatchEvent(new Event('change', {bubbles: true}));
		return true;
	})()`, find(selector), value))
}

// Press types keys, such as "?" or kb.Escape, to what has the focus.
func (tab *Tab) Press(keys string) {
	tab.t.Helper()
	tab.Do(chromedp.KeyEvent(keys))
}

// Sees waits until a text can be seen in the page.
func (tab *Tab) Sees(text string) {
	tab.t.Helper()
	tab.Await(fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// SeesNot waits until a text can be seen no more.
func (tab *Tab) SeesNot(text string) {
	tab.t.Helper()
	tab.Await(fmt.Sprintf(`!document.body.innerText.includes(%q)`, text))
}

// Upload gives files to a file input.
func (tab *Tab) Upload(selector string, files ...string) {
	tab.t.Helper()
	tab.Do(chromedp.SetUploadFiles(selector, files))
}

// PNG returns what the page shows.
func (tab *Tab) PNG() []byte {
	tab.t.Helper()
	png, err := chromedp.Run(tab.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tab.t.Fatal(err)
	}
	return png
}

// send sends the browser a command of its protocol.
func send[P, R any](tab *Tab, command cdp.Command[P, R], params P) {
	tab.t.Helper()
	if _, err := chromedp.Call(tab.ctx, command, params); err != nil {
		tab.t.Fatal(err)
	}
}

// Run runs a script in the page, as the developer's console does: its policy does not bind it.
func (tab *Tab) Run(script string) {
	tab.t.Helper()
	send(tab, runtime.Evaluate, runtime.EvaluateParams{Expression: script})
}

// EvaluatePromise returns what a promise comes to, as text.
func (tab *Tab) EvaluatePromise(expression string) string {
	tab.t.Helper()
	value, err := chromedp.Run(tab.ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatal(err)
	}
	return value
}

// PressControl types a key while Ctrl is held down.
func (tab *Tab) PressControl(key string) {
	tab.t.Helper()
	tab.Do(chromedp.KeyEvent(key, chromedp.KeyModifiers(chromedp.ModifierCtrl)))
}

// Wheel turns the mouse's wheel over a point of the page: down by so many pixels, or up.
func (tab *Tab) Wheel(x, y, down float64) {
	tab.t.Helper()
	send(tab, input.DispatchMouseEvent, input.DispatchMouseEventParams{
		Type: input.DispatchMouseEventTypeMouseWheel, X: x, Y: y, DeltaY: down,
		DeltaX: 0.001, // one that is left out, as 0 is, is refused
	})
}

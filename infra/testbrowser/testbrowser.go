// Package testbrowser gives tests a page in a real Chromium.
package testbrowser

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
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

// Open starts a Chromium that ends with the test. Where there is none the test is skipped, but in CI that is a failure; so is, at the end of
// the test, an exception that a page did not catch, and what its Content-Security-Policy refused.
func Open(t *testing.T) *Tab {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no Chromium is installed")
		}
		t.Skip("no Chromium is installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-dev-shm-usage", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	tab := &Tab{t: t}
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(func(event any) {
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

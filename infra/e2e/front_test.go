package e2e

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser returns the context of a tab in a headless Chromium, with what its console complains of. Where there is no Chromium the test is
// skipped, but in CI that is a failure.
func browser(t *testing.T) context.Context {
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
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// await waits until an expression is true in the page.
func await(t *testing.T, ctx context.Context, expression string) { //nolint:revive // t comes first in every helper of a test
	t.Helper()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(40*time.Second))); err != nil {
		page, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
		t.Fatalf("wait for %s: %v\n%s", expression, err, page)
	}
}

// TestFrontPage does in a browser what the page is for: a session is created and linked by its QR code, a test message is sent, and the
// answer appears among the live events.
func TestFrontPage(t *testing.T) {
	ctx := browser(t)
	s := newStack(t)
	s.startAll(t)
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": business, "name": "Business"}, nil)
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(0), "name": "Echo", "autoReply": "echo"}, nil)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	do(chromedp.Navigate(s.api.base+"/"), chromedp.SendKeys("#key", "wrong"), chromedp.Click("#sign-in button"))
	await(t, ctx, `document.querySelector('#status').textContent.includes('not valid')`)
	do(chromedp.SetValue("#key", apiKey), chromedp.Click("#sign-in button"))
	await(t, ctx, `document.querySelector('#status').textContent === 'live'`)
	do(chromedp.SendKeys("#new-id", "shop"), chromedp.Click("#create button"))
	await(t, ctx, `document.querySelector('#sessions img')?.naturalWidth > 0`)
	scan(t, s.api, s.sandbox, "shop", business)
	await(t, ctx, `document.querySelector('[data-session=shop] .state')?.textContent.trim() === 'connected' && !document.querySelector('#sessions img')`)
	do(chromedp.SendKeys("#to", customer(0)), chromedp.SetValue("#text", "hello from the page"), chromedp.Click("#send button"))
	await(t, ctx, `[...document.querySelectorAll('#events li')].some((e) => e.textContent.includes('message.received') && e.textContent.includes('hello from the page'))`)
	if picture := os.Getenv("CHASQUI_SCREENSHOT"); picture != "" {
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(picture, png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

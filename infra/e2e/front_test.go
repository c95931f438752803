package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/chasqui/chasqui/infra/testbrowser"
)

// TestFrontPage does in a browser what the page is for: a session is created and linked by its QR code, a test message is sent, and the
// answer appears among the live events.
func TestFrontPage(t *testing.T) {
	tab := testbrowser.Open(t)
	s := newStack(t)
	s.startAll(t)
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": business, "name": "Business"}, nil)
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(0), "name": "Echo", "autoReply": "echo"}, nil)
	tab.Do(chromedp.Navigate(s.api.base+"/"), chromedp.SendKeys("#key", "wrong"), chromedp.Click("#sign-in button"))
	tab.Await(`document.querySelector('#status').textContent.includes('not valid')`)
	tab.Do(chromedp.SetValue("#key", apiKey), chromedp.Click("#sign-in button"))
	tab.Await(`document.querySelector('#status').textContent === 'live'`)
	tab.Do(chromedp.SendKeys("#new-id", "shop"), chromedp.Click("#create button"))
	tab.Await(`document.querySelector('#sessions img')?.naturalWidth > 0`)
	scan(t, s.api, s.sandbox, "shop", business)
	tab.Await(`document.querySelector('[data-session=shop] .state')?.textContent.trim() === 'connected' && !document.querySelector('#sessions img')`)
	tab.Do(chromedp.SendKeys("#to", customer(0)), chromedp.SetValue("#text", "hello from the page"), chromedp.Click("#send button"))
	tab.Await(`[...document.querySelectorAll('#events li')].some((e) => e.textContent.includes('message.received') && e.textContent.includes('hello from the page'))`)
	tab.Screenshot("CHASQUI_SCREENSHOT", "")
}

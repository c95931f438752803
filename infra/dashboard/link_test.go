package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testbrowser"
)

// shareLink makes a link as a person does, and returns its address and token.
func shareLink(t *testing.T, id string) (address, token string) {
	t.Helper()
	tab := open(t, "/sessions/"+id+"?tab=link")
	tab.Click("text=Create a link")
	tab.Choose("select[name=valid]", "900")
	tab.Fill("input[name=brand]", "Mercado Sur")
	tab.Click("input[name=colored]")
	tab.Click("text=Create the link")
	tab.Sees("it is shown this once")
	address = tab.Evaluate(`document.querySelector('input[name=link]').value`)
	for i := len(address); i > 0 && address[i-1] != '/'; i-- {
		token = address[i-1:]
	}
	return address, token
}

// secretless wants that no request to the API has a secret in its URL, and that the page keeps no key.
func secretless(t *testing.T, tab *testbrowser.Tab, token string) {
	t.Helper()
	for _, request := range tab.Requests() {
		if contains(request, running.APIKey) || contains(request, token) && !contains(request, "/link/") {
			t.Errorf("a secret stands in the URL %s", request)
		}
	}
	if kept := tab.Evaluate(`JSON.stringify(sessionStorage) + JSON.stringify(localStorage) + document.cookie + location.href`); contains(kept, running.APIKey, "chasqui.key") {
		t.Errorf("the browser keeps %s", kept)
	}
}

// TestCustomerLinksByAPage opens a shared link on a phone's screen: the pairing code comes first there, the token leaves the address and outlives a reload, and once the phone is linked
// the page says so, and the link opens nothing any more.
//
// Feature: Onboarding page for one pairing
func TestCustomerLinksByAPage(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "customer", true)
	address, token := shareLink(t, "customer")
	number := newPhone(t, "Customer")
	tab := testbrowser.Open(t)
	tab.Size(390, 844)
	tab.Go(address)
	tab.Sees("Link your WhatsApp with Mercado Sur")
	tab.Await(`document.querySelector('[data-way]').dataset.way === 'code' && location.pathname === '/link/open'`)
	tab.Go(running.URL + "/link/open")
	tab.Sees("Link your WhatsApp with Mercado Sur")
	tab.Click("text=Español")
	tab.Sees("Vincula tu WhatsApp con Mercado Sur")
	tab.Click("text=Código QR")
	tab.Await(`!!` + qrShown)
	if wide := tab.Evaluate(`document.documentElement.scrollWidth`); wide != "390" {
		t.Errorf("the page is %s wide", wide)
	}
	tab.Click("text=Código de vinculación")
	tab.Fill("input[name=phone]", "+"+number)
	tab.Click("text=Obtener un código")
	tab.Await(`!!document.querySelector('[data-code]')`)
	secretless(t, tab, token)
	sandbox(t, "POST", "/phones/"+number+"/code", map[string]string{"code": tab.Evaluate(`document.querySelector('[data-code]').dataset.code`)}, nil)
	tab.Sees("Tu WhatsApp quedó vinculado con Mercado Sur.")
	if kept := tab.Evaluate(`JSON.stringify(sessionStorage)`); kept != "{}" {
		t.Errorf("once it is done the browser keeps %s", kept)
	}
	secretless(t, tab, token)
	wantStatus(t, 401, "GET", "/v1/link", "X-API-Key", "", "Authorization", "Bearer "+token)

	tab.Go(address)
	tab.Sees("Este enlace terminó")
	tab.Go(running.URL + "/link/somebody")
	tab.Sees("Este enlace está incompleto")
}

// TestCustomerScansAndGivesAPasskey opens a link at a desk: a QR code comes first there, its account's passkey is asked for, and the answer that was made elsewhere links it.
//
// Feature: Onboarding page for one pairing
func TestCustomerScansAndGivesAPasskey(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "customer-guarded", true)
	var link struct{ URL, Token string }
	must(t, "POST", "/v1/sessions/customer-guarded/links", map[string]any{}, &link)
	number := newPhone(t, "Guarded customer")
	sandbox(t, "PUT", "/phones/"+number+"/passkey", nil, nil)
	tab := testbrowser.Open(t)
	tab.Go(link.URL)
	tab.Await(`document.querySelector('[data-way]')?.dataset.way === 'qr' && !!` + qrShown)
	linked := scanLater(t, "customer-guarded", number)
	tab.Await(`document.querySelector('[data-step]')?.dataset.step === 'request'`)
	var asked struct{ Request json.RawMessage }
	must(t, "GET", "/v1/sessions/customer-guarded/passkey", nil, &asked)
	tab.Fill("textarea[name=answer]", passkeyAnswer(t, number, asked.Request))
	tab.Click("text=Send the answer")
	tab.Sees("Your WhatsApp is linked with customer-guarded.")
	if err := <-linked; err != nil {
		t.Error(err)
	}
	secretless(t, tab, link.Token)
}

// comparing is the API of a session whose phone wants codes compared. WhatsApp has them compared where the passkey came 5 minutes after it was asked for, for which no test waits
// (the connector's TestCodesAreComparedWhereThePasskeyCameLate has it): this keeps the passkey's answer back, and asks for the comparison itself, until it is confirmed.
func comparing(t *testing.T, id, code string) (address string, confirmed *atomic.Bool) {
	t.Helper()
	target, err := url.Parse(running.URL)
	if err != nil {
		t.Fatal(err)
	}
	var answer atomic.Pointer[http.Request]
	confirmed = &atomic.Bool{}
	proxy, path := httputil.NewSingleHostReverseProxy(target), "/v1/sessions/"+id+"/passkey"
	step := func(w http.ResponseWriter, step string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"step":%q,"code":%q,"expiresAt":%q}`, step, map[string]string{"confirmation": code}[step], time.Now().Add(time.Minute).Format(time.RFC3339))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept := answer.Load()
		switch {
		case kept == nil && r.URL.Path == path+"/response":
			raw, _ := io.ReadAll(r.Body)
			late := r.Clone(context.WithoutCancel(r.Context()))
			late.Body = io.NopCloser(bytes.NewReader(raw))
			answer.Store(late)
			step(w, "waiting")
		case kept != nil && r.URL.Path == path+"/confirmation":
			confirmed.Store(true)
			proxy.ServeHTTP(w, kept)
		case kept != nil && r.URL.Path == path && !confirmed.Load():
			step(w, "confirmation")
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, confirmed
}

// TestCustomerComparesCodes gives a passkey late: the page shows the code that the phone has to show too, and nothing is linked before that is confirmed.
func TestCustomerComparesCodes(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "customer-compares", true)
	var link struct{ URL string }
	must(t, "POST", "/v1/sessions/customer-compares/links", map[string]any{}, &link)
	number := newPhone(t, "Late customer")
	sandbox(t, "PUT", "/phones/"+number+"/passkey", nil, nil)
	address, confirmed := comparing(t, "customer-compares", "AB12-CD34")
	tab := testbrowser.Open(t)
	tab.Size(390, 844)
	tab.Go(strings.Replace(link.URL, running.URL, address, 1))
	tab.Sees("Link your WhatsApp with customer-compares")
	linked := scanLater(t, "customer-compares", number)
	tab.Await(`document.querySelector('[data-step]')?.dataset.step === 'request'`)
	var asked struct{ Request json.RawMessage }
	must(t, "GET", "/v1/sessions/customer-compares/passkey", nil, &asked)
	tab.Fill("textarea[name=answer]", passkeyAnswer(t, number, asked.Request))
	tab.Click("text=Send the answer")
	tab.Sees("WhatsApp and the phone are at it")
	tab.Sees("Compare the codes")
	tab.Sees("AB12-CD34")
	tab.Sees("do not confirm")
	tab.Await(`[...document.querySelectorAll('[aria-live]')].some((e) => e.textContent.includes('Compare the codes'))`)
	if wide := tab.Evaluate(`document.documentElement.scrollWidth`); wide != "390" {
		t.Errorf("the page is %s wide", wide)
	}
	if confirmed.Load() {
		t.Error("it was confirmed by itself")
	}
	tab.Click("text=They are the same")
	tab.Sees("Your WhatsApp is linked with customer-compares.")
	if err := <-linked; err != nil {
		t.Error(err)
	}
}

// TestCodesDiffer begins a linking anew whose codes are not the same: it is not confirmed, and another code is shown to be scanned.
func TestCodesDiffer(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "codes-differ", true)
	number := newPhone(t, "Another than it seems")
	sandbox(t, "PUT", "/phones/"+number+"/passkey", nil, nil)
	address, confirmed := comparing(t, "codes-differ", "ZZ99-YY88")
	tab := testbrowser.Open(t)
	tab.Go(address + "/sessions/codes-differ?tab=link")
	signIn(tab, running.APIKey)
	tab.Await(`!!` + qrShown)
	linked := scanLater(t, "codes-differ", number)
	tab.Await(`document.querySelector('[data-step]')?.dataset.step === 'request'`)
	var asked struct{ Request json.RawMessage }
	must(t, "GET", "/v1/sessions/codes-differ/passkey", nil, &asked)
	tab.Fill("textarea[name=answer]", passkeyAnswer(t, number, asked.Request))
	tab.Click("text=Send the answer")
	tab.Sees("WhatsApp and the phone are at it")
	tab.Click("nav.tabs a:nth-child(2)") // away and back: what is shown is what the API says
	tab.Click("nav.tabs a:nth-child(1)")
	tab.Sees("ZZ99-YY88")
	tab.Click("text=Begin anew")
	tab.Await(`!!` + qrShown)
	if err := <-linked; err == nil || confirmed.Load() {
		t.Errorf("the phone was linked (%v), confirmed: %t", err, confirmed.Load())
	}
	sessionBecomes(t, "codes-differ", "qr")
}

// TestLinkIsReplaced has a page open when another link is made: it ends, and does not say that a phone was linked.
func TestLinkIsReplaced(t *testing.T) {
	t.Parallel()
	newUnlinked(t, "customer-late", true)
	var link struct{ URL string }
	must(t, "POST", "/v1/sessions/customer-late/links", map[string]any{}, &link)
	tab := testbrowser.Open(t)
	tab.Go(link.URL)
	tab.Sees("Link your WhatsApp with customer-late")
	tab.Click("text=Scan with a simulated phone") // which a sandbox has
	tab.Sees("Your WhatsApp is linked with customer-late.")

	newUnlinked(t, "customer-later", true)
	must(t, "POST", "/v1/sessions/customer-later/links", map[string]any{}, &link)
	tab.Go(link.URL)
	tab.Sees("Link your WhatsApp with customer-later")
	must(t, "POST", "/v1/sessions/customer-later/links", map[string]any{}, nil)
	tab.Sees("This link has ended")
	tab.SeesNot("is linked with")
}

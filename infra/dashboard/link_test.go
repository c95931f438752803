package dashboard

import (
	"encoding/json"
	"testing"

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

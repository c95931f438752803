package dashboard

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/chasqui/chasqui/infra/testbrowser"
	"github.com/chasqui/chasqui/infra/testdev"
)

// A hook is a customer's receiver, which answers what the test says and keeps what came.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []got
}

// got is one request that a hook took.
type got struct {
	header http.Header
	body   string
}

// newHook starts one that answers a status.
func newHook(t *testing.T, status int) *hook {
	t.Helper()
	h := &hook{status: status}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, got{r.Header.Clone(), string(body)})
		w.Header().Set("X-Attempt", fmt.Sprint(len(h.got)))
		w.WriteHeader(h.status)
		_, _ = fmt.Fprintf(w, "{\"error\":\"upgrading\",\"attempt\":%d}", len(h.got))
	}))
	t.Cleanup(h.Close)
	return h
}

// answer changes what it answers.
func (h *hook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

// all is what came so far.
func (h *hook) all() []got {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]got{}, h.got...)
}

// endpoint makes one at the API, for a session and a type of event that the test brings about itself.
func endpoint(t *testing.T, url, session string, more ...any) (id, secret string) {
	t.Helper()
	body := map[string]any{"url": url, "sessions": []string{session}, "events": []string{"message.received"}}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	var made struct{ ID, Secret string }
	must(t, "POST", "/v1/webhook-endpoints", body, &made)
	return made.ID, made.Secret
}

// card is the list's card of an endpoint, as JavaScript.
func card(id string) string { return `document.querySelector('[data-endpoint="` + id + `"]')` }

// TestWebhookEndpoint makes an endpoint that the API refuses and one that it takes, sees its secret, tests it, changes it, pauses it and deletes it.
//
// Feature: Dashboard
func TestWebhookEndpoint(t *testing.T) {
	t.Parallel()
	session := "webhook-endpoint"
	own, ana := newSession(t, session), newPhone(t, "Ana of TestWebhookEndpoint")
	receiver := newHook(t, http.StatusOK)
	tab := open(t, "/webhooks/new")
	tab.Fill("input[name=url]", "ftp://example.com/hook")
	tab.Click("text=Create")
	tab.Await(`document.querySelector('input[name=url]').getAttribute('aria-invalid') === 'true' && !!document.querySelector('.error')?.innerText`)
	tab.Fill("input[name=url]", receiver.URL+"/orders")
	tab.Click(".types > label")
	tab.Click(`input[value="message.*"]`)
	tab.Click(`input[value="` + session + `"]`)
	tab.Click("text=Advanced")
	tab.Fill("textarea[name=headers]", "X-Team: orders")
	tab.Fill("input[name=retrySeconds]", "1, 2")
	tab.Fill("input[name=ratePerSecond]", "many")
	tab.Click("text=Create")
	tab.Sees("expected numbers, separated by commas")
	tab.Fill("input[name=ratePerSecond]", "")
	tab.Click("text=Create")
	tab.Await(`/^whsec_/.test(document.querySelector('[data-secret]')?.innerText)`)
	tab.Click("main a.primary")
	tab.Await(`location.pathname.startsWith('/webhooks/we_') && !!document.querySelector('[data-health]')`)
	id := strings.TrimPrefix(tab.Evaluate(`location.pathname`), "/webhooks/")
	var made struct {
		URL              string
		Events, Sessions []string
		Headers          map[string]string
		RetrySeconds     []int
	}
	must(t, "GET", "/v1/webhook-endpoints/"+id, nil, &made)
	if got, want := fmt.Sprint(made), fmt.Sprintf("{%s/orders [message.*] [%s] map[X-Team:orders] [1 2]}", receiver.URL, session); got != want {
		t.Errorf("it has made %s, want %s", got, want)
	}
	// The secret is not there any more, until it is asked for.
	tab.Await(`!document.querySelector('[data-secret]')`)
	tab.Click("text=Show the secret")
	tab.Await(`/^whsec_/.test(document.querySelector('[data-secret]')?.innerText)`)
	tab.Click("text=Hide it")
	tab.Await(`!document.querySelector('[data-secret]')`)

	tab.Click("text=Send a test")
	tab.Sees("It took the test event: 200.")
	if all := receiver.all(); len(all) != 1 || !strings.Contains(all[0].body, `"webhook.test"`) || all[0].header.Get("X-Team") != "orders" {
		t.Errorf("it has sent %v", all)
	}
	tab.Press(kb.Escape)
	tab.Await(`!document.querySelector('dialog[open]')`)
	receiver.answer(http.StatusTeapot)
	tab.Click("text=Send a test")
	tab.Sees("It did not take the test event: 418.")
	tab.Press(kb.Escape)
	tab.Await(`!document.querySelector('dialog[open]')`)
	receiver.answer(http.StatusOK)

	// Changed: only its URL, the rest stays.
	tab.Click("text=More actions")
	tab.Click("text=Change")
	tab.Await(`document.querySelector('input[name=url]')?.value.endsWith('/orders')`)
	tab.Fill("input[name=url]", receiver.URL+"/sales")
	tab.Click("text=Save")
	tab.Await(`document.querySelector('h1').innerText.endsWith('/sales')`)
	made.URL = ""
	must(t, "GET", "/v1/webhook-endpoints/"+id, nil, &made)
	if got, want := fmt.Sprint(made), fmt.Sprintf("{%s/sales [message.*] [%s] map[X-Team:orders] [1 2]}", receiver.URL, session); got != want {
		t.Errorf("it has made %s, want %s", got, want)
	}

	// Paused it holds what comes, and delivers it afterwards.
	tab.Click("text=More actions")
	tab.Click("text=Pause")
	tab.Sees("Events are held, and delivered once it is active.")
	writes(t, ana, own, "held for a while")
	eventually(t, "the delivery that is held", func() error {
		var page struct{ Data []struct{ State string } }
		must(t, "GET", "/v1/webhook-endpoints/"+id+"/deliveries?state=held", nil, &page)
		if len(page.Data) == 0 {
			return errNotYet
		}
		return nil
	})
	tab.Click("text=Held")
	tab.Await(`document.querySelectorAll('[data-delivery=held]').length > 0`)
	tab.Click("text=Resume")
	tab.Sees("Send a test")
	eventually(t, "what was held", func() error {
		for _, g := range receiver.all() {
			if strings.Contains(g.body, "held for a while") {
				return nil
			}
		}
		return errNotYet
	})

	tab.Click("text=More actions")
	tab.Click("text=Delete")
	tab.Sees("Delete this endpoint?")
	tab.Click("dialog[open] button.danger")
	tab.Await(`location.pathname === '/webhooks'`)
	tab.Await(`!` + card(id))
	tab.Go(running.URL + "/webhooks/" + id) // the key was in memory alone
	tab.Await(`!!document.querySelector('#key')`)
	tab.Fill("#key", running.APIKey)
	tab.Click("form button[type=submit]")
	tab.Sees("There is no such endpoint.")
}

// TestWebhookFailing follows an outage of a receiver: the list says that it fails and counts down, a delivery shows each attempt, the next, and what differs between two, and once
// the receiver answers again one delivery is sent again by hand and the rest recovered.
//
// Feature: Dashboard
func TestWebhookFailing(t *testing.T) {
	t.Parallel()
	session := "webhook-failing"
	own, ana := newSession(t, session), newPhone(t, "Ana of TestWebhookFailing")
	receiver := newHook(t, http.StatusServiceUnavailable)
	id, _ := endpoint(t, receiver.URL+"/down", session, "retrySeconds", []int{1})
	list := open(t, "/webhooks")
	list.Await(card(id) + `?.innerText.includes('Active')`)
	const texts = 8
	for i := range texts {
		writes(t, ana, own, fmt.Sprintf("during the outage %d", i+1))
	}
	// An event tells the list; then it counts down by itself.
	list.Await(card(id) + `?.querySelector('[data-health=open]')?.innerText.includes('Failing')`)
	list.Await(`/next probe, in \d+s/.test(` + card(id) + `.innerText)`)
	list.Await(`(() => { const all = [...document.querySelectorAll('[data-endpoint]')]; return all.slice(0, all.indexOf(` + card(id) + `)).every((e) => !e.innerText.includes('Active')); })()`) // the worst first

	// All of them become dead letters: each has two attempts, and the breaker's probes are attempts.
	delivery := ""
	eventually(t, "a dead letter", func() error {
		var page struct{ Data []struct{ ID string } }
		must(t, "GET", "/v1/webhook-endpoints/"+id+"/deliveries?state=exhausted", nil, &page)
		if len(page.Data) == 0 {
			return errNotYet
		}
		delivery = page.Data[0].ID
		return nil
	})
	tab := open(t, "/webhooks/deliveries?state=exhausted")
	tab.Await(`!!document.querySelector('a[href="/webhooks/deliveries/` + delivery + `"][data-delivery=exhausted]')`)
	tab.Click(`a[href="/webhooks/deliveries/` + delivery + `"]`)
	tab.Sees("Attempt 2")
	tab.Sees("Dead letter")
	tab.Sees("Ana of TestWebhookFailing")
	tab.Await(`document.querySelectorAll('[data-attempt]').length === 2 && /503[\s\S]* ms/.test(document.querySelector('[data-attempt="1"]').innerText)`)
	tab.Click(`[data-attempt="2"] summary`)
	tab.Await(`/X-Attempt: \d+/.test(document.querySelector('[data-attempt="2"]').innerText) && document.querySelector('[data-attempt="2"]').innerText.includes('upgrading')`)
	// Two attempts side by side: the number of the attempt differs, in a header and in the body; the status does not.
	tab.Await(`document.querySelector('#diff [data-changed=true] [role=rowheader]') && [...document.querySelectorAll('#diff [data-changed=true]')].some((r) => r.innerText.includes('x-attempt'))`)
	tab.Await(`document.querySelectorAll('#diff [data-line=a]').length === 1 && document.querySelectorAll('#diff [data-line=b]').length === 1 && document.querySelectorAll('#diff [data-line=both]').length > 1`)
	tab.Await(`[...document.querySelectorAll('#diff [data-changed=false]')].some((r) => r.innerText.includes('503'))`)
	tab.Choose("select[name=b]", "1")
	tab.Await(`document.querySelector('#diff').innerText.includes('No difference.') && location.search.includes('b=1')`)

	// Sent again while it still fails: the next attempt counts down; then the receiver is mended.
	tab.Click("text=Send again")
	tab.Await(`!!document.querySelector('[data-state=pending], [data-state=sending]') || document.querySelectorAll('[data-attempt]').length > 2`)
	receiver.answer(http.StatusOK)
	tab.Await(`!!document.querySelector('[data-state=succeeded]')`)

	// The rest of the outage is recovered at once.
	eventually(t, "the others to be over", func() error {
		var page struct{ Data []struct{ ID string } }
		must(t, "GET", "/v1/webhook-endpoints/"+id+"/deliveries?state=pending,sending", nil, &page)
		if len(page.Data) > 0 {
			return errNotYet
		}
		return nil
	})
	var dead struct{ Data []struct{ ID string } }
	must(t, "GET", "/v1/webhook-endpoints/"+id+"/deliveries?state=exhausted&limit=200", nil, &dead)
	if len(dead.Data) == 0 {
		t.Fatal("there is nothing to recover")
	}
	tab.Click(`a[href="/webhooks/` + id + `"]`)
	tab.Click("text=Recover")
	tab.Await(fmt.Sprintf(`document.querySelector('[data-count]').innerText.includes('%d in this time.')`, len(dead.Data)))
	tab.Click("#recover button[type=submit]")
	tab.Await(fmt.Sprintf(`document.querySelector('[data-replay=done]')?.innerText.includes('%d sent again')`, len(dead.Data)))
	eventually(t, "all texts at the receiver", func() error {
		var page struct{ Data []struct{ ID string } }
		must(t, "GET", "/v1/webhook-endpoints/"+id+"/deliveries?state=succeeded", nil, &page)
		if len(page.Data) != texts {
			return fmt.Errorf("%d of %d are delivered", len(page.Data), texts)
		}
		return nil
	})
	// The list has found out without an event that it is well again.
	list.Await(card(id) + `?.innerText.includes('Active')`)
}

// TestWebhookDisabled has an endpoint given up: the list says so, before those that are well, and why; enabled again it gets what was held.
func TestWebhookDisabled(t *testing.T) {
	t.Parallel()
	session := "webhook-disabled"
	own, ana := newSession(t, session), newPhone(t, "Ana of TestWebhookDisabled")
	receiver := newHook(t, http.StatusGone)
	id, _ := endpoint(t, receiver.URL+"/gone", session)
	tab := open(t, "/webhooks")
	tab.Await(card(id) + `?.innerText.includes('Active')`)
	writes(t, ana, own, "for nobody")
	tab.Await(card(id) + `?.innerText.includes('chasqui gave up on it.') && ` + card(id) + `.innerText.includes('410')`)
	tab.Await(`[...document.querySelectorAll('[data-endpoint]')].find((e) => e.innerText.includes('Active'))?.compareDocumentPosition(` + card(id) + `) !== Node.DOCUMENT_POSITION_FOLLOWING`)
	receiver.answer(http.StatusOK)
	tab.Click(`[data-endpoint="` + id + `"] a`)
	tab.Click("text=Enable again")
	tab.Sees("Send a test")
	eventually(t, "what was held", func() error {
		var page struct{ Data []struct{ ID string } }
		must(t, "GET", "/v1/webhook-endpoints/"+id+"/deliveries?state=succeeded", nil, &page)
		if len(page.Data) == 0 {
			return errNotYet
		}
		return nil
	})
}

// TestWebhookVerifier verifies what a receiver really got: before and after the secret is changed, with both secrets while both sign, and with each part of it wrong.
//
// Feature: Dashboard
func TestWebhookVerifier(t *testing.T) {
	t.Parallel()
	session := "webhook-verifier"
	own, ana := newSession(t, session), newPhone(t, "Ana of TestWebhookVerifier")
	receiver := newHook(t, http.StatusOK)
	id, before := endpoint(t, receiver.URL+"/signed", session)

	tab := open(t, "/webhooks/"+id)
	tab.Click("text=Change the secret")
	tab.Choose("select[name=overlap]", "1")
	tab.Click("dialog[open] button[type=submit]")
	tab.Await(`/^whsec_/.test(document.querySelector('dialog[open] [data-secret]')?.innerText)`)
	after := tab.Evaluate(`document.querySelector('dialog[open] [data-secret]').innerText`)
	tab.Press(kb.Escape)
	tab.Sees("An earlier secret signs too, until")
	if before == after {
		t.Fatal("the secret is the same")
	}

	writes(t, ana, own, "sign <this> & that")
	eventually(t, "the delivery", func() error {
		if len(receiver.all()) == 0 {
			return errNotYet
		}
		return nil
	})
	came := receiver.all()[0]
	webhookID, timestamp, signature := came.header.Get("webhook-id"), came.header.Get("webhook-timestamp"), came.header.Get("webhook-signature")
	if len(strings.Fields(signature)) != 2 {
		t.Fatalf("it was signed with %s", signature)
	}

	tab.Go(running.URL + "/webhooks/verify")
	tab.Fill("#key", running.APIKey)
	tab.Click("form button[type=submit]")
	tab.Sees("nothing is sent anywhere")
	tab.Sees("Live")
	quiet := len(tab.Requests())
	// The whole request as curl -v would show it.
	tab.Click("text=The whole request")
	tab.Fill("textarea[name=whole]", fmt.Sprintf("> POST /signed HTTP/1.1\n> Host: example.com\n> Webhook-Id: %s\n> Webhook-Timestamp: %s\n> Webhook-Signature: %s\n>\n%s\n", webhookID, timestamp, signature, came.body))
	tab.Click("text=Fill the fields")
	tab.Await(`document.querySelector('textarea[name=body]').value === ` + quote(came.body))
	verdict := func(field, text, want string) {
		t.Helper()
		tab.Fill(field, text)
		tab.Click("text=Verify")
		tab.Await(`document.querySelector('[data-verdict]')?.dataset.verdict === ` + quote(want))
	}
	verdict("input[name=secret]", after, "valid")
	tab.Sees("2 signatures, as after a change of the secret: number 1 is of this secret.")
	verdict("input[name=secret]", before, "valid")
	tab.Sees("2 signatures, as after a change of the secret: number 2 is of this secret.")
	verdict("textarea[name=body]", strings.Replace(came.body, "this", "that", 1), "differs")
	tab.Sees("The signature is of another body, or made with another secret.")
	verdict("textarea[name=body]", strings.Replace(came.body, `,"type"`, `, "type"`, 1), "whitespace")
	tab.Sees("white space was added or lost")
	verdict("textarea[name=body]", strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(came.body), "reformatted")
	verdict("textarea[name=body]", came.body, "valid")
	verdict("input[name=id]", "evt_another", "idChanged")
	verdict("input[name=id]", webhookID, "valid")
	verdict("input[name=timestamp]", timestamp+"000", "timestampMs")
	verdict("input[name=timestamp]", "yesterday", "timestampForm")
	verdict("input[name=timestamp]", timestamp, "valid")
	verdict("input[name=signature]", "sha256=abc", "signatureForm")
	verdict("input[name=signature]", signature, "valid")
	verdict("input[name=secret]", strings.TrimPrefix(before, "whsec_"), "secretForm")
	for _, request := range tab.Requests()[quiet:] {
		if !strings.HasPrefix(request, running.URL+"/v1/sessions") { // the frame's: other tests make and delete sessions meanwhile
			t.Errorf("while it verifies, the page asks for %s", request)
		}
	}
}

// TestInsecureContext has the dashboard at an address where a browser gives a page no WebCrypto and no clipboard: the verifier says so and what helps, and the rest works, down to the ids
// of requests and copying.
func TestInsecureContext(t *testing.T) {
	t.Parallel()
	tab := testbrowser.Open(t)
	tab.Go(strings.Replace(running.URL, "127.0.0.1", testbrowser.Untrusted, 1) + "/webhooks/verify")
	signIn(tab, running.APIKey)
	tab.Await(`!isSecureContext && !crypto.subtle && !crypto.randomUUID && !navigator.clipboard`)
	tab.Sees("the browser allows it only over https, or on localhost")
	tab.Await(`!document.querySelector('textarea[name=body], input[name=secret]')`)
	tab.Click("nav.rail a[href='/sessions']")
	tab.Click("#new-session")
	tab.Fill("input[name=id]", "made-insecurely")
	tab.Click("text=Create session")
	tab.Await(`location.pathname === '/sessions/made-insecurely'`)
	t.Cleanup(func() { testdev.Call(t, "DELETE", running.URL+"/v1/sessions/made-insecurely", nil, nil) })
	tab.Click("text=Scan with a simulated phone")
	tab.Sees("A phone is linked")
	tab.Run(`window.copied = ''; document.addEventListener('copy', () => (window.copied = document.activeElement.value))`)
	tab.Click("text=Copy")
	tab.Await(`window.copied.startsWith('curl ')`)
}

// TestWebhookReader has a key that may only read: it sees how an endpoint does, and nothing that it may not do.
func TestWebhookReader(t *testing.T) {
	t.Parallel()
	session := "webhook-reader"
	newSession(t, session)
	receiver := newHook(t, http.StatusOK)
	id, _ := endpoint(t, receiver.URL+"/read", session, "headers", map[string]string{"X-Token": "of-the-customer"})
	var key struct{ ID, Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "reader of TestWebhookReader", "scopes": []string{"read"}, "sessions": []string{session}}, &key)
	tab := openAs(t, key.Key, "/webhooks/"+id)
	tab.Sees("nothing waits")
	tab.Sees("X-Token")
	for _, text := range []string{"Send a test", "Recover", "More actions", "Show the secret", "Change the secret", "of-the-customer"} {
		if strings.Contains(tab.Evaluate(`document.querySelector('main').innerText + [...document.querySelectorAll('main [aria-label]')].map((e) => e.ariaLabel)`), text) {
			t.Errorf("a key that may only read sees %q", text)
		}
	}
	tab.Click("nav a[href='/webhooks']")
	tab.Await(`!!` + card(id))
	tab.SeesNot("New endpoint")
	tab.Go(running.URL + "/webhooks/new")
	tab.Fill("#key", key.Key)
	tab.Click("form button[type=submit]")
	tab.Sees("This key may not see this page")
}

// TestWebhooksOnAPhone reads and makes endpoints in Spanish on a phone: nothing is wider than the screen.
func TestWebhooksOnAPhone(t *testing.T) {
	t.Parallel()
	session := "webhook-phone"
	own, ana := newSession(t, session), newPhone(t, "Ana of TestWebhooksOnAPhone")
	receiver := newHook(t, http.StatusBadGateway)
	id, _ := endpoint(t, receiver.URL+"/a-rather-long-path/that-does-not-fit-into-one-line-of-a-phone", session, "retrySeconds", []int{1, 600})
	writes(t, ana, own, "hola")
	tab := testbrowser.Open(t)
	tab.Size(390, 844)
	tab.Go(running.URL + "/settings")
	tab.Evaluate(`localStorage.setItem('chasqui.language', 'es')`)
	tab.Evaluate(`sessionStorage.setItem('chasqui.key', ` + quote(running.APIKey) + `)`)
	fits := `document.scrollingElement.scrollWidth <= innerWidth && document.querySelector('main').scrollWidth <= innerWidth`
	tab.Go(running.URL + "/webhooks")
	tab.Await(`!!` + card(id))
	tab.Await(fits)
	tab.Click(`[data-endpoint="` + id + `"] a`)
	tab.Sees("Enviar una prueba")
	tab.Await(`!!document.querySelector('[data-delivery]')`)
	tab.Await(fits)
	tab.Click("[data-delivery]")
	tab.Await(`document.querySelectorAll('[data-attempt]').length === 2 && /dentro de/.test(document.querySelector('[data-next]').innerText)`)
	tab.Sees("Enviar de nuevo")
	tab.Await(fits)
	tab.Go(running.URL + "/webhooks/new")
	tab.Sees("Nuevo destino de webhooks")
	tab.Fill("input[name=url]", "http://169.254.169.254/latest")
	tab.Click("text=Crear")
	tab.Await(`document.querySelector('input[name=url]').getAttribute('aria-invalid') === 'true'`)
	tab.Await(fits)
	tab.Go(running.URL + "/webhooks/verify")
	tab.Sees("no se envía nada a ningún lado")
	tab.Await(fits)
}

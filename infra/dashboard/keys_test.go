package dashboard

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/testbrowser"
	"github.com/chasqui/chasqui/infra/testdev"
)

// statusWith is what the API answers to a key.
func statusWith(t *testing.T, key, method, path string, in any) int {
	t.Helper()
	status, _ := testdev.Call(t, method, running.URL+path, in, nil, "X-API-Key", key)
	return status
}

// TestKeys makes a key in the page, which works at the API as far as it was given and no further; changes it, rotates it with both valid for a while, and deletes it.
//
// Feature: Dashboard
func TestKeys(t *testing.T) {
	t.Parallel()
	newSession(t, "keys-page")
	tab := open(t, "/keys")
	tab.Click("text=New key")
	tab.Fill("dialog[open] input[name=name]", "CRM of TestKeys")
	tab.Click("dialog[open] input[value=send]") // not any more
	tab.Click("dialog[open] input[name=which][value=true]")
	tab.Click("dialog[open] input[value=keys-page]")
	tab.Choose("dialog[open] select[name=expiry]", "30")
	tab.Fill("dialog[open] textarea[name=networks]", "999.1.1.1")
	tab.Click("dialog[open] button[type=submit]")
	tab.Await(`!!document.querySelector('dialog[open] [role=alert] a[href="/problems/validation_failed"]') && !document.querySelector('#new-key')`) // a refusal, beside the form
	tab.Fill("dialog[open] textarea[name=networks]", "127.0.0.0/8")
	tab.Click("dialog[open] button[type=submit]")
	first := newKey(tab)
	if status := statusWith(t, first, "GET", "/v1/sessions/keys-page", nil); status != http.StatusOK {
		t.Errorf("the key that was shown opens its session with %d", status)
	}
	if status := statusWith(t, first, "GET", "/v1/sessions/demo", nil); status != http.StatusNotFound {
		t.Errorf("it opens another session with %d", status)
	}
	if status := statusWith(t, first, "POST", "/v1/sessions/keys-page/messages", map[string]any{"to": "5491155550101", "content": map[string]string{"type": "text", "text": "no"}}); status != http.StatusForbidden {
		t.Errorf("it sends with %d, and may only read", status)
	}
	tab.Click("text=I have it")
	tab.Await(`!document.documentElement.innerHTML.includes(` + quote(first) + `)`)
	tab.Sees("CRM of TestKeys")

	tab.Click("text=What can be done with CRM of TestKeys")
	tab.Click("text=Change")
	tab.Click("dialog[open] input[value=send]")
	tab.Click("dialog[open] button[type=submit]")
	tab.Await(`!document.querySelector('dialog[open]')`)
	if status := statusWith(t, first, "POST", "/v1/sessions/keys-page/messages", map[string]any{"to": newPhone(t, "Friend of keys-page"), "content": map[string]string{"type": "text", "text": "yes"}}); status != http.StatusAccepted {
		t.Errorf("after the change it sends with %d", status)
	}
	var kept struct {
		Data []struct {
			ID, Name, ExpiresAt string
			Scopes, Sessions    []string
		}
	}
	must(t, "GET", "/v1/api-keys?limit=200", nil, &kept)
	id := ""
	for _, k := range kept.Data {
		if k.Name == "CRM of TestKeys" {
			id = k.ID
			if k.ExpiresAt == "" || strings.Join(k.Sessions, " ") != "keys-page" || len(k.Scopes) != 2 {
				t.Errorf("after the change it is %+v", k)
			}
		}
	}

	tab.Click("text=What can be done with CRM of TestKeys")
	tab.Click("text=Rotate")
	tab.Choose("dialog[open] select[name=overlap]", "3600")
	tab.Click("dialog[open] button[type=submit]")
	second := newKey(tab)
	for _, key := range []string{first, second} {
		if status := statusWith(t, key, "GET", "/v1/me", nil); status != http.StatusOK {
			t.Errorf("of the two keys one is answered %d", status)
		}
	}
	tab.Click("text=I have it")
	tab.Sees("The one before is valid until")

	// Who did it stands in the audit log, which the menu leads to.
	tab.Click("text=What can be done with CRM of TestKeys")
	tab.Click("text=What it did")
	tab.Await(`location.pathname + location.search === '/audit?key=` + id + `'`)
	tab.Sees("/v1/sessions/keys-page/messages")
	tab.Evaluate(`history.back()`)

	tab.Size(390, 844)
	tab.Click("text=What can be done with CRM of TestKeys")
	tab.Click("text=Delete")
	fits(t, tab)
	tab.Click("dialog[open] button[type=submit]")
	tab.SeesNot("CRM of TestKeys")
	for _, key := range []string{first, second} {
		if status := statusWith(t, key, "GET", "/v1/me", nil); status != http.StatusUnauthorized {
			t.Errorf("a key that was deleted is answered %d", status)
		}
	}
}

// newKey is the key that the page shows this once.
func newKey(tab *testbrowser.Tab) string {
	tab.Await(`document.querySelector('dialog[open] #new-key')?.innerText.startsWith('ck_')`)
	return strings.TrimSpace(tab.Evaluate(`document.querySelector('#new-key').innerText`))
}

package dashboard

import (
	"testing"

	"github.com/chasqui/chasqui/infra/testbrowser"
)

// TestSignIn signs in with a wrong key, a link's token and the right one: the key is in no URL and outlives a reload only where that was asked for, a key that is deleted signs out,
// and what a key may not do is not shown.
func TestSignIn(t *testing.T) {
	t.Parallel()
	tab := testbrowser.Open(t)
	tab.Go(running.URL + "/")
	tab.Fill("#key", "wrong")
	tab.Click("text=Sign in")
	tab.Sees("This key is not valid.")
	tab.Fill("#key", "cl_token")
	tab.Click("text=Sign in")
	tab.Sees("This is a link for linking a session")
	tab.Fill("#key", running.APIKey)
	tab.Click("text=Sign in")
	tab.Sees("Overview")
	tab.Sees("Live")
	tab.Sees("Audit log")

	tab.Go(running.URL + "/sessions")
	tab.Await(`!!document.querySelector('#key')`) // the key was kept in memory alone

	var key struct{ ID, Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "reader of TestSignIn", "scopes": []string{"read"}}, &key)
	tab.Fill("#key", key.Key)
	tab.Click("input[name=remember]")
	tab.Click("text=Sign in")
	tab.Sees("Sessions")
	tab.SeesNot("Audit log")
	tab.Go(running.URL + "/keys")
	tab.Sees("This key may not see this page")
	tab.Go(running.URL + "/nowhere-else")
	tab.Sees("not_found") // the API's answer: the dashboard has no such page
	tab.Go(running.URL + "/sessions")
	tab.Sees("Live")
	must(t, "DELETE", "/v1/api-keys/"+key.ID, nil, nil)
	tab.Sees("The key that you signed in with is not valid any more.")
	if kept := tab.Evaluate(`JSON.stringify(sessionStorage) + JSON.stringify(localStorage) + document.cookie`); kept != "{}{}" {
		t.Errorf("after signing out the browser keeps %s", kept)
	}
	for _, request := range tab.Requests() {
		if contains(request, running.APIKey, key.Key) {
			t.Errorf("a key stands in the URL %s", request)
		}
	}
}

package dashboard

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/chasqui/chasqui/infra/testdev"
)

// TestAudit does things with two keys: the log says who did what, its filters stand in the address, a page leads to the next, and a phone reads it.
func TestAudit(t *testing.T) {
	t.Parallel()
	must(t, "POST", "/v1/sessions", map[string]any{"id": "audited", "start": false}, nil)
	t.Cleanup(func() { testdev.Call(t, "DELETE", running.URL+"/v1/sessions/audited", nil, nil) })
	var key struct{ ID, Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "Clerk of TestAudit", "scopes": []string{"manage", "read"}}, &key)
	for i := range 55 { // more than a page
		if status := statusWith(t, key.Key, "PATCH", "/v1/sessions/audited", map[string]string{"name": "Audited " + strconv.Itoa(i)}); status != http.StatusOK {
			t.Fatalf("a change is answered %d", status)
		}
	}
	if status := statusWith(t, key.Key, "POST", "/v1/api-keys", map[string]any{"name": "no", "scopes": []string{"read"}}); status != http.StatusForbidden {
		t.Fatalf("a refusal is answered %d", status)
	}

	must(t, "POST", "/v1/sessions/audited/stop", nil, nil)

	tab := open(t, "/audit")
	tab.Choose("select[name=key]", key.ID)
	tab.Await(`location.search === '?key=` + key.ID + `' && document.querySelectorAll('tbody tr').length === 50`)
	tab.Await(`[...document.querySelectorAll('tbody tr')].every((r) => r.innerText.includes('Clerk of TestAudit') && r.innerText.includes('/v1/sessions/audited'))`)
	tab.Click("text=Load more")
	tab.Await(`document.querySelectorAll('tbody tr').length === 55 && !document.body.innerText.includes('Load more')`) // what was refused is not in it

	tab.Click("text=Clear filters")
	tab.Fill("input[name=session]", "audited")
	tab.Fill("input[name=operation]", "stop-session")
	tab.Press("\r")
	tab.Await(`new URLSearchParams(location.search).get('session') === 'audited' && new URLSearchParams(location.search).get('operation') === 'stop-session'`)
	tab.Await(`document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody tr').innerText.includes('API_KEY')`)
	tab.Size(390, 844)
	fits(t, tab)
	tab.Sees("stop-session")

	tab.Go(running.URL + "/audit?operation=nothing-is-called-so")
	signIn(tab, running.APIKey)
	tab.Sees("Nothing matches these filters.")
	tab.Click("text=Clear filters")
	tab.SeesNot("Nothing matches these filters.")
}

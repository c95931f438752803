package dashboard

import (
	"fmt"
	"testing"
)

// TestSettings changes how the page looks, speaks and listens to keys, and reads what the server runs by: no secret, each with what it does.
func TestSettings(t *testing.T) {
	t.Parallel()
	tab := open(t, "/settings")
	tab.Prefers("prefers-color-scheme", "light")
	background := func() string { return tab.Evaluate(`getComputedStyle(document.body).backgroundColor`) }
	tab.Await(`getComputedStyle(document.body).backgroundColor === 'rgb(246, 245, 242)'`)
	tab.Click("input[name=theme][value=dark]")
	if got := background(); got != "rgb(19, 18, 16)" {
		t.Errorf("dark is %s", got)
	}
	tab.Sees("simulated (sandbox)")

	var settings struct {
		Data []struct {
			Name, Value, Description string
			Secret                   bool
		}
	}
	must(t, "GET", "/v1/settings", nil, &settings)
	tab.Await(fmt.Sprintf(`document.querySelectorAll('tbody tr').length === %d`, len(settings.Data)))
	if tab.Evaluate(`document.body.innerText.includes(`+quote(running.APIKey)+`)`) != "false" {
		t.Error("the page shows the owner's key")
	}
	tab.Fill("input[name=q]", "RATE_LIMIT")
	tab.Await(`new URLSearchParams(location.search).get('q') === 'RATE_LIMIT' && !!document.querySelector('[data-row=RATE_LIMIT]') && !document.querySelector('[data-row=PORT]')`)
	tab.Await(`document.querySelector('[data-row=RATE_LIMIT]').innerText.includes('12000') && document.querySelector('[data-row=RATE_LIMIT]').innerText.includes('Requests that one key may make')`)
	tab.Fill("input[name=q]", "no setting is called so")
	tab.Sees("Nothing matches these filters.")
	tab.Click("text=Clear filters")
	tab.Click("input[name=set]")
	tab.Await(`!document.querySelector('[data-row=RATE_LIMIT]') && !!document.querySelector('[data-row=PORT]')`)

	tab.Evaluate(`document.activeElement.blur()`)
	tab.Press("/")
	tab.Await(`document.activeElement.name === 'q'`)
	tab.Click("input[name=shortcuts]")
	tab.Evaluate(`document.activeElement.blur()`)
	tab.Press("g")
	tab.Press("w")
	tab.Click("input[name=shortcuts]")
	tab.Await(`location.pathname === '/settings'`)
	tab.Click("input[name=shortcuts]")

	tab.Click("text=Español")
	tab.Sees("Este navegador")
	tab.Sees("Ajustes vigentes")
	tab.Size(390, 844)
	fits(t, tab)

	tab.Go(running.URL + "/settings") // all of it is kept
	tab.Await(`document.documentElement.lang === 'es' && getComputedStyle(document.body).backgroundColor === 'rgb(19, 18, 16)'`)
	signIn(tab, running.APIKey)
	tab.Await(`document.querySelector('input[name=shortcuts]').checked === false`)

	var key struct{ Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": "reader of TestSettings", "scopes": []string{"read"}}, &key)
	reader := openAs(t, key.Key, "/settings")
	reader.Sees("This browser")
	reader.Await(`!!document.querySelector('#version')?.innerText && !document.body.innerText.includes('Settings in force')`)
}

package dashboard

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/testbrowser"
	"github.com/chasqui/chasqui/infra/testdev"
	"github.com/chasqui/chasqui/infra/testnode"
)

// sources is where the dashboard is built, and where npm puts axe-core.
const sources = "../../api/dashboard/ui"

// axe is axe-core, which finds what of WCAG a program can find.
var axe = sync.OnceValues(func() (string, error) {
	source, err := os.ReadFile(filepath.Join(sources, "node_modules/axe-core/axe.min.js"))
	return string(source), err
})

// shop is what the pages show in TestPages: a business with some history.
type shop struct {
	session, chat, group, event, endpoint, delivery, link string
}

// past gives the plots an hour to show; the figures of dev's own minutes are left alone.
func past(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), running.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), `INSERT INTO stats_minutes (minute, received, sent, failed, delivered, undelivered, latency, lag_commands, lag_events, lag_media, lag_deliveries, sessions)
		SELECT date_trunc('minute', now()) - n * interval '1 minute', 60 + 25 * sin(n / 7.0) + n % 5, 45 + 20 * cos(n / 9.0) + n % 7, n % 13 / 12, 180 + n, n % 11 / 9,
		       ARRAY[0, 0, 40 + n, 90, 30 + n % 9, 10 + n % 5, 2, n % 3 / 2]::bigint[], 0.05 + 0.04 * sin(n / 5.0) + CASE WHEN n BETWEEN 20 AND 24 THEN 0.6 ELSE 0 END, 0.02, 0, 0.1 + 0.05 * cos(n / 6.0),
		       jsonb_build_object('connected', CASE WHEN n BETWEEN 20 AND 24 THEN 3 ELSE 5 END, 'reconnecting', CASE WHEN n BETWEEN 20 AND 24 THEN 2 ELSE 0 END, 'stopped', 1)
		  FROM generate_series(5, 60) AS n ON CONFLICT DO NOTHING`); err != nil {
		t.Fatal(err)
	}
}

// furnish makes one.
func furnish(t *testing.T) (s shop) {
	t.Helper()
	if os.Getenv("CHASQUI_SCREENSHOTS") != "" {
		past(t) // which other tests of the plots would stumble over
	}
	for name, scopes := range map[string][]string{"CRM": {"read", "send"}, "Tablero del depósito": {"read"}} {
		must(t, "POST", "/v1/api-keys", map[string]any{"name": name, "scopes": scopes}, nil)
	}
	s.session = "ventas-pe"
	own := newSession(t, s.session)
	must(t, "PATCH", "/v1/sessions/"+s.session, map[string]any{"name": "Ventas Perú"}, nil)
	must(t, "POST", "/v1/sessions", map[string]any{"id": "soporte", "name": "Soporte"}, nil)
	must(t, "GET", "/v1/sessions/soporte/qr?wait=30", nil, nil)
	must(t, "POST", "/v1/sessions", map[string]any{"id": "cobranzas", "name": "Cobranzas", "start": false}, nil)
	gone := newSession(t, "ventas-cl")
	sandbox(t, "DELETE", "/phones/"+gone+"/devices", nil, nil)

	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"the database is being upgraded"}`, http.StatusServiceUnavailable)
	}))
	t.Cleanup(failing.Close)
	good := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(good.Close)
	var endpoint struct{ ID string }
	must(t, "POST", "/v1/webhook-endpoints", map[string]any{"url": good.URL + "/crm", "sessions": []string{s.session}}, nil)
	must(t, "POST", "/v1/webhook-endpoints", map[string]any{"url": failing.URL + "/warehouse", "sessions": []string{s.session}}, &endpoint)
	s.endpoint = endpoint.ID

	people := []struct{ name, text, answer string }{
		{"Ana Quispe", "Hola, ¿llegó mi pedido?", "¡Sí, Ana! Sale hoy por la tarde."},
		{"Bruno Díaz", "Buenas, ¿tienen stock del poncho azul?", "Quedan tres, talla M."},
		{"Carla Rojas", "Gracias 🙌", ""},
		{"Diego Mamani", "¿A qué hora cierran hoy?", "A las 20:00."},
		{"Elena Torres", "Les mando el comprobante", ""},
	}
	numbers := make([]string, len(people))
	for i, p := range people {
		numbers[i] = newPhone(t, p.name)
		sandbox(t, "POST", "/phones/"+numbers[i]+"/messages", map[string]any{"to": own, "type": "text", "text": p.text}, nil)
		heard(t, s.session, numbers[i], 1)
		if p.answer != "" {
			must(t, "POST", "/v1/sessions/"+s.session+"/messages", map[string]any{"to": numbers[i], "content": map[string]string{"type": "text", "text": p.answer}}, nil, "Prefer", "wait=20")
		}
	}
	picture, err := os.ReadFile("testdata/blanket.png")
	if err != nil {
		t.Fatal(err)
	}
	ana := numbers[0]
	s.chat = ana + "@s.whatsapp.net"
	sandbox(t, "POST", "/phones/"+ana+"/messages", map[string]any{"to": own, "type": "image", "mimetype": "image/png", "data": base64.StdEncoding.EncodeToString(picture), "caption": "Es esta manta", "width": 320, "height": 240}, nil)
	heard(t, s.session, ana, 3)
	for _, content := range []map[string]any{
		{"type": "location", "location": map[string]any{"latitude": -12.0464, "longitude": -77.0428, "name": "Tienda del centro", "address": "Jr. de la Unión 300, Lima"}},
		{"type": "poll", "poll": map[string]any{"question": "¿Cuándo te la llevamos?", "options": []string{"Hoy", "Mañana"}, "selectableCount": 1}},
		{"type": "contacts", "contacts": []map[string]any{{"name": "Reparto", "phones": []string{"5491170009999"}}}},
	} {
		must(t, "POST", "/v1/sessions/"+s.session+"/messages", map[string]any{"to": ana, "content": content}, nil, "Prefer", "wait=20")
	}
	sandbox(t, "POST", "/phones/"+ana+"/read", map[string]string{"from": own}, nil)
	sandbox(t, "POST", "/phones/"+ana+"/messages", map[string]any{"to": own, "type": "text", "text": "Mañana mejor, *gracias*"}, nil)
	heard(t, s.session, ana, 7)
	var group struct{ ID string }
	must(t, "POST", "/v1/sessions/"+s.session+"/groups", map[string]any{"name": "Equipo de ventas", "participants": numbers[1:4]}, &group, "Prefer", "wait=20")
	s.group = group.ID

	// What a failing endpoint has been told, and the newest event.
	eventually(t, "an attempt that failed", func() error {
		var deliveries struct {
			Data []struct{ ID, EventID, LastClass string }
		}
		must(t, "GET", "/v1/webhook-endpoints/"+s.endpoint+"/deliveries", nil, &deliveries)
		for _, d := range deliveries.Data {
			if d.LastClass != "" {
				s.delivery, s.event = d.ID, d.EventID
				return nil
			}
		}
		return errNotYet
	})
	var link struct{ Token string }
	must(t, "POST", "/v1/sessions/soporte/links", map[string]any{}, &link)
	s.link = link.Token
	return s
}

// heard waits until a chat has so many messages, so that they stand in their order.
func heard(t *testing.T, session, number string, messages int) {
	t.Helper()
	eventually(t, "a message", func() error {
		var page struct{ Data []json.RawMessage }
		testdev.Call(t, "GET", running.URL+"/v1/sessions/"+session+"/chats/"+number+"/messages", nil, &page) // there is none before the first
		if len(page.Data) < messages {
			return errNotYet
		}
		return nil
	})
}

// TestPages opens every page, on a desk and on a phone, light and dark: axe-core finds no serious fault, nothing is wider than the screen, no heading is missing, and no
// request leaves this server. With CHASQUI_SCREENSHOTS it writes what it sees into that folder (make screenshots).
//
// Feature: Dashboard
func TestPages(t *testing.T) {
	t.Parallel()
	testnode.Install(t, sources)
	s := furnish(t)
	session := "/sessions/" + s.session
	for _, page := range []struct{ name, path string }{
		{"sign-in", ""}, {"overview", "/"}, {"sessions", "/sessions"}, {"session-link", "/sessions/soporte?tab=link"}, {"session-connected", session}, {"session-settings", session + "?tab=settings"},
		{"session-log", session + "?tab=log"}, {"session-health", session + "?tab=health"}, {"chats", "/chats/" + s.session}, {"chat", "/chats/" + s.session + "/" + s.chat}, {"events", "/events"},
		{"event", "/events/" + s.event}, {"webhooks", "/webhooks"}, {"webhook", "/webhooks/" + s.endpoint}, {"deliveries", "/webhooks/deliveries"}, {"delivery", "/webhooks/deliveries/" + s.delivery},
		{"verify", "/webhooks/verify"}, {"media", "/media"}, {"keys", "/keys"}, {"audit", "/audit"}, {"settings", "/settings"}, {"welcome", "/welcome"}, {"link", "/link/" + s.link}, {"docs", "/docs"},
	} {
		t.Run(page.name, func(t *testing.T) {
			t.Parallel()
			tab := testbrowser.Open(t)
			tab.Size(1440, 900)
			tab.Go(running.URL + "/settings")
			if page.path != "" {
				tab.Await(`!!document.querySelector('#key')`)
				tab.Evaluate(`sessionStorage.setItem('chasqui.key', ` + quote(running.APIKey) + `)`)
				tab.Go(running.URL + page.path)
			}
			tab.Await(`!!document.querySelector('h1')?.checkVisibility() && !document.querySelector('[aria-busy=true]') && [...document.images].every((i) => i.complete)`)
			// What a page loads last, plots and pictures: nothing is asked for and nothing grows for half a second.
			tab.Await(`(() => {
				const now = performance.getEntriesByType('resource').length + ' ' + document.querySelectorAll('canvas, img').length;
				if (window.__seen !== now) [window.__seen, window.__since] = [now, performance.now()];
				return performance.now() - window.__since > 500;
			})()`)
			for _, size := range [][2]int64{{1440, 900}, {390, 844}} {
				tab.Size(size[0], size[1])
				for _, theme := range []string{"light", "dark"} {
					tab.Prefers("prefers-color-scheme", theme)
					tab.Await(`document.fonts.status === 'loaded'`)
					look(t, tab, page.name, size[0], theme)
				}
			}
			for _, request := range tab.Requests() {
				if !strings.HasPrefix(request, running.URL+"/") && !strings.HasPrefix(request, "data:") && !strings.HasPrefix(request, "blob:") {
					t.Errorf("the page asks for %s", request)
				}
			}
		})
	}
}

// look holds what a tab shows against the rules, and keeps its picture where that is wanted.
func look(t *testing.T, tab *testbrowser.Tab, name string, width int64, theme string) {
	t.Helper()
	file := name + "-" + map[int64]string{1440: "desk", 390: "phone"}[width] + "-" + theme + ".png"
	if dir := os.Getenv("CHASQUI_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, file), tab.PNG(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if wide := tab.Evaluate(`document.scrollingElement.scrollWidth - innerWidth`); strings.TrimPrefix(wide, "-") == wide && wide != "0" {
		t.Errorf("%s: it is %s px wider than the screen", file, wide)
	}
	for _, fault := range faults(t, tab) {
		t.Errorf("%s: %s", file, fault)
	}
}

// faults are what axe-core finds wrong with the page, where it is serious.
func faults(t *testing.T, tab *testbrowser.Tab) (serious []string) {
	t.Helper()
	source, err := axe()
	if err != nil {
		t.Fatal(err)
	}
	if tab.Evaluate(`typeof axe`) == "undefined" {
		tab.Run(source)
	}
	var found []struct {
		ID, Impact, Help string
		Nodes            []struct{ HTML, FailureSummary string }
	}
	rules := `{resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}`
	if err := json.Unmarshal([]byte(tab.EvaluatePromise(`axe.run(document, `+rules+`).then((r) => JSON.stringify(r.violations))`)), &found); err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.Impact == "serious" || f.Impact == "critical" {
			serious = append(serious, fmt.Sprintf("%s: %s: %s\n%s", f.ID, f.Help, f.Nodes[0].HTML, f.Nodes[0].FailureSummary))
		}
	}
	return serious
}

// TestFaultsAreFound makes sure that TestPages would notice: a pale text and a button without a name are put into a page.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	testnode.Install(t, sources)
	tab := testbrowser.Open(t)
	tab.Go(running.URL + "/")
	tab.Await(`!!document.querySelector('#key')`)
	if found := faults(t, tab); len(found) > 0 {
		t.Fatalf("faults before there are any: %q", found)
	}
	tab.Evaluate(`(document.querySelector('h1').style.color = 'silver', document.querySelector('main').append(document.createElement('button')))`)
	if found := strings.Join(faults(t, tab), " "); !contains(found, "color-contrast") || !contains(found, "button-name") {
		t.Errorf("of a pale text and a button without a name it finds %q", found)
	}
}

// quote is a text as JavaScript.
func quote(text string) string {
	raw, _ := json.Marshal(text) // text always encodes
	return string(raw)
}

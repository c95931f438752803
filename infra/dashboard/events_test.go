package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/testbrowser"
)

// writes has a simulated phone write a text to another.
func writes(t *testing.T, from, to, text string) {
	t.Helper()
	sandbox(t, "POST", "/phones/"+from+"/messages", map[string]string{"to": to, "type": "text", "text": text}, nil)
}

// row is the monitor's row of an event whose summary has a text, as JavaScript.
func row(text string) string {
	return `[...document.querySelectorAll('[role=listitem] a')].find((a) => a.innerText.includes(` + quote(text) + `))`
}

// TestEventMonitor sees a message come in, filters it away and back by the address, looks at it and at its delivery, and finds no key in its curl line.
//
// Feature: Dashboard
func TestEventMonitor(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	session := "event-monitor"
	own, ana := newSession(t, session), newPhone(t, "Ana of TestEventMonitor")
	var endpoint struct{ ID string }
	must(t, "POST", "/v1/webhook-endpoints", map[string]any{"url": receiver.URL + "/monitor", "sessions": []string{session}, "events": []string{"message.received"}}, &endpoint)

	tab := open(t, "/events?session="+session)
	tab.Sees("Live")
	writes(t, ana, own, "Is it open today?")
	tab.Await(`!!` + row("Ana of TestEventMonitor: “Is it open today?”"))
	tab.Await(`/\d events\/s/.test(document.querySelector('[data-rate]').innerText)`)

	// Types are chosen in families; what the choice leaves out is gone, and the address says so.
	tab.Click("#types")
	tab.Click(`dialog input[value="group.*"]`)
	tab.Click("text=Apply")
	tab.Sees("Nothing matches these filters.")
	tab.Await(`new URLSearchParams(location.search).get('type') === 'group.*'`)
	tab.Click("main button.quiet")
	tab.Await(`!location.search`)
	tab.Fill("input[type=search]", "open today")
	tab.Await(`new URLSearchParams(location.search).get('q') === 'open today' && document.querySelectorAll('[role=listitem]').length > 0`)
	tab.Choose("#direction", "outgoing")
	tab.Sees("Nothing matches these filters.")
	tab.Choose("#direction", "incoming")
	tab.Choose("#kind", "group")
	tab.Sees("Nothing matches these filters.")
	tab.Choose("#kind", "user")

	// The inspector: JSON, its delivery, the request that reads it, and WhatsApp's own form.
	tab.Await(`!!` + row("open today"))
	tab.Click(`[data-type="message.received"]`)
	tab.Await(`location.pathname.startsWith('/events/evt_')`)
	tab.Await(`document.querySelector('#event-json')?.innerText.includes('"text": "Is it open today?"')`)
	tab.Sees("Delivered")
	tab.Sees(receiver.URL + "/monitor")
	id := strings.TrimPrefix(tab.Evaluate(`location.pathname`), "/events/")
	if line := tab.Evaluate(`document.querySelector('#event-curl pre').innerText`); !strings.Contains(line, "/v1/events/"+id) || !strings.Contains(line, "$CHASQUI_KEY") || strings.Contains(line, running.APIKey) {
		t.Errorf("the curl line is %s", line)
	}
	tab.Click("text=Show it")
	tab.Await(`document.querySelector('#event-raw pre')?.innerText.includes('Is it open today?')`)

	tab.Press("y")
	tab.Await(`[...document.querySelectorAll('[aria-live=polite]')].some((e) => e.innerText === 'Copied')`)

	// By its address alone, in another tab that has never heard of it; and one that is not there.
	again := open(t, "/events/"+id)
	again.Sees("Ana of TestEventMonitor: “Is it open today?”")
	again.Click(`[data-event] a[href^="/webhooks/deliveries/"]`)
	again.Await(`document.querySelector('[data-state=succeeded]') && location.pathname.startsWith('/webhooks/deliveries/dlv_')`)
	gone := open(t, "/events/evt_01932f0c5d6b7a10b1f4d0c4a8e2f001")
	gone.Sees("It is no longer kept, or belongs to a session that this key does not see.")
	gone.Click("text=All events")
	gone.Await(`location.pathname === '/events' && !document.querySelector('[data-event]') && document.querySelectorAll('[role=listitem]').length > 0`) // what happened last
	tab.Press(kb.Escape)
	tab.Await(`location.pathname === '/events' && !document.querySelector('[data-event]')`)
}

// TestEventMonitorPauses holds the list by Space and by reading it, counts what comes, and shows all of it afterwards.
func TestEventMonitorPauses(t *testing.T) {
	t.Parallel()
	session := "event-pause"
	own, ana := newSession(t, session), newPhone(t, "Ana of TestEventMonitorPauses")
	tab := open(t, "/events?session="+session+"&type=message.received")
	tab.Sees("Live")
	writes(t, ana, own, "before")
	tab.Await(`!!` + row("before"))
	tab.Press(" ")
	tab.Sees("Resume")
	for i := range 3 {
		writes(t, ana, own, fmt.Sprintf("while paused %d", i+1))
	}
	tab.Await(`document.querySelector('[data-new]')?.innerText === '3 new'`)
	if shown := tab.Evaluate(`document.querySelectorAll('[role=listitem]').length`); shown != "1" {
		t.Errorf("while it is paused it shows %s rows", shown)
	}
	tab.Press(" ")
	tab.Await(`document.querySelectorAll('[role=listitem]').length === 4 && !document.querySelector('[data-new]')`)
	if first := tab.Evaluate(`document.querySelector('[aria-posinset="1"]').innerText`); !strings.Contains(first, "while paused 3") {
		t.Errorf("the first row is %s", first)
	}
	// Who walks through the list by keys is not disturbed either.
	tab.Press("j")
	tab.Press("j")
	tab.Await(`document.activeElement.innerText.includes('while paused 2')`)
	writes(t, ana, own, "while reading")
	tab.Sees("Show 1 new")
	tab.Await(`document.activeElement.innerText.includes('while paused 2')`)
	tab.Click("text=Show 1 new")
	tab.Await(`document.querySelector('[aria-posinset="1"]').innerText.includes('while reading')`)
}

// TestEventMonitorBurst puts 10,000 events into the log at some 2,000 a second: the page stays usable, keeps the newest 2,000, and has no more than 60 rows. It runs alone,
// because it measures.
func TestEventMonitorBurst(t *testing.T) {
	const all, a = 10000, 400
	tab := open(t, "/events?session=event-burst")
	tab.Size(1440, 900)
	tab.Sees("Live")
	tab.Evaluate(`(() => {
		window.__busy = [];
		new PerformanceObserver((list) => list.getEntries().forEach((e) => window.__busy.push([e.startTime, e.duration]))).observe({type: 'longtask', buffered: true});
		window.__rows = 0;
		new MutationObserver(() => { window.__rows = Math.max(window.__rows, document.querySelectorAll('[role=listitem]').length); }).observe(document.body, {childList: true, subtree: true});
		window.__from = performance.now();
		return 0;
	})()`)
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, running.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	ticker := time.NewTicker(a * time.Second / 2000)
	defer ticker.Stop()
	for n := 0; n < all; n += a {
		burst := make([]events.Event, a)
		for i := range burst {
			burst[i] = saying("event-burst", fmt.Sprintf("burst %d", n+i+1))
		}
		logEvents(t, conn, burst)
		<-ticker.C
	}
	tab.Await(`!!` + row(fmt.Sprintf("“burst %d”", all)))
	tab.Sees("2,000 events")
	worst, err := strconv.ParseFloat(tab.Evaluate(`(() => {
		let worst = 0;
		const entries = window.__busy.filter(([at]) => at >= window.__from);
		for (const [from] of entries) worst = Math.max(worst, entries.filter(([at]) => at >= from && at < from + 5000).reduce((sum, [, ms]) => sum + ms, 0));
		return worst;
	})()`), 64)
	if err != nil {
		t.Fatal(err)
	}
	rows := tab.Evaluate(`window.__rows`)
	t.Logf("%d events: long tasks take at most %.0f ms of 5 s, %s rows at most", all, worst, rows)
	if n, err := strconv.Atoi(rows); err != nil || n > 60 || n == 0 {
		t.Errorf("it has had %s rows in the page", rows)
	}
	if worst > 600 {
		t.Errorf("long tasks took %.0f ms of 5 s", worst)
	}
}

// saying is the event of a message that says something.
func saying(session, text string) events.Event {
	address := events.NewAddress("5491170000001@s.whatsapp.net", "5491170000001", "", "Ana")
	return events.Event{Type: events.MessageReceived, Timestamp: time.Now().UTC(), SessionID: session, Data: events.MessageData{Message: events.Message{
		ID: events.MessagePrefix.Format(events.NewID()), WhatsAppID: "3EB0", SessionID: session, ChatID: address.ID, Direction: events.Incoming, From: address, To: address,
		Status: events.StatusDelivered, Content: events.Content{Type: events.ContentText, Text: text}, Timestamp: time.Now().UTC(),
	}}}
}

// logEvents puts events into the log as the dispatcher does, in one transaction under the sequencer's lock, and wakes the streams.
func logEvents(t *testing.T, conn *pgx.Conn, list []events.Event) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", events.SequencerLock); err != nil {
			return err
		}
		ids, types, sessions, bodies := make([]uuid.UUID, len(list)), make([]string, len(list)), make([]string, len(list)), make([][]byte, len(list))
		for i, e := range list {
			ids[i], types[i], sessions[i] = events.NewID(), string(e.Type), e.SessionID
			e.ID = events.EventPrefix.Format(ids[i])
			var err error
			if bodies[i], err = json.Marshal(e); err != nil {
				return err
			}
		}
		_, err := tx.Exec(t.Context(), `INSERT INTO events (seq, id, session_id, type, occurred_at, body) SELECT nextval('events_seq'), e.id, e.session, e.type, now(), e.body
			FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS e(id, type, session, body, n) ORDER BY e.n`, ids, types, sessions, bodies)
		if err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), "SELECT pg_notify('chasqui_"+events.WakeLog+"', '')")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEventSummaries has one of each form of event that there is (those of events/testdata): in both languages each is told in words of its own, and one of a type
// that the page does not know by its name.
func TestEventSummaries(t *testing.T) {
	t.Parallel()
	session := "event-summaries"
	files, err := filepath.Glob("../../events/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all := []events.Event{{Type: "moon.risen", Timestamp: time.Now().UTC(), SessionID: session, Data: map[string]string{}}}
	seen := map[events.Type]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var e events.Event
		if json.Unmarshal(raw, &e) != nil || e.Type == "" {
			continue // the original's form
		}
		e.SessionID = session
		all, seen[e.Type] = append(all, e), true
	}
	for _, known := range events.Types {
		if !seen[known] {
			t.Errorf("events/testdata has no %s", known)
		}
	}
	var tabs [2]*testbrowser.Tab
	for i, language := range []string{"en", "es"} {
		tab := testbrowser.Open(t)
		tab.Size(1440, 2800)
		tab.Go(running.URL + "/settings")
		tab.Evaluate(`localStorage.setItem('chasqui.language', ` + quote(language) + `)`)
		tab.Evaluate(`sessionStorage.setItem('chasqui.key', ` + quote(running.APIKey) + `)`)
		tab.Go(running.URL + "/events?session=" + session)
		tab.Await(`document.querySelector('.foot .ok') !== null`)
		tabs[i] = tab
	}
	conn, err := pgx.Connect(t.Context(), running.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	logEvents(t, conn, all)
	for i, tab := range tabs {
		tab.Await(fmt.Sprintf(`document.querySelectorAll('[role=listitem] a').length === %d`, len(all)))
		var rows [][2]string
		if err := json.Unmarshal([]byte(tab.Evaluate(`JSON.stringify([...document.querySelectorAll('[role=listitem] a')].map((a) => [a.dataset.type, a.querySelector('.said').innerText]))`)), &rows); err != nil {
			t.Fatal(err)
		}
		names := map[string]string{}
		tab.Click("#types")
		tab.Await(`document.querySelectorAll('dialog .families label[title]').length > 0`)
		if err := json.Unmarshal([]byte(tab.Evaluate(`JSON.stringify(Object.fromEntries([...document.querySelectorAll('dialog .families label[title]')].map((l) => [l.title, l.innerText])))`)), &names); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r[0] == "moon.risen" {
				if r[1] != r[0] {
					t.Errorf("a type that is not known is told as %q", r[1])
				}
				continue
			}
			if r[1] == "" || r[1] == r[0] || r[1] == names[r[0]] || contains(r[1], "undefined", "NaN", "[object", "null") {
				t.Errorf("tab %d: %s is told as %q", i, r[0], r[1])
			}
		}
	}
}

// TestEventMonitorOnAPhone reads in Spanish on a phone: rows in two lines, filters behind a button, the event as a page, and nothing wider than the screen.
func TestEventMonitorOnAPhone(t *testing.T) {
	t.Parallel()
	session := "event-phone"
	own, ana := newSession(t, session), newPhone(t, "Ana of TestEventMonitorOnAPhone")
	tab := open(t, "/settings")
	tab.Size(390, 844)
	tab.Evaluate(`localStorage.setItem('chasqui.language', 'es')`)
	tab.Evaluate(`sessionStorage.setItem('chasqui.key', ` + quote(running.APIKey) + `)`)
	tab.Go(running.URL + "/events?session=" + session)
	tab.Await(`!!document.querySelector('input[placeholder="Buscar en los eventos"]')`)
	tab.Await(`!document.querySelector('#session')?.checkVisibility()`)
	tab.Click("text=Filtros")
	tab.Await(`document.querySelector('#session').checkVisibility()`)
	writes(t, ana, own, "¿Está abierto?")
	tab.Await(`!!` + row("¿Está abierto?"))
	fits := `document.scrollingElement.scrollWidth <= innerWidth`
	tab.Await(fits)
	tab.Click(`[data-type="message.received"]`)
	tab.Sees("Mensaje recibido")
	tab.Sees("Ningún webhook pidió este evento.")
	tab.Await(fits + ` && !document.querySelector('[role=list]')?.checkVisibility()`)
	tab.Click("text=Cerrar")
	tab.Await(`!!` + row("¿Está abierto?"))
}

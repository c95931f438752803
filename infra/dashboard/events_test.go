package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
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
	gone.Await(`location.pathname === '/events' && !document.querySelector('[data-event]')`)
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
		logEvents(t, conn, "event-burst", n, a)
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

// logEvents puts events about messages into the log as the dispatcher does, in one transaction under the sequencer's lock, and wakes the streams.
func logEvents(t *testing.T, conn *pgx.Conn, session string, from, n int) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", events.SequencerLock); err != nil {
			return err
		}
		ids, bodies := make([]uuid.UUID, n), make([][]byte, n)
		for i := range n {
			ids[i] = events.NewID()
			address := events.NewAddress("5491170000001@s.whatsapp.net", "5491170000001", "", "Ana")
			message := events.Message{
				ID: events.MessagePrefix.Format(events.NewID()), WhatsAppID: "3EB0", SessionID: session, ChatID: address.ID, Direction: events.Incoming, From: address, To: address,
				Status: events.StatusDelivered, Content: events.Content{Type: events.ContentText, Text: fmt.Sprintf("burst %d", from+i+1)}, Timestamp: time.Now().UTC(),
			}
			body, err := json.Marshal(events.Event{
				ID: events.EventPrefix.Format(ids[i]), Type: events.MessageReceived, Timestamp: time.Now().UTC(), SessionID: session, Data: events.MessageData{Message: message},
			})
			if err != nil {
				return err
			}
			bodies[i] = body
		}
		_, err := tx.Exec(t.Context(), `INSERT INTO events (seq, id, session_id, type, order_key, from_me, occurred_at, body)
			SELECT nextval('events_seq'), e.id, $3, 'message.received', '5491170000001@s.whatsapp.net', false, now(), e.body
			FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS e(id, body, n) ORDER BY e.n`, ids, bodies, session)
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

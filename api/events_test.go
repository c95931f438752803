package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/events"
)

// logged puts events into the log as the sequencer does, one transaction each, and returns their ids and bodies.
func (f *fixture) logged(n int, t events.Type, session string) (ids, bodies []string) {
	f.t.Helper()
	for i := range n {
		id := events.NewID()
		// Spaces, escapes and the order of members must come back as they are.
		body := fmt.Sprintf(`{"type": %q,  "id":%q,"sessionId":%q,"timestamp":"2026-01-01T00:00:00Z","data":{"n":%d,"t":"<&\u2028"}}`, t, events.EventPrefix.Format(id), session, i)
		f.exec("INSERT INTO events (seq, id, session_id, type, occurred_at, body) VALUES (nextval('events_seq'), $1, $2, $3, now(), $4)", id, session, string(t), []byte(body))
		ids, bodies = append(ids, events.EventPrefix.Format(id)), append(bodies, body)
	}
	f.wake.Notify(events.WakeLog)
	return ids, bodies
}

// A readPage is a page as clients decode it.
type readPage struct {
	Data       []struct{ ID string }
	NextCursor *string
	HasMore    bool
}

// read follows the cursor from after until there is no more, and returns the ids and where it ended.
func (f *fixture) read(query, after string) (ids []string, cursor string) {
	f.t.Helper()
	for range 1000 {
		var page readPage
		f.must(200, &page, "GET", "/v1/events?"+query+"&after="+after, nil)
		for _, e := range page.Data {
			ids = append(ids, e.ID)
		}
		if page.NextCursor == nil {
			f.t.Fatal("a page without nextCursor")
		}
		if after = *page.NextCursor; !page.HasMore {
			return ids, after
		}
	}
	f.t.Fatal("the log does not end")
	return nil, ""
}

// Feature: Cursor pull of the event log
func TestEvents(t *testing.T) {
	t.Parallel()
	f := setup(t)
	if ids, cursor := f.read("limit=2", ""); len(ids) != 0 || cursor != "" {
		t.Errorf("an empty log: %v %q", ids, cursor)
	}
	first, bodies := f.logged(5, events.MessageReceived, "sales")
	f.exec("SELECT setval('events_seq', 1000)") // gaps are normal
	second, _ := f.logged(2, events.SessionStatus, "other")
	all := append(append([]string{}, first...), second...)
	ids, cursor := f.read("limit=2", "")
	if fmt.Sprint(ids) != fmt.Sprint(all) || cursor != all[len(all)-1] {
		t.Errorf("read %v to %s, want %v", ids, cursor, all)
	}
	if ids, again := f.read("", cursor); len(ids) != 0 || again != cursor {
		t.Errorf("after the end: %v %q", ids, again)
	}
	if ids, _ := f.read("", first[2]); fmt.Sprint(ids) != fmt.Sprint(all[3:]) {
		t.Errorf("after an event: %v", ids)
	}
	// A filter moves the cursor over what it leaves out.
	if ids, end := f.read("type=message.received&limit=5", ""); fmt.Sprint(ids) != fmt.Sprint(first) || end != cursor {
		t.Errorf("of one type: %v to %s", ids, end)
	}
	if ids, end := f.read("sessionId=other", ""); fmt.Sprint(ids) != fmt.Sprint(second) || end != cursor {
		t.Errorf("of one session: %v to %s", ids, end)
	}
	if ids, _ := f.read("type=message.received,session.status&sessionId=other&limit=1", ""); fmt.Sprint(ids) != fmt.Sprint(second) {
		t.Errorf("of two types: %v", ids)
	}
	if ids, _ := f.read("type=session.qr", ""); len(ids) != 0 {
		t.Errorf("of a type that never happened: %v", ids)
	}
	if a := f.must(200, nil, "GET", "/v1/events/"+first[0], nil); string(a.body) != bodies[0] || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the body was changed: %s", a.body)
	}
	// The newest, of which a filter leaves out some; more than there are is all of them.
	if ids, end := f.read("last=3", ""); fmt.Sprint(ids) != fmt.Sprint(all[4:]) || end != cursor {
		t.Errorf("the last three: %v to %s", ids, end)
	}
	if ids, end := f.read("last=3&type=message.received", ""); fmt.Sprint(ids) != fmt.Sprint(first[4:]) || end != cursor {
		t.Errorf("of the last three those of a type: %v to %s", ids, end)
	}
	if ids, _ := f.read("last=100", ""); fmt.Sprint(ids) != fmt.Sprint(all) {
		t.Errorf("more than there are: %v", ids)
	}
	f.problem(f.do("GET", "/v1/events?last=3&after="+first[1], nil), ValidationFailed)
	// The link leads where the cursor does.
	a := f.must(200, nil, "GET", "/v1/events?limit=3&sessionId=sales&type=message.received", nil)
	var next readPage
	path, _, _ := strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
	f.must(200, &next, "GET", path, nil)
	if len(next.Data) != 2 || next.Data[0].ID != first[3] {
		t.Errorf("the link led to %+v", next)
	}
	// What retention has dropped cannot be read on from.
	id, _ := events.EventPrefix.Parse(first[1])
	f.exec("DELETE FROM events WHERE id <= $1", id)
	f.problem(f.do("GET", "/v1/events?after="+first[1], nil), CursorExpired)
	if ids, _ := f.read("", ""); fmt.Sprint(ids) != fmt.Sprint(all[2:]) {
		t.Errorf("from the oldest kept: %v", ids)
	}
}

// TestRareEvents: a type that is rare in a long log comes in pages that may be empty, and nothing is skipped.
func TestRareEvents(t *testing.T) {
	t.Parallel()
	f := setup(t)
	many := func() {
		f.exec(`INSERT INTO events (seq, id, type, occurred_at, body) SELECT nextval('events_seq'), gen_random_uuid(), 'session.status', now(), '{}' FROM generate_series(1, $1)`, eventScan)
	}
	many()
	first, _ := f.logged(1, events.SessionQR, "sales")
	many()
	second, _ := f.logged(1, events.SessionQR, "sales")
	var page readPage
	f.must(200, &page, "GET", "/v1/events?type=session.qr", nil)
	if len(page.Data) != 0 || !page.HasMore || *page.NextCursor == "" {
		t.Errorf("the first scan: %+v", page)
	}
	if ids, _ := f.read("type=session.qr", ""); fmt.Sprint(ids) != fmt.Sprint(append(first, second...)) {
		t.Errorf("read %v", ids)
	}
}

func TestEventsAreWaitedFor(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, cursor := f.read("", "")
	waiting := make(chan answer, 1)
	go func() { waiting <- f.do("GET", "/v1/events?wait=30&type=message.received&after="+cursor, nil) }()
	f.eventually("the wait", func() bool {
		return strings.Contains(string(f.do("GET", "/metrics", nil).body), "chasqui_http_requests_in_flight 2")
	})
	f.logged(1, events.SessionStatus, "sales") // not what it waits for
	ids, _ := f.logged(1, events.MessageReceived, "sales")
	a := <-waiting
	var page readPage
	if err := json.Unmarshal(a.body, &page); err != nil || len(page.Data) != 1 || page.Data[0].ID != ids[0] || *page.NextCursor != ids[0] {
		t.Errorf("waited for %s", a.body)
	}
}

package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
)

// crowd makes chats with a message each, but for the last hundred, which have none.
func (f *fixture) crowd(session string, chats int) {
	f.exec(`INSERT INTO chats (session_id, id, kind, last_message_at, unread)
		SELECT $1, (5491100000000 + n) || '@s.whatsapp.net', 'user', CASE WHEN n > $2 - 100 THEN NULL ELSE now() - make_interval(secs => n / 2) END, n % 3 FROM generate_series(1, $2) n`, session, chats)
	f.exec(`INSERT INTO contacts (session_id, id, phone, name) SELECT session_id, id, split_part(id, '@', 1), 'Contact ' || id FROM chats WHERE session_id = $1`, session)
	f.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
		SELECT gen_random_uuid(), $1, id, id, 'ID' || n, 'incoming', 'delivered', 'text', '{"type":"text","text":"hello"}', now() FROM chats, generate_series(1, 3) n
		 WHERE session_id = $1 AND last_message_at IS NOT NULL`, session)
	f.exec(`ANALYZE chats, contacts, messages`)
}

func TestAListOfManyChats(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.session("support")
	const chats = 5000
	f.crowd("sales", chats)
	var seen []string
	var last *time.Time
	cursor, pages, began := "", 0, time.Now()
	for {
		var page List[events.Chat]
		f.must(200, &page, "GET", "/v1/sessions/sales/chats?limit=200&cursor="+cursor, nil)
		pages++
		for _, c := range page.Data {
			switch {
			case len(seen) > 0 && last == nil && c.LastMessageAt != nil, last != nil && c.LastMessageAt != nil && c.LastMessageAt.After(*last):
				t.Fatalf("%s is out of order", c.ID)
			case (c.LastMessage == nil) != (c.LastMessageAt == nil), c.LastMessage != nil && c.LastMessage.ChatID != c.ID:
				t.Fatalf("the last message of %s is %+v", c.ID, c.LastMessage)
			}
			seen, last = append(seen, c.ID), c.LastMessageAt
		}
		if cursor = page.NextCursor; !page.HasMore {
			break
		}
	}
	took := time.Since(began) / time.Duration(pages)
	t.Logf("a page of 200 of %d chats takes %s", chats, took)
	if took > 2*time.Second { // some 10 ms, where nothing else runs
		t.Errorf("a page takes %s", took)
	}
	slices.Sort(seen)
	if seen = slices.Compact(seen); len(seen) != chats || pages != chats/200 {
		t.Errorf("%d chats on %d pages, want %d", len(seen), pages, chats)
	}
	var page List[events.Chat]
	f.must(200, &page, "GET", "/v1/sessions/sales/chats?unread=true&q=Contact%2054911000012&limit=200", nil)
	if len(page.Data) == 0 || len(page.Data) > 67 {
		t.Errorf("%d chats", len(page.Data))
	}
	began = time.Now()
	for range 20 {
		f.must(200, &page, "GET", "/v1/sessions/sales/chats", nil)
	}
	t.Logf("the first page takes %s", time.Since(began)/20)
	if f.must(200, &page, "GET", "/v1/sessions/support/chats", nil); len(page.Data) != 0 {
		t.Errorf("another session has %d", len(page.Data))
	}
}

func TestAPageOfChatsReadsTheIndexOfTheirOrder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.crowd("sales", 5000)
	rows, err := f.db.Query(t.Context(), `EXPLAIN SELECT * FROM chat_views v WHERE v.session_id = 'sales'
		AND (v.last_message_at IS NULL OR (v.last_message_at, v.id) < (now() - interval '10 minutes', '1')) ORDER BY v.last_message_at DESC NULLS LAST, v.id DESC LIMIT 51`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	plan := ""
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan += line + "\n"
	}
	if !strings.Contains(plan, "chats_recent") || strings.Contains(plan, "Sort") {
		t.Errorf("the plan is\n%s", plan)
	}
}

func TestChangesOfChatsAndLabelsAreChecked(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.crowd("sales", 101)
	for _, tt := range []struct {
		method, path string
		body         any
		code         Code
	}{
		{"PATCH", "/chats/5491100000001", map[string]any{}, ValidationFailed},
		{"PATCH", "/chats/5491100000001", map[string]any{"archived": true, "pinned": true}, ValidationFailed},
		{"PATCH", "/chats/5491100000001", map[string]any{"mutedUntil": "2020-01-01T00:00:00Z"}, ValidationFailed},
		{"PATCH", "/chats/5491100000001", map[string]any{"disappearingSeconds": 60}, ValidationFailed},
		{"PATCH", "/chats/5491199999999", map[string]any{"pinned": true}, ChatNotFound},
		{"PATCH", "/chats/x", map[string]any{"pinned": true}, ValidationFailed},
		{"POST", "/chats/5491199999999/read", nil, ChatNotFound},
		{"POST", "/chats/5491100000001/history-sync", map[string]any{"count": 0}, ValidationFailed},
		{"POST", "/chats/5491100000001/history-sync", map[string]any{"count": 5, "before": "none"}, MessageNotFound},
		{"DELETE", "/chats/5491199999999", nil, ChatNotFound},
		{"PATCH", "/labels/1", map[string]any{"name": "x"}, LabelNotFound},
		{"PUT", "/chats/5491100000001/labels/1", nil, LabelNotFound},
		{"POST", "/labels", map[string]any{"name": "x", "color": 20}, ValidationFailed},
		{"GET", "/chats?archived=maybe", nil, ValidationFailed},
		{"GET", "/chats?cursor=x", nil, ValidationFailed},
	} {
		if p := f.problem(f.do(tt.method, "/v1/sessions/sales"+tt.path, tt.body), tt.code); p.Code != tt.code {
			t.Errorf("%s %s: %s", tt.method, tt.path, p.Code)
		}
	}
	// What is accepted while nobody is connected waits, and two labels never get one id.
	var c events.Change
	f.must(202, &c, "PATCH", "/v1/sessions/sales/chats/5491100000001", map[string]any{"mutedUntil": nil})
	for i := range 3 {
		if f.must(202, &c, "POST", "/v1/sessions/sales/labels", map[string]any{"name": "New"}); c.Target != fmt.Sprint(i+1) {
			t.Errorf("the label is %s", c.Target)
		}
	}
	var labels Labels
	if f.must(200, &labels, "GET", "/v1/sessions/sales/labels", nil); len(labels.Data) != 0 {
		t.Errorf("there are %+v", labels.Data)
	}
}

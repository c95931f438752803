package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
)

func TestAScheduledMessageHasNoCommandYet(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	at := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	body := text("5491123456789", "x")
	body["sendAt"], body["typingSeconds"] = at, 3
	var m, again events.Message
	f.must(202, &m, "POST", sales+"/messages", body)
	if m.Status != events.StatusScheduled || m.SendAt == nil || !m.SendAt.Equal(at) || !m.ExpiresAt.Equal(at.Add(24*time.Hour)) {
		t.Errorf("accepted %+v", m)
	}
	if n := f.count("queue_messages"); n != 0 {
		t.Errorf("%d commands are there", n)
	}
	if f.count("chats WHERE last_message_at IS NULL") != 1 || f.count("messages WHERE typing_seconds = 3") != 1 {
		t.Error("the chat is touched, or typing forgotten")
	}
	body["expiresAt"] = at.Add(30 * 24 * time.Hour)
	f.must(202, &m, "POST", sales+"/messages", body)
	f.must(200, &again, "PATCH", sales+"/messages/"+m.ID, map[string]any{"sendAt": at.Add(time.Hour)})
	if again.ID != m.ID || !again.SendAt.Equal(at.Add(time.Hour)) || again.ExpiresAt.Sub(*m.ExpiresAt) != time.Hour {
		t.Errorf("rescheduled %+v", again)
	}
	for _, wrong := range []map[string]any{{}, {"sendAt": time.Now()}, {"sendAt": at.AddDate(1, 0, 0)}, {"sendAt": nil}, {"text": "x", "sendAt": at}} {
		if a := f.do("PATCH", sales+"/messages/"+m.ID, wrong); a.StatusCode != 422 {
			t.Errorf("%v: %s", wrong, a.body)
		}
	}
	body["expiresAt"] = at.Add(-time.Hour)
	if a := f.do("POST", sales+"/messages", body); a.StatusCode != 422 || !strings.Contains(string(a.body), "after sendAt") {
		t.Errorf("%s", a.body)
	}

	f.must(200, &m, "POST", sales+"/messages/"+m.ID+"/cancel", nil, "Idempotency-Key", "k")
	if a := f.must(200, &again, "POST", sales+"/messages/"+m.ID+"/cancel", nil, "Idempotency-Key", "k"); again.Status != events.StatusCancelled || a.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("repeated %s", a.body)
	}
	f.must(200, nil, "POST", sales+"/messages/"+m.ID+"/cancel", nil)
	if n := f.count("queue_messages WHERE lane LIKE 'events/%'"); n != 1 {
		t.Errorf("%d events tell that it was cancelled", n)
	}
	for _, status := range []string{"sending", "sent", "failed", "expired"} {
		var sent events.Message
		f.must(202, &sent, "POST", sales+"/messages", text("5491123456789", "x"))
		f.finish(sent.ID, status, nil, nil)
		if a := f.do("POST", sales+"/messages/"+sent.ID+"/cancel", nil); a.StatusCode != 409 || !strings.Contains(string(a.body), "message_not_cancellable") {
			t.Errorf("%s: %s", status, a.body)
		}
	}
}

// Who waits for a message that is cancelled hears so.
func TestWaitingForAMessageThatIsCancelled(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	answered := make(chan answer, 1)
	go func() { answered <- f.do("POST", sales+"/messages", text("5491123456789", "x"), "Prefer", "wait=30") }()
	var list List[events.Message]
	f.eventually("the message", func() bool {
		f.must(200, &list, "GET", sales+"/messages", nil)
		return len(list.Data) == 1
	})
	f.must(200, nil, "POST", sales+"/messages/"+list.Data[0].ID+"/cancel", nil)
	if a := <-answered; a.StatusCode < 400 || !strings.Contains(string(a.body), "cancelled") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestBatchOfAThousand(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	file := f.upload("text/plain", "bytes")
	f.exec("INSERT INTO contacts (session_id, id, phone, lid) VALUES ('sales', '5491123450000@s.whatsapp.net', '5491123450000', '777')")
	f.exec("INSERT INTO chats (session_id, id, kind, disappearing_seconds) VALUES ('sales', '5491123450001@s.whatsapp.net', 'user', 86400)")
	messages := make([]map[string]any, 1000)
	for i := range messages {
		messages[i] = text(fmt.Sprint(5491123450000+i/2), fmt.Sprint("text ", i)) // two to each
	}
	messages[500]["to"] = "777@lid"
	messages[501]["content"] = map[string]any{"type": "document", "caption": "a file", "media": map[string]string{"mediaId": file.ID}}
	messages[502]["content"] = map[string]any{"type": "document", "caption": "the same", "media": map[string]string{"mediaId": file.ID}}
	body := map[string]any{"messages": messages}
	var b, again events.MessageBatch
	began := time.Now()
	a := f.must(202, &b, "POST", sales+"/message-batches", body, "Idempotency-Key", "k")
	t.Logf("1,000 messages were accepted within %s", time.Since(began).Round(time.Millisecond))
	if b.Size != 1000 || b.Counts["queued"] != 1000 || a.Header.Get("Location") != sales+"/message-batches/"+b.ID {
		t.Errorf("%s", a.body)
	}
	if a := f.must(202, &again, "POST", sales+"/message-batches", body, "Idempotency-Key", "k"); again.ID != b.ID || a.Header.Get("Idempotency-Replayed") != "true" || f.count("messages") != 1000 {
		t.Errorf("repeated %s", a.body)
	}
	for what, want := range map[string]int{
		"queue_messages WHERE lane = 'commands/sales/send'": 1000, "chats": 500, "contacts": 500, "media": 1, "messages WHERE media_id IS NOT NULL": 2,
		"messages WHERE chat_id = '5491123450000@s.whatsapp.net'": 3, `messages WHERE context ->> 'disappearsAfter' = '86400'`: 2, "messages WHERE expires_at IS NOT NULL": 1000,
	} {
		if n := f.count(what); n != want {
			t.Errorf("%s: %d, want %d", what, n, want)
		}
	}
	var inOrder bool
	if err := f.db.QueryRow(t.Context(), "SELECT array_agg(uuid ORDER BY id) = array_agg(uuid ORDER BY uuid) FROM queue_messages WHERE lane = 'commands/sales/send'").Scan(&inOrder); err != nil || !inOrder {
		t.Errorf("the commands are not in the order of the messages: %v", err)
	}
	f.exec("UPDATE messages SET status = 'sending' WHERE id = (SELECT min(id::text)::uuid FROM messages)")
	began = time.Now()
	f.must(200, &b, "POST", sales+"/message-batches/"+b.ID+"/cancel", nil)
	t.Logf("999 messages were cancelled within %s", time.Since(began).Round(time.Millisecond))
	if b.Counts["cancelled"] != 999 || b.Counts["sending"] != 1 || b.CancelledAt == nil {
		t.Errorf("cancelled %+v", b)
	}

	body["delaySeconds"], body["jitterSeconds"] = 2, 3
	f.must(202, &b, "POST", sales+"/message-batches", body)
	var least, most, all float64
	if err := f.db.QueryRow(t.Context(), `SELECT min(d), max(d), sum(d) FROM (SELECT extract(epoch FROM send_at - lag(send_at) OVER (ORDER BY id))::float8 AS d FROM messages WHERE status = 'scheduled') x`).Scan(&least, &most, &all); err != nil {
		t.Fatal(err)
	}
	if b.Counts["scheduled"] != 1000 || least < 2 || most > 5.001 || most-least < 1 || all < 999*2.5 || all > 999*4.5 {
		t.Errorf("%d are scheduled, %.3f to %.3f s after one another, %.0f s in all", b.Counts["scheduled"], least, most, all)
	}
	if n := f.count("messages WHERE status = 'scheduled' AND expires_at - send_at = interval '24 hours'"); n != 1000 {
		t.Errorf("%d of them are given up a day after their time", n)
	}
}

func TestWhatABatchRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	good := text("5491123456789", "x")
	file := func(source map[string]string) map[string]any {
		return map[string]any{"to": "5491123456789", "content": map[string]any{"type": "image", "media": source}}
	}
	many := slices.Repeat([]map[string]any{good}, 1001)
	for _, tt := range []struct {
		body map[string]any
		want string
	}{
		{map[string]any{"messages": []any{}}, "body.messages"},
		{map[string]any{"messages": many}, "body.messages"},
		{map[string]any{"messages": []any{good, file(map[string]string{"url": "https://example.com/a.jpg"})}}, "body.messages[1].content.media"},
		{map[string]any{"messages": []any{file(map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte("x"))})}}, "a batch takes no url or base64"},
		{map[string]any{"messages": []any{good, map[string]any{"to": "5491123456789", "content": map[string]any{"type": "text"}}}}, "body.messages[1].content"},
		{map[string]any{"messages": []any{good, text("nobody", "x")}}, "body.messages[1].to"},
		{map[string]any{"messages": []any{good, text("1234567890@newsletter", "x")}}, "expected a person or a group"},
		{map[string]any{"messages": []any{good, file(map[string]string{"mediaId": "med_01932f0c5d6b7a10b1f4d0c4a8e2f001"})}}, "media_not_found"},
		{map[string]any{"messages": []any{good}, "delaySeconds": 3601}, "body.delaySeconds"},
		{map[string]any{"messages": []any{good}, "sendAt": time.Now().Add(-time.Hour)}, "body.sendAt"},
		{map[string]any{"messages": []any{good, good}, "delaySeconds": 3600, "expiresAt": time.Now().Add(time.Minute)}, "body.expiresAt"},
	} {
		if a := f.do("POST", sales+"/message-batches", tt.body); a.StatusCode < 400 || a.StatusCode >= 500 || !strings.Contains(string(a.body), tt.want) {
			t.Errorf("%d %s, want %s", a.StatusCode, a.body, tt.want)
		}
	}
	if a := f.do("POST", "/v1/sessions/none/message-batches", map[string]any{"messages": []any{good}}); a.StatusCode != 404 {
		t.Errorf("%s", a.body)
	}
	f.exec("UPDATE sessions SET state = 'logged_out'")
	if a := f.do("POST", sales+"/message-batches", map[string]any{"messages": []any{good}}); a.StatusCode != 409 {
		t.Errorf("%s", a.body)
	}
	if n := f.count("messages") + f.count("message_batches") + f.count("queue_messages") + f.count("chats"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

// A search that takes too long ends, and says what helps.
func TestASearchIsBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	defer func() { cancel(); <-ended }()
	go func() {
		defer close(ended)
		_, _ = f.db.Exec(ctx, "BEGIN; LOCK TABLE messages IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)")
	}()
	f.eventually("the lock", func() bool {
		return f.count("pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'messages'::regclass") == 1
	})
	a := f.do("GET", sales+"/messages?q=hello", nil)
	if a.StatusCode != 503 || !strings.Contains(string(a.body), "narrow it") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestTheIndexLeadsToTheWordsOfASession(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales, other := f.session("sales"), f.session("other")
	for range 3 {
		f.must(202, nil, "POST", other+"/messages", text("5491123456789", "rare words"))
	}
	f.must(202, nil, "POST", sales+"/messages", text("5491123456789", "rare words, and common ones"))
	// What strangers may write at most: it must be stored, whatever its words are.
	for _, long := range []string{strings.Repeat("a-b_c.d/e@f.g ", 60000), strings.Repeat("x", 900000), strings.Repeat("ñandú-", 100000), strings.Repeat("<a href='", 80000)} {
		f.exec("INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp) VALUES ($1, 'sales', 'a', $2, 'incoming', 'delivered', 'text', jsonb_build_object('type', 'text', 'text', $3::text), now())",
			events.NewID(), events.NewID().String(), long)
	}
	var list List[events.Message]
	if f.must(200, &list, "GET", sales+"/messages?q=rare", nil); len(list.Data) != 1 || list.Data[0].SessionID != "sales" {
		t.Errorf("%d messages are found", len(list.Data))
	}
	tx, err := f.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off"); err != nil { // the table is too small for it
		t.Fatal(err)
	}
	rows, err := tx.Query(t.Context(), `EXPLAIN SELECT id FROM messages WHERE message_words(session_id, content) @@ $1::tsquery`, "' sales' & 'rare'")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !strings.Contains(strings.Join(plan, "\n"), "Bitmap Index Scan on messages_words") {
		t.Errorf("the plan is %s: %v", strings.Join(plan, "\n"), err)
	}
}

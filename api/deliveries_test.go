package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
)

// endpointOf makes a webhook endpoint and returns its path and id; set is SQL that changes its row.
func (f *fixture) endpointOf(set ...string) (path string, id uuid.UUID) {
	f.t.Helper()
	path = f.endpoint(nil, nil)
	id, _ = events.EndpointPrefix.Parse(strings.TrimPrefix(path, "/v1/webhook-endpoints/"))
	for _, s := range set {
		f.exec(`UPDATE webhook_endpoints SET `+s+` WHERE id = $1`, id)
	}
	return path, id
}

// idOf is a UUIDv7 of a moment.
func idOf(at time.Time) uuid.UUID {
	id, made := events.NewID(), events.FirstID(at)
	copy(id[:6], made[:6])
	return id
}

// delivered puts an event of a moment into the log, unless it is there, with a delivery to an endpoint, and returns the delivery's public id.
func (f *fixture) delivered(event, endpoint uuid.UUID, state string) (id string) {
	f.t.Helper()
	made := events.NewID()
	f.exec(`INSERT INTO events (seq, id, session_id, type, occurred_at, body) VALUES (nextval('events_seq'), $1, 'sales', 'message.received', now(), $2) ON CONFLICT DO NOTHING`,
		event, []byte(`{"id":"`+events.EventPrefix.Format(event)+`","type":"message.received","timestamp":"2026-01-01T00:00:00Z","sessionId":"sales","data":{"t":"<&\u2028"}}`))
	f.exec(`INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, state, attempt, finished_at)
		SELECT $1, id, seq, $3, $4, 3, CASE WHEN $4 IN ('succeeded', 'exhausted', 'cancelled') THEN now() END FROM events WHERE id = $2`, made, event, endpoint, state)
	return events.DeliveryPrefix.Format(made)
}

// deliveries follows the cursor and returns the ids of all pages, and how many there were.
func (f *fixture) deliveries(path, query string) (ids []string, pages int) {
	f.t.Helper()
	next := path + "?" + query
	for pages < 100 {
		var page List[Delivery]
		a := f.must(200, &page, "GET", next, nil)
		pages++
		for _, d := range page.Data {
			ids = append(ids, d.ID)
		}
		if link := a.Header.Get("Link"); page.HasMore != (link != "") || page.HasMore != (page.NextCursor != "") {
			f.t.Fatalf("hasMore is %t, nextCursor %q, Link %q", page.HasMore, page.NextCursor, link)
		} else if !page.HasMore {
			return ids, pages
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">") // which has the filter in it
	}
	f.t.Fatal("the list does not end")
	return nil, 0
}

// Feature: List, resend and replay deliveries
func TestListingDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path, id := f.endpointOf()
	_, other := f.endpointOf()
	_, deleted := f.endpointOf()
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	states := []string{"pending", "sending", "succeeded", "exhausted", "cancelled", "held"}
	var ids, ofBoth, exhausted []string
	var evts []uuid.UUID
	for i := range 18 {
		event := idOf(began.Add(time.Duration(i) * time.Second))
		state := states[i%6]
		evts, ids = append(evts, event), append(ids, f.delivered(event, id, state))
		ofBoth = append(ofBoth, ids[i])
		if state == "exhausted" {
			exhausted = append(exhausted, ids[i])
		}
		if i%3 == 0 { // the same event to another endpoint, which is younger and so stands before it
			ofBoth = append(ofBoth, f.delivered(event, other, "exhausted"))
			f.delivered(event, deleted, "exhausted")
		}
	}
	f.exec(`UPDATE webhook_endpoints SET state = 'deleted', configured_url = 'x' WHERE id = $1`, deleted)
	f.exec(`UPDATE events SET type = 'message.sent' WHERE id = $1`, evts[17])
	for _, list := range [][]string{ids, ofBoth, exhausted} {
		slices.Reverse(list)
	}
	at := func(i int) string { return began.Add(time.Duration(i) * time.Second).UTC().Format(time.RFC3339) }
	endpoints := path + "/deliveries"
	for _, c := range []struct {
		path, query string
		want        []string
		pages       int
	}{
		{endpoints, "limit=5", ids, 4},
		{endpoints, "limit=6", ids, 3},
		{endpoints, "limit=18", ids, 1},
		{endpoints, "state=exhausted&limit=1", exhausted, 3},
		{endpoints, "state=exhausted,exhausted", exhausted, 1},
		{endpoints, "state=held,pending&limit=4", []string{ids[0], ids[5], ids[6], ids[11], ids[12], ids[17]}, 2},
		{endpoints, "eventId=" + events.EventPrefix.Format(evts[4]), []string{ids[13]}, 1},
		{endpoints, "eventId=" + events.EventPrefix.Format(evts[4]) + "&since=" + at(5), nil, 1},
		{endpoints, "eventId=" + events.EventPrefix.Format(evts[4]) + "&until=" + at(4), nil, 1},
		{endpoints, "eventId=" + events.EventPrefix.Format(events.NewID()), nil, 1},
		{endpoints, "since=" + at(3) + "&until=" + at(10) + "&limit=3", ids[8:15], 3},
		{endpoints, "until=" + at(0), nil, 1},
		{endpoints, "since=1950-01-01T00:00:00Z", ids, 1},
		{endpoints, "type=message.sent", ids[:1], 1},
		{endpoints, "type=message.received&limit=5", ids[1:], 4},
		{endpoints, "type=message.received,message.sent&state=exhausted", exhausted, 1},
		{"/v1/webhook-deliveries", "limit=200", ofBoth, 1},
		{"/v1/webhook-deliveries", "limit=1", ofBoth, 24},
		{"/v1/webhook-deliveries", "limit=7", ofBoth, 4},
		{"/v1/webhook-deliveries", "eventId=" + events.EventPrefix.Format(evts[0]) + "&limit=1", ofBoth[len(ofBoth)-2:], 2},
	} {
		if got, pages := f.deliveries(c.path, c.query); !slices.Equal(got, c.want) || pages != c.pages {
			t.Errorf("%s?%s: got %d in %d pages, want %d in %d\n%v\n%v", c.path, c.query, len(got), pages, len(c.want), c.pages, got, c.want)
		}
	}
	var page List[Delivery]
	f.must(200, &page, "GET", endpoints+"?limit=6", nil)
	for i, d := range page.Data { // held, cancelled, exhausted, succeeded, sending, pending
		done := i == 1 || i == 2 || i == 3
		if (d.FinishedAt != nil) != done || (d.NextAttemptAt != nil) != (i == 5) || d.AttemptCount != 3 || d.EventID != events.EventPrefix.Format(evts[17-i]) || d.SessionID != "sales" || d.EventType == "" {
			t.Errorf("%+v", d)
		}
	}
	for _, query := range []string{"?state=lost", "?type=x", "?eventId=x", "?since=yesterday", "?cursor=x", "?cursor=" + events.EventPrefix.Format(evts[0]) + ".x", "?limit=0"} {
		f.problem(f.do("GET", endpoints+query, nil), ValidationFailed)
	}
	f.problem(f.do("GET", "/v1/webhook-deliveries?cursor="+events.EventPrefix.Format(evts[0]), nil), ValidationFailed)
	f.problem(f.do("GET", "/v1/webhook-endpoints/"+events.EndpointPrefix.Format(deleted)+"/deliveries", nil), NotFound)
	f.problem(f.do("GET", "/v1/webhook-endpoints/x/deliveries", nil), NotFound)
}

// TestRareDeliveries: what is rare among many comes in pages that may be empty, and nothing is skipped.
func TestRareDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path, id := f.endpointOf()
	at := time.Now().Add(-time.Hour)
	many := func() {
		at = at.Add(time.Minute)
		f.exec(`WITH made AS (INSERT INTO events (seq, id, type, occurred_at, body)
				SELECT nextval('events_seq'), (lpad(to_hex($1::bigint + i), 12, '0') || '7000800000000000' || '0000')::uuid, 'session.status', now(), '{}' FROM generate_series(1, $2::int) i
				RETURNING id, seq)
			INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, state) SELECT gen_random_uuid(), id, seq, $3, 'succeeded' FROM made`,
			at.UnixMilli(), deliveryScan, id)
		at = at.Add(time.Minute)
	}
	var want []string
	for range 2 {
		many()
		want = append([]string{f.delivered(idOf(at), id, "succeeded")}, want...)
	}
	many()
	var page List[Delivery]
	f.must(200, &page, "GET", path+"/deliveries?type=message.received", nil)
	if len(page.Data) != 0 || !page.HasMore {
		t.Errorf("the first page: %+v", page)
	}
	if got, pages := f.deliveries(path+"/deliveries", "type=message.received"); !slices.Equal(got, want) || pages != 4 {
		t.Errorf("got %v in %d pages, want %v", got, pages, want)
	}
}

// TestDeliveriesOfAllPartitions: lists are right where a partition from before the index lacks it, and new partitions have it.
func TestDeliveriesOfAllPartitions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path, id := f.endpointOf()
	now := time.Now()
	partition := func(name string, from, to time.Time) {
		f.exec(fmt.Sprintf(`CREATE TABLE %s PARTITION OF deliveries FOR VALUES FROM ('%s') TO ('%s')`, name, events.FirstID(from), events.FirstID(to)))
	}
	indexed := func(table string) int {
		return f.count(`pg_indexes WHERE indexdef LIKE '%(endpoint_id, state, event_id)' AND tablename = '` + table + `'`)
	}
	f.exec(`DROP INDEX deliveries_endpoint`)
	partition("deliveries_before", now.Add(-20*time.Hour), now.Add(-10*time.Hour))
	f.exec(`CREATE INDEX deliveries_endpoint ON ONLY deliveries (endpoint_id, state, event_id)`)
	partition("deliveries_after", now.Add(-10*time.Hour), now.Add(-time.Hour))
	if indexed("deliveries_before") != 0 || indexed("deliveries_after") != 1 || indexed("deliveries_default") != 1 {
		t.Error("the index is where it was not expected, or is not where it was")
	}
	var want []string
	for i := 29; i >= 0; i-- { // 8 hours before the oldest partition to now
		want = append([]string{f.delivered(idOf(now.Add(time.Duration(-i)*time.Hour+time.Minute)), id, []string{"succeeded", "exhausted"}[i%2])}, want...)
	}
	for _, query := range []string{"", "limit=4", "limit=7&state=exhausted,succeeded", "type=message.received&limit=9"} {
		if got, _ := f.deliveries(path+"/deliveries", query); !slices.Equal(got, want) {
			t.Errorf("%s: got %d, want %d: %v", query, len(got), len(want), got)
		}
	}
	var page List[Delivery]
	f.must(200, &page, "GET", "/v1/webhook-deliveries?state=exhausted", nil)
	if len(page.Data) != 15 || page.Data[0].ID != want[1] {
		t.Errorf("%d are exhausted", len(page.Data))
	}
}

func TestReadingADelivery(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path, endpoint := f.endpointOf()
	event := events.NewID()
	id := f.delivered(event, endpoint, "exhausted")
	uid, _ := events.DeliveryPrefix.Parse(id)
	f.exec(`UPDATE deliveries SET last_status = 503, last_class = 'status'`)
	cut := strings.Repeat("x", attemptBodyKept-2) + "€"[:2]
	for i, a := range []struct {
		class, err, headers string
		status              any
		body                []byte
	}{
		{"dns", "no such host", "", nil, nil},
		{"status", "", `{"Content-Type": "text/plain"}`, 503, []byte("später\x00")},
		{"status", "", `{}`, 500, []byte("\xff\xfe\x00")},
		{"ok", "", `{}`, 200, []byte(cut)},
		{"ok", "", `{}`, 200, []byte(strings.Repeat("y", attemptBodyKept-3) + "€")},
	} {
		f.exec(`INSERT INTO attempts (delivery_id, attempt, started_at, duration_ms, class, status, headers, body, error) VALUES ($1, $2, now() - $3::interval, 7, $4, $5, nullif($6, '')::jsonb, $7, $8)`,
			uid, i+1, time.Duration(10-i)*time.Minute, a.class, a.status, a.headers, a.body, a.err)
	}
	var d struct {
		Delivery
		Event    json.RawMessage
		Attempts []Attempt
	}
	a := f.must(200, &d, "GET", "/v1/webhook-deliveries/"+id, nil)
	if d.ID != id || "/v1/webhook-endpoints/"+d.EndpointID != path || d.State != "exhausted" || *d.LastStatus != 503 || d.LastClass != "status" || d.EventType != "message.received" || len(d.Attempts) != 5 {
		t.Fatalf("%s", a.body)
	}
	if body := f.must(200, nil, "GET", "/v1/events/"+d.EventID, nil).body; !bytes.Contains(a.body, append([]byte(`"event":`), body...)) {
		t.Errorf("the event %s is not in %s", body, a.body)
	}
	for i, want := range []Attempt{
		{Class: "dns", Error: "no such host"},
		{Class: "status", ResponseBody: "später\x00", ResponseBodyEncoding: "text"},
		{Class: "status", ResponseBody: base64.StdEncoding.EncodeToString([]byte("\xff\xfe\x00")), ResponseBodyEncoding: "base64"},
		{Class: "ok", ResponseBody: cut[:attemptBodyKept-2], ResponseBodyEncoding: "text"},
		{Class: "ok", ResponseBody: strings.Repeat("y", attemptBodyKept-3) + "€", ResponseBodyEncoding: "text"},
	} {
		got := d.Attempts[i]
		if got.Attempt != i+1 || got.Class != want.Class || got.Error != want.Error || got.ResponseBody != want.ResponseBody || got.ResponseBodyEncoding != want.ResponseBodyEncoding ||
			got.ResponseHeaders == nil || got.DurationMs != 7 || (got.Status == nil) != (i == 0) {
			t.Errorf("attempt %d: %+v", i, got)
		}
	}
	if d.Attempts[1].ResponseHeaders["Content-Type"] != "text/plain" {
		t.Errorf("headers %v", d.Attempts[1].ResponseHeaders)
	}
	// The latest hundred, oldest first.
	f.exec(`INSERT INTO attempts (delivery_id, attempt, started_at, duration_ms, class) SELECT $1, i, now() + make_interval(secs => i), 1, 'local' FROM generate_series(1, 120) i`, uid)
	f.must(200, &d, "GET", "/v1/webhook-deliveries/"+id, nil)
	if n := len(d.Attempts); n != attemptsShown || d.Attempts[0].Attempt != 21 || d.Attempts[n-1].Attempt != 120 {
		t.Errorf("%d attempts", n)
	}
	f.exec(`DELETE FROM events`)
	a = f.must(200, &d, "GET", "/v1/webhook-deliveries/"+id, nil)
	if d.Event != nil || d.EventType != "" || bytes.Contains(a.body, []byte(`"event"`)) || d.EventID != events.EventPrefix.Format(event) {
		t.Errorf("without its event: %.300s", a.body)
	}
	f.problem(f.do("GET", "/v1/webhook-deliveries/"+events.DeliveryPrefix.Format(events.NewID()), nil), NotFound)
	f.problem(f.do("GET", "/v1/webhook-deliveries/x", nil), NotFound)
}

// Feature: List, resend and replay deliveries
func TestSendingADeliveryAgain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, active := f.endpointOf()
	_, paused := f.endpointOf("state = 'paused'")
	_, disabled := f.endpointOf("state = 'disabled'")
	row := func(id string) (state string, attempt int, fresh bool) {
		t.Helper()
		uid, _ := events.DeliveryPrefix.Parse(id)
		err := f.db.QueryRow(t.Context(), `SELECT state, attempt, order_key IS NULL AND planned_at IS NULL AND media_id IS NULL AND finished_at IS NULL AND claim_id IS NULL
			AND run_at > now() - interval '1 minute' FROM deliveries WHERE id = $1`, uid).Scan(&state, &attempt, &fresh)
		if err != nil {
			t.Fatal(err)
		}
		return state, attempt, fresh
	}
	for endpoint, becomes := range map[uuid.UUID]string{active: "pending", paused: "held", disabled: "held"} {
		for _, state := range []string{"pending", "held", "succeeded", "exhausted", "cancelled"} {
			id := f.delivered(events.NewID(), endpoint, state)
			f.exec(`UPDATE deliveries SET order_key = 'k', planned_at = now(), media_id = id, run_at = now() + interval '1 hour' WHERE state = $1 AND endpoint_id = $2`, state, endpoint)
			var d Delivery
			f.must(202, &d, "POST", "/v1/webhook-deliveries/"+id+"/retry", nil)
			if d.ID != id || string(d.State) != becomes || d.AttemptCount != 0 || d.FinishedAt != nil || (d.NextAttemptAt != nil) != (becomes == "pending") {
				t.Errorf("%s: answered %+v", state, d)
			}
			if now, attempt, fresh := row(id); now != becomes || attempt != 0 || !fresh {
				t.Errorf("%s: it is %s after %d attempts, fresh: %t", state, now, attempt, fresh)
			}
		}
	}
	sending := f.delivered(events.NewID(), active, "sending")
	f.exec(`UPDATE deliveries SET claim_id = id, order_key = 'k' WHERE state = 'sending'`)
	var d Delivery
	f.must(202, &d, "POST", "/v1/webhook-deliveries/"+sending+"/retry", nil)
	if now, attempt, _ := row(sending); d.State != "sending" || now != "sending" || attempt != 3 || f.count(`deliveries WHERE claim_id IS NOT NULL AND order_key = 'k'`) != 1 {
		t.Errorf("one that is being sent is %s after %d attempts", now, attempt)
	}

	// With a key, once.
	id := f.delivered(events.NewID(), active, "exhausted")
	f.must(202, nil, "POST", "/v1/webhook-deliveries/"+id+"/retry", nil, "Idempotency-Key", "again")
	f.exec(`UPDATE deliveries SET state = 'succeeded', attempt = 1 WHERE state = 'pending'`)
	if a := f.must(202, &d, "POST", "/v1/webhook-deliveries/"+id+"/retry", nil, "Idempotency-Key", "again"); a.Header.Get("Idempotency-Replayed") != "true" || d.State != "pending" {
		t.Errorf("the repeat: %s", a.body)
	}
	if now, attempt, _ := row(id); now != "succeeded" || attempt != 1 {
		t.Errorf("the repeat made it %s", now)
	}

	f.problem(f.do("POST", "/v1/webhook-deliveries/"+events.DeliveryPrefix.Format(events.NewID())+"/retry", nil), NotFound)
	f.exec(`UPDATE webhook_endpoints SET state = 'deleted', configured_url = 'x' WHERE id = $1`, disabled)
	f.problem(f.do("POST", "/v1/webhook-deliveries/"+f.delivered(events.NewID(), disabled, "exhausted")+"/retry", nil), DeliveryExpired)
	f.problem(f.do("POST", "/v1/webhook-deliveries/"+f.delivered(events.NewID(), events.NewID(), "exhausted")+"/retry", nil), DeliveryExpired)
	f.exec(`DELETE FROM events`)
	f.problem(f.do("POST", "/v1/webhook-deliveries/"+id+"/retry", nil), DeliveryExpired)
	if now, _, _ := row(id); now != "succeeded" {
		t.Errorf("one whose event is gone is %s", now)
	}
}

// TestWhatIsAskedForWakesTheDispatcher: nobody has to wait for its poll.
func TestWhatIsAskedForWakesTheDispatcher(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path, endpoint := f.endpointOf()
	id := f.delivered(events.NewID(), endpoint, "exhausted")
	conn, err := f.db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for topic, ask := range map[string]func(){
		events.WakeDeliveries: func() { f.must(202, nil, "POST", "/v1/webhook-deliveries/"+id+"/retry", nil) },
		events.WakeReplays:    func() { f.must(202, nil, "POST", path+"/replay", map[string]any{"since": time.Now().Add(-time.Hour)}) },
	} {
		if _, err := conn.Exec(t.Context(), `UNLISTEN *; LISTEN "chasqui_`+topic+`"`); err != nil {
			t.Fatal(err)
		}
		ask()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		n, err := conn.Conn().WaitForNotification(ctx)
		cancel()
		if err != nil || n.Channel != "chasqui_"+topic {
			t.Errorf("%s: %v, %v", topic, n, err)
		}
	}
}

// TestAnEndpointIsNotDeletedWhileADeliveryIsSentAgain: else the delivery would wait for ever for an endpoint that is gone.
func TestAnEndpointIsNotDeletedWhileADeliveryIsSentAgain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, endpoint := f.endpointOf()
	id := f.delivered(events.NewID(), endpoint, "exhausted")
	uid, _ := events.DeliveryPrefix.Parse(id)
	tx, err := f.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The delivery's row is held, so that the request stops between the endpoint and the delivery.
	if _, err := tx.Exec(t.Context(), `SELECT FROM deliveries WHERE id = $1 FOR UPDATE`, uid); err != nil {
		t.Fatal(err)
	}
	answered := make(chan answer, 1)
	go func() { answered <- f.do("POST", "/v1/webhook-deliveries/"+id+"/retry", nil) }()
	f.eventually("the request waiting", func() bool {
		return f.count(`pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%DeliveryResend%'`) == 1
	})
	_, err = f.db.Exec(t.Context(), `SET lock_timeout = '50ms'; UPDATE webhook_endpoints SET state = 'deleted'`)
	if postgres.ErrorCode(err) != "55P03" {
		t.Errorf("the endpoint was deleted meanwhile: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := <-answered; a.StatusCode != 202 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// TestEveryClassOfAttemptIsDocumented: the document has the classes that the dispatcher records.
func TestEveryClassOfAttemptIsDocumented(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../dispatcher/failure.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var recorded []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 && strings.HasPrefix(v.Names[0].Name, "class") {
			recorded = append(recorded, strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	var documented []string
	for _, c := range attemptClasses {
		documented = append(documented, c[0])
	}
	slices.Sort(recorded)
	slices.Sort(documented)
	if len(recorded) == 0 || !slices.Equal(recorded, documented) {
		t.Errorf("documented are %v, recorded %v", documented, recorded)
	}
	raw, err := newRoutes().document()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Schemas map[string]struct{ Description string }
		}
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	for _, c := range attemptClasses {
		if !strings.Contains(document.Components.Schemas["AttemptClass"].Description, c[0]+": "+c[1]) {
			t.Errorf("%s is not in the schema's description", c[0])
		}
	}
}

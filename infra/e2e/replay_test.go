package e2e

import (
	"fmt"
	"net/url"
	"testing"
	"time"
)

// TestAnEndpointCatchesUp: an endpoint that is made after 3,000 events gets them by a replay, though the dispatcher is killed in the middle of
// it; each is in the list of its deliveries once, and one of them is sent again by hand.
func TestAnEndpointCatchesUp(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start("api", "api")
	s.start("dispatcher", "dispatcher")
	s.awaitAPI(t)
	conn := s.connect(t, "test")
	defer conn.Close(t.Context())
	const n = 3000
	since := time.Now().Add(-time.Minute).UTC()
	_, err := conn.Exec(t.Context(), `INSERT INTO events (seq, id, session_id, type, occurred_at, body)
		SELECT nextval('events_seq'), m.id, 's', 'session.status', now(), convert_to(format('{"id":"evt_%s","type":"session.status","data":{}}', replace(m.id::text, '-', '')), 'UTF8')
		  FROM (SELECT (lpad(to_hex($1::bigint + i), 12, '0') || '7000' || '8' || substr(md5(random()::text), 1, 15))::uuid AS id FROM generate_series(1, $2::int) i ORDER BY i) m`,
		since.UnixMilli(), n)
	if err != nil {
		t.Fatal(err)
	}
	s.subscribe(t, "session")
	var endpoints struct{ Data []struct{ ID string } }
	s.api.must(t, "GET", "/v1/webhook-endpoints", nil, &endpoints)
	path := "/v1/webhook-endpoints/" + endpoints.Data[0].ID
	type replay struct {
		ID, State       string
		Scanned, Resent int
		Progress        float64
	}
	var r replay
	s.api.must(t, "POST", path+"/replay", map[string]any{"since": since, "states": []string{"missing"}}, &r)
	look := func() (now replay, err error) {
		_, err = s.api.do("GET", "/v1/webhook-replays/"+r.ID, nil, &now)
		return now, err
	}
	eventually(t, time.Minute, "the replay's beginning", func() error {
		now, err := look()
		if err == nil && now.Resent == 0 {
			return fmt.Errorf("%+v", now)
		}
		return err
	})
	s.procs["dispatcher"].kill9(t)
	if now, err := look(); err != nil || now.State == "done" {
		t.Errorf("it was killed when the replay was over: %+v, %v", now, err)
	}
	if _, err := conn.Exec(t.Context(), `UPDATE deliveries SET lease_until = now() WHERE state = 'sending'`); err != nil { // of the dead; else 45 s
		t.Fatal(err)
	}
	s.start("dispatcher", "dispatcher")
	eventually(t, 2*time.Minute, "the end of the replay", func() error {
		now, err := look()
		if err == nil && now.State != "done" {
			return fmt.Errorf("%+v", now)
		}
		r = now
		return err
	})
	if r.Scanned != n || r.Resent != n || r.Progress != 1 {
		t.Errorf("%+v, want %d", r, n)
	}
	type delivery struct {
		ID, EventID  string
		AttemptCount int
	}
	seen := map[string]int{}
	var last delivery
	eventually(t, 2*time.Minute, "all deliveries", func() error {
		clear(seen)
		for cursor := ""; ; {
			var page struct {
				Data       []delivery
				NextCursor string
				HasMore    bool
			}
			if _, err := s.api.do("GET", path+"/deliveries?state=succeeded&limit=200&cursor="+url.QueryEscape(cursor), nil, &page); err != nil {
				return err
			}
			for _, d := range page.Data {
				seen[d.EventID]++
				last = d
			}
			if cursor = page.NextCursor; !page.HasMore {
				break
			}
		}
		if len(seen) < n {
			return fmt.Errorf("%d have succeeded", len(seen))
		}
		return nil
	})
	count := func(id string) (times int) {
		for _, d := range s.receiver.deliveries() {
			if d.WebhookID == id {
				times++
			}
		}
		return times
	}
	came, newest, order := map[string]bool{}, "", 0
	for _, d := range s.receiver.deliveries() {
		if came[d.WebhookID] {
			continue
		}
		if came[d.WebhookID] = true; d.WebhookID < newest { // ids grow with time, and these in the order of the log
			order++
		}
		newest = d.WebhookID
	}
	if len(seen) != n || len(came) != n || order != 0 {
		t.Errorf("%d deliveries in the list, %d events came, %d out of order; want %d", len(seen), len(came), order, n)
	}
	before := count(last.EventID)
	s.api.must(t, "POST", "/v1/webhook-deliveries/"+last.ID+"/retry", nil, nil)
	eventually(t, time.Minute, "the delivery that is sent again", func() error {
		var detail struct {
			State    string
			Attempts []struct{ Class string }
		}
		_, err := s.api.do("GET", "/v1/webhook-deliveries/"+last.ID, nil, &detail)
		if err == nil && (detail.State != "succeeded" || len(detail.Attempts) < 2 || count(last.EventID) <= before) {
			return fmt.Errorf("%+v", detail)
		}
		return err
	})
	s.receiver.check(t)
}

package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
)

func TestReplays(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path, _ := f.endpointOf("max_in_flight = 2") // 50 may be due
	since := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	var r, read Replay
	a := f.must(202, &r, "POST", path+"/replay", map[string]any{"since": since})
	if !strings.HasPrefix(r.ID, "rpl_") || "/v1/webhook-endpoints/"+r.EndpointID != path || r.State != "running" || !r.Since.Equal(since) || time.Since(r.Until) > time.Minute || r.Until.After(time.Now().Add(time.Second)) ||
		fmt.Sprint(r.States) != "[exhausted]" || len(r.Types) != 0 || r.Progress != 0 || r.Scanned != 0 || r.Resent != 0 || r.FinishedAt != nil {
		t.Errorf("%s", a.body)
	}
	location := a.Header.Get("Location")
	f.must(200, &read, "GET", location, nil)
	if fmt.Sprintf("%+v", read) != fmt.Sprintf("%+v", r) {
		t.Errorf("read %+v, want %+v", read, r)
	}
	id, _ := events.ReplayPrefix.Parse(r.ID)
	endpoint, _ := events.EndpointPrefix.Parse(r.EndpointID)

	// One at a time; another endpoint is another matter.
	if p := f.problem(f.do("POST", path+"/replay", map[string]any{"since": since}), WebhookReplayRunning); !strings.Contains(p.Detail, r.ID) {
		t.Errorf("the detail names no replay: %s", p.Detail)
	}
	other, _ := f.endpointOf()
	f.must(202, nil, "POST", other+"/replay", map[string]any{"since": since})

	// How it stands follows from the place it has reached and from what the endpoint can take.
	shows := func(what, state string, progress float64) {
		t.Helper()
		if f.must(200, &read, "GET", location, nil); read.State != state || read.Progress != progress {
			t.Errorf("%s: %s at %v, want %s at %v", what, read.State, read.Progress, state, progress)
		}
	}
	f.exec(`UPDATE webhook_replays SET until = since + interval '1000 s', reached = $1, scanned = 7, resent = 5 WHERE id = $2`, events.FirstID(since.Add(250*time.Second)), id)
	shows("a quarter", "running", 0.25)
	if read.Scanned != 7 || read.Resent != 5 {
		t.Errorf("%+v", read)
	}
	for range 50 {
		f.delivered(events.NewID(), endpoint, "pending")
	}
	shows("as much due as there may be", "waiting", 0.25)
	f.exec(`UPDATE deliveries SET run_at = now() + interval '1 hour' WHERE event_id = (SELECT event_id FROM deliveries LIMIT 1)`)
	shows("one less", "running", 0.25)
	f.exec(`UPDATE deliveries SET order_key = 'k', run_at = now()`)
	shows("the same in order", "waiting", 0.25)
	f.exec(`UPDATE deliveries SET state = 'succeeded'`)
	for _, state := range []string{"paused", "disabled"} {
		f.exec(`UPDATE webhook_endpoints SET state = $1 WHERE id = $2`, state, endpoint)
		shows(state, "waiting", 0.25)
	}
	f.exec(`UPDATE webhook_endpoints SET state = 'active'`)
	shows("active", "running", 0.25)

	// Cancelling twice is as once; what is over makes room for the next.
	var cancelled Replay
	f.must(200, &cancelled, "POST", location+"/cancel", nil)
	if cancelled.State != "cancelled" || cancelled.FinishedAt == nil || cancelled.Progress != 0.25 {
		t.Errorf("cancelled %+v", cancelled)
	}
	f.must(200, &read, "POST", location+"/cancel", nil)
	if !read.FinishedAt.Equal(*cancelled.FinishedAt) {
		t.Error("it was cancelled anew")
	}
	var second Replay
	until := since.Add(time.Minute)
	f.must(202, &second, "POST", path+"/replay", map[string]any{
		"since": since, "until": until, "states": []string{"missing", "succeeded", "missing"}, "types": []string{"message.received"},
	})
	if !second.Until.Equal(until) || fmt.Sprint(second.States) != "[missing succeeded]" || fmt.Sprint(second.Types) != "[message.received]" {
		t.Errorf("%+v", second)
	}
	f.exec(`UPDATE webhook_replays SET state = 'done', finished_at = now() WHERE state = 'running' AND endpoint_id = $1`, endpoint)
	f.must(200, &read, "POST", "/v1/webhook-replays/"+second.ID+"/cancel", nil)
	if read.State != "done" || read.Progress != 1 {
		t.Errorf("one that is done: %+v", read)
	}
	var third Replay
	f.must(202, &third, "POST", path+"/replay", map[string]any{"since": since, "until": time.Now().Add(24 * time.Hour)})
	if third.Until.After(time.Now().Add(time.Second)) {
		t.Errorf("it goes to %s", third.Until)
	}

	// The list, newest first.
	var page List[Replay]
	f.must(200, &page, "GET", path+"/replays?limit=2", nil)
	if len(page.Data) != 2 || page.Data[0].ID != third.ID || page.Data[1].ID != second.ID || !page.HasMore {
		t.Errorf("the first page: %+v", page)
	}
	f.must(200, &page, "GET", path+"/replays?limit=2&cursor="+page.NextCursor, nil)
	if len(page.Data) != 1 || page.Data[0].ID != r.ID || page.HasMore {
		t.Errorf("the second page: %+v", page)
	}
	f.problem(f.do("GET", path+"/replays?cursor=x", nil), ValidationFailed)
}

func TestReplaysThatCannotBe(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path, id := f.endpointOf()
	before := f.written()
	for _, body := range []string{
		`{}`, `{"since":"yesterday"}`, `{"since":"2999-01-01T00:00:00Z"}`, `{"since":"2020-01-02T00:00:00Z","until":"2020-01-02T00:00:00Z"}`,
		`{"since":"2020-01-02T00:00:00Z","states":["pending"]}`, `{"since":"2020-01-02T00:00:00Z","states":[]}`, `{"since":"2020-01-02T00:00:00Z","types":["x"]}`,
		`{"since":"2020-01-02T00:00:00Z","state":"exhausted"}`,
	} {
		f.problem(f.do("POST", path+"/replay", body), ValidationFailed)
	}
	f.problem(f.do("POST", "/v1/webhook-endpoints/"+events.EndpointPrefix.Format(uuid.New())+"/replay", `{"since":"2020-01-02T00:00:00Z"}`), NotFound)
	for _, c := range [][2]string{{"GET", ""}, {"POST", "/cancel"}} {
		for _, replay := range []string{"x", events.ReplayPrefix.Format(events.NewID())} {
			f.problem(f.do(c[0], "/v1/webhook-replays/"+replay+c[1], nil), NotFound)
		}
	}
	if f.written() != before {
		t.Error("something was written")
	}
	f.must(202, nil, "POST", path+"/replay", `{"since":"1950-01-02T00:00:00Z"}`) // the beginning of everything
	f.exec(`UPDATE webhook_endpoints SET state = 'deleted', configured_url = 'x' WHERE id = $1`, id)
	f.problem(f.do("POST", path+"/replay", `{"since":"2020-01-02T00:00:00Z"}`), NotFound)
	f.problem(f.do("GET", path+"/replays", nil), NotFound)
}

// TestAReplayWithAKeyIsAskedForOnce: a repeat gets the first answer and makes no second replay, also when the first is over.
func TestAReplayWithAKeyIsAskedForOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path, _ := f.endpointOf()
	body := `{"since":"2026-01-02T00:00:00Z"}`
	var first, second Replay
	f.must(202, &first, "POST", path+"/replay", body, "Idempotency-Key", "k")
	f.exec(`UPDATE webhook_replays SET state = 'done', finished_at = now()`)
	a := f.must(202, &second, "POST", path+"/replay", body, "Idempotency-Key", "k")
	if a.Header.Get("Idempotency-Replayed") != "true" || second.ID != first.ID || a.Header.Get("Location") != "/v1/webhook-replays/"+first.ID || f.count("webhook_replays") != 1 {
		t.Errorf("the repeat: %s", a.body)
	}
	f.problem(f.do("POST", path+"/replay", `{"since":"2026-01-03T00:00:00Z"}`, "Idempotency-Key", "k"), IdempotencyKeyReused)
	// A problem is no answer that is kept.
	f.must(202, &second, "POST", path+"/replay", body)
	f.problem(f.do("POST", path+"/replay", body, "Idempotency-Key", "l"), WebhookReplayRunning)
	f.must(200, nil, "POST", "/v1/webhook-replays/"+second.ID+"/cancel", nil, "Idempotency-Key", "m")
	f.must(202, nil, "POST", path+"/replay", body, "Idempotency-Key", "l")
}

package api

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// published returns what is on the queue for the sequencer.
func (f *fixture) published() []queue.Fetched {
	f.t.Helper()
	tx, err := f.db.Begin(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	batch, err := queue.FetchBatch(f.t.Context(), tx, events.TopicEvents, 100, 100)
	if err != nil {
		f.t.Fatal(err)
	}
	return batch.Messages
}

func TestTestingAnEndpoint(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made CreatedEndpoint
	var test EndpointTest
	path := f.endpoint(&made, map[string]any{"url": "https://user:password@203.0.113.9/hook?token=t", "events": []string{"message.sent"}})
	a := f.must(202, &test, "POST", path+"/test", nil, "Idempotency-Key", "k")
	if test.Delivery != nil || a.Header.Get("Preference-Applied") != "" {
		t.Errorf("answered %s %v", a.body, a.Header)
	}
	var again EndpointTest
	if a := f.must(202, &again, "POST", path+"/test", nil, "Idempotency-Key", "k"); again != test || a.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("a repeat: %s", a.body)
	}
	queued := f.published()
	if len(queued) != 1 {
		t.Fatalf("%d events on the queue, want 1", len(queued))
	}
	m, id := queued[0], strings.TrimPrefix(made.ID, "we_")
	if events.EventPrefix.Format(m.ID) != test.EventID || m.Metadata[events.MetaType] != "webhook.test" || strings.ReplaceAll(m.Metadata[events.MetaEndpoint], "-", "") != id || m.Metadata[events.MetaSession] != "" {
		t.Errorf("on the queue: %s %v", m.ID, m.Metadata)
	}
	var e struct {
		Data events.WebhookData `json:"data"`
	}
	if err := json.Unmarshal(m.Payload, &e); err != nil {
		t.Fatal(err)
	}
	if e.Data.Endpoint.ID != made.ID || e.Data.Endpoint.URL != "https://203.0.113.9/hook" || e.Data.Endpoint.State != "active" || strings.Contains(string(m.Payload), "password") || strings.Contains(string(m.Payload), "token") {
		t.Errorf("endpoint: %s", m.Payload)
	}
	if _, err := events.ParseAddress(e.Data.Message.ChatID); err != nil || e.Data.Message.Content.Text == "" || e.Data.Message.WhatsAppID == "" || events.Legacy(*e.Data.Message).From != "0000000000@c.us" {
		t.Errorf("message: %v %+v", err, e.Data.Message)
	}
	for _, state := range []string{"paused", "disabled"} {
		f.exec("UPDATE webhook_endpoints SET state = $1", state)
		if p := f.problem(f.do("POST", path+"/test", nil), EndpointNotActive); !strings.Contains(p.Detail, state) {
			t.Errorf("%s: %s", state, p.Detail)
		}
	}
	f.must(204, nil, "DELETE", path, nil)
	f.problem(f.do("POST", path+"/test", nil), NotFound)
	if n := len(f.published()); n != 1 {
		t.Errorf("%d events on the queue: a test that was refused is published", n)
	}
}

func TestWaitingForATest(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made CreatedEndpoint
	path := f.endpoint(&made, nil)
	endpoint, _ := events.EndpointPrefix.Parse(made.ID)
	for _, c := range []struct {
		state          string
		status, class  any
		wantStatus     int
		wantState, cls string
	}{
		{"succeeded", 204, "ok", 204, "succeeded", "ok"},
		{"pending", 500, "status", 500, "pending", "status"},
		{"pending", nil, "connect", 0, "pending", "connect"},
		{"held", 410, "status", 410, "held", "status"},
		{"cancelled", nil, nil, 0, "cancelled", ""},
	} {
		before := len(f.published())
		waiting := make(chan answer, 1)
		go func() { waiting <- f.do("POST", path+"/test", nil, "Prefer", "wait=30") }()
		f.eventually("the event", func() bool { return len(f.published()) == before+1 })
		var event uuid.UUID
		for _, m := range f.published() {
			if f.count("deliveries WHERE event_id = '"+m.ID.String()+"'") == 0 {
				event = m.ID
			}
		}
		// As a dispatcher does: it makes the delivery, sends it, and is stopped before there is an answer; another sends it again.
		f.exec("INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, state) VALUES ($1, $2, 1, $3, 'pending')", events.NewID(), event, endpoint)
		f.wake.Notify(events.WakeLog)
		f.exec("UPDATE deliveries SET state = 'sending' WHERE event_id = $1", event)
		f.exec("UPDATE deliveries SET state = 'pending', last_class = 'aborted' WHERE event_id = $1", event)
		f.wake.Notify(events.WakeLog)
		f.exec("UPDATE deliveries SET state = $2, last_status = $3, last_class = $4 WHERE event_id = $1", event, c.state, c.status, c.class)
		a := <-waiting
		var test EndpointTest
		if err := json.Unmarshal(a.body, &test); err != nil || a.StatusCode != 200 || test.Delivery == nil {
			t.Fatalf("%s: %d %s", c.state, a.StatusCode, a.body)
		}
		status := 0
		if test.Delivery.LastStatus != nil {
			status = int(*test.Delivery.LastStatus)
		}
		if test.EventID != events.EventPrefix.Format(event) || a.Header.Get("Preference-Applied") != "wait=30" || !strings.HasPrefix(test.Delivery.ID, "dlv_") ||
			test.Delivery.State != c.wantState || status != c.wantStatus || test.Delivery.LastClass != c.cls {
			t.Errorf("%+v: %s", c, a.body)
		}
	}
	// Nothing comes of it within the time.
	var test EndpointTest
	if a := f.must(202, &test, "POST", path+"/test", nil, "Prefer", "wait=1"); test.Delivery != nil || a.Header.Get("Preference-Applied") != "wait=1" {
		t.Errorf("in vain: %s", a.body)
	}
	// A repeat waits for the event of the first.
	var first, again EndpointTest
	f.must(202, &first, "POST", path+"/test", nil, "Prefer", "wait=0", "Idempotency-Key", "k")
	event, _ := events.EventPrefix.Parse(first.EventID)
	f.exec("INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, state, last_status, last_class) VALUES ($1, $2, 1, $3, 'succeeded', 200, 'ok')", events.NewID(), event, endpoint)
	f.must(200, &again, "POST", path+"/test", nil, "Prefer", "wait=30", "Idempotency-Key", "k")
	if again.EventID != first.EventID || again.Delivery == nil || again.Delivery.State != "succeeded" {
		t.Errorf("a repeat: %+v", again)
	}
}

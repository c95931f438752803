package dispatcher

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

func (b *bench) publishAbout(kind events.Type, endpoint uuid.UUID, message *events.Message) {
	b.t.Helper()
	data := events.WebhookData{Endpoint: events.WebhookEndpoint{ID: events.EndpointPrefix.Format(endpoint), State: "active"}, Message: message}
	if err := b.db.InTx(b.t.Context(), func(tx *queue.Tx) error {
		_, err := events.PublishAbout(tx, kind, endpoint, time.Now(), data)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

func TestEventsAboutEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, requests := receiveAny(t, ok)
	deaf := b.addEndpoint(url, "events = '{message.sent}', sessions = '{sales}', chat_kinds = '{group}', from_me = true, order_mode = 'session'")
	all := b.addEndpoint(url, "events = '{*}'")
	healthOnly := b.addEndpoint(url, "events = '{webhook.*}', state = 'paused'")
	old := receiveLegacy(t)
	legacy := b.addEndpoint(old.URL, "format = 'legacy', events = '{message.received}'")
	got := func(e endpoint, kind events.Type) int {
		return b.count(`SELECT count(*) FROM deliveries d JOIN events e ON e.id = d.event_id WHERE d.endpoint_id = $1 AND e.type = $2`, e.id, kind)
	}
	b.start()
	message := incoming("3EB0TEST", nil)
	for i, c := range []struct {
		kind  events.Type
		about uuid.UUID
		// The deliveries that there are then, of this type.
		deaf, all, healthOnly, legacy int
	}{
		{events.WebhookTest, deaf.id, 1, 0, 0, 0},
		{events.WebhookTest, all.id, 1, 1, 0, 0},
		{events.WebhookTest, legacy.id, 1, 1, 0, 1},
		{events.WebhookTest, healthOnly.id, 1, 1, 1, 1}, // paused since it was asked for: held
		{events.WebhookTest, uuid.Nil, 1, 1, 1, 1},
		{events.WebhookFailing, deaf.id, 0, 1, 1, 0},
		{events.WebhookFailing, all.id, 0, 1, 2, 0},
		{events.WebhookDisabled, healthOnly.id, 0, 1, 0, 0},
		{events.WebhookDisabled, legacy.id, 0, 2, 1, 0},
	} {
		b.publishAbout(c.kind, c.about, &message)
		eventually(t, "it is logged", func() bool { return b.count(`SELECT count(*) FROM events`) == i+1 })
		for name, have := range map[string][2]int{"deaf": {got(deaf, c.kind), c.deaf}, "all": {got(all, c.kind), c.all},
			"healthOnly": {got(healthOnly, c.kind), c.healthOnly}, "legacy": {got(legacy, c.kind), c.legacy}} {
			if have[0] != have[1] {
				t.Errorf("%d %s: %s has %d, want %d", i, c.kind, name, have[0], have[1])
			}
		}
	}
	eventually(t, "all but what is held is delivered", func() bool {
		return b.count(`SELECT count(*) FROM deliveries WHERE state IN ('pending', 'sending')`) == 0
	})
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state <> 'succeeded' AND endpoint_id <> $1`, healthOnly.id); n != 0 {
		t.Errorf("%d deliveries have not succeeded", n)
	}
	tests := 0
	for _, r := range requests() {
		var e struct {
			Type events.Type `json:"type"`
			Data struct {
				Endpoint struct {
					ID string `json:"id"`
				} `json:"endpoint"`
			} `json:"data"`
		}
		if err := json.Unmarshal(r.body, &e); err != nil {
			t.Fatal(err)
		}
		if e.Type == events.WebhookTest && verifies(t, deaf.secret, r) && (e.Data.Endpoint.ID == events.EndpointPrefix.Format(deaf.id) || e.Data.Endpoint.ID == events.EndpointPrefix.Format(all.id)) {
			tests++
		}
	}
	if tests != 2 {
		t.Errorf("%d tests came, want 2", tests)
	}
	if m, raw := old.message(t, "3EB0TEST"); m.Body != "Texto del <mensaje>" || m.From != "5491123456789@c.us" || m.Type != "chat" {
		t.Errorf("in the old form: %s", raw)
	}
}

func TestAnEventAboutNoEndpointHoldsUpNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addEndpoint("http://127.0.0.1:1/", "state = 'paused'")
	bad := queue.Message{ID: events.NewID(), Lane: "@we_x", Payload: []byte(`{}`), Metadata: map[string]string{
		events.MetaType: string(events.WebhookFailing), events.MetaTimestamp: time.Now().Format(time.RFC3339Nano), events.MetaEndpoint: "none"}}
	if err := b.db.InTx(t.Context(), func(tx *queue.Tx) error { tx.Publish(events.TopicEvents, bad); return nil }); err != nil {
		t.Fatal(err)
	}
	b.publish("s", "c", 0, 1)
	b.start()
	eventually(t, "one is a dead letter", func() bool {
		return b.count(`SELECT count(*) FROM queue_dead`) == 1 && b.count(`SELECT count(*) FROM queue_messages`) == 0
	})
	if n := b.count(`SELECT count(*) FROM events`); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

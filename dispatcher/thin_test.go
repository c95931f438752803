package dispatcher

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

func TestALargeEventGoesWithoutItsData(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, requests := receiveAny(t, ok)
	e := b.addEndpoint(url)
	old, inOldForm := receiveAny(t, ok)
	b.addEndpoint(old, "format = 'legacy'")
	b.start()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.UTC)
	publish := func(size int) string {
		t.Helper()
		message := incoming("3EB0", nil)
		message.Content.Text = ""
		empty, err := json.Marshal(events.Event{ID: events.EventPrefix.Format(events.NewID()), Type: events.MessageReceived, Timestamp: at, SessionID: "sales", Data: events.MessageData{Message: message}})
		if err != nil {
			t.Fatal(err)
		}
		message.Content.Text = strings.Repeat("x", size-len(empty)-len(`,"text":""`))
		var id string
		if err := b.db.InTx(t.Context(), func(tx *queue.Tx) error {
			event, err := events.Publish(tx, events.MessageReceived, "sales", "c", at, events.MessageData{Message: message})
			id = events.EventPrefix.Format(event)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	for n, size := range []int{thinAbove, thinAbove + 1, 4 * thinAbove} {
		id := publish(size)
		eventually(t, "it is delivered", b.settled(n+1))
		if stored := b.count(`SELECT octet_length(body) FROM events WHERE seq = (SELECT max(seq) FROM events)`); stored != size {
			t.Fatalf("the event has %d bytes, want %d", stored, size)
		}
		r := requests()[n]
		if r.header.Get("webhook-id") != id || !verifies(t, e.secret, r) {
			t.Errorf("%d bytes: webhook-id %q, signature %q", size, r.header.Get("webhook-id"), r.header.Get("webhook-signature"))
		}
		want := `{"id":"` + id + `","type":"message.received","timestamp":"2026-01-02T03:04:05.6789Z","sessionId":"sales","data":{},"dataUrl":"http://api.test/v1/events/` + id + `"}`
		if size > thinAbove && string(r.body) != want {
			t.Errorf("%d bytes: got %.400s", size, r.body)
		}
		if size <= thinAbove && len(r.body) != size {
			t.Errorf("%d bytes: got %d", size, len(r.body))
		}
		if body := inOldForm()[n].body; len(body) < size/2 {
			t.Errorf("%d bytes: in the old form %d are left: %.400s", size, len(body), body)
		}
	}
}

package dispatcher

import (
	"net/http"
	"testing"
	"time"

	"github.com/chasqui/chasqui/dispatcher/receivertest"
)

// testSecret is that of the tests' endpoints.
const testSecret = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"

// A webhook is one that a receiver got.
type webhook struct {
	id     string
	note   note
	header http.Header
	answer int
	at     time.Time
}

// A receiver is one that knows what the tests' events are made of.
type receiver struct{ *receivertest.Receiver }

// receive starts a receiver that answers the status that reply says; n counts requests from 1, and nil means 200.
func receive(t *testing.T, reply func(n int, w webhook) int) *receiver {
	t.Helper()
	r := &receiver{receivertest.New(t, testSecret)}
	r.Answer(func(h receivertest.Hook) receivertest.Fault {
		w := webhookOf(t, h)
		if reply == nil {
			return receivertest.OK
		}
		return receivertest.Status(reply(h.N, w))
	})
	return r
}

// webhookOf reads a webhook, and fails the test where the body is of another event than the headers say.
func webhookOf(t *testing.T, h receivertest.Hook) webhook {
	var e struct {
		ID   string `json:"id"`
		Data note   `json:"data"`
	}
	if err := h.Decode(&e); err != nil || e.ID != h.ID {
		t.Errorf("body %q has not the id %q: %v", h.Body, h.ID, err)
	}
	return webhook{id: e.ID, note: e.Data, header: h.Header, answer: h.Status, at: h.At}
}

// hooks returns what has come so far, in the order in which the answers were given.
func (r *receiver) hooks() []webhook {
	var list []webhook
	for _, h := range r.Hooks() {
		var e struct{ Data note }
		_ = h.Decode(&e) // it was read when it came
		list = append(list, webhook{id: h.ID, note: e.Data, header: h.Header, answer: h.Status, at: h.At})
	}
	return list
}

// accepted returns how often each webhook-id was answered with 2xx.
func (r *receiver) accepted() map[string]int { return r.Hooks().Accepted() }

// newHole starts a receiver that takes requests and never answers.
func newHole(t *testing.T) string {
	r := receivertest.New(t)
	r.Always(receivertest.HangBeforeHeaders)
	return r.URL
}

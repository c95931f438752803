package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A delivery is one accepted POST.
type delivery struct {
	WebhookID   string
	Traceparent string
	Event       event
}

// A receiver is a customer's webhook server: it verifies each signature with the Go library of Standard Webhooks before it believes a body.
type receiver struct {
	addr string
	mu   sync.Mutex
	hook *standardwebhooks.Webhook
	got  []delivery
	bad  []string
	srv  *http.Server
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{addr: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	r.up(t)
	t.Cleanup(r.down)
	return r
}

func (r *receiver) url() string { return "http://" + r.addr + "/hook" }

// trust sets the secret that deliveries are verified with; until then every delivery is refused.
func (r *receiver) trust(t *testing.T, secret string) {
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.hook = hook
	r.mu.Unlock()
}

func (r *receiver) up(t *testing.T) {
	t.Helper()
	var l net.Listener
	eventually(t, 5*time.Second, "the receiver's port", func() (err error) { l, err = net.Listen("tcp", r.addr); return err })
	r.srv = &http.Server{Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: 10 * time.Second}
	go func(s *http.Server) { _ = s.Serve(l) }(r.srv)
}

// down makes every connection be refused, as a receiver that is not running does.
func (r *receiver) down() { _ = r.srv.Close() }

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hook == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if err := r.hook.Verify(body, req.Header); err != nil {
		r.bad = append(r.bad, err.Error())
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	d := delivery{WebhookID: req.Header.Get("webhook-id"), Traceparent: req.Header.Get("traceparent")}
	if err := json.Unmarshal(body, &d.Event); err != nil {
		r.bad = append(r.bad, err.Error())
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.got = append(r.got, d)
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) deliveries() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivery(nil), r.got...)
}

// received returns, by WhatsApp's id, the webhook ids under which each message came as message.received, and the WhatsApp ids of each chat in
// the order of their first coming.
func (r *receiver) received() (ids map[string]map[string]bool, order map[string][]string) {
	ids, order = map[string]map[string]bool{}, map[string][]string{}
	for _, d := range r.deliveries() {
		if d.Event.Type != "message.received" {
			continue
		}
		m := d.Event.Data.Message
		if ids[m.WhatsAppID] == nil {
			ids[m.WhatsAppID] = map[string]bool{}
			order[m.ChatID] = append(order[m.ChatID], m.WhatsAppID)
		}
		ids[m.WhatsAppID][d.WebhookID] = true
	}
	return ids, order
}

// check fails the test if a delivery's signature or id was wrong.
func (r *receiver) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bad {
		t.Errorf("webhook refused: %s", b)
	}
	for _, d := range r.got {
		if d.WebhookID != d.Event.ID {
			t.Errorf("webhook-id %s does not name its event %s", d.WebhookID, d.Event.ID)
		}
	}
}

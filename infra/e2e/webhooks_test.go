package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// TestAWebhookEndpoint tries out an endpoint as its owner does: a test that fails and one that succeeds, a new secret beside the old one, and
// an event that is too large for a webhook.
func TestAWebhookEndpoint(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.env = append(s.env, "PUBLIC_URL="+s.api.base)
	s.start("api", "api")
	s.start("dispatcher", "dispatcher")
	s.awaitAPI(t)

	type hook struct {
		header http.Header
		body   []byte
	}
	var mu sync.Mutex
	got := map[string]hook{} // the last of each webhook-id
	status := http.StatusTeapot
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got[r.Header.Get("webhook-id")] = hook{r.Header, body}
		w.WriteHeader(status)
	}))
	t.Cleanup(receiver.Close)
	came := func(id string) (hook, error) {
		mu.Lock()
		defer mu.Unlock()
		h, ok := got[id]
		if !ok {
			return h, fmt.Errorf("%s has not come", id)
		}
		return h, nil
	}
	signed := func(h hook, secrets ...string) {
		t.Helper()
		for _, secret := range secrets {
			verifier, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := verifier.Verify(h.body, h.header); err != nil {
				t.Errorf("signature: %v", err)
			}
		}
		if n := len(strings.Fields(h.header.Get("webhook-signature"))); n != len(secrets) {
			t.Errorf("%d signatures, want %d", n, len(secrets))
		}
	}

	var endpoint struct{ ID, Secret string }
	s.api.must(t, "POST", "/v1/webhook-endpoints", map[string]any{"url": receiver.URL, "events": []string{"message.received"}}, &endpoint)
	path := "/v1/webhook-endpoints/" + endpoint.ID
	type outcome struct {
		EventID  string
		Delivery struct {
			State, LastClass string
			LastStatus       int
		}
	}
	test := func(class string, code int) hook {
		t.Helper()
		var o outcome
		if status, err := s.api.do("POST", path+"/test", nil, &o, "Prefer", "wait=30"); err != nil || status != http.StatusOK {
			t.Fatalf("test: %d %v", status, err)
		}
		if o.Delivery.LastClass != class || o.Delivery.LastStatus != code || (o.Delivery.State == "succeeded") != (class == "ok") {
			t.Errorf("test: %+v", o)
		}
		h, err := came(o.EventID)
		if err != nil {
			t.Error(err)
		}
		return h
	}
	signed(test("status", http.StatusTeapot), endpoint.Secret)
	mu.Lock()
	status = http.StatusNoContent
	mu.Unlock()
	s.api.must(t, "PATCH", path, map[string]any{"state": "active"}, nil)
	signed(test("ok", http.StatusNoContent), endpoint.Secret)
	var rotated struct{ Secret string }
	s.api.must(t, "POST", path+"/secret/rotate", nil, &rotated)
	signed(test("ok", http.StatusNoContent), rotated.Secret, endpoint.Secret)

	pool, err := pgxpool.New(t.Context(), s.pg.DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	notifier := queue.NewNotifier(pool)
	t.Cleanup(notifier.Close)
	var id string
	if err := (&queue.DB{Pool: pool, Notifier: notifier}).InTx(t.Context(), func(tx *queue.Tx) error {
		event, err := events.Publish(tx, events.MessageReceived, "sales", "c", time.Now(), map[string]string{"text": strings.Repeat("é", 200<<10)})
		id = events.EventPrefix.Format(event)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var thin hook
	eventually(t, time.Minute, "the large event", func() (err error) { thin, err = came(id); return err })
	signed(thin, rotated.Secret, endpoint.Secret)
	var large struct {
		Data    map[string]any
		DataURL string `json:"dataUrl"`
	}
	if err := json.Unmarshal(thin.body, &large); err != nil || len(large.Data) != 0 || len(thin.body) > 1000 {
		t.Fatalf("%v: %d bytes: %.500s", err, len(thin.body), thin.body)
	}
	var whole struct {
		ID   string
		Data struct{ Text string }
	}
	s.api.must(t, "GET", strings.TrimPrefix(large.DataURL, s.api.base), nil, &whole)
	if whole.ID != id || len(whole.Data.Text) != 400<<10 {
		t.Errorf("at dataUrl: %s with %d bytes", whole.ID, len(whole.Data.Text))
	}
}

package api

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestEndpoints(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made CreatedEndpoint
	a := f.must(201, &made, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook"})
	if fmt.Sprint(made.Events) != "[*]" || made.Sessions == nil || made.Order != "none" || made.TimeoutSeconds != 15 || made.MaxInFlight != 16 || made.State != "active" || made.Format != "standard" {
		t.Errorf("defaults: %s", a.body)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(made.Secret, "whsec_"))
	if err != nil || len(raw) != 32 || !strings.HasPrefix(made.Secret, "whsec_") {
		t.Errorf("secret %q: %v", made.Secret, err)
	}
	if _, err := standardwebhooks.NewWebhook(made.Secret); err != nil {
		t.Errorf("the library of Standard Webhooks refuses the secret: %v", err)
	}
	var secret EndpointSecret
	f.must(200, &secret, "GET", a.Header.Get("Location")+"/secret", nil)
	if secret.Secret != made.Secret {
		t.Error("the secret reads otherwise")
	}
	for _, path := range []string{a.Header.Get("Location"), "/v1/webhook-endpoints"} {
		if read := f.must(200, nil, "GET", path, nil); strings.Contains(string(read.body), "whsec_") {
			t.Errorf("%s shows the secret", path)
		}
	}
	var changed Endpoint
	f.exec("UPDATE webhook_endpoints SET state = 'disabled', disabled_reason = '410', failing_since = now(), consecutive_failures = 9, breaker_until = now(), breaker_trips = 3")
	f.must(200, &changed, "PATCH", a.Header.Get("Location"), `{"maxInFlight":3,"events":["message.received"],"sessions":["sales"],"headers":{"X-Token":"t"},"order":"chat"}`)
	if changed.MaxInFlight != 3 || fmt.Sprint(changed.Events) != "[message.received]" || changed.Headers["X-Token"] != "t" || changed.Order != "chat" || changed.TimeoutSeconds != 15 ||
		changed.State != "disabled" || changed.ConsecutiveFail != 9 || changed.URL != made.URL {
		t.Errorf("changed %+v", changed)
	}
	f.must(200, &changed, "PATCH", a.Header.Get("Location"), `{"state":"active"}`)
	if changed.State != "active" || changed.DisabledReason != "" || changed.FailingSince != nil || changed.ConsecutiveFail != 0 || fmt.Sprint(changed.Sessions) != "[sales]" {
		t.Errorf("active again: %+v", changed)
	}
	f.must(200, &changed, "PATCH", a.Header.Get("Location"), `{"events":["*"],"sessions":[],"headers":{},"url":"https://203.0.113.10/other"}`)
	if len(changed.Sessions) != 0 || len(changed.Headers) != 0 || changed.URL != "https://203.0.113.10/other" {
		t.Errorf("emptied: %+v", changed)
	}
	f.problem(f.do("PATCH", a.Header.Get("Location"), `{"url":"http://127.0.0.1"}`), ValidationFailed)
	f.problem(f.do("PATCH", a.Header.Get("Location"), `{"state":"disabled"}`), ValidationFailed)
}

func TestDeletingAnEndpoint(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made CreatedEndpoint
	a := f.must(201, &made, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook"})
	id, _ := events.EndpointPrefix.Parse(made.ID)
	for _, state := range []string{"pending", "held", "sending", "succeeded"} {
		f.exec("INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, state) VALUES ($1, $2, 1, $3, $4)", events.NewID(), events.NewID(), id, state)
	}
	f.exec("UPDATE deliveries SET order_key = 'chat' WHERE state = 'held'")
	f.must(204, nil, "DELETE", a.Header.Get("Location"), nil)
	f.problem(f.do("GET", a.Header.Get("Location"), nil), NotFound)
	f.problem(f.do("DELETE", a.Header.Get("Location"), nil), NotFound)
	f.problem(f.do("PATCH", a.Header.Get("Location"), `{"state":"active"}`), NotFound)
	f.eventually("the sweep", func() bool { return f.count("deliveries WHERE state = 'cancelled'") == 2 })
	if f.count("webhook_endpoints") != 1 {
		t.Error("the endpoint is removed while something is being sent to it")
	}
	f.exec("UPDATE deliveries SET state = 'succeeded' WHERE state = 'sending'")
	f.kickSweep()
	f.eventually("the removal", func() bool { return f.count("webhook_endpoints") == 0 })
	if f.count("deliveries") != 4 {
		t.Error("what was delivered is forgotten")
	}
}

// TestEndpointsChangeUnderTheSequencersLock: while the sequencer is at work, no endpoint changes.
func TestEndpointsChangeUnderTheSequencersLock(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made CreatedEndpoint
	a := f.must(201, &made, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook"})
	for _, c := range [][3]string{
		{"POST", "/v1/webhook-endpoints", `{"url":"https://203.0.113.9/second"}`}, {"PATCH", a.Header.Get("Location"), `{"state":"paused"}`}, {"DELETE", a.Header.Get("Location"), ""},
		{"POST", "/webhook/config", `{"webhookUrl":"https://203.0.113.9/third"}`}, {"POST", "/webhook/config", `{"webhookUrl":null}`},
	} {
		f.eventually("the sweep of what the one before deleted", func() bool { return f.count("webhook_endpoints WHERE state = 'deleted'") == 0 })
		tx, err := f.db.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := lockSequencer(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		before := f.written()
		answered := make(chan answer, 1)
		go func() {
			if c[2] == "" {
				answered <- f.do(c[0], c[1], nil)
			} else {
				answered <- f.do(c[0], c[1], c[2])
			}
		}()
		f.eventually(c[0]+" waiting for the lock", func() bool {
			return f.count("pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == 1
		})
		if f.written() != before {
			t.Errorf("%s did not wait", c[0])
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := <-answered; got.StatusCode >= 300 {
			t.Errorf("%s: %d %s", c[0], got.StatusCode, got.body)
		}
	}
}

func TestConfiguredEndpoint(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	start := func(raw string) *fixture { return setup(t, func(c *Config) { c.DSN, c.WebhookURL = dsn, raw }) }
	read := func(f *fixture) (list List[Endpoint], secret EndpointSecret) {
		f.must(200, &list, "GET", "/v1/webhook-endpoints", nil)
		if len(list.Data) == 1 {
			f.must(200, &secret, "GET", "/v1/webhook-endpoints/"+list.Data[0].ID+"/secret", nil)
		}
		return list, secret
	}
	first, secret := read(start("https://203.0.113.9/a"))
	if len(first.Data) != 1 || first.Data[0].URL != "https://203.0.113.9/a" || first.Data[0].State != "active" {
		t.Fatalf("first: %+v", first)
	}
	f := start("https://203.0.113.9/a")
	f.must(200, nil, "PATCH", "/v1/webhook-endpoints/"+first.Data[0].ID, `{"state":"paused"}`)
	if second, again := read(start("https://203.0.113.9/a")); len(second.Data) != 1 || second.Data[0].State != "paused" || again != secret {
		t.Errorf("another start: %+v", second)
	}
	if third, again := read(start("https://203.0.113.9/b")); len(third.Data) != 1 || third.Data[0].URL != "https://203.0.113.9/b" || third.Data[0].State != "active" || again != secret {
		t.Errorf("another URL: %+v", third)
	}
	if none, _ := read(start("")); len(none.Data) != 0 {
		t.Errorf("without a URL: %+v", none)
	}
	if back, _ := read(start("https://203.0.113.9/b")); len(back.Data) != 1 || back.Data[0].ID != first.Data[0].ID {
		t.Errorf("back again: %+v", back)
	}
	s, err := New(Config{DSN: dsn, Addr: "127.0.0.1:0", APIKey: testKey, Keys: testKeys, WebhookURL: "http://127.0.0.1:9", Guard: netguard.New(netguard.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "WEBHOOK_ALLOW_CIDRS") {
		t.Errorf("a blocked WEBHOOK_URL: %v", err)
		_ = s.Stop(t.Context())
	}
	s, err = New(Config{DSN: dsn, Addr: "127.0.0.1:0", APIKey: testKey, Keys: testKeys, WebhookURL: "http://127.0.0.1:9",
		Guard: netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Errorf("an allowed WEBHOOK_URL: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEndpointsAreListedInPages(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.WebhookURL = "https://203.0.113.9/configured" })
	for i := range 4 {
		f.must(201, nil, "POST", "/v1/webhook-endpoints", map[string]any{"url": fmt.Sprintf("https://203.0.113.9/%d", i)})
	}
	var urls []string
	for path := "/v1/webhook-endpoints?limit=2"; path != ""; {
		var page List[Endpoint]
		a := f.must(200, &page, "GET", path, nil)
		for _, e := range page.Data {
			urls = append(urls, strings.TrimPrefix(e.URL, "https://203.0.113.9/"))
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
	}
	if got := strings.Join(urls, " "); got != "3 2 1 0 configured" {
		t.Errorf("listed %s", got)
	}
}

func TestConfiguredEndpointIsTheOldest(t *testing.T) {
	t.Parallel()
	if id := events.NewID(); id.String() < configuredEndpoint.String() || configuredEndpoint.Version() != 7 || configuredEndpoint.Variant() != uuid.RFC4122 {
		t.Errorf("%s is no UUIDv7 before %s", configuredEndpoint, id)
	}
}

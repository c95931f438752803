package api

import (
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestEndpointsOfBrokers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made CreatedEndpoint
	a := f.must(201, &made, "POST", "/v1/webhook-endpoints", map[string]any{"url": "nats://user:pass@203.0.113.9:4222/wa.{session}.{type}", "order": "chat"})
	if made.URL != "nats://user:pass@203.0.113.9:4222/wa.{session}.{type}" || made.Secret == "" {
		t.Errorf("made %s", a.body)
	}
	var changed Endpoint
	f.must(200, &changed, "PATCH", a.Header.Get("Location"), map[string]any{"url": "nats+tls://token@203.0.113.9"})
	if changed.URL != "nats+tls://token@203.0.113.9" {
		t.Errorf("changed %+v", changed)
	}
	for url, says := range map[string]string{
		"nats://127.0.0.1:4222/a": netguard.Variable, "nats+tls://localhost/a": netguard.Variable, "nats://169.254.169.254/a": "metadata", "nats://203.0.113.9/a.>": "wildcards",
		"nats://203.0.113.9/a..b": "empty part", "nats://203.0.113.9/$JS.API.STREAM.PURGE.x": "server itself", "nats:///a": "host", "nats://203.0.113.9:99999/a": "port",
		"kafka://203.0.113.9/a": "http://, https://, nats:// or nats+tls://", "nats://u:hunter2@203.0.113.9\x7f/a": "not a URL",
	} {
		for method, path := range map[string]string{"POST": "/v1/webhook-endpoints", "PATCH": a.Header.Get("Location")} {
			got := f.do(method, path, map[string]any{"url": url})
			f.problem(got, ValidationFailed)
			if body := string(got.body); !strings.Contains(body, says) || !strings.Contains(body, "body.url") || strings.Contains(body, "hunter2") {
				t.Errorf("%s %s: got %s, want it to say %q", method, url, body, says)
			}
		}
	}
}

// What WEBHOOK_URL says is sent by HTTP alone.
func TestWebhookURLIsNoBroker(t *testing.T) {
	t.Parallel()
	s, err := New(Config{DSN: testdb.DSN(t), Addr: "127.0.0.1:0", APIKey: testKey, WebhookURL: "nats://203.0.113.9/a", Guard: netguard.New(netguard.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "http:// or https://") {
		t.Errorf("got %v", err)
		_ = s.Stop(t.Context())
	}
}

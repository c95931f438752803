package api

import (
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/seal"
)

// TestSecretsAreSealedInTheDatabase goes through all requests that write or read something sealed, with a first key, with a second one before it, and
// looks at the rows.
func TestSecretsAreSealedInTheDatabase(t *testing.T) {
	t.Parallel()
	first, second := strings.Repeat("1a", 32), strings.Repeat("2b", 32)
	keysOf := func(setting string) *seal.Keys {
		keys, err := seal.Parse(setting)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	f := setup(t, func(c *Config) { c.Keys, c.WebhookURL = keysOf(first), "https://203.0.113.9/configured" })
	rows := func() (all string) {
		t.Helper()
		if err := f.db.QueryRow(t.Context(), `SELECT concat((SELECT string_agg(w::text, ' ') FROM webhook_endpoints w), (SELECT string_agg(s::text, ' ') FROM sessions s),
			(SELECT string_agg(encode(response, 'escape'), ' ') FROM idempotency_keys))`).Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	var made, again CreatedEndpoint
	body := map[string]any{"url": "https://203.0.113.9/hook", "secret": secretOf(32), "headers": map[string]string{"Authorization": "Bearer plantedtoken"}}
	path := f.must(201, &made, "POST", "/v1/webhook-endpoints", body, "Idempotency-Key", "made").Header.Get("Location")
	if a := f.must(201, &again, "POST", "/v1/webhook-endpoints", body, "Idempotency-Key", "made"); a.Header.Get("Idempotency-Replayed") != "true" || again.Secret != secretOf(32) || again.ID != made.ID {
		t.Errorf("the stored answer is %s", a.body)
	}
	var rotated RotatedSecret
	f.must(200, &rotated, "POST", path+"/secret/rotate", map[string]any{"secret": secretOf(33)}, "Idempotency-Key", "rotated")
	f.must(200, &rotated, "POST", path+"/secret/rotate", map[string]any{"secret": secretOf(34)})
	f.must(201, nil, "POST", "/v1/sessions", map[string]any{"id": "sales", "settings": map[string]any{"proxy": "socks5://planteduser:plantedpassword@203.0.113.9:1080"}}, "Idempotency-Key", "session")
	f.must(200, nil, "PATCH", path, map[string]any{"maxInFlight": 7}) // and the headers stay
	check := func(token string) {
		t.Helper()
		var read Endpoint
		var secret EndpointSecret
		f.must(200, &read, "GET", path, nil)
		f.must(200, &secret, "GET", path+"/secret", nil)
		if secret.Secret != secretOf(34) || read.Headers["Authorization"] != token || len(read.PreviousSecrets) != 2 {
			t.Errorf("read %+v, and the secret %q", read, secret.Secret)
		}
		if a := f.do("GET", "/v1/webhook-endpoints", nil); !strings.Contains(string(a.body), token) {
			t.Errorf("listed %s", a.body)
		}
		if a := f.do("GET", "/v1/sessions/sales", nil); !strings.Contains(string(a.body), `"socks5://***@203.0.113.9:1080"`) {
			t.Errorf("the session is %s", a.body)
		}
		stored := rows()
		for _, planted := range []string{"planted", "whsec_"} {
			if i := strings.Index(stored, planted); i >= 0 {
				t.Errorf("%q stands in the database: …%.200s", planted, stored[max(0, i-60):])
			}
		}
	}
	check("Bearer plantedtoken")
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.config.Keys = keysOf(second + "," + first)
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.base = f.URL()
	check("Bearer plantedtoken")
	f.must(200, nil, "PATCH", path, map[string]any{"headers": map[string]string{"Authorization": "plantedother"}})
	f.must(200, nil, "PATCH", "/v1/sessions/sales", map[string]any{"settings": map[string]any{"proxy": "http://plantedsecond@203.0.113.9:1080"}})
	f.must(200, nil, "PATCH", "/v1/sessions/sales", map[string]any{"settings": map[string]any{"proxy": "socks5://planteduser:planted@203.0.113.9:1080"}})
	check("plantedother")
	// What stood there before there was a key is read as it is.
	f.exec(`UPDATE webhook_endpoints SET secret = $1, headers = '{"Authorization": "plantedbefore"}', previous_secrets = '[]' WHERE secret <> ''`, secretOf(40))
	var secret EndpointSecret
	f.must(200, &secret, "GET", path+"/secret", nil)
	if secret.Secret != secretOf(40) {
		t.Errorf("the secret from before is %q", secret.Secret)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.config.Keys = keysOf(first)
	if err := f.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "ENCRYPTION_KEY") {
		t.Errorf("a start without the key that has sealed since: %v", err)
	}
}

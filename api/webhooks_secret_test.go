package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func secretOf(length int) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, length))
}

// endpoint creates an endpoint and returns its path; more are members of the request.
func (f *fixture) endpoint(made *CreatedEndpoint, more map[string]any) string {
	f.t.Helper()
	body := map[string]any{"url": "https://203.0.113.9/hook"}
	for k, v := range more {
		body[k] = v
	}
	var ignored CreatedEndpoint
	if made == nil {
		made = &ignored
	}
	return f.must(201, made, "POST", "/v1/webhook-endpoints", body).Header.Get("Location")
}

func TestASecretOfTheClientsOwn(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, length := range []int{24, 25, 26, 64} {
		var made CreatedEndpoint
		var read EndpointSecret
		path := f.endpoint(&made, map[string]any{"secret": secretOf(length)})
		f.must(200, &read, "GET", path+"/secret", nil)
		if made.Secret != secretOf(length) || read.Secret != made.Secret {
			t.Errorf("%d bytes: made %q, read %q", length, made.Secret, read.Secret)
		}
		if _, err := standardwebhooks.NewWebhook(made.Secret); err != nil {
			t.Errorf("%d bytes: the library of Standard Webhooks refuses the secret: %v", length, err)
		}
	}
	path := f.endpoint(nil, nil)
	for name, secret := range map[string]string{
		"too short": secretOf(23), "too long": secretOf(65), "no prefix": strings.TrimPrefix(secretOf(32), "whsec_"), "no padding": strings.TrimRight(secretOf(32), "="),
		"URL alphabet": "whsec_" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, 32)), "no base64": "whsec_" + strings.Repeat("=", 44), "a line break": secretOf(30) + "\n",
	} {
		for where, a := range map[string]answer{
			"create": f.do("POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook", "secret": secret}),
			"rotate": f.do("POST", path+"/secret/rotate", map[string]any{"secret": secret}),
		} {
			if p := f.problem(a, ValidationFailed); len(p.Errors) == 0 || p.Errors[0].Location != "body.secret" {
				t.Errorf("%s, %s: %s", name, where, a.body)
			}
			if strings.Contains(string(a.body), strings.TrimPrefix(secret, "whsec_")) {
				t.Errorf("%s, %s: the answer repeats the secret: %s", name, where, a.body)
			}
		}
	}
	if strings.Contains(f.log.String(), "whsec_") {
		t.Error("the log has a secret")
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made CreatedEndpoint
	var read EndpointSecret
	var rotated RotatedSecret
	var shown Endpoint
	path := f.endpoint(&made, nil)
	// Without a body: 24 hours, and a secret that is made.
	before := time.Now()
	f.must(200, &rotated, "POST", path+"/secret/rotate", nil)
	f.must(200, &read, "GET", path+"/secret", nil)
	if rotated.Secret == made.Secret || read.Secret != rotated.Secret || checkSecret(rotated.Secret) != nil {
		t.Errorf("rotated %+v, read %+v", rotated, read)
	}
	if left := rotated.PreviousValidUntil.Sub(before); left < 24*time.Hour || left > 24*time.Hour+time.Minute {
		t.Errorf("the one before signs for %s", left)
	}
	a := f.must(200, &shown, "GET", path, nil)
	if len(shown.PreviousSecrets) != 1 || !shown.PreviousSecrets[0].Equal(rotated.PreviousValidUntil) || strings.Contains(string(a.body), "whsec_") {
		t.Errorf("shown %s", a.body)
	}
	// A repeat does nothing again.
	var first, again RotatedSecret
	f.must(200, &first, "POST", path+"/secret/rotate", `{"overlapHours":168}`, "Idempotency-Key", "k")
	if a := f.must(200, &again, "POST", path+"/secret/rotate", `{"overlapHours":168}`, "Idempotency-Key", "k"); again != first || a.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("first %+v, repeated %+v", first, again)
	}
	f.must(200, &shown, "GET", path, nil)
	if len(shown.PreviousSecrets) != 2 {
		t.Errorf("after a repeat: %v", shown.PreviousSecrets)
	}
	// Without overlap the present one ends; those before it stay.
	f.must(200, &rotated, "POST", path+"/secret/rotate", map[string]any{"overlapHours": 0, "secret": secretOf(32)})
	f.must(200, &shown, "GET", path, nil)
	if rotated.Secret != secretOf(32) || time.Until(rotated.PreviousValidUntil) > 0 || len(shown.PreviousSecrets) != 2 || f.count("webhook_endpoints WHERE previous_secrets::text LIKE '%"+first.Secret+"%'") != 0 {
		t.Errorf("without overlap: %+v, %v", rotated, shown.PreviousSecrets)
	}
	f.problem(f.do("POST", path+"/secret/rotate", map[string]any{"secret": secretOf(32)}), ValidationFailed) // it is that already
	f.problem(f.do("POST", path+"/secret/rotate", map[string]any{"overlapHours": 169}), ValidationFailed)
	f.problem(f.do("POST", path+"/secret/rotate", map[string]any{"overlapHours": -1}), ValidationFailed)
	// Back to an earlier one: it no longer stands among the earlier ones.
	f.must(200, nil, "POST", path+"/secret/rotate", map[string]any{"secret": made.Secret})
	if n := f.count("webhook_endpoints WHERE previous_secrets::text LIKE '%" + made.Secret + "%'"); n != 0 {
		t.Error("the present secret signs twice")
	}
	f.problem(f.do("POST", "/v1/webhook-endpoints/we_01932f0c5d6b7a10b1f4d0c4a8e2f001/secret/rotate", nil), NotFound)
}

func TestEarlierSecretsAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var shown Endpoint
	var read EndpointSecret
	path := f.endpoint(nil, nil)
	for i := range maxPreviousSecrets {
		f.must(200, nil, "POST", path+"/secret/rotate", map[string]any{"overlapHours": 24 - i})
	}
	f.must(200, &read, "GET", path+"/secret", nil)
	if p := f.problem(f.do("POST", path+"/secret/rotate", nil), ValidationFailed); p.Errors[0].Location != "body.overlapHours" {
		t.Errorf("a sixth: %+v", p)
	}
	var same EndpointSecret
	if f.must(200, &same, "GET", path+"/secret", nil); same != read {
		t.Error("a rotation that was refused has changed the secret")
	}
	f.must(200, nil, "POST", path+"/secret/rotate", map[string]any{"overlapHours": 0})
	// Those whose time is over make room.
	f.exec(`UPDATE webhook_endpoints SET previous_secrets = jsonb_set(jsonb_set(previous_secrets, '{1,until}', '"2020-01-01T00:00:00Z"'), '{3,until}', '"2020-01-01T00:00:00Z"')`)
	if f.must(200, &shown, "GET", path, nil); len(shown.PreviousSecrets) != 3 {
		t.Errorf("shown %v", shown.PreviousSecrets)
	}
	f.must(200, nil, "POST", path+"/secret/rotate", nil)
	if n := f.count("webhook_endpoints, jsonb_array_elements(previous_secrets)"); n != 4 {
		t.Errorf("%d kept after a rotation, want 4", n)
	}
}

func TestExpiredSecretsAreSweptUp(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := f.endpoint(nil, nil)
	for range 3 {
		f.must(200, nil, "POST", path+"/secret/rotate", nil)
	}
	var before string
	read := func() (s string) {
		if err := f.db.QueryRow(t.Context(), "SELECT previous_secrets::text FROM webhook_endpoints").Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	f.exec(`UPDATE webhook_endpoints SET previous_secrets = jsonb_set(previous_secrets, '{1,until}', '"2020-01-01T00:00:00Z"')`)
	before = read()
	f.kickSweep()
	f.eventually("the sweep", func() bool { return f.count("webhook_endpoints, jsonb_array_elements(previous_secrets)") == 2 })
	first, _, _ := strings.Cut(before, "}")
	if after := read(); !strings.HasPrefix(after, first) || strings.Contains(after, "2020-01-01") {
		t.Errorf("before %s, after %s", before, after)
	}
	f.exec(`UPDATE webhook_endpoints SET previous_secrets = jsonb_set(jsonb_set(previous_secrets, '{0,until}', '"2020-01-01T00:00:00Z"'), '{1,until}', '"2020-01-01T00:00:00Z"')`)
	f.kickSweep()
	f.eventually("the sweep of all", func() bool { return read() == "[]" })
	if f.must(200, nil, "GET", path, nil); strings.Contains(f.log.String(), "sweep failed") {
		t.Error(fmt.Sprint("a sweep failed: ", f.log.String()))
	}
}

package dispatcher

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/chasqui/chasqui/infra/postgres"
)

// A request is one that a bare receiver got.
type request struct {
	header http.Header
	body   []byte
}

// receiveAny starts a receiver that checks nothing, keeps what comes and answers what reply says.
func receiveAny(t *testing.T, reply func(n int) int) (url string, requests func() []request) {
	t.Helper()
	var mu sync.Mutex
	var got []request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender was killed
		}
		mu.Lock()
		got = append(got, request{r.Header, body})
		n := len(got)
		mu.Unlock()
		w.WriteHeader(reply(n))
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []request {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}

func ok(int) int { return http.StatusOK }

// verifies says whether the library of Standard Webhooks takes a request for one that a secret has signed.
func verifies(t *testing.T, secret string, r request) bool {
	t.Helper()
	verifier, err := webhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return verifier.Verify(r.body, r.header) == nil
}

func secretNamed(letter string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
}

// The secret is changed while an attempt is under way, and the one before expires during the next: each attempt is signed by those that live
// when it begins.
func TestARotationShowsAtTheNextAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second, dead := secretNamed("a"), secretNamed("b"), secretNamed("c")
	change := func(until time.Time) {
		previous := fmt.Sprintf(`[{"secret":%q,"until":%q},{"secret":%q,"until":"2020-01-01T00:00:00Z"}]`, first, until.Format(time.RFC3339Nano), dead)
		if _, err := b.pool.Exec(t.Context(), "UPDATE webhook_endpoints SET secret = $1, previous_secrets = $2", second, previous); err != nil {
			t.Error(err)
		}
	}
	url, requests := receiveAny(t, func(n int) int {
		switch n {
		case 1:
			change(time.Now().Add(time.Hour))
		case 2:
			change(time.Now())
		default:
			return http.StatusOK
		}
		return http.StatusInternalServerError
	})
	b.addEndpoint(url, "secret = '"+first+"'")
	b.start(quick)
	ids := b.publish("s", "c", 0, 1)
	eventually(t, "it is delivered", b.settled(1))
	got := requests()
	if len(got) != 3 {
		t.Fatalf("%d attempts, want 3", len(got))
	}
	for i, want := range []struct {
		signatures    int
		first, second bool
	}{{1, true, false}, {2, true, true}, {1, false, true}} {
		r := got[i]
		signatures := strings.Fields(r.header.Get("webhook-signature"))
		if len(signatures) != want.signatures || verifies(t, first, r) != want.first || verifies(t, second, r) != want.second || verifies(t, dead, r) {
			t.Errorf("attempt %d: %d signatures, by the first secret %t, by the second %t, by the dead one %t", i+1, len(signatures), verifies(t, first, r), verifies(t, second, r), verifies(t, dead, r))
		}
		if r.header.Get("webhook-id") != ids[0] || string(r.body) != string(got[0].body) {
			t.Errorf("attempt %d is of another event", i+1)
		}
	}
}

func TestASecretSignsUntilItsTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := &target{secret: "new", previous: []postgres.PreviousSecret{{Secret: "day", Until: now.Add(24 * time.Hour)}, {Secret: "hour", Until: now.Add(time.Hour)}}}
	for after, want := range map[time.Duration]string{0: "new day hour", time.Hour - 1: "new day hour", time.Hour: "new day", 24 * time.Hour: "new"} {
		if got := strings.Join(c.secrets(now.Add(after)), " "); got != want {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
}

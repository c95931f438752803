package api

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testdb"
)

// inOneMinute waits until the minute of PostgreSQL's clock has enough seconds left for what follows.
func (f *fixture) inOneMinute(enough int) {
	f.t.Helper()
	deadline := time.Now().Add(time.Minute + patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var left float64
		if err := f.db.QueryRow(f.t.Context(), "SELECT 60 - extract(epoch FROM clock_timestamp())::numeric % 60").Scan(&left); err != nil {
			f.t.Fatal(err)
		}
		if left > float64(enough) {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatal("no new minute began")
		}
		<-tick.C
	}
}

// TestRateLimitIsShared: two servers on one database let pass the limit together, but for what each has taken and not given out.
//
// Feature: Rate limits with headers
func TestRateLimitIsShared(t *testing.T) {
	t.Parallel()
	const limit = 60
	dsn := testdb.DSN(t)
	limited := func(c *Config) { c.DSN, c.RateLimit = dsn, limit }
	servers := []*fixture{setup(t, limited), setup(t, limited)}
	servers[0].inOneMinute(15)
	passed, refused := 0, [2]bool{}
	for i := 0; !refused[0] || !refused[1]; i++ {
		f := servers[i%2]
		path := [...]string{"/v1/sessions", "/api/sessions"}[i/2%2]
		a := f.do("GET", path, nil)
		if policy := a.Header.Get("RateLimit-Policy"); policy != `"default";q=60;w=60` {
			t.Fatalf("policy %q", policy)
		}
		var remaining, left int
		if _, err := fmt.Sscanf(a.Header.Get("RateLimit"), `"default";r=%d;t=%d`, &remaining, &left); err != nil || remaining > limit || left < 1 || left > 60 {
			t.Fatalf("RateLimit %q: %v", a.Header.Get("RateLimit"), err)
		}
		switch a.StatusCode {
		case 200:
			if refused[i%2] {
				t.Error("it passes after a refusal in the same minute")
			}
			passed++
		case 429:
			refused[i%2] = true
			if path == "/api/sessions" {
				f.legacyProblem(a, RateLimited)
			}
			f.problem(a, RateLimited)
			if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 || remaining != 0 {
				t.Errorf("Retry-After %q, %d left", a.Header.Get("Retry-After"), remaining)
			}
		default:
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		if i > 4*limit {
			t.Fatal("nothing is refused")
		}
	}
	if passed > limit || passed < limit-block(limit) {
		t.Errorf("%d passed, of %d", passed, limit)
	}
	if n := servers[0].count("rate_limits"); n != 1 {
		t.Errorf("%d rows", n)
	}
	// What needs no key is not counted.
	servers[0].must(200, nil, "GET", "/api/health", nil)
	servers[0].must(200, nil, "GET", "/readyz", nil)
	// The next minute is another: as if this one were over.
	servers[0].allowances.mu.Lock()
	for _, b := range servers[0].allowances.keys {
		b.until = time.Now()
	}
	servers[0].allowances.mu.Unlock()
	servers[0].exec("UPDATE rate_limits SET minute = minute - 2")
	servers[0].must(200, nil, "GET", "/v1/sessions", nil)
	servers[0].kickSweep()
	servers[0].eventually("the sweep", func() bool { return servers[0].count("rate_limits") == 1 })
}

// TestRateLimitWritesRarely: a block serves many requests.
func TestRateLimitWritesRarely(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.RateLimit = 12000 })
	f.inOneMinute(10)
	for range 50 {
		f.must(200, nil, "GET", "/v1/version", nil) // not counted
		f.must(200, nil, "GET", "/v1/sessions", nil)
	}
	var taken int
	if err := f.db.QueryRow(t.Context(), "SELECT taken FROM rate_limits").Scan(&taken); err != nil || taken != 240 {
		t.Errorf("%d were taken in blocks: %v", taken, err)
	}
	if got := f.do("GET", "/v1/sessions", nil).Header.Get("RateLimit"); !strings.HasPrefix(got, `"default";r=11949;t=`) {
		t.Errorf("RateLimit %s", got)
	}
}

// TestRateLimitWithoutItsRow: what cannot be shared is counted alone.
func TestRateLimitWithoutItsRow(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.RateLimit = 20 })
	f.exec("DROP TABLE rate_limits")
	deadline := time.Now().Add(2 * time.Minute)
	for {
		began := time.Now().Truncate(time.Minute)
		passed := 0
		for f.do("GET", "/v1/sessions", nil).StatusCode == 200 {
			passed++
		}
		if began.Equal(time.Now().Truncate(time.Minute)) && passed == 20 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d passed", passed)
		}
	}
}

func TestNoRateLimit(t *testing.T) {
	t.Parallel()
	f := setup(t)
	if a := f.do("GET", "/v1/sessions", nil); a.Header.Get("RateLimit") != "" || f.count("rate_limits") != 0 {
		t.Errorf("headers %v", a.Header)
	}
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{1: 1, 5: 1, 20: 5, 60: 10, 500: 10, 12000: 240, 1_000_000: 20_000} {
		if got := block(limit); got != want {
			t.Errorf("of %d: %d, want %d", limit, got, want)
		}
	}
}

// TestKeysCannotBeGuessed: too many failures from one address are refused, and at a public address whatever key comes then.
func TestKeysCannotBeGuessed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for i := range maxFailures {
		f.problem(f.do("GET", "/v1/sessions", nil, "X-API-Key", fmt.Sprint("guess", i)), Unauthorized)
	}
	a := f.do("GET", "/v1/sessions", nil, "X-API-Key", "guess")
	f.problem(a, RateLimited)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	f.must(200, nil, "GET", "/v1/sessions", nil) // this address may be a proxy's
	f.must(200, nil, "GET", "/healthz", nil, "X-API-Key", "")

	var g failures
	now := time.Now()
	for _, public := range []string{"198.51.100.7", "[2001:db8:1:2::7]"} {
		for i := range maxFailures {
			if g.blocked(public+":1000", now) > 0 || g.add(public+":"+fmt.Sprint(i), now) > 0 {
				t.Fatalf("%s is refused after %d", public, i)
			}
		}
		if g.blocked(public+":1000", now.Add(59*time.Second)) != time.Second || g.blocked(public+":1000", now.Add(time.Minute)) != 0 {
			t.Errorf("%s is not refused for the rest of its minute", public)
		}
	}
	if g.blocked("[2001:db8:1:2:ffff::1]:1", now) == 0 || g.blocked("[2001:db8:1:3::7]:1", now) != 0 || g.blocked("198.51.100.8:1", now) != 0 || g.blocked("nonsense", now) != 0 {
		t.Error("who counts as one is not a /64 or an address")
	}
	for i := range failureAddresses + 100 {
		g.add(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}).String()+":1", now)
	}
	if n := len(g.addresses); n > failureAddresses {
		t.Errorf("%d addresses are kept", n)
	}
}

func BenchmarkTakeRequest(b *testing.B) {
	f := setup(b, func(c *Config) { c.RateLimit = 1 << 30 })
	key := sha256.Sum256([]byte("k"))
	for b.Loop() {
		f.takeRequest(b.Context(), key, f.config.RateLimit)
	}
}

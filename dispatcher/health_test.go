package dispatcher

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
)

// told is how many events of a type the log has.
func (b *bench) told(t events.Type) int {
	return b.count(`SELECT count(*) FROM events WHERE type = $1`, t)
}

// told1 fails unless the log has one event of a type, about this endpoint and in this state, whose reason has a text in it.
func (b *bench) told1(t events.Type, e endpoint, state, reason string) {
	b.t.Helper()
	n := b.count(`SELECT count(*) FROM (SELECT convert_from(body, 'UTF8')::jsonb #> '{data,endpoint}' AS e FROM events WHERE type = $1) x
		WHERE e->>'id' = $2 AND e->>'state' = $3 AND e->>'reason' LIKE '%' || $4 || '%' AND e->>'url' NOT LIKE '%?%'
		  AND (e->>'consecutiveFailures')::int > 0 AND e->>'failingSince' <> ''`, t, events.EndpointPrefix.Format(e.id), state, reason)
	if n != 1 || b.told(t) != 1 {
		b.t.Errorf("%d events %s, %d of them as wanted; want one", b.told(t), t, n)
	}
}

// await waits for c, or for the test's end.
func await(t *testing.T, c <-chan struct{}) {
	select {
	case <-c:
	case <-t.Context().Done():
	}
}

// meeting returns a function that returns when n have called it.
func meeting(t *testing.T, n int32) func() {
	var come atomic.Int32
	all := make(chan struct{})
	return func() {
		if come.Add(1) == n {
			close(all)
		}
		await(t, all)
	}
}

func (b *bench) disabled(e endpoint) bool {
	return b.count(`SELECT count(*) FROM webhook_endpoints WHERE id = $1 AND state = 'disabled'`, e.id) == 1
}

// Feature: Retries, breaker, held deliveries
func TestAnEndpointThatFailsFor5DaysIsDisabledAndKeepsWhatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var up atomic.Bool
	r := receive(t, func(int, webhook) int {
		if up.Load() {
			return 200
		}
		return 500
	})
	e := b.addEndpoint(r.URL + "/hook?token=secret")
	b.start(quick, func(d *Dispatcher) {
		for i := range d.timing.waits {
			d.timing.waits[i] = time.Second
		}
	})
	ids := b.publish("s", "1@s.whatsapp.net", 0, 30)
	eventually(t, "it has failed for a while", func() bool {
		return b.count(`SELECT count(*) FROM webhook_endpoints WHERE breaker_trips >= 5`) == 1
	})
	eventually(t, "that was told", func() bool { return b.told(events.WebhookFailing) > 0 })
	if b.disabled(e) || b.told(events.WebhookDisabled) > 0 {
		t.Error("it is disabled before 5 days are over")
	}
	b.exec(`UPDATE webhook_endpoints SET failing_since = now() - interval '5 days'`)
	eventually(t, "all are held", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'held'`) == len(ids) })
	if n := b.count(`SELECT count(*) FROM webhook_endpoints WHERE state = 'disabled'
		AND disabled_reason = 'nothing was delivered for 5 days; the last attempt: the receiver answered 500 Internal Server Error'`); n != 1 {
		t.Error("it is not disabled with a reason")
	}
	eventually(t, "that was told", func() bool { return b.told(events.WebhookDisabled) > 0 })
	b.told1(events.WebhookFailing, e, "active", "answered 500")
	b.told1(events.WebhookDisabled, e, "disabled", "nothing was delivered for 5 days; the last attempt: the receiver answered 500")
	up.Store(true)
	b.exec(`UPDATE webhook_endpoints SET state = 'active', failing_since = NULL, breaker_until = NULL, breaker_trips = 0, consecutive_failures = 0`)
	eventually(t, "all delivered", b.settled(len(ids)))
	wantAll(t, r.accepted(), ids)
}

// The attempt itself disables: the sweep leaves an endpoint alone for which nothing waits.
func TestTheAttemptThatFailsAfter5DaysDisables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, func(int, webhook) int { return 502 })
	e := b.addEndpoint(r.URL, "retry_seconds = '{}'", "failing_since = now() - interval '5 days'", "consecutive_failures = 20", "breaker_trips = 4",
		"breaker_until = now()", "failing_told = true")
	b.start()
	b.publish("s", "1@s.whatsapp.net", 0, 1)
	eventually(t, "that was told", func() bool { return b.told(events.WebhookDisabled) > 0 })
	b.told1(events.WebhookDisabled, e, "disabled", "the last attempt: the receiver answered 502")
	if !b.disabled(e) || b.told(events.WebhookFailing) != 0 {
		t.Error("it is not disabled, or told to be failing twice")
	}
}

func TestFailingIsToldOnceForEachOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var up atomic.Bool
	r := receive(t, func(int, webhook) int {
		if up.Load() {
			return 200
		}
		return 503
	})
	b.addEndpoint(r.URL)
	b.start(quick)
	b.start(quick)
	for outage := 1; outage <= 2; outage++ {
		up.Store(false)
		b.publish("s", "1@s.whatsapp.net", outage*100, 20)
		eventually(t, "its breaker has opened some times", func() bool {
			return b.count(`SELECT count(*) FROM webhook_endpoints WHERE breaker_trips >= 4`) == 1
		})
		eventually(t, "that was told", func() bool { return b.told(events.WebhookFailing) >= outage })
		up.Store(true)
		eventually(t, "all are over", b.settled(outage*20))
		eventually(t, "the endpoint is well", func() bool {
			return b.count(`SELECT count(*) FROM webhook_endpoints WHERE consecutive_failures = 0 AND NOT failing_told`) == 1
		})
		if n := b.told(events.WebhookFailing); n != outage {
			t.Errorf("told %d times in %d outages", n, outage)
		}
	}
}

// Five are under way when the first of them is answered, so that the others find a disabled endpoint.
func TestGoneIsToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	together, first := meeting(t, 5), make(chan struct{})
	var answered atomic.Bool
	r := receive(t, func(int, webhook) int {
		together()
		if !answered.CompareAndSwap(false, true) {
			await(t, first)
		}
		return http.StatusGone
	})
	e := b.addEndpoint(r.URL)
	b.start()
	b.publish("s", "1@s.whatsapp.net", 0, 5)
	eventually(t, "it is disabled", func() bool { return b.disabled(e) })
	close(first)
	eventually(t, "all are held", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'held'`) == 5 })
	eventually(t, "that was told", func() bool { return b.told(events.WebhookDisabled) > 0 })
	b.told1(events.WebhookDisabled, e, "disabled", "410 Gone")
	if b.told(events.WebhookFailing) != 0 {
		t.Error("it was told to be failing as well")
	}
}

// Nothing resolves: that is our DNS server, and no proof that the endpoint is still down.
func TestFailuresOfOursDisableNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the DNS server is down")
	}}
	e := b.addEndpoint("http://nowhere.test", "failing_since = now() - interval '6 days'", "breaker_trips = 4", "consecutive_failures = 9",
		"breaker_until = now()")
	b.start(quick, func(d *Dispatcher) {
		d.client = newClient(netguard.New(netguard.Config{Resolver: resolver, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}))
	})
	b.publish("s", "1@s.whatsapp.net", 0, 5)
	eventually(t, "it was tried some times", func() bool { return b.count(`SELECT count(*) FROM attempts WHERE class = 'local'`) > 10 })
	if b.disabled(e) || b.count(`SELECT count(*) FROM webhook_endpoints WHERE consecutive_failures = 9 AND breaker_trips = 0`) != 1 {
		t.Error("the endpoint was blamed")
	}
	if n := b.told(events.WebhookFailing) + b.told(events.WebhookDisabled); n != 0 {
		t.Errorf("%d events about it", n)
	}
}

// Those that the sweep finds: what waits for them waits for hours. Others stay as they are.
func TestTheSweepDisablesWhatIsNotAskedSoon(t *testing.T) {
	t.Parallel()
	b := setup(t)
	failed := []string{"failing_since = now() - interval '6 days'", "consecutive_failures = 20", "breaker_trips = 6", "breaker_until = now() - interval '1 min'"}
	with := func(more ...string) endpoint { return b.addEndpoint("http://127.0.0.1:1/", append(failed, more...)...) }
	spent := with()
	idle := with("updated_at = now()")
	others := []endpoint{
		idle, with("failing_since = now() - interval '4 days'"), with("breaker_trips = 4"), with("breaker_until = now() - interval '3 days'"),
		with("breaker_until = NULL"),
	}
	for i, e := range append(others[1:], spent) {
		delivery := events.NewID()
		b.exec(`INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, attempt, run_at) VALUES ($1, $2, $3, $4, 3, now() + interval '10 h')`,
			delivery, events.NewID(), i, e.id)
		b.exec(`INSERT INTO attempts (delivery_id, attempt, started_at, duration_ms, class, status) VALUES ($1, 1, now() - interval '9 h', 1, 'status', 500),
			($1, 2, now() - interval '8 h', 1, 'timeout', NULL), ($1, 3, now() - interval '7 h', 1, 'local', NULL)`, delivery)
	}
	b.start()
	eventually(t, "it is held", func() bool {
		return b.count(`SELECT count(*) FROM deliveries WHERE state = 'held' AND endpoint_id = $1`, spent.id) == 1
	})
	eventually(t, "that was told", func() bool { return b.told(events.WebhookDisabled) > 0 })
	b.told1(events.WebhookDisabled, spent, "disabled", "nothing was delivered for 5 days; the last attempt: it timed out")
	for i, e := range others {
		if b.disabled(e) {
			t.Errorf("%d was disabled", i)
		}
	}
}

func TestSpent(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var h health
	fail := func(wait time.Duration) bool {
		now = now.Add(wait)
		h = h.after(tally{failures: 1}, now, standardTiming, 16)
		return h.spent(now)
	}
	for began := now; !fail(breakerMax); {
		if now.Sub(began) > 2*outage {
			t.Fatal("not spent after ten days")
		}
	}
	if since := now.Sub(*h.since); since != outage {
		t.Errorf("spent after %s", since)
	}
	// This gateway was off for a week; its receiver starts a minute later than it does.
	fail(7 * day)
	if h.spent(now) {
		t.Fatalf("spent by one failure after a week of nothing: %+v", h)
	}
	tries := 1
	for !fail(h.until.Sub(now)) {
		tries++
	}
	if tries != outageTrips-1 {
		t.Errorf("spent after %d more failures, want %d", tries, outageTrips-1)
	}
	// A failure of ours ends the proof, and is none.
	h = h.after(tally{local: true}, now.Add(breakerMax), standardTiming, 16)
	if h.spent(now.Add(breakerMax)) || fail(2*breakerMax) {
		t.Error("spent by a failure of ours, or the first after it")
	}
	if h = h.after(tally{succeeded: true}, now, standardTiming, 16); h != (health{}) {
		t.Errorf("%+v is left after a success", h)
	}
}

func TestTallies(t *testing.T) {
	t.Parallel()
	at := func(slots int, o outcome) result { return result{delivery{target: &target{slots: slots, most: 16}}, o} }
	timeout, busy := outcome{class: classTimeout}, outcome{class: classStatus, status: 429}
	ok, broken := outcome{class: classOK, status: 200}, outcome{class: classStatus, status: 500}
	for name, c := range map[string]struct {
		slots   int // before; 0 is all
		results []result
		want    int
	}{
		"well":                               {0, []result{at(16, ok), at(16, ok)}, 0},
		"one of many is too much":            {0, []result{at(16, ok), at(16, busy), at(16, ok)}, 8},
		"all of a round time out together":   {0, []result{at(16, timeout), at(16, timeout), at(16, timeout)}, 8},
		"the rest of that round":             {8, []result{at(16, timeout), at(16, timeout)}, 8},
		"the next round":                     {8, []result{at(8, timeout), at(8, outcome{class: classStatus, status: 503})}, 4},
		"never under one":                    {1, []result{at(1, timeout)}, 1},
		"other failures are no overload":     {8, []result{at(8, broken), at(8, outcome{class: classConnect})}, 8},
		"failures of ours are no overload":   {8, []result{at(8, outcome{class: classLocal}), at(8, outcome{class: classStorage})}, 8},
		"one more":                           {8, []result{at(8, ok), at(8, ok), at(8, ok)}, 9},
		"a success of a round before":        {9, []result{at(8, ok), at(16, ok)}, 9},
		"a success beside what was too much": {8, []result{at(8, ok), at(8, busy)}, 4},
		"all again":                          {15, []result{at(15, ok)}, 0},
		"the most was lowered":               {20, []result{at(16, ok)}, 0},
	} {
		var y tally
		for _, r := range c.results {
			y.add(r)
		}
		if got := (health{slots: c.slots}).after(y, time.Now(), standardTiming, 16).slots; got != c.want {
			t.Errorf("%s: %d slots, want %d", name, got, c.want)
		}
	}
	var y tally
	for _, class := range []string{classLocal, classStorage} {
		y.add(at(16, outcome{class: class}))
	}
	if y.failures != 0 {
		t.Errorf("%d failures of ours count", y.failures)
	}
}

// Eight at once are too much, and the claims of both dispatchers keep to four then; as it bears what it gets, it gets more.
func TestAnOverloadedEndpointGetsHalfAndThenMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	together, release := meeting(t, 8), make(chan struct{})
	r := receive(t, func(n int, _ webhook) int {
		if n <= 8 {
			together()
			return http.StatusTooManyRequests
		}
		await(t, release)
		return 200
	})
	b.addEndpoint(r.URL, "max_in_flight = 8")
	for range 2 {
		b.start(func(d *Dispatcher) {
			quick(d)
			d.timing.waits = []time.Duration{time.Hour, time.Hour}
		})
	}
	ids := b.publish("s", "1@s.whatsapp.net", 0, 8)
	eventually(t, "all eight have failed", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE attempt = 1`) == 8 })
	if n := b.count(`SELECT concurrency FROM webhook_endpoints`); n != 4 {
		t.Errorf("%d at once, want 4", n)
	}
	ids = append(ids, b.publish("s", "1@s.whatsapp.net", 8, 40)...)
	eventually(t, "four are under way", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending'`) == 4 })
	eventually(t, "all are in the log", func() bool { return b.count(`SELECT count(*) FROM deliveries`) == len(ids) })
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending'`); n != 4 {
		t.Errorf("%d under way, want 4", n)
	}
	close(release)
	eventually(t, "all delivered", b.settled(len(ids)))
	wantAll(t, r.accepted(), ids)
	if n := b.count(`SELECT count(*) FROM webhook_endpoints WHERE concurrency IS NULL`); n != 1 {
		t.Error("it does not get eight again")
	}
}

func TestAnEndpointThatDoesWellIsNotWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	b.addEndpoint(r.URL)
	version := func() int { return b.count(`SELECT xmin::text::bigint FROM webhook_endpoints`) }
	before := version()
	b.start()
	ids := b.publish("s", "1@s.whatsapp.net", 0, 100)
	eventually(t, "all delivered", b.settled(len(ids)))
	if version() != before {
		t.Error("its row was written")
	}
}

func TestAnEndpointsOwnWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var asked atomic.Value
	asked.Store("")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if wait := asked.Load().(string); wait != "" {
			w.Header().Set("Retry-After", wait)
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(server.Close)
	own := b.addEndpoint(server.URL, "retry_seconds = '{3600,7200}'")
	once := b.addEndpoint(server.URL, "retry_seconds = '{}'")
	b.start()
	b.publish("s", "1@s.whatsapp.net", 0, 1)
	eventually(t, "the one without waits is exhausted", func() bool {
		return b.count(`SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND state = 'exhausted' AND attempt = 1`, once.id) == 1
	})
	waits := func(attempt int, from, to string) {
		t.Helper()
		eventually(t, "it waits", func() bool {
			return b.count(`SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND state = 'pending' AND attempt = $2`, own.id, attempt) == 1
		})
		if n := b.count(`SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND run_at - now() BETWEEN $2::text::interval AND $3::text::interval`, own.id, from, to); n != 1 {
			t.Errorf("after %d attempts it is not due in %s to %s", attempt, from, to)
		}
		b.exec(`UPDATE deliveries SET run_at = now(), planned_at = NULL WHERE endpoint_id = $1`, own.id)
	}
	waits(1, "58 min", "72 min")
	asked.Store("36000")
	waits(2, "598 min", "600 min")
	eventually(t, "it is exhausted", func() bool {
		return b.count(`SELECT count(*) FROM deliveries WHERE endpoint_id = $1 AND state = 'exhausted' AND attempt = 3`, own.id) == 1
	})
	b.exec(`UPDATE webhook_endpoints SET retry_seconds = NULL WHERE id = $1`, own.id)
	asked.Store("")
	b.publish("s", "1@s.whatsapp.net", 1, 1)
	waits(1, "0 s", "6 s")
}

func TestOrderIsNotKeptForDays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		waits []time.Duration
		want  int // failures after which the others go on
	}{
		{standardTiming.waits, orderPatience}, {[]time.Duration{day, day, day}, 1}, {[]time.Duration{time.Minute, time.Minute, time.Hour, time.Hour}, 3},
		{make([]time.Duration, 20), orderPatience},
	} {
		timing := standardTiming.of(&target{waits: c.waits})
		failed := 1
		for !timing.impatient(failed) {
			failed++
		}
		if failed != c.want {
			t.Errorf("%v: after %d failures, want %d", c.waits, failed, c.want)
		}
	}
}

func TestWhy(t *testing.T) {
	t.Parallel()
	for _, class := range []string{classDNS, classConnect, classTLS, classTimeout, classBlocked, classBroken} {
		if s := why(class, 0); s == "" || strings.Contains(s, class+":") {
			t.Errorf("%s: %q", class, s)
		}
	}
	if got := why(classStatus, 599); got != "the receiver answered 599" {
		t.Error(got)
	}
}

package dispatcher

import (
	"net/http"
	"testing"
	"time"
)

func TestWaits(t *testing.T) {
	t.Parallel()
	var least, most time.Duration
	for failed := 1; failed < standardTiming.attempts(); failed++ {
		want := standardTiming.waits[failed-1]
		low, high := want, want
		for range 1000 {
			w := standardTiming.wait(failed)
			low, high = min(low, w), max(high, w)
		}
		if low < want*8/10 || high > want*12/10 || high < want*11/10 {
			t.Errorf("wait %d spreads from %s to %s around %s", failed, low, high, want)
		}
		if failed <= 2 && low < want {
			t.Errorf("wait %d may be shortened to %s", failed, low)
		}
		least, most = least+low, most+high
	}
	if standardTiming.attempts() != 12 || least > 76*time.Hour || most < 76*time.Hour {
		t.Errorf("%d attempts in %s to %s", standardTiming.attempts(), least, most)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "86400": 24 * time.Hour, "86401": 24 * time.Hour, "9223372036854775807": 24 * time.Hour,
		"99999999999999999999999": 0, "-1": 0, "1.5": 0, "soon": 0, "+5": 0,
		"Wed, 02 Jan 2030 03:05:05 GMT": time.Minute, "Wed, 02 Jan 2030 03:03:05 GMT": 0, "Wed, 02 Jan 2999 03:03:05 GMT": 24 * time.Hour,
		"Wednesday, 02-Jan-30 03:05:05 GMT": time.Minute,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var h health
	step := func(what string, t2 tally, wait, open time.Duration, failures int) {
		t.Helper()
		now = now.Add(wait)
		h = h.after(t2, now, standardTiming, 16)
		var got time.Duration
		if h.until != nil {
			got = h.until.Sub(now)
		}
		if got != open || h.failures != failures || (h.since == nil) != (failures == 0) {
			t.Errorf("%s: open for %s with %d failures since %v, want %s with %d", what, got, h.failures, h.since, open, failures)
		}
	}
	failed, succeeded := tally{failures: 1}, tally{succeeded: true}
	step("nine failures", tally{failures: 9}, 0, 0, 9)
	step("a success between", tally{succeeded: true, failures: 3}, time.Second, 0, 3)
	step("ten in a row", tally{failures: 7}, time.Second, 5*time.Second, 10)
	step("one that was under way", failed, time.Second, 4*time.Second, 11)
	for i, want := range []time.Duration{15, 35, 70, 140, 280, 560, 600, 600, 600} {
		step("a probe fails", failed, h.until.Sub(now), want*time.Second, 12+i)
	}
	step("a failure of ours, as probe", tally{local: true}, 600*time.Second, 5*time.Second, 20)
	step("the probe succeeds", succeeded, 5*time.Second, 0, 0)
	if !(health{failures: 1}).recovered(succeeded) || (health{}).recovered(succeeded) || (health{failures: 1}).recovered(failed) {
		t.Error("recovered is not the first success after failures")
	}
	step("a failure of ours", tally{local: true}, time.Second, 5*time.Second, 0)
	step("fails again as probe", failed, 5*time.Second, 5*time.Second, 1)
}

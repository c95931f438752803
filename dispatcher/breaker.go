package dispatcher

import (
	"net/http"
	"slices"
	"time"
)

const (
	// breakerAfter is how many failures in a row open an endpoint's breaker.
	breakerAfter = 10
	// outage is how long an endpoint may fail without one success before it is disabled, as Svix does it: longer than a weekend and than the
	// 76 hours of a delivery's attempts, so that somebody had the time to see that it is down.
	outage = 5 * day
	// outageTrips is how often in a row its breaker must have opened by then: the fifth time comes after two minutes of probes that failed.
	// Age alone would condemn an endpoint by one failure after a week in which this gateway itself was off, and its receiver starts a minute
	// later than it does.
	outageTrips = 5
	// outageGap is for how long nothing may have been tried before the breaker's openings are counted anew. It is more than the longest wait
	// between the attempts of one delivery, 28.8 hours.
	outageGap = 2 * day
)

// health is how an endpoint has been doing; it lives in the endpoint's row. The breaker is closed while until is nil. It is open before
// until: nothing goes out and no attempt is used up. After it, one delivery at a time goes out as a probe.
type health struct {
	failures int        // in a row
	since    *time.Time // of the first of them
	until    *time.Time
	trips    int  // how often in a row the breaker opened because the endpoint failed
	told     bool // webhook.failing has been published since the last success
	// slots is how many deliveries at once the endpoint has been seen to bear; 0 is as many as it may have.
	slots int
}

// tally is what a batch of attempts says about one endpoint.
type tally struct {
	succeeded bool
	failures  int     // after the last success
	last      outcome // the last failure
	local     bool    // a failure of ours, after the last success
	gone      bool    // it answered 410
	cut       int     // half of the slots under which one was claimed that was too much for it, the least of them; 0: none was
	borne     []int   // the slots under which others were claimed that it took
}

func (t *tally) add(r result) {
	switch r.class {
	case classOK:
		t.succeeded, t.failures, t.local = true, 0, false
		if r.target.slots < r.target.most && !slices.Contains(t.borne, r.target.slots) {
			t.borne = append(t.borne, r.target.slots)
		}
	case classLocal:
		t.local = true
	case classStorage: // says nothing about the endpoint, and nothing about its other deliveries
	default:
		t.failures++
		t.last = r.outcome
		t.gone = t.gone || r.gone()
		if half := max(1, r.target.slots/2); r.overloaded() && (t.cut == 0 || half < t.cut) {
			t.cut = half
		}
	}
}

// well says that the endpoint took all of the batch, with as much at once as it may have: news for none but one that was not well before.
func (t *tally) well() bool {
	return t.succeeded && t.failures == 0 && !t.local && !t.gone && t.cut == 0 && len(t.borne) == 0
}

// overloaded says whether an attempt failed as it does where there are too many at once.
func (o outcome) overloaded() bool {
	return o.class == classTimeout || o.status == http.StatusTooManyRequests || o.status == http.StatusServiceUnavailable
}

// after returns the endpoint's health after a batch. most is its max_in_flight.
func (h health) after(t tally, now time.Time, timing timing, most int) health {
	slots := h.slotsAfter(t, most)
	if t.succeeded {
		h = health{}
	}
	if h.slots = slots; t.failures > 0 {
		h.failures += t.failures
		if h.since == nil {
			h.since = &now
		}
		switch {
		case h.until == nil && h.failures >= breakerAfter:
			h.trips = 1
			h.until = later(now, timing.open(h.trips))
		case h.until != nil && !now.Before(*h.until): // the probe failed
			if now.Sub(*h.until) > outageGap {
				h.trips = 0
			}
			h.trips++
			h.until = later(now, timing.open(h.trips))
		}
	}
	// A failure of ours says nothing about the endpoint: it is probed again soon, however often that takes, and what it failed before proves
	// no outage any more.
	if t.local && (h.until == nil || !now.Before(*h.until)) {
		h.until, h.trips = later(now, timing.localGap), 0
	}
	return h
}

// slotsAfter returns how many deliveries at once the endpoint bears after a batch: half as many when some were too much for it, one more
// when it took what it got, and 0 when that is most again.
//
// Both happen once for each round of what is in flight, however many batches and dispatchers finish it, because each attempt is measured by
// the slots under which it was claimed: sixteen that time out together all say eight, and a success says "one more" of the present number
// alone.
func (h health) slotsAfter(t tally, most int) int {
	slots := most
	if h.slots > 0 {
		slots = min(most, h.slots)
	}
	switch {
	case t.cut > 0:
		slots = min(slots, t.cut)
	case slices.Contains(t.borne, slots):
		slots++
	}
	if slots >= most {
		return 0
	}
	return slots
}

// broken says whether the endpoint's breaker has opened because the endpoint failed, not because this machine did.
func (h health) broken() bool { return h.trips > 0 && h.failures >= breakerAfter }

// spent says whether the endpoint has failed for so long that it is to be disabled.
func (h health) spent(now time.Time) bool {
	return h.since != nil && now.Sub(*h.since) >= outage && h.trips >= outageTrips && h.until != nil && now.Sub(*h.until) <= outageGap
}

// recovered says whether the batch brought the first success after failures.
func (h health) recovered(t tally) bool { return t.succeeded && (h.failures > 0 || h.until != nil) }

func later(t time.Time, d time.Duration) *time.Time {
	t = t.Add(d)
	return &t
}

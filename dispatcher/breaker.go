package dispatcher

import "time"

// breakerAfter is how many failures in a row open an endpoint's breaker.
const breakerAfter = 10

// health is how an endpoint has been doing; it lives in the endpoint's row. The breaker is closed while until is nil. It is open before
// until: nothing goes out and no attempt is used up. After it, one delivery at a time goes out as a probe.
type health struct {
	failures int        // in a row
	since    *time.Time // of the first of them
	until    *time.Time
	trips    int // how often in a row the breaker opened
}

// tally is what a batch of attempts says about one endpoint.
type tally struct {
	succeeded bool
	failures  int  // after the last success
	local     bool // a failure of ours, after the last success
	gone      bool // it answered 410
}

func (t *tally) add(o outcome) {
	switch o.class {
	case classOK:
		*t = tally{succeeded: true, gone: t.gone}
	case classLocal:
		t.local = true
	case classStorage: // says nothing about the endpoint, and nothing about its other deliveries
	default:
		t.failures++
		t.gone = t.gone || o.gone()
	}
}

// after returns the endpoint's health after a batch.
func (h health) after(t tally, now time.Time, timing timing) health {
	if t.succeeded {
		h = health{}
	}
	if t.failures > 0 {
		h.failures += t.failures
		if h.since == nil {
			h.since = &now
		}
		switch {
		case h.until == nil && h.failures >= breakerAfter:
			h.trips = 1
			h.until = later(now, timing.open(h.trips))
		case h.until != nil && !now.Before(*h.until): // the probe failed
			h.trips++
			h.until = later(now, timing.open(h.trips))
		}
	}
	// A failure of ours says nothing about the endpoint: it is probed again soon, however often that takes.
	if t.local && (h.until == nil || !now.Before(*h.until)) {
		h.until = later(now, timing.localGap)
	}
	return h
}

// recovered says whether the batch brought the first success after failures.
func (h health) recovered(t tally) bool { return t.succeeded && (h.failures > 0 || h.until != nil) }

func later(t time.Time, d time.Duration) *time.Time {
	t = t.Add(d)
	return &t
}

package dispatcher

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// timing is how long deliveries wait; tests shorten it.
type timing struct {
	waits    []time.Duration // before the second attempt, the third, ...
	firm     int             // how many of the first waits are never shortened by jitter
	breaker  []time.Duration // how long the breaker stays open the first time, the second, ...; the last one doubles up to breakerMax
	localGap time.Duration   // before an endpoint is tried again after a failure of ours
}

// standardTiming gives 12 attempts in about 76 hours.
//
// The first two waits are only ever lengthened. A delivery that first fails at any moment of an outage of 30 s is then tried again after its
// end and within 45 s of it; shortened, the third attempt could come at 28 s and the fourth two minutes later.
var standardTiming = timing{
	waits: []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 2 * time.Hour,
		5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour},
	firm:     2,
	breaker:  []time.Duration{5 * time.Second, 15 * time.Second, 35 * time.Second},
	localGap: 5 * time.Second,
}

const (
	breakerMax = 10 * time.Minute
	// maxRetryAfter is the longest that a receiver may ask us to wait.
	maxRetryAfter = 24 * time.Hour
	// orderPatience is after how many failed attempts (about 13 minutes) a delivery stops holding back those behind it in its chat or
	// session: the receiver refuses this one event, or has been down for so long that being late is worse than being out of order. An endpoint
	// with waits of its own, which may be of days, reaches orderTime sooner: the standard waits exceed that with the fifth, too.
	orderPatience = 5
	orderTime     = 15 * time.Minute
)

// of is the timing of an endpoint's deliveries: with its own waits, where it has some.
func (t timing) of(e *target) timing {
	if e.waits != nil {
		t.waits = e.waits
	}
	return t
}

// impatient says whether a delivery no longer holds back those behind it after its failed-th failed attempt: it was tried often enough, or
// would wait for too long in all.
func (t timing) impatient(failed int) bool {
	var waited time.Duration
	for _, w := range t.waits[:min(failed, len(t.waits))] {
		waited += w
	}
	return failed >= orderPatience || waited > orderTime
}

// attempts is how often a delivery is tried.
func (t timing) attempts() int { return len(t.waits) + 1 }

// wait is how long a delivery waits after its failed-th failed attempt, spread by 20 % so that what failed together does not come back
// together.
func (t timing) wait(failed int) time.Duration {
	w := t.waits[min(failed, len(t.waits))-1]
	spread := w / 5
	if failed <= t.firm {
		return w + rand.N(spread+1)
	}
	return w - spread + rand.N(2*spread+1)
}

// open is how long the breaker stays open when it opens for the trips-th time in a row.
func (t timing) open(trips int) time.Duration {
	if trips <= len(t.breaker) {
		return t.breaker[trips-1]
	}
	w := t.breaker[len(t.breaker)-1]
	for range trips - len(t.breaker) {
		if w *= 2; w >= breakerMax {
			return breakerMax
		}
	}
	return w
}

// retryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds or a date. Zero when there is none, when it is in the past or
// garbage; never more than 24 h.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 63); err == nil {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, min(at.Sub(now), maxRetryAfter))
	}
	return 0
}

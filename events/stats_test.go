package events_test

import (
	"math"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
)

func TestQuantilesOfBuckets(t *testing.T) {
	t.Parallel()
	count := func(took ...time.Duration) []int64 {
		buckets := make([]int64, len(events.LatencyBuckets)+1)
		for _, d := range took {
			buckets[events.LatencyBucket(d)]++
		}
		return buckets
	}
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * 10 * time.Millisecond // 10 ms to 1 s
	}
	if n := len(events.LatencyBuckets) + 1; n != 16 {
		t.Errorf("%d buckets: the query StatsList sums up 16", n)
	}
	for _, c := range []struct {
		q       float64
		buckets []int64
		want    float64
	}{
		{.5, nil, 0},
		{.5, count(), 0},
		{.5, count(hundred...), .5},
		{.95, count(hundred...), .95},
		{1, count(hundred...), 1},
		{.5, count(-time.Second), .0025}, // a clock that is wrong
		{.95, count(30 * 24 * time.Hour), 86400},
		{.5, count(time.Millisecond, time.Millisecond, 48*time.Hour), .00375},
	} {
		if got := events.Quantile(c.q, c.buckets); math.Abs(got-c.want) > .01*c.want {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.buckets, got, c.want)
		}
	}
}

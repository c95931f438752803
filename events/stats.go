package events

import "time"

// LatencyBuckets are the bounds, in seconds, by which deliveries are counted: each is in the first bucket whose bound is not below it, and those above
// all of them in one more. They stand for what is in the database: new ones can only be appended.
var LatencyBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 3600, 86400}

// LatencyBucket is the index of the bucket that a time belongs to.
func LatencyBucket(took time.Duration) int {
	for i, bound := range LatencyBuckets {
		if took.Seconds() <= bound {
			return i
		}
	}
	return len(LatencyBuckets)
}

// Quantile estimates a quantile, from 0 to 1, of what was counted in the buckets, as if what is in one lay evenly in it; what is above all bounds counts
// as the last. It is 0 where nothing was counted.
func Quantile(q float64, buckets []int64) float64 {
	var total int64
	for _, n := range buckets {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank, before, low := q*float64(total), 0.0, 0.0
	for i, n := range buckets {
		if i >= len(LatencyBuckets) {
			break
		}
		high := LatencyBuckets[i]
		if n > 0 && before+float64(n) >= rank {
			return low + (high-low)*(rank-before)/float64(n)
		}
		before, low = before+float64(n), high
	}
	return LatencyBuckets[len(LatencyBuckets)-1]
}

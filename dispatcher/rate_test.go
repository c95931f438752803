package dispatcher

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/infra/postgres/db"
)

// A burst of a second's worth, then 20 a second: exactly, over both dispatchers, and spread over the second.
func TestARateHoldsOverAllDispatchersAndIsSpread(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"none", "chat"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r, other := receive(t, nil), receive(t, nil)
			b.addEndpoint(r.URL, "rate_per_second = 20", "order_mode = '"+order+"'")
			b.addEndpoint(other.URL)
			ids := b.publish("s", "1@s.whatsapp.net", 0, 100)
			b.start()
			b.start()
			eventually(t, "all delivered", b.settled(len(ids)))
			wantAll(t, r.accepted(), ids)
			wantAll(t, other.accepted(), ids)
			var at []time.Time
			moments := map[time.Duration]bool{}
			for _, h := range r.hooks() {
				at = append(at, h.at)
			}
			slices.SortFunc(at, time.Time.Compare)
			for _, a := range at {
				moments[a.Sub(at[0])/(100*time.Millisecond)] = true
			}
			if took := at[99].Sub(at[0]); took < 3500*time.Millisecond {
				t.Errorf("100 in %s, want 4 s", took)
			}
			if len(moments) < 20 {
				t.Errorf("they came in %d tenths of a second, want about 40", len(moments))
			}
		})
	}
}

func TestTokensFallDue(t *testing.T) {
	t.Parallel()
	ids := []uuid.UUID{{1}, {2}, {3}, {4}}
	rate := func(n int32) *int32 { return &n }
	r := ratesOf([]db.EndpointListLimitedRow{
		{ID: ids[0], RatePerSecond: rate(50), Tokens: 3.9}, {ID: ids[1], RatePerSecond: rate(50), Tokens: 50},
		{ID: ids[2]}, {ID: ids[3], RatePerSecond: rate(1), Tokens: -0.5},
	})
	if len(r.rate) != 3 {
		t.Errorf("%d have a rate, want 3", len(r.rate))
	}
	if w := r.wait(); w < 1500*time.Millisecond || w > 1600*time.Millisecond {
		t.Errorf("the token of the fourth is due in %s", w)
	}
	r.tokens[ids[0]] = 0.5
	if w := r.wait(); w != rateTick {
		t.Errorf("the token of the first is due in %s", w)
	}
	delete(r.tokens, ids[0])
	delete(r.tokens, ids[3])
	if w := r.wait(); w != 0 {
		t.Errorf("who has tokens waits %s", w)
	}
}

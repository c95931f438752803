package dispatcher

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/dispatcher/receivertest"
	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// A gate is a receiver that lets everybody in, or nobody until it is opened again.
type gate struct {
	*receivertest.Receiver
	shut atomic.Pointer[chan struct{}]
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{Receiver: receivertest.New(t, testSecret)}
	g.Answer(func(receivertest.Hook) receivertest.Fault {
		if opened := g.shut.Load(); opened != nil {
			<-*opened
		}
		return receivertest.OK
	})
	t.Cleanup(g.open) // before the receiver waits for its requests
	return g
}

func (g *gate) close() {
	opened := make(chan struct{})
	g.shut.Store(&opened)
}

func (g *gate) open() {
	if opened := g.shut.Swap(nil); opened != nil {
		close(*opened)
	}
}

// It runs alone, since it measures: 100 endpoints get the same events, in rounds of two kinds in turn. In the one kind all their receivers
// answer at once, in the other kind one of them takes requests and does not answer, with all that may be in flight to it (16) hanging from
// before the round until after its end, and its breaker closed. What is compared is how long the other 99 take to have everything: the
// medians where the machine is quiet, else the fastest rounds, to which other work adds least.
func TestABlackHoleAmongAHundredCostsTheOthersLittle(t *testing.T) {
	const endpoints, inFlight = 100, 16
	long := os.Getenv("CHASQUI_LONG") != ""
	pairs, each, most, slack := 4, 10, 0.25, 500*time.Millisecond
	if long {
		pairs, each, most, slack = 40, 40, 0.05, 0
	}
	b := setup(t)
	others, hole := receivertest.New(t, testSecret), newGate(t)
	var began time.Time // of the round
	var left atomic.Int64
	var mu sync.Mutex // for what follows
	var done chan struct{}
	var waits []time.Duration // of the round, from publishing to the receiver
	others.Answer(func(h receivertest.Hook) receivertest.Fault {
		mu.Lock()
		defer mu.Unlock()
		waits = append(waits, h.At.Sub(began))
		if left.Add(-1) == 0 {
			close(done)
		}
		return receivertest.OK
	})
	for i := range endpoints - 1 {
		b.addEndpoint(fmt.Sprintf("%s/%d", others.URL, i), fmt.Sprintf("max_in_flight = %d", inFlight))
	}
	e := b.addEndpoint(hole.URL, fmt.Sprintf("max_in_flight = %d", inFlight), "timeout_seconds = 15")
	b.start()
	unfinished := func(which string) int {
		return b.count(`SELECT count(*) FROM deliveries WHERE state IN ('pending', 'sending') AND endpoint_id `+which+` $1`, e.id)
	}

	// publish publishes n events in one transaction, waits until the others have them and returns how long that took.
	publish := func(n int) time.Duration {
		t.Helper()
		mu.Lock()
		done, waits, began = make(chan struct{}), nil, time.Now()
		left.Store(int64(n * (endpoints - 1)))
		mu.Unlock()
		if err := b.db.InTx(t.Context(), func(tx *queue.Tx) error {
			for i := range n {
				if _, err := events.Publish(tx, events.MessageReceived, "s", fmt.Sprintf("%d@s.whatsapp.net", i), began, note{N: i}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
		case <-time.After(deadline):
			t.Fatalf("%d of %d are missing", left.Load(), n*(endpoints-1))
		}
		return time.Since(began)
	}
	took, all := map[bool][]time.Duration{}, map[bool][]time.Duration{}
	round := func(black bool) {
		t.Helper()
		if black {
			hole.close()
		}
		publish(inFlight)
		eventually(t, "the others are finished with, and the hole has all that it may have", func() bool {
			return unfinished("<>") == 0 && (black && hole.Begun()-len(hole.Hooks()) == inFlight || !black && unfinished("=") == 0)
		})
		before := hole.Begun()
		took[black] = append(took[black], publish(each))
		all[black] = append(all[black], waits...)
		if black {
			if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending' AND endpoint_id = $1`, e.id); n != inFlight || hole.Begun() != before {
				t.Errorf("%d hang in the hole, want %d, and it got %d more: the round shows nothing", n, inFlight, hole.Begun()-before)
			}
			hole.open()
		}
		eventually(t, "everything is delivered", func() bool { return unfinished("<>")+unfinished("=") == 0 })
		others.Forget()
	}
	round(false) // warms up connections and plans
	clear(took)
	clear(all)
	for pair := range pairs {
		round(pair%2 == 0)
		round(pair%2 != 0)
	}
	place := func(of map[bool][]time.Duration, black bool, percent int) time.Duration {
		slices.Sort(of[black])
		return of[black][(len(of[black])-1)*percent/100]
	}
	cost := func(percent int) float64 {
		return 100 * (float64(place(took, true, percent))/float64(place(took, false, percent)) - 1)
	}
	for _, black := range []bool{false, true} {
		t.Logf("black hole: %5t; the others had %d events each after %s (fastest %s, slowest %s of %d rounds); a delivery took p50 %s, p99 %s", black, each,
			place(took, black, 50).Round(time.Millisecond), place(took, black, 0).Round(time.Millisecond), place(took, black, 100).Round(time.Millisecond),
			pairs, place(all, black, 50).Round(time.Millisecond), place(all, black, 99).Round(time.Millisecond))
	}
	t.Logf("it costs the others %+.1f %% by the medians, %+.1f %% by the fastest rounds", cost(50), cost(0))
	percent := 0
	if long {
		percent = 50
	}
	if black := place(took, true, percent); black > time.Duration((1+most)*float64(place(took, false, percent)))+slack {
		t.Errorf("the black hole costs the others %.1f %%, want at most %.0f %%", cost(percent), 100*most)
	}
	if n := b.count(`SELECT count(*) FROM attempts WHERE class <> 'ok'`); n != 0 {
		t.Errorf("%d attempts failed: the hole did not hang all the time", n)
	}
}

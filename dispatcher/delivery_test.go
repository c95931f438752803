package dispatcher

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
)

func TestADeliveryIsWhatWasPublished(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	b.addEndpoint(r.URL+"/hook?a=b", `headers = '{"X-Tenant": "acme", "Webhook-Id": "forged"}'`)
	b.start()
	ids := b.publish("sales", "1@s.whatsapp.net", 0, 3)
	eventually(t, "all delivered", b.settled(3))
	wantAll(t, r.accepted(), ids)
	h := r.hooks()[0].header
	for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "chasqui/test", "X-Tenant": "acme", "Idempotency-Key": ""} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if n := b.count(`SELECT count(*) FROM attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE a.class = 'ok' AND a.status = 200 AND a.attempt = 1
		AND a.body = 'answer' AND a.headers ? 'Content-Length' AND d.attempt = 1 AND d.last_status = 200 AND d.finished_at IS NOT NULL`); n != 3 {
		t.Errorf("%d attempts recorded in full, want 3", n)
	}
}

// With all times a fifth of the real ones: the receiver is down for 6 s while events pile up, and gets everything soon after it is back
// (12 s, with a margin for a busy machine), under one id each, and in order where asked for.
func TestAReceiverThatWasDownGetsEverythingSoon(t *testing.T) {
	t.Parallel()
	for order, each := range map[string]int{"none": 30, "chat": 30, "session": 10} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var downUntil atomic.Pointer[time.Time]
			r := receive(t, func(_ int, w webhook) int {
				if until := w.at.Add(6 * time.Second); downUntil.CompareAndSwap(nil, &until) || w.at.Before(*downUntil.Load()) {
					return 503
				}
				return 200
			})
			b.addEndpoint(r.URL, "order_mode = '"+order+"'")
			b.start(func(d *Dispatcher) {
				d.timing = timing{firm: standardTiming.firm, localGap: standardTiming.localGap / 5}
				for _, w := range standardTiming.waits {
					d.timing.waits = append(d.timing.waits, w/5)
				}
				for _, w := range standardTiming.breaker {
					d.timing.breaker = append(d.timing.breaker, w/5)
				}
			})
			const chats = 20
			var ids []string
			for i := range each {
				for c := range chats {
					ids = append(ids, b.publish("s", fmt.Sprintf("%d@s.whatsapp.net", c), i, 1)...)
				}
			}
			eventually(t, "all delivered", b.settled(len(ids)))
			if took := time.Since(*downUntil.Load()); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			wantAll(t, r.accepted(), ids)
			if order != "none" {
				wantOrder(t, r.hooks())
			}
			if n := len(r.hooks()) - len(ids); n > 40 {
				t.Errorf("%d requests failed: the breaker did not keep them back", n)
			}
		})
	}
}

// Feature: Order per chat or session
func TestOrderIsKeptOneAtATimeAndChatsGoSideBySide(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mu sync.Mutex
	busy, most := map[string]int{}, 0
	release := make(chan struct{})
	r := receive(t, func(n int, w webhook) int {
		mu.Lock()
		busy[w.note.Chat]++
		if busy[w.note.Chat] > 1 {
			t.Errorf("chat %s has two under way", w.note.Chat)
		}
		if len(busy) > most {
			most = len(busy)
		}
		if most == 4 {
			select {
			case <-release:
			default:
				close(release)
			}
		}
		mu.Unlock()
		select {
		case <-release: // all four chats were under way together
		case <-time.After(deadline):
			t.Error("the chats wait for each other")
		}
		mu.Lock()
		defer mu.Unlock()
		if busy[w.note.Chat]--; busy[w.note.Chat] == 0 {
			delete(busy, w.note.Chat)
		}
		if w.note.N%5 == 4 && n%2 == 0 {
			return 500
		}
		return 200
	})
	b.addEndpoint(r.URL, "order_mode = 'chat'")
	b.start(quick)
	b.start(quick)
	var ids []string
	for i := range 25 {
		for c := range 4 {
			ids = append(ids, b.publish("s", fmt.Sprintf("%d@s.whatsapp.net", c), i, 1)...)
		}
	}
	eventually(t, "all delivered", b.settled(100))
	wantAll(t, r.accepted(), ids)
	wantOrder(t, r.hooks())
}

func TestARefusedEventHoldsUpItsChatForALimitedTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, func(_ int, w webhook) int {
		if w.note.Chat == "bad@s.whatsapp.net" && w.note.N == 0 {
			return 500
		}
		return 200
	})
	b.addEndpoint(r.URL, "order_mode = 'chat'")
	b.start(quick)
	b.publish("s", "bad@s.whatsapp.net", 0, 3)
	b.publish("s", "good@s.whatsapp.net", 0, 3)
	eventually(t, "all over", b.settled(6))
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded'`); n != 5 {
		t.Errorf("%d succeeded, want 5", n)
	}
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'exhausted' AND attempt = 12 AND last_class = 'status' AND last_status = 500`); n != 1 {
		t.Errorf("%d exhausted after 12 attempts, want 1", n)
	}
	failures := 0
	for _, h := range r.hooks() {
		switch {
		case h.answer == 500:
			failures++
		case h.note.Chat == "bad@s.whatsapp.net" && failures < orderPatience:
			t.Errorf("%d went out after %d failures of the one before it", h.note.N, failures)
		}
	}
	if failures > 2*12 {
		t.Errorf("%d requests for one event", failures)
	}
}

func TestABlackHoleStopsNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addEndpoint(newHole(t), "timeout_seconds = 60", "max_in_flight = 64")
	r := receive(t, nil)
	for range 5 {
		b.addEndpoint(r.URL)
	}
	d := b.start(func(d *Dispatcher) { d.cfg.MaxInFlight = 200 })
	hanging := func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending'`) == 64 }
	b.publish("s", "1@s.whatsapp.net", 0, 64)
	eventually(t, "the black hole has all it may have", hanging)
	b.publish("s", "1@s.whatsapp.net", 64, 200)
	eventually(t, "the others are served", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded'`) == 5*264 })
	if !hanging() {
		t.Error("the black hole does not hang any more: the test shows nothing")
	}
	if err := d.Healthy(); err != nil {
		t.Error(err)
	}
}

func TestMaxInFlightHoldsOverAllDispatchers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var now, most atomic.Int32
	r := receive(t, func(int, webhook) int {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return 200
	})
	b.addEndpoint(r.URL, "max_in_flight = 3")
	b.start()
	b.start()
	ids := b.publish("s", "1@s.whatsapp.net", 0, 200)
	eventually(t, "all delivered", b.settled(len(ids)))
	if m := most.Load(); m > 3 {
		t.Errorf("%d at once, want 3", m)
	}
	for id, times := range r.accepted() {
		if times != 1 {
			t.Errorf("%s came %d times", id, times)
		}
	}
}

func TestKilledDispatchersLoseNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	b.addEndpoint(r.URL, "order_mode = 'chat'")
	const chats, each = 10, 40
	var ids []string
	for i := range each {
		for c := range chats {
			ids = append(ids, b.publish("s", fmt.Sprintf("%d@s.whatsapp.net", c), i, 1)...)
		}
	}
	for round := range 5 { // each is killed after it has sent something
		d := b.start(func(d *Dispatcher) { d.cfg.Owner, d.cfg.TakeOver = "one", true })
		before := len(r.hooks())
		eventually(t, "something is sent", func() bool { return len(r.hooks()) > before+20*(round+1) || b.settled(len(ids))() })
		kill(d)
	}
	b.start(func(d *Dispatcher) { d.cfg.Owner, d.cfg.TakeOver = "one", true })
	eventually(t, "all delivered", b.settled(len(ids)))
	wantAll(t, r.accepted(), ids)
	wantOrder(t, r.hooks())
}

func TestAStaleClaimCannotOverwrite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := make(chan struct{})
	r := receive(t, func(n int, _ webhook) int {
		if n == 1 {
			<-hold
			return 500
		}
		return 200
	})
	b.addEndpoint(r.URL)
	b.start()
	ids := b.publish("s", "1@s.whatsapp.net", 0, 1)
	sending := func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending'`) == 1 }
	eventually(t, "it is being sent", sending)
	b.exec(`UPDATE deliveries SET lease_until = now() - interval '1 s'`) // as if the process had stood still
	succeeded := func() bool {
		return b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded' AND attempt = 1 AND last_status = 200`) == 1
	}
	eventually(t, "it is sent again and succeeds", succeeded)
	close(hold)
	eventually(t, "the late failure is recorded", func() bool { return b.count(`SELECT count(*) FROM attempts WHERE status = 500`) == 1 })
	if !succeeded() {
		t.Error("the stale claim overwrote the delivery")
	}
	if got := r.hooks(); len(got) != 2 || got[0].id != ids[0] || got[1].id != ids[0] {
		t.Errorf("got %v, want one id twice", got)
	}
}

func TestStopGivesBackWhatItCannotFinish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.addEndpoint(newHole(t))
	d := b.start()
	b.publish("s", "1@s.whatsapp.net", 0, 5)
	eventually(t, "they are being sent", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'sending'`) == 5 })
	stopNow(d)
	stopNow(d)
	d.Stop(context.Background())
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempt = 0 AND run_at <= now()`); n != 5 {
		t.Errorf("%d are due again, want 5", n)
	}
	if n := b.count(`SELECT count(*) FROM webhook_endpoints WHERE consecutive_failures = 0 AND breaker_until IS NULL`); n != 1 {
		t.Error("the endpoint was blamed")
	}
	if err := d.Start(t.Context()); err == nil {
		t.Error("a stopped dispatcher starts again")
	}
}

func TestPausedEndpointsHoldAndResume(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var up atomic.Bool
	r := receive(t, func(int, webhook) int {
		if up.Load() {
			return 200
		}
		return 500
	})
	e := b.addEndpoint(r.URL, "order_mode = 'chat'")
	b.start()
	ids := b.publish("s", "1@s.whatsapp.net", 0, 3)
	eventually(t, "the first one failed", func() bool { return len(r.hooks()) > 0 })
	b.exec(`UPDATE webhook_endpoints SET state = 'paused' WHERE id = $1`, e.id)
	ids = append(ids, b.publish("s", "1@s.whatsapp.net", 3, 3)...)
	eventually(t, "all are held", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'held'`) == 6 })
	before := len(r.hooks())
	up.Store(true)
	b.exec(`UPDATE webhook_endpoints SET state = 'active' WHERE id = $1`, e.id)
	eventually(t, "all delivered", b.settled(6))
	if before > 2 {
		t.Errorf("%d requests before the pause", before)
	}
	wantAll(t, r.accepted(), ids)
	wantOrder(t, r.hooks())
}

func TestGoneDisablesTheEndpointAndHoldsTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, func(int, webhook) int { return http.StatusGone })
	b.addEndpoint(r.URL, "max_in_flight = 1")
	b.start()
	b.publish("s", "1@s.whatsapp.net", 0, 5)
	eventually(t, "all are held", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'held'`) == 5 })
	if n := b.count(`SELECT count(*) FROM webhook_endpoints WHERE state = 'disabled' AND disabled_reason LIKE '%410%'`); n != 1 {
		t.Error("the endpoint is not disabled with a reason")
	}
	if n := len(r.hooks()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// The probe's success makes what waits due at once: long waits do not show.
//
// Feature: Retries, breaker, held deliveries
func TestFirstSuccessBringsForwardWhatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var up atomic.Bool
	r := receive(t, func(int, webhook) int {
		if up.Load() {
			return 200
		}
		return 500
	})
	b.addEndpoint(r.URL)
	b.start(func(d *Dispatcher) {
		quick(d)
		for i := range d.timing.waits {
			d.timing.waits[i] = time.Hour
		}
	})
	b.publish("s", "1@s.whatsapp.net", 0, 5) // fewer than open the breaker
	eventually(t, "all have failed", func() bool {
		return b.count(`SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempt = 1`) == 5
	})
	up.Store(true)
	b.publish("s", "1@s.whatsapp.net", 5, 1)
	eventually(t, "all delivered", b.settled(6))
}

// What is refused for itself, between others that succeed, is brought forward once a wait, at no cost to its attempts.
func TestBringingForwardDoesNotUseUpAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, func(_ int, w webhook) int {
		if w.note.N == 0 {
			return 500
		}
		return 200
	})
	b.addEndpoint(r.URL, "max_in_flight = 1")
	b.start(func(d *Dispatcher) {
		quick(d)
		for i := range d.timing.waits {
			d.timing.waits[i] = time.Hour
		}
	})
	b.publish("s", "1@s.whatsapp.net", 0, 60)
	eventually(t, "the others are delivered", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded'`) == 59 })
	eventually(t, "the refused one waits", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'pending'`) == 1 })
	eventually(t, "it was tried early once", func() bool { return b.count(`SELECT count(*) FROM attempts WHERE class = 'status'`) == 2 })
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempt = 1 AND run_at > now() + interval '30 min' AND planned_at IS NOT NULL`); n != 1 {
		t.Error("it does not wait for its planned time with one attempt used")
	}
}

func TestTakeOverFreesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hole := newHole(t)
	b.addEndpoint(hole)
	b.publish("s", "1@s.whatsapp.net", 0, 2)
	dead := b.start(func(d *Dispatcher) { d.cfg.Owner = "dead" })
	eventually(t, "they are being sent", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE claimed_by = 'dead'`) == 2 })
	kill(dead)
	b.holdOwner("alive")
	b.exec(`UPDATE deliveries SET claimed_by = 'alive' WHERE event_seq = (SELECT min(event_seq) FROM deliveries)`)
	b.start(func(d *Dispatcher) { d.cfg.Owner, d.cfg.TakeOver = "dead", true })
	eventually(t, "the dead one's is sent again", func() bool {
		return b.count(`SELECT count(*) FROM deliveries WHERE claimed_by = 'dead' AND claim_id IS NOT NULL AND lease_until > now() + interval '40 s'`) == 1
	})
	if n := b.count(`SELECT count(*) FROM deliveries WHERE claimed_by = 'alive' AND state = 'sending'`); n != 1 {
		t.Error("the living one's was taken")
	}
}

func TestAnEventThatRetentionRemovedIsCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	e := b.addEndpoint(r.URL)
	b.exec(`INSERT INTO deliveries (id, event_id, event_seq, endpoint_id) VALUES ($1, $2, 1, $3)`, events.NewID(), events.NewID(), e.id)
	b.start()
	eventually(t, "it is cancelled", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'cancelled'`) == 1 })
	if len(r.hooks()) != 0 {
		t.Error("something was sent")
	}
}

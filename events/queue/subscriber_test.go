package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	. "github.com/chasqui/chasqui/events/queue"
)

func soon(int) time.Duration { return time.Millisecond }

func TestDeliversALaneInOrderAndOneAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := make(chan string, 200)
	var running atomic.Int32
	b.subscriber(SubscriberConfig{PerLane: 7}, func(m *message.Message) error {
		if running.Add(1) != 1 {
			t.Error("two messages of a lane ran at once")
		}
		defer running.Add(-1)
		got <- string(m.Payload)
		return nil
	})
	want := number("", 100)
	b.publish("k", want[:30]...)
	for _, p := range want[30:] {
		b.publish("k", p)
	}
	wants(t, got, want...)
	b.empty()
}

func TestDeliversLanesSideBySide(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const lanes = 300 // more than one fetch
	for i := range lanes {
		b.publish(fmt.Sprint(i), "x")
	}
	var all sync.WaitGroup
	all.Add(lanes)
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	b.subscriber(SubscriberConfig{}, func(*message.Message) error {
		all.Done()
		<-done // returns only when all 300 are in hand together
		return nil
	})
	receive(t, done)
	b.empty()
}

func TestNeverTakesMoreThanMaxLanes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const lanes = 40
	for i := range lanes {
		b.publish(fmt.Sprint(i), "x")
	}
	var running, most atomic.Int32
	got := make(chan string, lanes)
	b.subscriber(SubscriberConfig{MaxLanes: 3, Poll: time.Hour}, func(*message.Message) error {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		got <- ""
		return nil
	})
	for range lanes { // within patience, although Poll is an hour: room that was freed wakes the fetcher
		receive(t, got)
	}
	if most.Load() > 3 {
		t.Errorf("%d lanes ran at once", most.Load())
	}
}

func TestTellsTheHandlerWhatItHas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := make(chan *message.Message, 1)
	b.subscriber(SubscriberConfig{}, func(m *message.Message) error { got <- m; return nil })
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		tx.Publish(topic, Message{Lane: "s/k", Session: "s", Payload: []byte("p"), Metadata: map[string]string{"a": "b"}})
		return nil
	}))
	m := receive(t, got)
	d, ok := DeliveryOf(m.Context())
	if !ok || d.Lane != "s/k" || d.Session != "s" || d.Topic != topic || d.Attempt != 1 || d.ID == 0 || time.Since(d.CreatedAt) > time.Minute {
		t.Errorf("delivery %+v", d)
	}
	if m.Metadata["a"] != "b" || m.Metadata[MetaLane] != "s/k" || m.Metadata[MetaSession] != "s" {
		t.Errorf("metadata %v", m.Metadata)
	}
	<-m.Context().Done() // ends with the acknowledgement
}

func TestRetriesStrictlyInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := make(chan string, 20)
	b.subscriber(SubscriberConfig{Backoff: soon}, func(m *message.Message) error {
		d, _ := DeliveryOf(m.Context())
		got <- fmt.Sprintf("%s%d", m.Payload, d.Attempt)
		if string(m.Payload) == "b" && d.Attempt < 3 {
			if d.Attempt == 2 {
				panic("boom")
			}
			return errBoom
		}
		return nil
	})
	b.publish("k", "a", "b", "c")
	wants(t, got, "a1", "b1", "b2", "b3", "c1")
	b.empty()
}

func TestRelaxedLaneGoesOnWhileAMessageWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := make(chan string, 20)
	b.subscriber(SubscriberConfig{Relaxed: true}, func(m *message.Message) error {
		d, _ := DeliveryOf(m.Context())
		got <- fmt.Sprintf("%s%d", m.Payload, d.Attempt)
		if string(m.Payload) == "a" && d.Attempt < 4 {
			return RetryAfter{D: 100 * time.Millisecond, Err: errBoom}
		}
		if d.Lane != "k" {
			t.Errorf("lane %q", d.Lane)
		}
		return nil
	})
	b.publish("k", "a", "b", "c")
	wants(t, got, "a1", "b1", "c1", "a2", "a3", "a4")
	b.empty()
}

func TestMessageGoesToTheDeadLettersAndBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := make(chan string, 20)
	var healed atomic.Bool
	b.subscriber(SubscriberConfig{Backoff: soon, MaxAttempts: 2}, func(m *message.Message) error {
		got <- string(m.Payload)
		switch {
		case healed.Load():
		case string(m.Payload) == "permanent":
			return Permanent{Err: errors.New("boom \x00 \xff " + strings.Repeat("é", 3000))} // no text that PostgreSQL would take
		case string(m.Payload) == "failing":
			return errBoom
		}
		return nil
	})
	b.publish("k", "permanent", "failing", "good")
	wants(t, got, "permanent", "failing", "failing", "good")
	b.empty()
	dead, err := Dead(t.Context(), b.pool, topic, 10)
	b.must(err)
	if len(dead) != 2 || string(dead[0].Payload) != "failing" || dead[0].Attempts != 2 || dead[0].LastError != "boom" || dead[0].Lane != "k" ||
		string(dead[1].Payload) != "permanent" || dead[1].Parked || !strings.HasPrefix(dead[1].LastError, "permanent: boom \ufffd \ufffd é") {
		t.Fatalf("dead letters %+v", dead)
	}
	healed.Store(true)
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		for _, d := range dead {
			if err := Resume(t.Context(), tx, topic, d.QueueID); err != nil {
				return err
			}
		}
		return nil
	}))
	wants(t, got, "permanent", "failing") // in their old order
	b.empty()
	if err := b.db.InTx(t.Context(), func(tx *Tx) error { return Resume(t.Context(), tx, topic, dead[0].QueueID) }); err != ErrNoDeadLetter {
		t.Errorf("resume twice: %v", err)
	}
}

func TestWaitForCountsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := make(chan int, 20)
	var waits atomic.Int32
	b.subscriber(SubscriberConfig{MaxAttempts: 2, Relaxed: true}, func(m *message.Message) error {
		d, _ := DeliveryOf(m.Context())
		if waits.Add(1) <= 5 {
			return WaitFor{D: time.Millisecond}
		}
		got <- d.Attempt
		return nil
	})
	b.publish("k", "a")
	if n := receive(t, got); n != 1 {
		t.Errorf("attempt %d", n)
	}
	b.empty()
}

// connected answers as a session's row would: true when it is connected, under the row's lock.
func connected(ctx context.Context, tx pgx.Tx) (bool, error) {
	var state string
	err := tx.QueryRow(ctx, `SELECT state FROM sessions WHERE id = 's' FOR SHARE`).Scan(&state)
	return state == "connected", err
}

func TestParkedLaneWaitsForItsSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO sessions (id) VALUES ('s')`)
	got := make(chan string, 20)
	var online atomic.Bool
	b.subscriber(SubscriberConfig{Poll: 10 * time.Millisecond}, func(m *message.Message) error {
		d, _ := DeliveryOf(m.Context())
		got <- fmt.Sprintf("%s%d", m.Payload, d.Attempt)
		if !online.Load() {
			return Park{Unless: connected, Err: errBoom}
		}
		return nil
	})
	b.publishFor("s", "s/send", "a", "b")
	wants(t, got, "a1")
	eventually(t, "the lane is parked", func() bool { return b.count(`SELECT count(*) FROM queue_lanes WHERE parked = 'session'`) == 1 })
	b.publishFor("s", "s/send", "c") // does not wake a parked lane
	if n := b.count(`SELECT count(*) FROM queue_lanes WHERE parked = 'session'`); n != 1 {
		t.Errorf("%d lanes parked after a publish", n)
	}
	stats, err := Stats(t.Context(), b.pool, topic)
	b.must(err)
	if stats.Parked != 1 || stats.Messages != 3 || stats.Lanes != 1 || stats.Stuck != 0 {
		t.Errorf("stats %+v", stats)
	}
	online.Store(true)
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		if _, err := tx.Exec(t.Context(), `UPDATE sessions SET state = 'connected' WHERE id = 's'`); err != nil {
			return err
		}
		return Ready(t.Context(), tx, topic, "s")
	}))
	wants(t, got, "a1", "b1", "c1")
	b.empty()
}

// Parking and connecting race two hundred times; a lane that the race left parked would never be delivered again.
func TestParkAndReadyNeverMissEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO sessions (id) VALUES ('s')`)
	tried, done := make(chan struct{}, 1000), make(chan struct{}, 1)
	b.subscriber(SubscriberConfig{Poll: 10 * time.Millisecond}, func(m *message.Message) error {
		var ok bool
		err := b.pool.QueryRow(m.Context(), `SELECT state = 'connected' FROM sessions WHERE id = 's'`).Scan(&ok)
		tried <- struct{}{}
		switch {
		case err != nil:
			return err
		case !ok:
			return Park{Unless: connected, Err: errBoom}
		}
		done <- struct{}{}
		return nil
	})
	for range 200 {
		b.exec(`UPDATE sessions SET state = 'reconnecting' WHERE id = 's'`)
		b.publishFor("s", "s/send", "x")
		receive(t, tried)
		b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
			if _, err := tx.Exec(t.Context(), `UPDATE sessions SET state = 'connected' WHERE id = 's'`); err != nil {
				return err
			}
			return Ready(t.Context(), tx, topic, "s")
		}))
		receive(t, done)
		for len(tried) > 0 {
			<-tried
		}
	}
	b.empty()
}

func TestFindsMessagesWithoutWakeUps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := make(chan string, 1)
	b.subscriber(SubscriberConfig{Poll: 50 * time.Millisecond}, func(m *message.Message) error { got <- string(m.Payload); return nil })
	silent := &DB{Pool: b.pool}
	b.must(silent.InTx(t.Context(), func(tx *Tx) error { tx.Publish(topic, Message{Lane: "k", Payload: []byte("a")}); return nil }))
	wants(t, got, "a")
}

func TestKeepsALeaseWhileTheHandlerRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got, release := make(chan string, 10), make(chan struct{})
	handler := func(m *message.Message) error { got <- string(m.Payload); <-release; return nil }
	b.subscriber(SubscriberConfig{Owner: "one", Lease: 1500 * time.Millisecond}, handler)
	b.publish("k", "a")
	wants(t, got, "a")
	b.subscriber(SubscriberConfig{Owner: "two", Lease: 1500 * time.Millisecond, Poll: 10 * time.Millisecond}, handler)
	first := time.Now()
	eventually(t, "three leases have passed", func() bool { return time.Since(first) > 4500*time.Millisecond })
	close(release)
	b.empty()
	if len(got) != 0 {
		t.Error("another owner took the lane of a running handler")
	}
}

func TestCancelsTheMessageWhenItsLaneIsLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, out, again := make(chan struct{}, 1), make(chan struct{}), make(chan string, 1)
	var first atomic.Bool
	b.subscriber(SubscriberConfig{Owner: "one", Lease: 300 * time.Millisecond, Poll: 10 * time.Millisecond}, func(m *message.Message) error {
		if !first.CompareAndSwap(false, true) {
			select {
			case <-out:
			default:
				t.Error("the lane ran again in the same process before its first handler had ended")
			}
			again <- string(m.Payload)
			return nil
		}
		in <- struct{}{}
		<-m.Context().Done()
		close(out)
		return m.Context().Err()
	})
	b.publish("k", "a")
	receive(t, in)
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error { return FreeOwner(t.Context(), tx, "one") }))
	receive(t, out)
	wants(t, again, "a")
	b.empty()
}

func TestCloseHandsLanesBackAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, ended := make(chan string, 10), make(chan error, 1)
	one := b.subscriber(SubscriberConfig{Owner: "one", Grace: 50 * time.Millisecond}, func(m *message.Message) error {
		in <- string(m.Payload)
		<-m.Context().Done()
		ended <- m.Context().Err()
		return m.Context().Err()
	})
	b.publish("k", "a", "b")
	wants(t, in, "a")
	b.must(one.Close())
	receive(t, ended)
	if n := b.count(`SELECT count(*) FROM queue_lanes WHERE owner IS NULL AND ready_at <= now()`); n != 1 {
		t.Errorf("%d lanes handed back", n)
	}
	if n := b.count(`SELECT count(*) FROM queue_messages WHERE attempts = 0 AND crashes = 0`); n != 2 {
		t.Errorf("%d messages without an attempt", n)
	}
	got := make(chan string, 10)
	b.subscriber(SubscriberConfig{Owner: "two"}, func(m *message.Message) error { got <- string(m.Payload); return nil })
	wants(t, got, "a", "b")
}

func TestCloseLetsTheMessageInHandFinish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, release := make(chan string, 10), make(chan struct{})
	one := b.subscriber(SubscriberConfig{Grace: patience}, func(m *message.Message) error { in <- string(m.Payload); <-release; return nil })
	b.publish("k", "a", "b")
	wants(t, in, "a")
	closed := make(chan error, 1)
	go func() { closed <- one.Close() }()
	<-one.Stopping()
	close(release)
	b.must(receive(t, closed))
	if n := b.count(`SELECT count(*) FROM queue_messages`); n != 1 {
		t.Errorf("%d messages left, want b alone", n)
	}
}

func TestCrashesAreCountedThenTheLaneIsParked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("k", "bad", "good")
	// Each lease is left to run out, as by a process that died with the message in hand.
	for i := range 5 {
		rows, err := Lease(t.Context(), b.pool, topic, fmt.Sprint(i), false)
		b.must(err)
		if want := map[bool]int{true: 2, false: 1}[i == 0]; len(rows) != want || rows[0].Parked || rows[0].Crashes != i {
			t.Fatalf("lease %d: %+v", i, rows)
		}
		b.must(b.db.InTx(t.Context(), func(tx *Tx) error { return FreeOwner(t.Context(), tx, fmt.Sprint(i)) }))
	}
	got := make(chan string, 10)
	b.subscriber(SubscriberConfig{}, func(m *message.Message) error { got <- string(m.Payload); return nil })
	eventually(t, "the lane is parked", func() bool { return b.count(`SELECT count(*) FROM queue_lanes WHERE parked = 'crashes'`) == 1 })
	dead, err := Dead(t.Context(), b.pool, topic, 10)
	b.must(err)
	if len(dead) != 1 || !dead[0].Parked || string(dead[0].Payload) != "bad" || dead[0].Crashes != 5 {
		t.Fatalf("dead %+v", dead)
	}
	stats, err := Stats(t.Context(), b.pool, topic)
	b.must(err)
	if stats.Stuck != 1 || stats.Parked != 0 || stats.Dead != 0 || stats.Messages != 2 {
		t.Errorf("stats %+v", stats)
	}
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error { return Resume(t.Context(), tx, topic, dead[0].QueueID) }))
	wants(t, got, "bad", "good")
	b.empty()
}

func TestStaleOwnerChangesNothing(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{"taken over", "emptied and made anew"} {
		t.Run(gone, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			ctx := t.Context()
			take := func(owner string) Leased {
				rows, err := Lease(ctx, b.pool, topic, owner, false)
				b.must(err)
				if len(rows) != 1 {
					t.Fatalf("%d rows", len(rows))
				}
				return rows[0]
			}
			b.publish("k", "a")
			stale := take("one")
			b.must(b.db.InTx(ctx, func(tx *Tx) error { return FreeOwner(ctx, tx, "one") }))
			held := take("two")
			if gone == "emptied and made anew" {
				if ok, err := held.Complete(ctx, b.pool, held.QueueID); !ok || err != nil {
					t.Fatal(ok, err)
				}
				b.publish("k", "b")
				held = take("three")
			}
			const state = `SELECT hashtext(string_agg(l::text || m::text, '|'))::int FROM queue_lanes l JOIN queue_messages m USING (lane)`
			before := b.count(state)
			for name, try := range map[string]func() (bool, error){
				"complete":      func() (bool, error) { return stale.Complete(ctx, b.pool, held.QueueID) },
				"retry strict":  func() (bool, error) { return stale.Retry(ctx, b.pool, held.QueueID, true) },
				"retry relaxed": func() (bool, error) { return stale.Retry(ctx, b.pool, held.QueueID, false) },
				"kill":          func() (bool, error) { return stale.Kill(ctx, b.pool, held.QueueID) },
				"park":          func() (bool, error) { return stale.Park(ctx, b.pool, held.QueueID) },
			} {
				if ok, err := try(); ok || err != nil {
					t.Errorf("%s: %v %v", name, ok, err)
				}
			}
			if n := b.count(`SELECT count(*) FROM queue_heartbeat('one', $1, $2, '1h', false)`, []string{stale.FullLane}, []int64{stale.Epoch}); n != 0 {
				t.Errorf("heartbeat renewed %d lanes", n)
			}
			if b.count(state) != before || b.count(`SELECT count(*) FROM queue_dead`) != 0 {
				t.Error("the stale owner changed something")
			}
			if ok, err := held.Complete(ctx, b.pool, held.QueueID); !ok || err != nil {
				t.Errorf("the owner's completion: %v %v", ok, err)
			}
			b.empty()
		})
	}
}

// orderly is a handler that checks the order of each publisher's messages ("publisher number") in each lane.
func orderly(t *testing.T, mu *sync.Mutex, last map[string]int, seen *int) func(*message.Message) error {
	return func(m *message.Message) error {
		var publisher, n int
		if _, err := fmt.Sscan(string(m.Payload), &publisher, &n); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprint(m.Metadata[MetaLane], " ", publisher)
		if before, ok := last[key]; ok && n != before+1 {
			t.Errorf("%s: %d after %d", key, n, before)
		}
		last[key] = n
		*seen++
		return nil
	}
}

// The server does not answer heartbeats (a lock keeps them waiting). Every handler must be cancelled before its lease ends, at whatever
// moment between two heartbeats its lane was leased.
func TestCancelsBeforeTheLeaseEndsWhenHeartbeatsHang(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const lease, phases = 6 * time.Second, 24
	type cancelled struct {
		lane string
		at   time.Time
	}
	in, out := make(chan string, phases), make(chan cancelled, phases)
	b.subscriber(SubscriberConfig{Lease: lease, Poll: time.Hour, Grace: time.Millisecond}, func(m *message.Message) error {
		in <- m.Metadata[MetaLane]
		<-m.Context().Done()
		out <- cancelled{m.Metadata[MetaLane], time.Now()}
		return m.Context().Err()
	})
	tx, err := b.pool.Begin(t.Context())
	b.must(err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `SET LOCAL idle_in_transaction_session_timeout = 0`) // the pool's 5 s would let go of the lock
	b.must(err)
	ends := map[string]time.Time{}
	tick := time.NewTicker(lease / 3 / phases)
	defer tick.Stop()
	for i := range phases {
		<-tick.C
		lane := fmt.Sprintf("phase%02d", i)
		b.publish(lane, "x")
		wants(t, in, lane)
		var end time.Time
		b.must(tx.QueryRow(t.Context(), `SELECT ready_at FROM queue_lanes WHERE lane = $1 FOR UPDATE`, topic+"/"+lane).Scan(&end))
		ends[lane] = end
	}
	for range phases {
		if c := receive(t, out); !c.at.Before(ends[c.lane]) {
			t.Errorf("%s: cancelled %s after its lease had ended", c.lane, c.at.Sub(ends[c.lane]))
		}
	}
}

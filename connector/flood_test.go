package connector

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
)

// long says whether the tests run in their full length, as `make verify` has it: CHASQUI_LONG is set. Measure with -run, alone.
var long = os.Getenv("CHASQUI_LONG") != ""

// crowd makes n phones that write.
func (b *bench) crowd(n int) (numbers []string) {
	b.Helper()
	for i := range n {
		numbers = append(numbers, fmt.Sprint(5491155000000+i))
		b.phone(numbers[i], fmt.Sprintf("Phone %d", i))
	}
	return numbers
}

// flood sends n texts from each phone to the owner's.
func (b *bench) flood(phones []string, n int) {
	b.Helper()
	started := time.Now()
	var senders sync.WaitGroup
	for _, phone := range phones {
		senders.Go(func() {
			for _, text := range numbered(0, n) {
				if _, err := b.sandbox.SendText(context.Background(), phone, owner, text); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	b.Logf("sent %d messages in %s", n*len(phones), time.Since(started).Round(time.Millisecond))
}

// arrived waits until n messages have come.
func (b *bench) arrived(n int) {
	b.Helper()
	started := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience+time.Duration(n)*50*time.Millisecond)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for came := 0; came < n; <-tick.C {
		if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM messages WHERE direction = 'incoming'`).Scan(&came); err != nil {
			b.Fatalf("%d of %d messages came: %v", came, n, err)
		}
	}
	took := time.Since(started)
	b.Logf("received %d messages in %s, %.0f/s", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
}

// inOrder checks that the n texts of each phone were told once, in their order, and that WhatsApp knows it.
func (b *bench) inOrder(phones []string, n int) {
	b.Helper()
	next := map[string]int{}
	for _, e := range b.events(events.MessageReceived) {
		from, text := e.Data.Message.From.Phone, e.Data.Message.Content.Text
		if want := fmt.Sprintf("text %d", next[from]); text != want {
			b.Fatalf("%s from %s was told where %s was due", text, from, want)
		}
		next[from]++
	}
	for _, phone := range phones {
		if next[phone] != n {
			b.Errorf("%d of %d messages of %s were told", next[phone], n, phone)
		}
	}
	b.await("WhatsApp to be told of all", func() bool { return b.sandbox.Queued(owner) == 0 })
}

// heap samples the process's heap until stop, which returns the most that was in use, in bytes. A garbage collection comes before each
// sample, so that it is what is held and not what nobody needs any more.
func heap() (stop func() uint64) {
	done, most := make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var peak uint64
		for {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-tick.C:
			case <-done:
				most <- peak
				return
			}
		}
	}()
	return func() uint64 { close(done); return <-most }
}

// What waited for a connector that was away comes in order, and is never held all at once.
func TestFloodOfOfflineMessagesKeepsItsOrderInBoundedMemory(t *testing.T) {
	t.Parallel()
	const chats, most = 20, 64 << 20
	each := 25
	if long {
		each = 1000
	}
	b := setup(t)
	first := b.connector()
	b.linked("sales", owner)
	phones := b.crowd(chats)
	b.stop(first)
	b.flood(phones, each)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop := heap()
	b.connector()
	b.arrived(chats * each)
	grown := int64(stop()) - int64(before.HeapAlloc)
	b.inOrder(phones, each)
	t.Logf("the heap grew by at most %d MB from %d MB", grown>>20, before.HeapAlloc>>20)
	if long && grown > most { // else other tests run beside it, and so few messages would fit as a whole
		t.Errorf("the heap grew by %d MB, more than %d", grown>>20, most>>20)
	}
}

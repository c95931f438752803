package connector

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chasqui/chasqui/events"
)

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

// arrived waits until the n texts of each phone have come, and checks that each was told once and in its order.
func (b *bench) arrived(phones []string, n int) {
	b.Helper()
	started := time.Now()
	b.awaitFor(5*patience, "the flood", func() bool {
		return one[int](b, `SELECT count(*)::int FROM messages WHERE direction = 'incoming'`) >= n*len(phones)
	})
	took := time.Since(started)
	b.Logf("received %d messages in %s, %.0f/s", n*len(phones), took.Round(time.Millisecond), float64(n*len(phones))/took.Seconds())
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

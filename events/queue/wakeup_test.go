package queue_test

import (
	"fmt"
	"testing"

	. "github.com/chasqui/chasqui/events/queue"
)

// settled takes the tokens that a fresh listener gets, after which it is woken only by news: a marker that it sends itself.
func (b *bundle) settled(l *Listener, topic string) {
	b.t.Helper()
	receive(b.t, l.C())
	eventually(b.t, "the connection listens", func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%LISTEN%' || $1 || '%' AND pid <> pg_backend_pid()`, TopicChannel(topic)) > 0
	})
	b.fence(topic)
	select {
	case <-l.C():
	default:
	}
}

// fence returns when everything that was notified before has been dispatched, which happens in order.
func (b *bundle) fence(topic string) {
	b.t.Helper()
	marker := b.waker.ListenKey(topic, "marker")
	defer marker.Close()
	receive(b.t, marker.C())
	b.db.Notifier.Notify(topic, "marker")
	receive(b.t, marker.C())
}

func woken(l *Listener) bool {
	select {
	case <-l.C():
		return true
	default:
		return false
	}
}

func TestWakesOnlyTheKeysMeant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two, all := b.waker.ListenKey("news", "one"), b.waker.ListenKey("news", "two"), b.waker.Listen("news")
	defer one.Close()
	defer two.Close()
	defer all.Close()
	for _, l := range []*Listener{one, two, all} {
		b.settled(l, "news")
	}
	b.fence("news")
	for _, l := range []*Listener{one, two, all} {
		woken(l)
	}
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error { tx.Notify("news", "one", "three"); return nil }))
	receive(t, one.C())
	b.fence("news")
	if woken(two) || !woken(all) {
		t.Error("a wake-up for one must wake the whole topic's listener and not two")
	}
	many := number("a-key-that-is-rather-long-", 400) // about 12 kB: too many for one notification
	b.db.Notifier.Notify("news", many...)
	receive(t, two.C())
	b.db.Notifier.Notify("news")
	receive(t, two.C())
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error { tx.Notify("news", "one"); tx.Notify("news"); tx.Notify("news", "one"); return nil }))
	receive(t, two.C())
}

func TestNothingIsNotifiedWhenTheTransactionFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.waker.ListenKey("news", "key")
	defer l.Close()
	b.settled(l, "news")
	_ = b.db.InTx(t.Context(), func(tx *Tx) error { tx.Notify("news", "key"); return errBoom })
	b.fence("news")
	if woken(l) {
		t.Error("woken by a transaction that was rolled back")
	}
}

func TestEverybodyIsWokenAfterAReconnect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.waker.ListenKey("news", "key")
	defer l.Close()
	b.settled(l, "news")
	b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%LISTEN%' AND pid <> pg_backend_pid()`)
	receive(t, l.C())
	b.db.Notifier.Notify("news", "key")
	receive(t, l.C())
}

func TestNotificationsAreCoalesced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.waker.Listen("news")
	defer l.Close()
	b.settled(l, "news")
	before := b.count(`SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`)
	for i := range 10_000 {
		b.db.Notifier.Notify("news", fmt.Sprint("key", i%100))
	}
	b.db.Notifier.Close() // sends what is pending
	b.db.Notifier.Close()
	receive(t, l.C())
	b.db.Notifier.Notify("news") // does nothing, and does not block
	after := b.count(`SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`)
	if after-before > 1000 {
		t.Errorf("%d transactions for 10,000 wake-ups", after-before)
	}
}

func TestWakerStartsAndStopsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.waker.Start()
	b.waker.Stop()
	b.waker.Stop()
	l := b.waker.Listen("news")
	defer l.Close()
	receive(t, l.C())
	b.waker.Start()
	receive(t, l.C()) // it listens
	b.db.Notifier.Notify("news")
	receive(t, l.C())
	l.Close()
	l.Close()
}

package ratchet

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// elsewhere runs f on a goroutine of its own, as another use of the device, and returns a channel that closes when it has ended.
func elsewhere(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func TestLockIsStolenOnlyFromAnIdleHolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		l := NewLock()
		holder, other := &use{prefetched: true}, &use{}
		if err := l.acquire(ctx, holder); err != nil {
			t.Fatal(err)
		}
		done := elsewhere(func() {
			if err := l.acquire(ctx, other); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(stealAfter - time.Millisecond)
		synctest.Wait()
		if ended(done) {
			t.Fatal("stolen too early")
		}
		if !l.enter(holder) {
			t.Fatal("the holder was robbed too early")
		}
		time.Sleep(10 * stealAfter)
		synctest.Wait()
		if ended(done) {
			t.Fatal("stolen from a holder that is writing")
		}
		l.leave(holder)
		time.Sleep(2 * stealAfter)
		synctest.Wait()
		if !ended(done) {
			t.Fatal("never stolen")
		}
		if l.enter(holder) || l.current() != nil {
			t.Error("the robbed holder may still write")
		}
		l.release(holder, true) // changes nothing
		if !l.enter(other) {
			t.Error("the thief may not write")
		}
		l.release(other, true)
		third := &use{}
		if err := l.acquire(ctx, third); err != nil || l.current() != third {
			t.Errorf("the lock is not free afterwards: %v", err)
		}
	})
}

func TestLockIsFreeWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLock()
		ctx, cancel := context.WithCancel(t.Context())
		holder := &use{}
		if err := l.acquire(ctx, holder); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		done := elsewhere(func() {
			if err := l.acquire(t.Context(), &use{}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		<-done
		if time.Since(start) != 0 {
			t.Errorf("it took %v", time.Since(start))
		}
		if l.enter(holder) {
			t.Error("the holder may still write")
		}
	})
}

func TestLockGivesUpWaitingWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLock()
		holder := &use{}
		if err := l.acquire(t.Context(), holder); err != nil || !l.enter(holder) {
			t.Fatal(err)
		}
		done := elsewhere(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := l.acquire(ctx, &use{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		<-done
		l.release(holder, true)
		if err := l.acquire(t.Context(), &use{}); err != nil {
			t.Error(err)
		}
	})
}

func TestNextUseOfTheGoroutineOrTheSenderNeedNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, start := NewLock(), time.Now()
		for range 3 { // answers that found no session, one after the other
			if err := l.acquire(t.Context(), &use{}); err != nil {
				t.Fatal(err)
			}
		}
		abandoned := &use{prefetched: true} // a send without recipients
		if err := l.acquire(t.Context(), abandoned); err != nil {
			t.Fatal(err)
		}
		<-elsewhere(func() {
			next := &use{prefetched: true}
			if err := l.acquire(t.Context(), next); err != nil || !l.enter(next) {
				t.Error(err)
			}
			l.release(next, true)
		})
		if time.Since(start) != 0 || l.enter(abandoned) {
			t.Errorf("it took %v", time.Since(start))
		}
	})
}

func TestLockKeepsManyApart(t *testing.T) {
	t.Parallel()
	l := NewLock()
	var inside, uses int
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 500 {
				u := &use{prefetched: i == 0}
				if err := l.acquire(t.Context(), u); err != nil {
					t.Error(err)
					return
				}
				if inside++; inside != 1 || l.current() != u || !l.enter(u) {
					t.Error("two uses at once")
				}
				uses++
				inside--
				l.release(u, true)
			}
		})
	}
	wg.Wait()
	if uses != 4000 {
		t.Errorf("%d uses", uses)
	}
}

func TestAUseOfItsOwnIsNotTakenOverByASend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, start := NewLock(), time.Now()
		for _, uses := range [][2]*use{{{prefetched: true, alone: true}, {prefetched: true}}, {{prefetched: true}, {prefetched: true, alone: true}}} {
			first, second := uses[0], uses[1]
			if err := l.acquire(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			done := elsewhere(func() {
				if err := l.acquire(t.Context(), second); err != nil || !l.enter(second) {
					t.Error(err)
				}
				l.release(second, true)
			})
			synctest.Wait()
			if !l.enter(first) {
				t.Error("it was taken over")
			}
			l.release(first, true)
			<-done
		}
		if time.Since(start) != 0 {
			t.Errorf("it took %v", time.Since(start))
		}
	})
}

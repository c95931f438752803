package signalstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.mau.fi/whatsmeow/store"
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
		l := newDeviceLock()
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
		l := newDeviceLock()
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
		l := newDeviceLock()
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
		l, start := newDeviceLock(), time.Now()
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
	l := newDeviceLock()
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

func impatient(d *store.Device) *deviceStore {
	s := storeOf(d)
	s.lock.patience = 20 * time.Millisecond
	return s
}

func TestARobbedSendStoresNothingAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	s := impatient(b.load(t, "111", Options{OnFailure: told.add}))
	if _, err := s.GetManySessions(b.ctx, []string{"a:0"}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutIdentity(b.ctx, "a:0", key); err != nil {
		t.Fatal(err)
	}
	<-elsewhere(func() {
		if err := (call{name: "Decrypt"}).run(b.ctx, s); err != nil {
			t.Error(err)
		}
	})
	err := s.PutManySessions(b.ctx, map[string][]byte{"a:0": []byte("stale")})
	if !errors.Is(err, ErrStolen) || errors.Is(err, context.Canceled) || len(told.all()) != 0 {
		t.Errorf("PutManySessions = %v, told %v", err, told.all())
	}
	got, err := s.GetManySessions(b.ctx, []string{"a:0"})
	if err != nil || string(got["a:0"]) != "decrypted" {
		t.Errorf("session = %q, %v", got["a:0"], err)
	}
	if err := s.PutManySessions(b.ctx, map[string][]byte{"a:0": []byte("again")}); err != nil {
		t.Errorf("the repetition: %v", err)
	}
	if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_identity_keys"); n != 0 {
		t.Error("the robbed send's identity is stored")
	}
}

func TestARobbedAnswerFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	s := impatient(b.load(t, "111", Options{OnFailure: told.add}))
	if _, err := s.GetSession(b.ctx, "a:0"); err != nil {
		t.Fatal(err)
	}
	<-elsewhere(func() {
		if err := (call{name: "Put"}).run(b.ctx, s); err != nil {
			t.Error(err)
		}
	})
	err := s.PutSession(b.ctx, "a:0", []byte("stale"))
	if !errors.Is(err, ErrStolen) || !errors.Is(err, context.Canceled) || len(told.all()) != 1 {
		t.Errorf("PutSession = %v, told %v", err, told.all())
	}
	if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_sessions WHERE session = 'one'"); n != 1 {
		t.Error("the stale session was stored")
	}
}

func TestUsesOfADeviceExcludeEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := storeOf(b.load(t, "111", Options{}))
	for _, c := range writes {
		switch c.name {
		case "Put", "Decrypt", "DeleteSession", "DeleteAllSessions", "DeleteIdentity", "DeleteAllIdentities":
		default:
			continue
		}
		if _, err := s.GetManySessions(b.ctx, []string{"a:0"}); err != nil {
			t.Fatal(err)
		}
		<-elsewhere(func() {
			ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
			defer cancel()
			if err := c.run(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s did not wait for the send: %v", c.name, err)
			}
		})
		if err := s.PutManySessions(b.ctx, map[string][]byte{"a:0": []byte("sent")}); err != nil {
			t.Errorf("the send before %s: %v", c.name, err)
		}
		if err := c.run(b.ctx, s); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if s.lock.current() != nil {
			t.Errorf("%s keeps the lock", c.name)
		}
	}
}

func TestAMigrationTakesTheLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := impatient(b.load(t, "111", Options{}))
	if _, err := s.GetManySessions(b.ctx, []string{"a:0"}); err != nil {
		t.Fatal(err)
	}
	<-elsewhere(func() {
		if err := s.MigratePNToLID(b.ctx, chat, hidden); err != nil {
			t.Error(err)
		}
	})
	if err := s.PutManySessions(b.ctx, map[string][]byte{"a:0": []byte("sent")}); !errors.Is(err, ErrStolen) {
		t.Errorf("PutManySessions after a migration: %v", err)
	}
	// One that was done before has nothing to wait for.
	if _, err := s.GetManySessions(b.ctx, []string{"a:0"}); err != nil {
		t.Fatal(err)
	}
	<-elsewhere(func() {
		if err := s.MigratePNToLID(b.ctx, chat, hidden); err != nil {
			t.Error(err)
		}
	})
	if err := s.PutManySessions(b.ctx, map[string][]byte{"a:0": []byte("sent")}); err != nil {
		t.Errorf("PutManySessions after a second migration: %v", err)
	}
}

func TestAnUntrustedIdentityEndsAnAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := storeOf(b.load(t, "111", Options{}))
	if err := s.PutIdentity(b.ctx, "a:0", key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetSession(b.ctx, "a:0"); err != nil {
		t.Fatal(err)
	}
	if trusted, err := s.IsTrustedIdentity(b.ctx, "a:0", [32]byte{2}); trusted || err != nil {
		t.Fatal(trusted, err)
	}
	if s.lock.current() != nil {
		t.Error("the lock is kept although no write will come")
	}
	// A send goes on with its other recipients.
	if _, err := s.GetManySessions(b.ctx, []string{"a:0", "b:0"}); err != nil {
		t.Fatal(err)
	}
	if trusted, err := s.IsTrustedIdentity(b.ctx, "a:0", [32]byte{2}); trusted || err != nil {
		t.Fatal(trusted, err)
	}
	if err := s.PutManySessions(b.ctx, map[string][]byte{"b:0": []byte("B")}); err != nil {
		t.Error(err)
	}
}

func TestASendStoresIdentitiesWithItsSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := storeOf(b.load(t, "111", Options{}))
	if _, err := s.GetManySessions(b.ctx, []string{"a:0"}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutIdentity(b.ctx, "a:0", key); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, "SELECT count(*) FROM whatsmeow.whatsmeow_identity_keys"); n != 0 {
		t.Error("the identity is stored before the session")
	}
	if trusted, err := s.IsTrustedIdentity(b.ctx, "a:0", [32]byte{2}); trusted || err != nil {
		t.Errorf("another identity is trusted meanwhile: %v, %v", trusted, err)
	}
	if err := s.PutManySessions(b.ctx, map[string][]byte{"a:0": []byte("A")}); err != nil {
		t.Fatal(err)
	}
	if trusted, err := s.IsTrustedIdentity(b.ctx, "a:0", [32]byte{2}); trusted || err != nil {
		t.Errorf("another identity is trusted afterwards: %v, %v", trusted, err)
	}
}

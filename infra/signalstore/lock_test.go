package signalstore

import (
	"context"
	"errors"
	"testing"
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

func impatient(d *store.Device) *deviceStore {
	s := storeOf(d)
	s.container.lock(s.jid).Patience = 20 * time.Millisecond
	return s
}

// isFree checks that nobody has the device: otherwise it would take 5 s to get it.
func isFree(ctx context.Context, t *testing.T, s *deviceStore, after string) {
	t.Helper()
	<-elsewhere(func() {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if err := s.DeleteSession(ctx, "nobody:0"); err != nil {
			t.Errorf("%s keeps the device: %v", after, err)
		}
	})
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
		isFree(b.ctx, t, s, c.name)
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
	isFree(b.ctx, t, s, "an answer that will not write")
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

// A ciphertext may make libsignal panic, which whatsmeow catches far above (message.go, decryptMessages).
func TestAPanicInADecryptionLeavesNothingLocked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var told failures
	s := storeOf(b.load(t, "111", Options{Fence: b.fence(t, "s"), OnFailure: told.add}))
	for range 20 { // more often than there are connections
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was lost")
				}
			}()
			_ = s.DoDecryptionTxn(b.ctx, func(ctx context.Context) error {
				if err := s.PutSession(ctx, "a:0", []byte("half")); err != nil {
					t.Error(err)
				}
				if _, err := s.GetSession(ctx, "a:0"); err != nil { // the transaction has begun
					t.Error(err)
				}
				panic("hostile")
			})
		}()
		isFree(b.ctx, t, s, "a decryption that panicked")
	}
	if has, err := s.HasSession(b.ctx, "a:0"); has || err != nil || len(told.all()) != 0 {
		t.Errorf("HasSession = %v, %v; told %v", has, err, told.all())
	}
}

// A send reads the identities of its recipients once, and writes those that are new.
func TestIdentitiesOfASend(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := storeOf(b.load(t, "111", Options{}))
	old, other := [32]byte{1}, [32]byte{2}
	trusts := func(address string, key [32]byte, want bool) {
		t.Helper()
		if trusted, err := s.IsTrustedIdentity(b.ctx, address, key); err != nil || trusted != want {
			t.Errorf("trusts %s with %d: %t, %v", address, key[0], trusted, err)
		}
	}
	end := func() {
		t.Helper()
		if err := s.PutManySessions(b.ctx, map[string][]byte{"a:0": {1}}); err != nil {
			t.Fatal(err)
		}
	}
	put := func(address string, key [32]byte) {
		t.Helper()
		if err := s.PutIdentity(b.ctx, address, key); err != nil {
			t.Fatal(err)
		}
	}
	put("a:0", old)
	if _, err := s.GetManySessions(b.ctx, []string{"a:0", "b:0"}); err != nil {
		t.Fatal(err)
	}
	trusts("a:0", old, true)
	trusts("a:0", other, false)
	trusts("b:0", other, true) // nobody's yet
	put("a:0", old)
	put("b:0", other)
	trusts("b:0", old, false)
	end()
	trusts("a:0", other, false)
	trusts("b:0", other, true)
	trusts("b:0", old, false)
	if _, err := s.GetManySessions(b.ctx, []string{"a:0"}); err != nil {
		t.Fatal(err)
	}
	trusts("a:0", other, false)
	if err := s.DeleteIdentity(b.ctx, "a:0"); err != nil {
		t.Fatal(err)
	}
	trusts("a:0", other, true)
	put("a:0", other)
	end()
	trusts("a:0", other, true)
	trusts("a:0", old, false)
}

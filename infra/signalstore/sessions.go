package signalstore

import (
	"context"
	"errors"

	"go.mau.fi/whatsmeow/types"
)

// How whatsmeow uses the sessions of a device, and so what the lock has to span:
//
//   - A send (send.go, encryptMessageForDevices): GetManySessions; prekeys from the network for those that are missing; per device
//     IsTrustedIdentity and PutIdentity; PutManySessions. Then the message leaves. No write comes when its context ends, when there is
//     nothing to encrypt, and when all encryptions fail.
//   - A retry receipt's answer and a peer message (retry.go; send.go, preparePeerMessageNode): GetSession, IsTrustedIdentity, PutIdentity,
//     PutSession; before them, with a new prekey bundle, GetSession, PutSession, PutIdentity. No write comes when there is no session or
//     its identity is not trusted.
//   - A decryption (message.go, bufferedDecrypt): DoDecryptionTxn around everything.
//   - Deletions and the move from phone number to LID, at any time.

type transactionKey struct{}

// decryption returns the use whose decryption transaction ctx belongs to, or nil.
func decryption(ctx context.Context) *use {
	u, _ := ctx.Value(transactionKey{}).(*use)
	return u
}

func inTransaction(ctx context.Context) bool { return decryption(ctx) != nil }

// lockFor starts a use of the device.
func (s *deviceStore) lockFor(ctx context.Context, u *use) error {
	if f := s.failure.Load(); f != nil {
		return f
	}
	u.generation = s.generation
	return s.check(ctx, s.lock.acquire(ctx, u))
}

// enter makes sure that the use was not robbed and protects it while it writes.
func (s *deviceStore) enter(ctx context.Context, u *use) error {
	if u != nil && s.lock.enter(u) {
		return nil
	}
	if f := s.failure.Load(); f != nil {
		return f
	}
	if err := ctx.Err(); err != nil {
		return translate(err)
	}
	if !s.lock.isCurrent(s.generation) {
		return translate(ErrSuperseded)
	}
	return ErrStolen
}

// exclusive runs a call while no other use of the device is between its read and its write.
func (s *deviceStore) exclusive(ctx context.Context, call func(context.Context) error) error {
	if inTransaction(ctx) {
		return s.do(ctx, call)
	}
	u := s.lock.current()
	if u == nil {
		u = &use{}
		if err := s.lockFor(ctx, u); err != nil {
			return err
		}
		defer s.lock.release(u, true)
	} else {
		defer s.lock.leave(u)
	}
	if err := s.enter(ctx, u); err != nil {
		return s.check(ctx, err)
	}
	return s.do(ctx, call)
}

// DoDecryptionTxn runs fn with the device locked, and what it writes in one transaction. fn's own error is returned as it is.
func (s *deviceStore) DoDecryptionTxn(ctx context.Context, fn func(context.Context) error) error {
	u := &use{}
	if err := s.lockFor(ctx, u); err != nil {
		return err
	}
	defer s.lock.release(u, true)
	if err := s.enter(ctx, u); err != nil {
		return s.check(ctx, err)
	}
	var abandoned error
	err := s.run(ctx, binding{s.options.Fence, true}, func(ctx context.Context) error {
		err := s.inner.DoDecryptionTxn(ctx, func(ctx context.Context) error {
			abandoned = fn(context.WithValue(ctx, transactionKey{}, u))
			return abandoned
		})
		if abandoned != nil {
			return nil //nolint:nilerr // why fn gave up is not the database's failure; it is returned below
		}
		return err
	})
	if abandoned == nil {
		return err
	}
	var failure *Failure
	if errors.As(abandoned, &failure) && ctx.Err() == nil {
		s.fail(failure)
	}
	return abandoned
}

// GetManySessions starts a send.
func (s *deviceStore) GetManySessions(ctx context.Context, addresses []string) (map[string][]byte, error) {
	u := &use{prefetched: true}
	if err := s.lockFor(ctx, u); err != nil {
		return nil, err
	}
	sessions, err := get(ctx, s, func(ctx context.Context) (map[string][]byte, error) { return s.inner.GetManySessions(ctx, addresses) })
	if err != nil {
		s.lock.release(u, true)
	}
	return sessions, err
}

// PutManySessions ends a send. A send that took so long that it lost the device fails with ErrStolen: nothing of it has left, and the
// Device stays usable.
func (s *deviceStore) PutManySessions(ctx context.Context, sessions map[string][]byte) error {
	u := s.lock.current()
	if err := s.enter(ctx, u); err != nil {
		return err
	}
	defer s.lock.release(u, true)
	return s.write(ctx, u, sessions)
}

// GetSession starts the answer to a retry receipt or a peer message, unless it is part of a decryption or a send.
func (s *deviceStore) GetSession(ctx context.Context, address string) ([]byte, error) {
	read := func(ctx context.Context) ([]byte, error) { return s.inner.GetSession(ctx, address) }
	if u := decryption(ctx); u != nil {
		session, err := get(ctx, s, read)
		u.read(address, session)
		return session, err
	}
	if u := s.lock.current(); u != nil && u.prefetched {
		return get(ctx, s, read)
	}
	u := &use{}
	if err := s.lockFor(ctx, u); err != nil {
		return nil, err
	}
	session, err := get(ctx, s, read)
	if err != nil {
		s.lock.release(u, true)
	}
	return session, err
}

// PutSession ends what GetSession started. Only the database can have made that take so long that it lost the device, and whatsmeow would
// acknowledge the retry receipt unanswered: so it is a Failure.
func (s *deviceStore) PutSession(ctx context.Context, address string, session []byte) error {
	if u := decryption(ctx); u != nil {
		session := mended(u.sessions[address], session)
		return s.do(ctx, func(ctx context.Context) error { return s.inner.PutSession(ctx, address, session) })
	}
	u := s.lock.current()
	if err := s.enter(ctx, u); err != nil {
		return s.check(ctx, err)
	}
	defer s.lock.release(u, true)
	return s.write(ctx, u, map[string][]byte{address: session})
}

// write stores sessions and the identities seen with them in one transaction.
func (s *deviceStore) write(ctx context.Context, u *use, sessions map[string][]byte) error {
	return s.run(ctx, binding{s.options.Fence, true}, func(ctx context.Context) error {
		return s.container.db.DoTxn(ctx, nil, func(ctx context.Context) error {
			for address, key := range u.identities {
				if err := s.inner.PutIdentity(ctx, address, key); err != nil {
					return err
				}
			}
			return s.inner.PutManySessions(ctx, sessions)
		})
	})
}

// PutIdentity waits, within a use, for the sessions' transaction: whatsmeow stores every recipient's identity again with every message,
// and a commit for each would be most of a send's work.
func (s *deviceStore) PutIdentity(ctx context.Context, address string, key [32]byte) error {
	if !inTransaction(ctx) {
		if u := s.lock.current(); u != nil {
			if u.identities == nil {
				u.identities = make(map[string][32]byte)
			}
			u.identities[address] = key
			return nil
		}
	}
	return s.do(ctx, func(ctx context.Context) error { return s.inner.PutIdentity(ctx, address, key) })
}

// IsTrustedIdentity implements store.IdentityStore. With a no, whatsmeow ends an answer or a peer message without a write.
func (s *deviceStore) IsTrustedIdentity(ctx context.Context, address string, key [32]byte) (bool, error) {
	var u *use
	if !inTransaction(ctx) {
		u = s.lock.current()
	}
	if u != nil {
		if pending, ok := u.identities[address]; ok {
			return pending == key, nil
		}
	}
	trusted, err := get(ctx, s, func(ctx context.Context) (bool, error) { return s.inner.IsTrustedIdentity(ctx, address, key) })
	if u != nil && !u.prefetched && (err != nil || !trusted) {
		s.lock.release(u, true)
	}
	return trusted, err
}

// HasSession implements store.SessionStore.
func (s *deviceStore) HasSession(ctx context.Context, address string) (bool, error) {
	return get(ctx, s, func(ctx context.Context) (bool, error) { return s.inner.HasSession(ctx, address) })
}

// DeleteIdentity implements store.IdentityStore.
func (s *deviceStore) DeleteIdentity(ctx context.Context, address string) error {
	if !inTransaction(ctx) {
		if u := s.lock.current(); u != nil {
			delete(u.identities, address)
		}
	}
	return s.exclusive(ctx, func(ctx context.Context) error { return s.inner.DeleteIdentity(ctx, address) })
}

// DeleteAllIdentities implements store.IdentityStore.
func (s *deviceStore) DeleteAllIdentities(ctx context.Context, phone string) error {
	return s.exclusive(ctx, func(ctx context.Context) error { return s.inner.DeleteAllIdentities(ctx, phone) })
}

// DeleteSession implements store.SessionStore.
func (s *deviceStore) DeleteSession(ctx context.Context, address string) error {
	return s.exclusive(ctx, func(ctx context.Context) error { return s.inner.DeleteSession(ctx, address) })
}

// DeleteAllSessions implements store.SessionStore.
func (s *deviceStore) DeleteAllSessions(ctx context.Context, phone string) error {
	return s.exclusive(ctx, func(ctx context.Context) error { return s.inner.DeleteAllSessions(ctx, phone) })
}

// MigratePNToLID moves the sessions of a phone number to its LID. whatsmeow only logs its error, and sqlstore believes itself done after
// the first attempt: going on would start a second session beside the first. So it does not end with the caller's context, and each of its
// errors breaks the Device.
func (s *deviceStore) MigratePNToLID(ctx context.Context, pn, lid types.JID) error {
	user := pn.SignalAddressUser()
	if _, done := s.migrated.Load(user); done {
		return nil
	}
	err := s.exclusive(context.WithoutCancel(ctx), func(ctx context.Context) error { return s.inner.MigratePNToLID(ctx, pn, lid) })
	if err == nil {
		s.migrated.Store(user, nil)
	}
	return err
}

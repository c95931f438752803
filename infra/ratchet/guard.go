// Package ratchet guards the Signal sessions of a WhatsApp device, wherever they are stored, so that no message is lost where whatsmeow and
// a plain store lose it.
//
//   - One Lock per device keeps encryption and decryption apart, which otherwise undo each other's ratchet steps.
//   - An error of the infrastructure is a Failure, which whatsmeow takes for a cancellation and so acknowledges nothing; taken for a
//     decryption error it costs the message after five retries.
//   - After one Failure a Device refuses everything, because whatsmeow only logs some of them and would go on with half the state. Its owner
//     is told by Options.OnFailure and loads the device anew.
//   - A decryption's session is mended before it is stored, see Mend.
package ratchet

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
)

// Stores is what a Guard stands before: a device's identities and sessions, wherever they are.
type Stores interface {
	store.IdentityStore
	store.SessionStore
	// GetIdentities reads the identities of addresses; one that is not known is left out.
	GetIdentities(ctx context.Context, addresses []string) (map[string][32]byte, error)
	// PutSessions stores sessions and identities, all or none.
	PutSessions(ctx context.Context, identities map[string][32]byte, sessions map[string][]byte) error
	// DoDecryptionTxn runs fn; what is stored with the context that it gives to fn is stored together when fn returns, or not at all.
	DoDecryptionTxn(ctx context.Context, fn func(context.Context) error) error
}

// Options belong to one Device. All are optional.
type Options struct {
	// Bound, when it is set, prepares the context of every call to the stores: it sets an end to it.
	Bound func(context.Context) (context.Context, context.CancelFunc)
	// Translate tells an error of the infrastructure, which it wraps by Fail, from an answer, which it leaves as it is. Stores that do so
	// themselves need none.
	Translate func(error) error
	// OnFailure is told the first Failure, at most once; nil tells nobody. See Guard.
	OnFailure func(error)
}

// Guard is the identities and the sessions of one loaded Device. It implements store.IdentityStore, store.SessionStore and the
// DoDecryptionTxn of store.EventBuffer; the Device's other stores make their calls through Do and Get.
//
// The first Failure is told to Options.OnFailure, on a goroutine of whatsmeow's, maybe within an event handler or a send: it must not wait
// for the client. From then on the Guard refuses everything with the same error.
type Guard struct {
	stores     Stores
	lock       *Lock
	generation uint64
	options    Options
	migrated   sync.Map // phone numbers (types.JID.SignalAddressUser) whose sessions have moved to their LID
	failure    atomic.Pointer[Failure]
}

// New returns a guard for a Device that was just loaded. It makes every Device loaded earlier with the same lock unable to write.
func New(lock *Lock, stores Stores, o Options) *Guard {
	return &Guard{stores: stores, lock: lock, generation: lock.supersede(), options: o}
}

// Do runs one call of the stores, bounded and its error translated. Once the Guard has failed, or its Device was loaded again, it runs none.
func (g *Guard) Do(ctx context.Context, call func(context.Context) error) error {
	if f := g.failure.Load(); f != nil {
		return f
	}
	if !g.lock.isCurrent(g.generation) {
		return Fail(ErrSuperseded)
	}
	bounded := ctx
	if g.options.Bound != nil {
		var cancel context.CancelFunc
		bounded, cancel = g.options.Bound(ctx)
		defer cancel()
	}
	return g.check(ctx, call(bounded))
}

// Get is Do for a call with a result.
func Get[T any](ctx context.Context, g *Guard, call func(context.Context) (T, error)) (result T, err error) {
	err = g.Do(ctx, func(ctx context.Context) (err error) {
		result, err = call(ctx)
		return err
	})
	return result, err
}

// check translates a call's error. A Failure breaks the Guard, unless the caller gave the call up.
func (g *Guard) check(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var failure *Failure
	if !errors.As(err, &failure) && g.options.Translate != nil {
		err = g.options.Translate(err)
	}
	if errors.As(err, &failure) && ctx.Err() == nil {
		g.fail(failure)
	}
	return err
}

// fail breaks the Guard. One whose Device was loaded again has an owner who knows that already.
func (g *Guard) fail(failure *Failure) {
	if errors.Is(failure, ErrSuperseded) {
		return
	}
	if g.failure.CompareAndSwap(nil, failure) && g.options.OnFailure != nil {
		g.options.OnFailure(failure)
	}
}

// Break makes the Guard refuse everything from now on, for a cause outside of the stores.
func (g *Guard) Break(cause error) { g.fail(Fail(cause)) }

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

type (
	transactionKey struct{}
	aloneKey       struct{}
)

// Alone makes the GetManySessions of a context begin a use of its own beside whatsmeow's sends, of which one takes the device over from another
// (Lock.succeed). Whoever begins it ends the context when he writes nothing.
func Alone(ctx context.Context) context.Context { return context.WithValue(ctx, aloneKey{}, true) }

// decryption returns the use whose decryption transaction ctx belongs to, or nil.
func decryption(ctx context.Context) *use {
	u, _ := ctx.Value(transactionKey{}).(*use)
	return u
}

func inTransaction(ctx context.Context) bool { return decryption(ctx) != nil }

// lockFor starts a use of the device.
func (g *Guard) lockFor(ctx context.Context, u *use) error {
	if f := g.failure.Load(); f != nil {
		return f
	}
	u.generation = g.generation
	if err := g.lock.acquire(ctx, u); err != nil {
		return g.check(ctx, Fail(err))
	}
	return nil
}

// enter makes sure that the use was not robbed and protects it while it writes.
func (g *Guard) enter(ctx context.Context, u *use) error {
	if u != nil && g.lock.enter(u) {
		return nil
	}
	if f := g.failure.Load(); f != nil {
		return f
	}
	if err := ctx.Err(); err != nil {
		return Fail(err)
	}
	if !g.lock.isCurrent(g.generation) {
		return Fail(ErrSuperseded)
	}
	return ErrStolen
}

// Exclusive runs a call while no other use of the device is between its read and its write.
func (g *Guard) Exclusive(ctx context.Context, call func(context.Context) error) error {
	if inTransaction(ctx) {
		return g.Do(ctx, call)
	}
	u := g.lock.current()
	if u == nil {
		u = &use{}
		if err := g.lockFor(ctx, u); err != nil {
			return err
		}
		defer g.lock.release(u, true)
	} else {
		defer g.lock.leave(u)
	}
	if err := g.enter(ctx, u); err != nil {
		return g.check(ctx, Fail(err))
	}
	return g.Do(ctx, call)
}

// DoDecryptionTxn runs fn with the device locked, and what it writes in one transaction. fn's own error is returned as it is.
func (g *Guard) DoDecryptionTxn(ctx context.Context, fn func(context.Context) error) error {
	u := &use{}
	if err := g.lockFor(ctx, u); err != nil {
		return err
	}
	defer g.lock.release(u, true)
	if err := g.enter(ctx, u); err != nil {
		return g.check(ctx, Fail(err))
	}
	var abandoned error
	err := g.Do(ctx, func(ctx context.Context) error {
		err := g.stores.DoDecryptionTxn(ctx, func(ctx context.Context) error {
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
		g.fail(failure)
	}
	return abandoned
}

// GetManySessions starts a send. It reads the identities too: whatsmeow asks for each recipient's with every message, and stores it again.
func (g *Guard) GetManySessions(ctx context.Context, addresses []string) (map[string][]byte, error) {
	alone, _ := ctx.Value(aloneKey{}).(bool)
	u := &use{prefetched: true, alone: alone}
	if err := g.lockFor(ctx, u); err != nil {
		return nil, err
	}
	sessions, err := Get(ctx, g, func(ctx context.Context) (map[string][]byte, error) { return g.stores.GetManySessions(ctx, addresses) })
	if err == nil {
		u.known, err = Get(ctx, g, func(ctx context.Context) (map[string][32]byte, error) { return g.stores.GetIdentities(ctx, addresses) })
		u.addresses = sessions
	}
	if err != nil {
		g.lock.release(u, true)
		return nil, err
	}
	return sessions, nil
}

// PutManySessions ends a send. A send that took so long that it lost the device fails with ErrStolen: nothing of it has left, and the
// Device stays usable.
func (g *Guard) PutManySessions(ctx context.Context, sessions map[string][]byte) error {
	u := g.lock.current()
	if err := g.enter(ctx, u); err != nil {
		return err
	}
	defer g.lock.release(u, true)
	return g.write(ctx, u, sessions)
}

// GetSession starts the answer to a retry receipt or a peer message, unless it is part of a decryption or a send.
func (g *Guard) GetSession(ctx context.Context, address string) ([]byte, error) {
	read := func(ctx context.Context) ([]byte, error) { return g.stores.GetSession(ctx, address) }
	if u := decryption(ctx); u != nil {
		session, err := Get(ctx, g, read)
		u.read(address, session)
		return session, err
	}
	if u := g.lock.current(); u != nil && u.prefetched {
		return Get(ctx, g, read)
	}
	u := &use{}
	if err := g.lockFor(ctx, u); err != nil {
		return nil, err
	}
	session, err := Get(ctx, g, read)
	if err != nil {
		g.lock.release(u, true)
	}
	return session, err
}

// PutSession ends what GetSession started. Only the database can have made that take so long that it lost the device, and whatsmeow would
// acknowledge the retry receipt unanswered: so it is a Failure.
func (g *Guard) PutSession(ctx context.Context, address string, session []byte) error {
	if u := decryption(ctx); u != nil {
		session := Mend(u.sessions[address], session)
		return g.Do(ctx, func(ctx context.Context) error { return g.stores.PutSession(ctx, address, session) })
	}
	u := g.lock.current()
	if err := g.enter(ctx, u); err != nil {
		return g.check(ctx, Fail(err))
	}
	defer g.lock.release(u, true)
	return g.write(ctx, u, map[string][]byte{address: session})
}

// write stores sessions and the identities seen with them.
func (g *Guard) write(ctx context.Context, u *use, sessions map[string][]byte) error {
	return g.Do(ctx, func(ctx context.Context) error { return g.stores.PutSessions(ctx, u.identities, sessions) })
}

// PutIdentity waits, within a use, for the sessions' transaction: whatsmeow stores every recipient's identity again with every message,
// and a commit for each would be most of a send's work.
func (g *Guard) PutIdentity(ctx context.Context, address string, key [32]byte) error {
	if !inTransaction(ctx) {
		if u := g.lock.current(); u != nil {
			if known, ok := u.known[address]; ok && known == key {
				delete(u.identities, address)
				return nil
			}
			if u.identities == nil {
				u.identities = make(map[string][32]byte)
			}
			u.identities[address] = key
			return nil
		}
	}
	return g.Do(ctx, func(ctx context.Context) error { return g.stores.PutIdentity(ctx, address, key) })
}

// IsTrustedIdentity implements store.IdentityStore. With a no, whatsmeow ends an answer or a peer message without a write.
func (g *Guard) IsTrustedIdentity(ctx context.Context, address string, key [32]byte) (bool, error) {
	var u *use
	if !inTransaction(ctx) {
		u = g.lock.current()
	}
	if u != nil {
		if pending, ok := u.identities[address]; ok {
			return pending == key, nil
		}
		if known, asked := u.identity(address); asked {
			return known == nil || *known == key, nil
		}
	}
	trusted, err := Get(ctx, g, func(ctx context.Context) (bool, error) { return g.stores.IsTrustedIdentity(ctx, address, key) })
	if u != nil && !u.prefetched && (err != nil || !trusted) {
		g.lock.release(u, true)
	}
	return trusted, err
}

// HasSession implements store.SessionStore.
func (g *Guard) HasSession(ctx context.Context, address string) (bool, error) {
	return Get(ctx, g, func(ctx context.Context) (bool, error) { return g.stores.HasSession(ctx, address) })
}

// DeleteIdentity implements store.IdentityStore.
func (g *Guard) DeleteIdentity(ctx context.Context, address string) error {
	if !inTransaction(ctx) {
		if u := g.lock.current(); u != nil {
			delete(u.identities, address)
			u.unknow()
		}
	}
	return g.Exclusive(ctx, func(ctx context.Context) error { return g.stores.DeleteIdentity(ctx, address) })
}

// DeleteAllIdentities implements store.IdentityStore.
func (g *Guard) DeleteAllIdentities(ctx context.Context, phone string) error {
	if u := g.lock.current(); u != nil {
		u.unknow()
	}
	return g.Exclusive(ctx, func(ctx context.Context) error { return g.stores.DeleteAllIdentities(ctx, phone) })
}

// DeleteSession implements store.SessionStore.
func (g *Guard) DeleteSession(ctx context.Context, address string) error {
	return g.Exclusive(ctx, func(ctx context.Context) error { return g.stores.DeleteSession(ctx, address) })
}

// DeleteAllSessions implements store.SessionStore.
func (g *Guard) DeleteAllSessions(ctx context.Context, phone string) error {
	return g.Exclusive(ctx, func(ctx context.Context) error { return g.stores.DeleteAllSessions(ctx, phone) })
}

// MigratePNToLID moves the sessions of a phone number to its LID. whatsmeow only logs its error, and sqlstore believes itself done after
// the first attempt: going on would start a second session beside the first. So it does not end with the caller's context, and each of its
// errors breaks the Device.
func (g *Guard) MigratePNToLID(ctx context.Context, pn, lid types.JID) error {
	user := pn.SignalAddressUser()
	if _, done := g.migrated.Load(user); done {
		return nil
	}
	err := g.Exclusive(context.WithoutCancel(ctx), func(ctx context.Context) error { return g.stores.MigratePNToLID(ctx, pn, lid) })
	if err == nil {
		g.migrated.Store(user, nil)
	}
	return err
}

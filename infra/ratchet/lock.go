package ratchet

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// stealAfter is how long a use of a device may stand between reading its sessions and writing them back before another one takes the lock
// away. A send fetches missing prekeys in between, one round trip to WhatsApp; and some uses never write back (whatsmeow found no session
// or an untrusted identity), so that the next one waits this long. 5 s is far above the one and far below the 5 minutes after which
// whatsmeow hands a message's handling to the background and loses the order (client.go, handlerQueueLoop).
const stealAfter = 5 * time.Second

// Lock keeps the uses of one device's Signal sessions apart. Without it an encryption and a decryption that overlap write back the
// same ratchet, one of them is undone, and later messages are dropped by their receivers as "received message with old counter".
//
// whatsmeow offers no call that spans a use, so it is recognised by its goroutine: it starts with a read (or a decryption transaction)
// and ends with the write on the same goroutine, with nothing of another use in between.
type Lock struct {
	// Patience is how long a use that is not writing may keep another one waiting: 5 s, which a test may shorten before the first use.
	Patience time.Duration

	queue  *semaphore.Weighted // first come, first served; held by holder
	mu     sync.Mutex
	holder *use
	// generation counts how often the device was loaded; only the latest may write.
	generation uint64
}

// NewLock returns a lock that nobody holds. There is one for each JID, whatever Devices are loaded for it.
func NewLock() *Lock {
	return &Lock{queue: semaphore.NewWeighted(1), Patience: stealAfter}
}

// use is one critical section of a device.
type use struct {
	goroutine  uint64
	generation uint64
	prefetched bool // started by GetManySessions: it may fetch from the network before it writes
	alone      bool // of Alone: it is no send of whatsmeow's, and neither ends one nor is ended by one
	since      time.Time
	busy       bool                // a database transaction is running; it bounds itself and cannot be undone, so it cannot be robbed
	identities map[string][32]byte // written together with the sessions
	known      map[string][32]byte // as GetManySessions found them
	addresses  map[string][]byte   // what GetManySessions was asked for: who is not known is nobody's yet
	sessions   map[string][]byte   // as a decryption found them
	unwatch    func() bool         // stops watching the context
}

// identity is the identity that GetManySessions found, nil for none, and whether it was asked for it.
func (u *use) identity(address string) (key *[32]byte, asked bool) {
	if known, ok := u.known[address]; ok {
		return &known, true
	}
	_, asked = u.addresses[address]
	return nil, asked
}

// unknow forgets what GetManySessions found: some of it is being deleted.
func (u *use) unknow() { u.known, u.addresses = nil, nil }

func (u *use) read(address string, session []byte) {
	if u.sessions == nil {
		u.sessions = make(map[string][]byte, 1)
	}
	u.sessions[address] = session
}

// acquire waits for the device and makes u its holder. Failure policy: it waits until ctx ends; a holder that is not writing and has had
// the device for stealAfter, or whose context has ended, loses it, and its write then fails with ErrStolen before anything is sent.
func (l *Lock) acquire(ctx context.Context, u *use) error {
	u.goroutine = goroutineID()
	if l.succeed(u) {
		l.watch(ctx, u)
		return nil
	}
	for {
		turn, cancel := context.WithTimeout(ctx, l.Patience)
		err := l.queue.Acquire(turn, 1)
		cancel()
		if err == nil {
			l.mu.Lock()
			u.since = time.Now()
			l.holder = u
			l.mu.Unlock()
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if l.steal(u) {
			break
		}
	}
	l.watch(ctx, u)
	return nil
}

// succeed lets u take over at once from a use that cannot be going on: one of the same goroutine, or, as whatsmeow sends one message at a
// time (send.go, messageSendLock), another send of the same Device.
func (l *Lock) succeed(u *use) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.holder
	if h == nil || h.busy {
		return false
	}
	if h.goroutine == u.goroutine || h.prefetched && u.prefetched && !h.alone && !u.alone && h.generation == u.generation {
		l.replace(u)
		return true
	}
	return false
}

func (l *Lock) steal(u *use) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == nil || l.holder.busy || time.Since(l.holder.since) < l.Patience {
		return false
	}
	l.replace(u)
	return true
}

// replace hands the queue's token from the holder to u. The caller holds mu.
func (l *Lock) replace(u *use) {
	if l.holder.unwatch != nil {
		l.holder.unwatch()
	}
	u.since = time.Now()
	l.holder = u
}

// watch gives the device up when the context of a use that is not writing ends.
func (l *Lock) watch(ctx context.Context, u *use) {
	stop := context.AfterFunc(ctx, func() { l.release(u, false) })
	l.mu.Lock()
	u.unwatch = stop
	l.mu.Unlock()
}

// current returns this goroutine's use of the device, or nil if it has none or was robbed of it.
func (l *Lock) current() *use {
	id := goroutineID()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder != nil && l.holder.goroutine == id {
		return l.holder
	}
	return nil
}

// enter marks a use as writing, which protects it from theft. It fails when u was robbed already, or its Device was loaded again.
func (l *Lock) enter(u *use) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder != u || u.generation != l.generation {
		return false
	}
	u.busy = true
	return true
}

// leave ends what enter began, and keeps the device.
func (l *Lock) leave(u *use) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u.busy = false
	u.since = time.Now()
}

// release gives the device up, unless u has lost it already or, without force, is writing.
func (l *Lock) release(u *use, force bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder != u || (u.busy && !force) {
		return
	}
	if u.unwatch != nil {
		u.unwatch()
	}
	l.holder = nil
	l.queue.Release(1)
}

// supersede makes every earlier Device of this JID unable to write and returns the new one's generation. A write that is under way ends
// first, as far as the new Device can see: it waits for the lock as others do.
func (l *Lock) supersede() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation++
	if l.holder != nil && !l.holder.busy {
		if l.holder.unwatch != nil {
			l.holder.unwatch()
		}
		l.holder = nil
		l.queue.Release(1)
	}
	return l.generation
}

// Retire makes every Device that was loaded for this JID unable to write, waits for the use that is going on, and runs f alone.
func (l *Lock) Retire(ctx context.Context, f func() error) error {
	u := &use{generation: l.supersede()}
	if err := l.acquire(ctx, u); err != nil {
		return fmt.Errorf("wait for device: %w", err)
	}
	defer l.release(u, true)
	l.enter(u)
	return f()
}

func (l *Lock) isCurrent(generation uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation == generation
}

// goroutineID reads the goroutine's number, which is never reused, from the head of its stack trace ("goroutine 18 [running]:"), as
// golang.org/x/net/http2 does. It takes 2.5 µs on a shallow stack, measured; reading the runtime's own field takes 2 ns, but a new version of
// Go that moves the field would mix up goroutines unnoticed.
func goroutineID() uint64 {
	var buf [40]byte
	head := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	digits, _, _ := bytes.Cut(head, []byte(" "))
	id, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		panic("ratchet: the runtime's stack trace has another form: " + string(head))
	}
	return id
}

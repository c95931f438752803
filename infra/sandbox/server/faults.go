package server

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
)

// Faults are the disturbances that a test can switch on; the zero value is none. They are for the companions under test and spare the
// connections of MarkPhone, but for Ban and NoPreKeys. What happens only sometimes is decided by Seed: the same stanzas in the same order are
// disturbed in the same way.
type Faults struct {
	Seed uint64
	// AckDelay passes before a message's acknowledgement leaves, and up to AckJitter more; the message is routed at once. It stands for the
	// round trip to the real servers, without which throughput on loopback is fantasy.
	AckDelay, AckJitter time.Duration
	// QueryDelay and QueryJitter are the same for the answers to iqs.
	QueryDelay, QueryJitter time.Duration
	// DropAcks swallows the acknowledgements of messages, which are routed all the same.
	DropAcks bool
	// RefuseConnections answers new connections with HTTP 503, before any handshake; those that stand are left alone. Followed by
	// Disconnect, it leaves no companion connected. It is for all accounts or none: a connection has no account before its handshake.
	RefuseConnections bool
	// CutBefore cuts the connection instead of taking a message that the companion sends, CutAfter when it was routed, before its
	// acknowledgement.
	CutBefore, CutAfter Sometimes
	// AckError refuses messages with an error code in their acknowledgement, as 463, 479, 420 or 429; they are not routed.
	AckError AckError
	// Drop loses a stanza on its way to the companion: it comes again with the next connection. Duplicate sends it twice. Reorder sends it
	// after the one that follows it, or after a second when none does.
	Drop, Duplicate, Reorder Sometimes
	// Corrupt changes a byte of a message's ciphertext on its way to the companion.
	Corrupt Sometimes
	// PushAll sends everything that waits for the companion at once. It is not known how the real server pages what waited.
	PushAll bool
	// NoPreKeys gives key bundles of the account without a one-time prekey, as if all had been taken.
	NoPreKeys bool
	// Silence takes what the companion sends and does nothing with it, and sends nothing; the connection stands.
	Silence bool
	// ClockOffset is how much the times that the companion is told differ from the clock.
	ClockOffset time.Duration
	// Ban is a rule by which an account is banned.
	Ban BanRule
	// Media are the disturbances of the media host.
	Media MediaFaults
}

// Sometimes says how often a disturbance happens.
type Sometimes struct {
	// Rate is from 0, never, to 1, always.
	Rate float64
	// Count is how many times it happens at most; 0 is without bound.
	Count int
}

// AckError is an error in acknowledgements.
type AckError struct {
	Sometimes
	Code int
}

// faults are disturbances in force.
type faults struct {
	Faults
	left     atomic.Int64  // of Media.Count
	replaced chan struct{} // closed when others are in force

	mu    sync.Mutex
	dice  map[string]*rand.Rand // by account and kind of disturbance
	count map[string]int        // how often a kind has happened
}

var noFaults = newFaults(Faults{})

func newFaults(f Faults) *faults {
	made := &faults{Faults: f, replaced: make(chan struct{})}
	made.left.Store(int64(f.Media.Count))
	return made
}

// SetFaults replaces the disturbances that are in force for the accounts without their own.
func (s *Server) SetFaults(f Faults) {
	close(s.faults.Swap(newFaults(f)).replaced)
}

// SetAccountFaults gives an account disturbances of its own, which hold instead of those of all; nil takes them away. It returns
// ErrNoAccount for an unknown number.
func (s *Server) SetAccountFaults(phone string, f *Faults) error {
	a, err := s.accountOf(phone)
	if err != nil {
		return err
	}
	var next *faults
	if f != nil {
		next = newFaults(*f)
	}
	if old := a.faults.Swap(next); old != nil {
		close(old.replaced)
	}
	return nil
}

// Faults returns the disturbances that are in force for the accounts without their own; of Media.Count what is left of it.
func (s *Server) Faults() Faults { return s.faults.Load().view() }

// AccountFaults returns the disturbances that an account has of its own; false when it has none.
func (s *Server) AccountFaults(phone string) (Faults, bool) {
	s.mu.RLock()
	a := s.byPhone[phone]
	s.mu.RUnlock()
	if a == nil {
		return Faults{}, false
	}
	own := a.faults.Load()
	if own == nil {
		return Faults{}, false
	}
	return own.view(), true
}

func (f *faults) view() Faults {
	view := f.Faults
	if view.Media.Count > 0 {
		if view.Media.Count = int(f.left.Load()); view.Media.Count == 0 {
			view.Media = MediaFaults{PhoneHasNone: view.Media.PhoneHasNone}
		}
	}
	return view
}

// faultsOf are the disturbances in force for an account, or with nil for those who are not known yet.
func (s *Server) faultsOf(a *account) *faults {
	if a != nil {
		if own := a.faults.Load(); own != nil {
			return own
		}
	}
	return s.faults.Load()
}

// die returns the source of chance for a kind of disturbance of an account; the caller holds the lock.
func (f *faults) die(phone, kind string) *rand.Rand {
	name := phone + " " + kind
	die := f.dice[name]
	if die == nil {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(name))
		die = rand.New(rand.NewPCG(f.Seed, hash.Sum64()))
		if f.dice == nil {
			f.dice = map[string]*rand.Rand{}
		}
		f.dice[name] = die
	}
	return die
}

// happens decides whether something that happens sometimes does now, to this connection.
func (c *conn) happens(kind string, often Sometimes) bool {
	if often.Rate <= 0 || c.phone || c.device == nil {
		return false
	}
	f := c.faults()
	f.mu.Lock()
	defer f.mu.Unlock()
	if often.Count > 0 && f.count[kind] >= often.Count || f.die(c.device.account.keys.Phone, kind).Float64() >= often.Rate {
		return false
	}
	if f.count == nil {
		f.count = map[string]int{}
	}
	f.count[kind]++
	return true
}

// later calls do after a delay and up to jitter more: at once when there is neither. It is not called when the connection ends before.
func (c *conn) later(delay, jitter time.Duration, kind string, do func()) {
	if delay <= 0 && jitter <= 0 {
		do()
		return
	}
	if jitter > 0 && c.device != nil {
		f := c.faults()
		f.mu.Lock()
		delay += time.Duration(f.die(c.device.account.keys.Phone, kind).Int64N(int64(jitter)))
		f.mu.Unlock()
	}
	c.spawn(func() {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			do()
		case <-c.ctx.Done():
		}
	})
}

// deliver sends a row of the queue, disturbed as the faults want; the caller holds the queue's lock. offline is its number among those that
// waited at login, or -1.
func (c *conn) deliver(r *row, offline int) {
	f, stanza := c.faults(), c.wire(r)
	if f == noFaults && offline < 0 && !c.s.transcribes() {
		c.s.stanzas.add("out "+r.class(), 1)
		c.send(stanza)
		return
	}
	node, err := decode(stanza)
	if err != nil {
		return // it was marshalled by this process or the one before
	}
	if offline >= 0 {
		node.Attrs["offline"] = offline
	}
	if node.Tag == "message" && c.happens("corrupt", f.Corrupt) {
		*node = corrupted(*node)
	}
	held := c.held
	c.held = nil
	switch {
	case c.happens("drop", f.Drop):
	case held == nil && c.happens("reorder", f.Reorder):
		c.held = node
		c.later(time.Second, 0, "", func() {
			c.device.queue.mu.Lock()
			late := c.held == node
			if late {
				c.held = nil
			}
			c.device.queue.mu.Unlock()
			if late {
				c.sendNode(*node)
			}
		})
	default:
		c.sendNode(*node)
		if c.happens("duplicate", f.Duplicate) {
			c.sendNode(*node)
		}
	}
	if held != nil {
		c.sendNode(*held)
	}
}

// corrupted is a message with a byte of its first ciphertext changed.
func corrupted(message waBinary.Node) waBinary.Node {
	children := append([]waBinary.Node(nil), message.GetChildren()...)
	for i := range children {
		if text := append([]byte(nil), content(children[i])...); children[i].Tag == "enc" && len(text) > 0 {
			text[len(text)/2] ^= 1
			children[i].Content = text
			break
		}
	}
	message.Content = children
	return message
}

// shiftClock is a stanza with another time in it.
func shiftClock(node waBinary.Node, offset time.Duration) waBinary.Node {
	t, ok := unixOf(node.Attrs["t"])
	if !ok {
		return node
	}
	attrs := waBinary.Attrs{}
	for name, value := range node.Attrs {
		attrs[name] = value
	}
	attrs["t"] = t + int64(offset/time.Second)
	node.Attrs = attrs
	return node
}

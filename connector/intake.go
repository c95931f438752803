package connector

import (
	"sync"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	waLog "go.mau.fi/whatsmeow/util/log"
)

const (
	// intakeMost is how many stanzas of a connection may wait to be handled. whatsmeow's queue holds 2,048; those that come when it is full
	// enter it later, in any order (client.go, handleFrame). The rest is left for stanzas that are not counted: answers, which do not enter
	// the queue, and the few that the server sends about the connection itself.
	intakeMost = 1536
	// intakeDrain bounds the wait until what was taken has been handled; at 25 stanzas a second, a tenth of the usual rate, a minute is enough.
	intakeDrain = time.Minute
)

// intake keeps what comes over one connection in its order, however much the server sends at once. It takes as much as fits into whatsmeow's
// queue and withholds everything that follows: whatsmeow never sees it, so nobody acknowledges it and WhatsApp keeps it. When what was taken
// has been handled the connection has to end, and the next one is given the rest. What was handled is acknowledged, so every connection gets
// further. Holding the reader up instead would hold up the answers as well that handlers wait for.
//
// It stands in the place of the logs of whatsmeow that are given every stanza: "Recv" on the goroutine that reads, before the stanza enters
// the queue, "Send" before it leaves. The others go to Logger.
type intake struct {
	waLog.Logger
	peers   peerReceipts
	full    chan struct{} // closed when the first stanza was withheld
	drained chan struct{} // closed when, after that, everything that was taken has been acknowledged

	mu      sync.Mutex
	waiting map[stanza]int // taken and not acknowledged; a sender may repeat an id
	count   int            // of these
	beside  int            // taken since something waits, and never acknowledged
	last    stanza         // the newest in waiting
	stopped bool           // full is closed
	ended   bool           // drained is closed
}

// stanza is what an acknowledgement names.
type stanza struct{ class, id string }

func newIntake(log waLog.Logger) *intake {
	return &intake{Logger: log, full: make(chan struct{}), drained: make(chan struct{}), waiting: make(map[stanza]int)}
}

// Sub implements waLog.Logger.
func (in *intake) Sub(module string) waLog.Logger {
	switch module {
	case "Recv":
		return tap{waLog.Noop, in.received}
	case "Send":
		return tap{waLog.Noop, in.sent}
	}
	return in.Logger.Sub(module)
}

// tap is a log that gives each stanza to a function and writes nothing.
type tap struct {
	waLog.Logger
	take func(*waBinary.Node)
}

// Debugf implements waLog.Logger; whatsmeow calls it with nothing but the stanza.
func (t tap) Debugf(_ string, args ...any) {
	if len(args) == 1 {
		if node, ok := args[0].(*waBinary.Node); ok && node != nil {
			t.take(node)
		}
	}
}

// received counts a stanza that is about to enter the queue, or withholds it by a tag that whatsmeow has no handler for.
func (in *intake) received(node *waBinary.Node) {
	in.peers.came(node)
	acknowledged := false
	switch node.Tag {
	case "message", "appdata", "status", "receipt", "notification", "call":
		acknowledged = true
	case "presence", "chatstate":
	default:
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.stopped || in.count+in.beside >= intakeMost:
		node.Tag = "withheld"
		if !in.stopped {
			in.stopped = true
			close(in.full)
		}
		in.rest()
	case acknowledged:
		id, _ := node.Attrs["id"].(string)
		in.last = stanza{node.Tag, id}
		in.waiting[in.last]++
		in.count++
	case in.count > 0: // else the queue is empty but for what is handled in no time
		in.beside++
	}
}

// sent takes an acknowledgement. A message's is its receipt, but for one that asks for it again: an ack follows.
func (in *intake) sent(node *waBinary.Node) {
	in.peers.hold(node)
	id, _ := node.Attrs["id"].(string)
	of := stanza{"message", id}
	switch node.Tag {
	case "ack":
		of.class, _ = node.Attrs["class"].(string)
	case "receipt":
		if node.Attrs["type"] == string(types.ReceiptTypeRetry) {
			return
		}
	default:
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.waiting[of] == 0 {
		return
	}
	if in.waiting[of]--; in.waiting[of] == 0 {
		delete(in.waiting, of)
	}
	if in.count--; in.count == 0 {
		in.beside = 0
	}
	in.rest()
}

// rest tells when what was taken before the first stanza withheld is done: the newest was acknowledged, since they are handled in order. in.mu
// is held.
func (in *intake) rest() {
	if in.stopped && !in.ended && in.waiting[in.last] == 0 {
		in.ended = true
		close(in.drained)
	}
}

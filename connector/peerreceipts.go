package connector

import (
	"sync"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// peerBegins is how long a receipt waits for its message to reach the handler, from which nothing but memory separates it. One that never does
// was handled by an earlier connection.
const peerBegins = 2 * time.Second

// peerReceipts hold back the receipts of messages between the account's own devices, the offers of history among them, until they have been
// handled. whatsmeow sends them from goroutines of their own before it gives the message to the handler (message.go, handleProtocolMessage),
// and with a receipt WhatsApp takes a message for delivered: a process that died in between would have lost it. They are held where the
// intake looks at what leaves.
type peerReceipts struct {
	line *line

	mu      sync.Mutex
	waiting map[string]*peerMessage // by WhatsApp's id; at most intakeMost
}

// peerMessage is a message that has come and is not handled.
type peerMessage struct{ begun, done chan struct{} }

// came notes a message before it enters whatsmeow's queue.
func (p *peerReceipts) came(node *waBinary.Node) {
	id, _ := node.Attrs["id"].(string)
	if node.Tag != "message" || node.Attrs["category"] != "peer" || id == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[string]*peerMessage{}
	}
	if len(p.waiting) < intakeMost && p.waiting[id] == nil {
		p.waiting[id] = &peerMessage{make(chan struct{}), make(chan struct{})}
	}
}

// begins says that a message has reached its handler, and returns what says that it was handled.
func (p *peerReceipts) begins(id string) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.waiting[id]
	if m == nil {
		return func() {}
	}
	signalOnce(m.begun)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		signalOnce(m.done)
		delete(p.waiting, id)
	}
}

// signalOnce closes a channel that is not closed yet; the lock of its owner is held.
func signalOnce(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// hold waits with a receipt, on its own goroutine, until its message was handled, or nothing can leave any more.
func (p *peerReceipts) hold(node *waBinary.Node) {
	kind, _ := node.Attrs["type"].(string)
	if node.Tag != "receipt" || kind != string(types.ReceiptTypePeerMsg) && kind != string(types.ReceiptTypeHistorySync) {
		return
	}
	id, _ := node.Attrs["id"].(string)
	p.mu.Lock()
	m := p.waiting[id]
	p.mu.Unlock()
	if m == nil {
		return
	}
	timer := time.NewTimer(peerBegins)
	defer timer.Stop()
	select {
	case <-m.begun:
	case <-timer.C:
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting[id] == m {
			delete(p.waiting, id)
		}
		return
	case <-p.line.ctx.Done():
	}
	select {
	case <-m.done:
	case <-p.line.ctx.Done():
		p.line.cut() // returns when whoever cuts it has
	}
}

// Package testwire puts a TCP forwarder between a program under test and a server, whose network the test can break and mend.
package testwire

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// Wire forwards TCP connections to one server. Make one with Forward.
type Wire struct {
	target   string
	listener *net.TCPListener
	work     sync.WaitGroup

	mu     sync.Mutex
	change *sync.Cond // with mu: state or closed changed
	state  state
	closed bool
	pairs  map[*pair]struct{}
}

type state int

const (
	open     state = iota
	severed        // connections are reset, new ones too
	vanished       // packets are lost both ways, connections stay
	mute           // what the server says is held back
)

// pair is one connection and its continuation to the server.
type pair struct{ near, far *net.TCPConn }

// Forward starts a wire to the server at target (host:port), which ends with the test.
func Forward(t testing.TB, target string) *Wire {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{target: target, listener: listener, pairs: make(map[*pair]struct{})}
	w.change = sync.NewCond(&w.mu)
	w.work.Go(w.accept)
	t.Cleanup(func() {
		w.mu.Lock()
		w.closed = true
		_ = listener.Close()
		for p := range w.pairs {
			p.reset()
		}
		w.change.Broadcast()
		w.mu.Unlock()
		w.work.Wait()
	})
	return w
}

// Addr is where clients connect to instead of the server.
func (w *Wire) Addr() string { return w.listener.Addr().String() }

// Cut resets every connection, and each new one as soon as it is made, as a firewall that refuses does.
func (w *Wire) Cut() {
	w.set(severed)
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.pairs {
		p.reset()
	}
}

// Blackhole loses every packet of the client's from now on, those that ask for a connection too, and forwards nothing. Where the system is
// not Linux the packets are still acknowledged, so that only those notice who wait for an answer.
func (w *Wire) Blackhole() { w.set(vanished) }

// Mute holds back what the server says, and forwards what the client says.
func (w *Wire) Mute() { w.set(mute) }

// Mend ends what was broken. Connections that outlived it go on where they stood.
func (w *Wire) Mend() { w.set(open) }

func (w *Wire) set(s state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
	swallow(w.listener, s == vanished)
	for p := range w.pairs {
		swallow(p.near, s == vanished)
	}
	w.change.Broadcast()
}

func (w *Wire) accept() {
	for {
		near, err := w.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		w.work.Go(func() { w.serve(near) })
	}
}

func (w *Wire) serve(near *net.TCPConn) {
	p := &pair{near: near}
	far, err := net.Dial("tcp", w.target)
	if err != nil {
		p.reset()
		return
	}
	p.far = far.(*net.TCPConn)
	w.mu.Lock()
	if w.closed || w.state == severed {
		w.mu.Unlock()
		p.reset()
		return
	}
	swallow(near, w.state == vanished)
	w.pairs[p] = struct{}{}
	w.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { w.pump(p.far, p.near, func(s state) bool { return s == open || s == mute }) })
	pumps.Go(func() { w.pump(p.near, p.far, func(s state) bool { return s == open }) })
	pumps.Wait()
	w.mu.Lock()
	delete(w.pairs, p)
	w.mu.Unlock()
	_, _ = p.near.Close(), p.far.Close()
}

// pump copies for as long as the wire lets through what goes this way, and waits while it does not.
func (w *Wire) pump(to, from *net.TCPConn, passes func(state) bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !w.await(passes) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite()
			return
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// await waits until the wire lets through; false when it is closed.
func (w *Wire) await(passes func(state) bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed && w.state != severed && !passes(w.state) {
		w.change.Wait()
	}
	return !w.closed && w.state != severed
}

// reset closes both sides with RST.
func (p *pair) reset() {
	for _, c := range []*net.TCPConn{p.near, p.far} {
		if c != nil {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
}

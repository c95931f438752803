//go:build linux && !release

package chaos

import (
	"context"
	"io"
	"net"
	"sync"
)

// A forwarder is the network between one process and a server: it can be cut, and it can swallow everything.
type forwarder struct {
	listener        net.Listener
	network, target string

	mu     sync.Mutex
	closed bool
	cut    bool
	open   chan struct{} // closed while bytes pass
	conns  map[net.Conn]struct{}
}

// newForwarder listens on a free port of this machine and leads to a server.
func newForwarder(network, target string) (*forwarder, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &forwarder{listener: listener, network: network, target: target, open: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	close(f.open)
	go f.accept()
	return f, nil
}

func (f *forwarder) port() int { return f.listener.Addr().(*net.TCPAddr).Port }

func (f *forwarder) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		go f.serve(conn)
	}
}

// serve joins a connection to one of its own to the server.
func (f *forwarder) serve(near net.Conn) {
	defer func() { _ = near.Close() }()
	if !f.add(near) {
		return
	}
	defer f.remove(near)
	<-f.passing()
	var d net.Dialer
	far, err := d.DialContext(context.Background(), f.network, f.target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	if !f.add(far) {
		return
	}
	defer f.remove(far)
	go func() {
		f.copy(far, near)
		_ = far.Close()
		_ = near.Close()
	}()
	f.copy(near, far)
}

// copy passes bytes on; what was read while the network is silent comes when it is not any more, as packets that are sent again do.
func (f *forwarder) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		<-f.passing()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (f *forwarder) passing() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// add notes a connection; false when there is to be none.
func (f *forwarder) add(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut || f.closed {
		return false
	}
	f.conns[conn] = struct{}{}
	return true
}

func (f *forwarder) remove(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, conn)
}

// sever ends all connections, and those to come.
func (f *forwarder) sever() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = true
	for conn := range f.conns {
		_ = conn.Close()
	}
}

// silence swallows everything from now on, and leaves the connections open.
func (f *forwarder) silence() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = make(chan struct{})
}

// heal ends what sever and silence began.
func (f *forwarder) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = false
	select {
	case <-f.open:
	default:
		close(f.open)
	}
}

func (f *forwarder) close() {
	_ = f.listener.Close()
	f.heal()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for conn := range f.conns {
		_ = conn.Close()
	}
}

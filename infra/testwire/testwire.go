// Package testwire puts a TCP forwarder between a program under test and a server, whose network the test can break and mend.
package testwire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Wire forwards TCP connections to one server. Make one with Forward.
type Wire struct {
	network  string
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
type pair struct {
	near     *net.TCPConn
	far      net.Conn // *net.TCPConn or *net.UnixConn
	stranded bool     // for good
}

// Database puts a wire before the PostgreSQL server of a connection string, and returns the string that leads through it, by TCP.
func Database(t testing.TB, dsn string) (*Wire, string) {
	t.Helper()
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	w := Forward(t, network, address)
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: w.Addr(), Path: cfg.Database, RawQuery: "sslmode=disable"}
	return w, u.String()
}

// Server puts a wire before the server of a URL with a port, and returns the URL that leads through it.
func Server(t testing.TB, address string) (*Wire, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	w := Forward(t, "tcp", u.Host)
	u.Host = w.Addr()
	return w, u.String()
}

// Forward starts a wire to a server, which ends with the test. Its clients come by TCP.
func Forward(t testing.TB, network, target string) *Wire {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(false) // whose sockets have no filters
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{network: network, target: target, listener: listener.(*net.TCPListener), pairs: make(map[*pair]struct{})}
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

// Strand loses what comes on the present connections for good, and lets new ones be, as when a server's address moves to another machine.
func (w *Wire) Strand() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.pairs {
		p.stranded = true
		swallow(p.near, true)
	}
}

// Mend ends what was broken. Connections that outlived it go on where they stood.
func (w *Wire) Mend() { w.set(open) }

func (w *Wire) set(s state) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
	swallow(w.listener, s == vanished)
	for p := range w.pairs {
		swallow(p.near, s == vanished || p.stranded)
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
	var err error
	var d net.Dialer
	if p.far, err = d.DialContext(context.Background(), w.network, w.target); err != nil {
		p.reset()
		return
	}
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
	pumps.Go(func() {
		w.pump(p.far, p.near, func() bool { return !p.stranded && (w.state == open || w.state == mute) })
	})
	pumps.Go(func() { w.pump(p.near, p.far, func() bool { return !p.stranded && w.state == open }) })
	pumps.Wait()
	w.mu.Lock()
	delete(w.pairs, p)
	w.mu.Unlock()
	_, _ = p.near.Close(), p.far.Close()
}

// pump copies for as long as the wire lets through what goes this way, and waits while it does not.
func (w *Wire) pump(to, from net.Conn, passes func() bool) {
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
			_ = to.(interface{ CloseWrite() error }).CloseWrite()
			return
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// await waits until the wire lets through; false when it is closed.
func (w *Wire) await(passes func() bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed && w.state != severed && !passes() {
		w.change.Wait()
	}
	return !w.closed && w.state != severed
}

// reset closes both sides with RST.
func (p *pair) reset() {
	for _, c := range []net.Conn{p.near, p.far} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		if c != nil {
			_ = c.Close()
		}
	}
}

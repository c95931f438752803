// Package testwire puts a TCP forwarder between a program and a server, whose network a test, or the chaos harness, can break and mend.
package testwire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// Wire forwards TCP connections to one server. Make one with Open, or in tests with Forward.
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

// Open starts a wire to a server, which Close ends. Its clients come by TCP.
func Open(network, target string) (*Wire, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // whose sockets have no filters
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open wire: %w", err)
	}
	w := &Wire{network: network, target: target, listener: listener.(*net.TCPListener), pairs: make(map[*pair]struct{})}
	w.change = sync.NewCond(&w.mu)
	w.work.Go(w.accept)
	return w, nil
}

// OpenDatabase starts a wire to the PostgreSQL server of a connection string, and returns the string that leads through it, by TCP.
func OpenDatabase(dsn string) (*Wire, string, error) {
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, "", fmt.Errorf("parse connection string: %w", err)
	}
	w, err := Open(pgconn.NetworkAddress(cfg.Host, cfg.Port))
	if err != nil {
		return nil, "", err
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: w.Addr(), Path: cfg.Database, RawQuery: "sslmode=disable"}
	return w, u.String(), nil
}

// OpenServer starts a wire to the server of a URL with a port, and returns the URL that leads through it.
func OpenServer(address string) (*Wire, string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", fmt.Errorf("parse address: %w", err)
	}
	w, err := Open("tcp", u.Host)
	if err != nil {
		return nil, "", err
	}
	u.Host = w.Addr()
	return w, u.String(), nil
}

// Close ends the wire and its connections.
func (w *Wire) Close() {
	w.mu.Lock()
	w.closed = true
	_ = w.listener.Close()
	for p := range w.pairs {
		p.reset()
	}
	w.change.Broadcast()
	w.mu.Unlock()
	w.work.Wait()
}

// T is what a test gives: a *testing.T, a *testing.B.
type T interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// Forward is Open for a test, with which the wire ends.
func Forward(t T, network, target string) *Wire {
	t.Helper()
	w, err := Open(network, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// Database is OpenDatabase for a test.
func Database(t T, dsn string) (*Wire, string) {
	t.Helper()
	w, through, err := OpenDatabase(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, through
}

// Server is OpenServer for a test.
func Server(t T, address string) (*Wire, string) {
	t.Helper()
	w, through, err := OpenServer(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, through
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

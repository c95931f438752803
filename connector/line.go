package connector

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/tcp"
)

// line is the TCP connection of one client, and the only safe way to end it. Client.Disconnect is not: NoiseSocket.Stop sets OnDisconnect to
// nil while FrameSocket.Close, which runs when the server closes at the same moment, checks it and calls it, and a call of nil ends the
// process (whatsmeow's package socket). Ending the context given to ConnectContext alone is not enough: a frame whose write has begun, or one
// that finds the websocket free (coder/websocket, mu.lock chooses at random), still leaves afterwards, and a reader that is just
// handing a frame to whatsmeow's consumer, which ends with that context, waits for ever with the connection open.
//
// Once the line is cut nothing leaves and nothing comes, and whatsmeow's own goroutines end as they do when the network breaks.
//
// A line belongs to a claim. Where a process wakes from a stop that was longer than its claim, the first thing that would leave, be it a
// message, an acknowledgement or a ping, and the first thing that came meanwhile cut the line instead. What stays possible is one write whose
// check was just made when the process stopped: a message whose id its next owner repeats.
type line struct {
	holds  func() bool     // whether the claim is still ours
	ctx    context.Context // ends with the cut; dialling ends with it
	cancel context.CancelFunc

	mu    sync.Mutex
	conns map[*lineConn]struct{}
	idle  chan struct{} // closed once the line is cut and whatsmeow has let go of every connection
}

// lineConn is a connection that tells its line when its user closes it.
type lineConn struct {
	net.Conn
	line *line
}

func newLine(holds func() bool) *line {
	l := &line{holds: holds, conns: make(map[*lineConn]struct{}), idle: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// The other side of a line may vanish without a word. Idle for keepIdle, it is asked every keepInterval whether it is there, and given up after
// keepCount questions; on Linux also when what was sent is not taken for vanishTimeout. Without these, two pings of whatsmeow's that are not
// answered end a connection, which takes 60 to 80 s, or what is sent is repeated for a quarter of an hour.
const (
	keepIdle      = 10 * time.Second
	keepInterval  = 5 * time.Second
	keepCount     = 3
	vanishTimeout = 20 * time.Second
)

// newDialer returns a dialer of connections that notice when the other side has vanished. A guard, if there is one, sees the address of each socket.
func newDialer(guard *netguard.Guard) *net.Dialer {
	control := tcp.UserTimeout(vanishTimeout)
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepInterval, Count: keepCount}, ControlContext: control,
	}
	if guard != nil {
		dialer.ControlContext = func(ctx context.Context, network, address string, raw syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("parse address of socket: %w", err)
			}
			if err := guard.Check(to.Addr()); err != nil {
				return err
			}
			return control(ctx, network, address, raw)
		}
	}
	return dialer
}

// dial is for http.Transport.DialContext.
func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return l.dialBy(ctx, newDialer(nil), network, address)
}

func (l *line) dialBy(ctx context.Context, dialer *net.Dialer, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		_ = conn.Close() // made while the line was cut
		return nil, net.ErrClosed
	}
	w := &lineConn{conn, l}
	l.conns[w] = struct{}{}
	return w, nil
}

// cut ends the line for good. When it returns nothing more is written. It does not wait; see idle. A second call does nothing.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return
	}
	l.cancel()
	late := !l.holds()
	for w := range l.conns {
		if tcp, ok := w.Conn.(*net.TCPConn); ok && late {
			_ = tcp.SetLinger(0) // the kernel sends nothing more either of what it has not sent yet
		}
		_ = w.Conn.Close() // it has nothing left to lose
	}
	l.rest()
}

// rest closes idle when the line has come to rest. l.mu is held.
func (l *line) rest() {
	if l.ctx.Err() != nil && len(l.conns) == 0 {
		close(l.idle)
	}
}

// Write refuses, and cuts the line, when the claim has ended.
func (w *lineConn) Write(p []byte) (int, error) {
	if !w.line.holds() {
		w.line.cut()
		return 0, errClaimLost
	}
	return w.Conn.Write(p)
}

// Read gives nothing that came when the claim had ended, and cuts the line.
func (w *lineConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if !w.line.holds() {
		w.line.cut()
		return 0, errClaimLost
	}
	return n, err
}

// Close is what whatsmeow's socket calls when it has read its last frame.
func (w *lineConn) Close() error {
	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	if _, ok := w.line.conns[w]; ok {
		delete(w.line.conns, w)
		w.line.rest()
	}
	return w.Conn.Close()
}

package connector

import (
	"context"
	"net"
	"sync"
)

// line is the TCP connection of one client, and the only safe way to end it. Client.Disconnect is not: NoiseSocket.Stop sets OnDisconnect to
// nil while FrameSocket.Close, which runs when the server closes at the same moment, checks it and calls it, and a call of nil ends the
// process (whatsmeow's package socket). Ending the context given to ConnectContext alone is not enough: a frame whose write has begun, or one
// that finds the websocket free (coder/websocket, mu.lock chooses at random), still leaves afterwards, and a reader that is just
// handing a frame to whatsmeow's consumer, which ends with that context, waits for ever with the connection open.
//
// Once the line is cut nothing leaves and nothing comes, and whatsmeow's own goroutines end as they do when the network breaks.
type line struct {
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

func newLine() *line {
	l := &line{conns: make(map[*lineConn]struct{}), idle: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// dial is for http.Transport.DialContext.
func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
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
	for w := range l.conns {
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

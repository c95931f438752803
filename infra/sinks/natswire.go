package sinks

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
)

// natsMost bounds a line and a message that a server sends, in bytes. The longest are its first line, which names the servers of its cluster
// in about 25 bytes each, and acknowledgements of about 100.
const natsMost = 32 << 10

// A natsDialer opens the one connection of a publisher, with TLS, which in this protocol begins after the server's first line. nats.go reads
// that line without a bound, and takes the word of a server that announces a message of 2^63 bytes, which ends the process; so both are seen
// to here.
type natsDialer struct {
	ctx    context.Context // of the opening
	dial   Dial
	host   string // whom a certificate must name
	secure bool   // never without TLS
	err    error  // of Dial

	mu   sync.Mutex
	conn net.Conn // the socket
	over bool
}

// SkipTLSHandshake tells nats.go that TLS is no business of its own.
func (d *natsDialer) SkipTLSHandshake() bool { return true }

// Dial is called by nats.go, once.
func (d *natsDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.open(network, address)
	if err != nil {
		d.err = err
		return nil, err
	}
	return conn, nil
}

func (d *natsDialer) open(network, address string) (net.Conn, error) {
	conn, err := d.dial(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.conn = conn
	over := d.over
	d.mu.Unlock()
	if over {
		d.abandon()
		return nil, context.Canceled
	}
	wire, err := d.greet(conn)
	if err != nil {
		d.abandon()
		return nil, err
	}
	return wire, nil
}

// greet reads the server's first line and makes the connection secure if that is to be.
func (d *natsDialer) greet(conn net.Conn) (net.Conn, error) {
	wire := &natsWire{Conn: conn, r: bufio.NewReaderSize(conn, natsMost)}
	line, err := wire.line()
	if err != nil {
		return nil, fmt.Errorf("read the server's greeting: %w", err)
	}
	wire.ready = bytes.Clone(line)
	var info struct {
		Required  bool `json:"tls_required"`
		Available bool `json:"tls_available"`
	}
	body, ok := bytes.CutPrefix(line, []byte("INFO "))
	if !ok || json.Unmarshal(body, &info) != nil {
		return nil, errors.New("the server does not speak NATS")
	}
	switch {
	case !d.secure && !info.Required:
		return wire, nil
	case !info.Required && !info.Available:
		return nil, fmt.Errorf("%w: the server has no TLS", ErrTLS)
	case wire.r.Buffered() > 0:
		return nil, fmt.Errorf("%w: the server goes on in plain text", ErrTLS)
	}
	secured := tls.Client(conn, &tls.Config{ServerName: d.host, MinVersion: tls.VersionTLS12})
	if err := secured.HandshakeContext(d.ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTLS, err)
	}
	wire.Conn = secured
	wire.r.Reset(secured)
	return wire, nil
}

// abandon ends the socket at once; what it has not sent yet is lost.
func (d *natsDialer) abandon() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.conn == nil {
		return
	}
	if tcp, ok := d.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = d.conn.Close()
}

// A natsWire lets through what a server sends line by line, and the payloads of messages between them, each up to natsMost.
type natsWire struct {
	net.Conn
	r     *bufio.Reader
	ready []byte // of a line
	left  int    // of the payload after it
}

// Read is io.Reader's.
func (w *natsWire) Read(p []byte) (int, error) {
	for len(w.ready) == 0 && w.left == 0 {
		line, err := w.line()
		if err != nil {
			return 0, err
		}
		if w.left, err = payload(line); err != nil {
			return 0, err
		}
		w.ready = line
	}
	if len(w.ready) > 0 {
		n := copy(p, w.ready)
		w.ready = w.ready[n:]
		return n, nil
	}
	n, err := w.r.Read(p[:min(len(p), w.left)])
	w.left -= n
	return n, err
}

// line reads a line, which lasts until the next is read.
func (w *natsWire) line() ([]byte, error) {
	line, err := w.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("the server sends a line of more than %d bytes", natsMost)
	}
	return line, err
}

// payload returns how many bytes follow a line: MSG and HMSG have the number at their end.
func payload(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) == 0 || !bytes.ContainsAny(fields[0][:1], "MmHh") {
		return 0, nil
	}
	n, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil || n < 0 || n > natsMost {
		return 0, fmt.Errorf("the server sends a message of no size, or of more than %d bytes", natsMost)
	}
	return n, nil
}

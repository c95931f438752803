package server

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/socket"
	"go.mau.fi/whatsmeow/types"
)

const (
	// handshakeTimeout is whatsmeow's own patience with the other side (NoiseHandshakeResponseTimeout in handshake.go).
	handshakeTimeout = 20 * time.Second
	// idleTimeout cuts a client that says nothing. whatsmeow pings every 20 to 30 s (keepalive.go), so this is several pings.
	idleTimeout = 3 * time.Minute
	// writeTimeout is how long one write may hang on a client that does not read.
	writeTimeout = 30 * time.Second
	// outLimit bounds what waits for a client that does not read, in bytes; beyond it the connection is cut.
	outLimit = 64 << 20
	// writeSize is how many bytes of frames are put into one WebSocket message, to save system calls; a frame is never split.
	writeSize = 64 << 10
	// farewell is how long a connection stays after its last stanza, so that the client can read it and close by itself.
	farewell = 500 * time.Millisecond
	// restartPatience is the same for a client that closes at once and by itself: one that was paired, or logged itself out.
	restartPatience = 5 * time.Second
	// stanzaTimeout bounds the database's work for one stanza.
	stanzaTimeout = 30 * time.Second
)

// conn is one client's connection. Its one goroutine is the HTTP handler's, which reads; writers and pumps start when there is something
// to do and end when it is done.
type conn struct {
	s     *Server
	ws    *websocket.Conn
	in    stream
	phone bool            // a simulated phone's, which faults spare
	ctx   context.Context // ends with the connection
	end   context.CancelFunc

	// Used by the reading goroutine alone.
	readKey   cipher.AEAD
	readCount uint32
	then      func() // what a query's handler wants done after its answer was sent

	old     bool           // the client is older than LIDs; set with device
	device  *device        // logged in; nil while pairing. Set before any stanza is handled.
	held    *waBinary.Node // a stanza that a fault reorders; guarded by device.queue
	pairing *pairing       // waits for a phone to link it; nil when logged in

	availability // presence.go

	mu         sync.Mutex
	out        [][]byte // plaintext frames that wait to be written
	outBytes   int
	writing    bool // a goroutine is writing
	parting    bool // the last stanza was sent: nothing follows, nothing is handled
	ended      bool // no goroutine may be started
	writeKey   cipher.AEAD
	writeCount uint32
	work       sync.WaitGroup
}

// ServeHTTP is the WebSocket endpoint and the media host, to be mounted at each of Paths.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.ServeHTTP(w, r) }

// serveSocket serves a WebSocket until its connection has ended.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	c := &conn{s: s, phone: r.Header.Get(phoneHeader) == s.phones}
	if c.faults().RefuseConnections {
		http.Error(w, "connections are refused", http.StatusServiceUnavailable)
		return
	}
	c.ctx, c.end = context.WithCancel(s.ctx)
	defer c.end()
	if !s.enter(w) {
		return
	}
	defer s.work.Done()
	// The clients' Origin is WhatsApp's, never ours; there is no cookie that a foreign page could abuse.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		s.log.DebugContext(r.Context(), "websocket refused", "error", err)
		return
	}
	ws.SetReadLimit(socket.FrameMaxSize + 1024)
	c.ws, c.in = ws, stream{ws: ws, ctx: c.ctx}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer c.close()
	if c.faults().RefuseConnections {
		return // refused since it was accepted: a Disconnect that followed may have come too early to see it
	}
	if err := c.run(); err != nil {
		s.log.DebugContext(r.Context(), "connection ended", "error", err)
	}
}

// faults are the disturbances in force for this connection.
func (c *conn) faults() *faults {
	switch {
	case c.phone:
		return noFaults
	case c.device != nil:
		return c.s.faultsOf(c.device.account)
	}
	return c.s.faultsOf(nil)
}

// run takes the client from its first byte to its last.
func (c *conn) run() error {
	c.in.patience = handshakeTimeout
	prologue, err := c.readPrologue()
	if err != nil {
		return err
	}
	client, payload, err := c.s.noise.accept(c, prologue)
	if err != nil {
		return err
	}
	if f, fails := c.s.takeLoginFailure(c, payload); fails {
		return c.fail(f)
	}
	if payload.GetUsername() == 0 {
		return c.pair(client, payload.GetDevicePairingData())
	}
	return c.login(client, payload)
}

// readPrologue reads the header that precedes a client's first frame: WA, 6, dictionary version; clients that remember routing
// information put ED, 0, 1, its length in three bytes and itself before.
func (c *conn) readPrologue() ([]byte, error) {
	header := make([]byte, 4)
	if _, err := io.ReadFull(&c.in, header); err != nil {
		return nil, err
	}
	if string(header) == "ED\x00\x01" {
		length := make([]byte, 3)
		if _, err := io.ReadFull(&c.in, length); err != nil {
			return nil, err
		}
		routing := int64(length[0])<<16 | int64(length[1])<<8 | int64(length[2])
		if _, err := io.CopyN(io.Discard, &c.in, routing); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(&c.in, header); err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(header, socket.WAConnHeader) {
		return nil, errors.New("unknown protocol header")
	}
	return header, nil
}

// login authenticates a client by its static key and serves it until it leaves.
func (c *conn) login(client [32]byte, payload *waWa6.ClientPayload) error {
	s := c.s
	var d *device
	if payload.GetDevice() <= maxDevice {
		d = s.device(types.JID{User: strconv.FormatUint(payload.GetUsername(), 10), Device: uint16(payload.GetDevice()), Server: types.DefaultUserServer})
	}
	if d == nil || d.noise != client {
		return c.refuse(401)
	}
	// A client that got in while the journal fails would lose its connection with its first stanza, again and again.
	if err := s.journal.Ping(c.ctx); err != nil {
		s.log.ErrorContext(c.ctx, "login without journal", "error", err)
		return c.refuse(503)
	}
	if notice := c.banNotice(d.account); notice != nil {
		c.part(*notice, farewell)
		return c.serve()
	}
	s.mu.Lock()
	if d.account.device(d.number) != d { // removed in between
		s.mu.Unlock()
		return c.refuse(401)
	}
	old := d.conn
	c.device, c.old, d.conn = d, payload.LidDbMigrated == nil, c
	s.mu.Unlock()
	if old != nil {
		old.part(waBinary.Node{Tag: "stream:error", Content: []waBinary.Node{{Tag: "conflict", Attrs: waBinary.Attrs{"type": "replaced"}}}}, farewell)
	}
	c.sendNode(waBinary.Node{Tag: "success", Attrs: waBinary.Attrs{"t": time.Now().Unix(), "lid": d.jid(types.HiddenUserServer), "location": "sandbox"}})
	c.in.patience = idleTimeout
	return c.serve()
}

// refuse answers a login with a failure and waits for the client to go.
func (c *conn) refuse(reason int) error { return c.fail(LoginFailure{Reason: reason}) }

// serve reads and handles stanzas until the connection ends.
func (c *conn) serve() error {
	for {
		frame, err := c.readFrame()
		if err != nil {
			return err
		}
		node, err := decode(frame)
		if err != nil {
			return fmt.Errorf("decode stanza: %w", err)
		}
		c.mu.Lock()
		parting := c.parting
		c.mu.Unlock()
		c.s.noted(c, in, node)
		if !parting && !c.faults().Silence {
			c.handle(node)
		}
	}
}

// close ends the connection and waits for what it started.
func (c *conn) close() {
	c.end()
	_ = c.ws.CloseNow()
	c.depart()
	c.s.mu.Lock()
	delete(c.s.conns, c)
	if c.device != nil && c.device.conn == c {
		c.device.conn = nil
	}
	if c.pairing != nil {
		c.s.forgetPairing(c.pairing)
	}
	c.s.mu.Unlock()
	if c.device != nil {
		c.device.queue.leave(c)
	}
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.work.Wait()
}

// cut breaks the connection off; close follows in the reading goroutine.
func (c *conn) cut() {
	c.end()
	_ = c.ws.CloseNow()
}

// spawn runs f in a goroutine that close waits for; it does nothing when the connection has ended.
func (c *conn) spawn(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.work.Go(f)
	}
}

// sendNode queues a stanza for writing; it is lost when the connection ends before.
func (c *conn) sendNode(node waBinary.Node) {
	if offset := c.faults().ClockOffset; offset != 0 {
		node = shiftClock(node, offset)
	}
	node = c.spoken(node)
	c.s.noted(c, out, &node)
	frame, err := waBinary.Marshal(node)
	if err != nil {
		c.s.log.ErrorContext(c.ctx, "marshal stanza", "tag", node.Tag, "error", err)
		return
	}
	c.send(frame)
}

// part sends the connection's last stanza and leaves.
func (c *conn) part(node waBinary.Node, patience time.Duration) {
	c.sendNode(node)
	c.leave(patience)
}

// leave sends and handles nothing more, and cuts after a while if the client does not close by itself.
func (c *conn) leave(patience time.Duration) {
	c.mu.Lock()
	c.parting = true
	c.mu.Unlock()
	c.spawn(func() {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-timer.C:
			c.cut()
		case <-c.ctx.Done():
		}
	})
}

// send queues a frame for writing. Failure policy: a client that leaves more than 64 MB unread is cut.
func (c *conn) send(frame []byte) {
	silent := c.faults().Silence
	c.mu.Lock()
	if c.parting || c.ended || silent {
		c.mu.Unlock()
		return
	}
	c.out = append(c.out, frame)
	c.outBytes += len(frame)
	start, full := !c.writing, c.outBytes > outLimit
	c.writing = true
	c.mu.Unlock()
	if full {
		c.cut()
	}
	if start {
		c.spawn(c.write)
	}
}

// write encrypts and writes what is queued, and ends when nothing is.
func (c *conn) write() {
	for {
		c.mu.Lock()
		if len(c.out) == 0 {
			c.out, c.writing = nil, false
			c.mu.Unlock()
			return
		}
		var message []byte
		for len(c.out) > 0 && len(message) < writeSize {
			frame := c.out[0]
			c.out = c.out[1:]
			c.outBytes -= len(frame)
			if c.writeKey != nil {
				frame = c.writeKey.Seal(nil, nonce(c.writeCount), frame, nil)
				c.writeCount++
			}
			message = append(message, byte(len(frame)>>16), byte(len(frame)>>8), byte(len(frame)))
			message = append(message, frame...)
		}
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(c.ctx, writeTimeout)
		err := c.ws.Write(ctx, websocket.MessageBinary, message)
		cancel()
		if err != nil {
			c.cut() // and go on, to empty the queue
		}
	}
}

// secure encrypts the connection from here on. The handshake's last frame is the client's, so nothing is being written.
func (c *conn) secure(readKey, writeKey []byte) error {
	read, err := newAEAD(readKey)
	if err != nil {
		return err
	}
	write, err := newAEAD(writeKey)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readKey, c.writeKey = read, write
	return nil
}

// readFrame returns the next frame, decrypted once the connection is secure.
func (c *conn) readFrame() ([]byte, error) {
	var length [3]byte
	if _, err := io.ReadFull(&c.in, length[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, int(length[0])<<16|int(length[1])<<8|int(length[2]))
	if _, err := io.ReadFull(&c.in, frame); err != nil {
		return nil, err
	}
	if c.readKey == nil {
		return frame, nil
	}
	plain, err := c.readKey.Open(frame[:0], nonce(c.readCount), frame, nil)
	c.readCount++
	return plain, err
}

// decode parses a frame. The first byte says whether the rest is compressed (whatsmeow's binary/unpack.go); what it inflates to is bounded
// like a frame.
func decode(frame []byte) (*waBinary.Node, error) {
	if len(frame) == 0 {
		return nil, errors.New("empty frame")
	}
	data := frame[1:]
	if frame[0]&2 != 0 {
		inflater, err := zlib.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(io.LimitReader(inflater, socket.FrameMaxSize)); err != nil {
			return nil, err
		}
	}
	if err := checkStanza(data); err != nil {
		return nil, err
	}
	return waBinary.Unmarshal(data)
}

// stream reads the bytes of a WebSocket's messages as one: a message may hold several frames or a part of one.
type stream struct {
	ws       *websocket.Conn
	ctx      context.Context
	patience time.Duration // for the next message
	message  io.Reader
	cancel   context.CancelFunc
}

func (r *stream) Read(p []byte) (int, error) {
	for {
		if r.message == nil {
			ctx, cancel := context.WithTimeout(r.ctx, r.patience)
			kind, message, err := r.ws.Reader(ctx)
			if err != nil {
				cancel()
				return 0, err
			}
			if kind != websocket.MessageBinary {
				cancel()
				return 0, errors.New("text message on a binary protocol")
			}
			r.message, r.cancel = message, cancel
		}
		n, err := r.message.Read(p)
		if errors.Is(err, io.EOF) {
			r.cancel()
			r.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

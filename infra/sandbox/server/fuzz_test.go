package server

import (
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/socket"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/testfuzz"
	"github.com/chasqui/chasqui/infra/testpoll"
)

// complaints keeps what a server logs as an error, a panic that was caught among it.
type complaints struct {
	mu   sync.Mutex
	said []string
}

func (c *complaints) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, text)
}

// none fails the test for what was logged since the last look.
func (c *complaints) none(t *testing.T, doing any) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.said) > 0 {
		t.Errorf("%v: %q", doing, c.said)
	}
	c.said = nil
}

// Enabled, Handle, WithAttrs and WithGroup implement slog.Handler.
func (c *complaints) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (c *complaints) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	c.add(text)
	return nil
}

func (c *complaints) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *complaints) WithGroup(string) slog.Handler      { return c }

// Write takes what net/http says of a handler that panicked.
func (c *complaints) Write(p []byte) (int, error) {
	c.add(string(p))
	return len(p), nil
}

// alone is a server without a database.
func alone(f *testing.F) (*Server, *complaints) {
	f.Helper()
	said := &complaints{}
	kept := journal.NewMemory()
	s, err := New(f.Context(), Config{Journal: kept, Logger: slog.New(said)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		s.Close()
		if err := kept.Close(); err != nil {
			f.Error(err)
		}
	})
	return s, said
}

func deflated(f *testing.F, data []byte) []byte {
	f.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	return append([]byte{2}, out.Bytes()...)
}

func frameOf(f *testing.F, n waBinary.Node) []byte {
	f.Helper()
	frame, err := waBinary.Marshal(n)
	if err != nil {
		f.Fatal(err)
	}
	return frame
}

// deep is stanzas within each other.
func deep(levels int) []byte {
	return append(bytes.Repeat([]byte{248, 2, 19, 248, 1}, levels), 248, 1, 19)
}

// Three million levels would end the process, in whatsmeow's decoder, where nothing can be caught.
func TestDeepStanzasAreRefused(t *testing.T) {
	t.Parallel()
	for levels, refused := range map[int]bool{1: false, deepest - 1: false, deepest: true, socket.FrameMaxSize / 5: true} {
		if n, err := decode(append([]byte{0}, deep(levels)...)); (err != nil) != refused {
			t.Errorf("%d levels: %.20v, %v", levels, n, err)
		}
	}
	addresses := append([]byte{0, 248, 3, 19, 20}, bytes.Repeat([]byte{250}, 1<<20)...)
	if _, err := decode(addresses); err == nil {
		t.Error("addresses within each other are taken")
	}
}

// FuzzDecode reads frames: nothing panics, and what is read is written and read again as the same.
func FuzzDecode(f *testing.F) {
	jid := types.JID{User: "5491123456789", Device: 3, Server: types.DefaultUserServer}
	whole := frameOf(f, waBinary.Node{Tag: "iq", Attrs: waBinary.Attrs{"to": jid, "id": "12-3", "xmlns": "w:g2", "hex": "0FA5"}, Content: []waBinary.Node{
		{Tag: "x", Content: []byte("bytes\x00")}, {Tag: "participant", Attrs: waBinary.Attrs{"jid": types.NewJID("1", types.MessengerServer)}}, {Tag: "error"},
	}})
	f.Add(whole)
	f.Add(deflated(f, whole[1:]))
	f.Add(append([]byte{0}, deep(3)...))
	for _, odd := range [][]byte{{}, {0}, {2}, {2, 1, 2, 3}, {0, 248, 1, 255, 128}, {0, 248, 3, 19, 20, 250, 0, 0}, {0, 249, 255, 255}, {0, 248, 2, 19, 254, 255, 255, 255, 255}, {0, 248, 2, 19, 246, 0, 0, 0}} {
		f.Add(odd)
	}
	testfuzz.Run(f, func(t *testing.T, frame []byte) {
		n, err := decode(frame)
		if err != nil || strings.Contains(fmt.Sprint(n), "<0") { // which the encoder has another use for
			return
		}
		again, err := waBinary.Marshal(*n)
		if err != nil {
			return // a value that the encoder has no form for
		}
		if back, err := decode(again); err != nil || back.Tag != n.Tag || len(back.Attrs) > len(n.Attrs) {
			t.Errorf("%v is read again as %v, %v", n, back, err)
		}
	})
}

// FuzzStanza gives a linked phone's stanzas to their handlers: nothing panics, and nothing fails as an error of the server's own.
func FuzzStanza(f *testing.F) {
	s, said := alone(f)
	for _, phone := range []string{"5491123456789", "5491123456780"} {
		if _, err := s.CreateAccount(f.Context(), phone, "Somebody"); err != nil {
			f.Fatal(err)
		}
	}
	sockets := make(chan *websocket.Conn, 1)
	ended := make(chan struct{})
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ws, err := websocket.Accept(w, r, nil); err == nil {
			sockets <- ws
		}
		<-ended
	}))
	f.Cleanup(host.Close)
	f.Cleanup(func() { close(ended) })
	theirs, _, err := websocket.Dial(f.Context(), host.URL, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = theirs.CloseNow() })
	ws := <-sockets

	me, other := types.NewJID("5491123456789", types.DefaultUserServer), types.NewJID("5491123456780", types.DefaultUserServer)
	inside := []waBinary.Node{{Tag: "user", Attrs: waBinary.Attrs{"jid": other}}, {Tag: "item", Attrs: waBinary.Attrs{"jid": other, "action": "block", "name": "last", "value": "all"}}}
	for q := range s.handlers.queries {
		iq := waBinary.Node{Tag: "iq", Attrs: waBinary.Attrs{"id": "1", "xmlns": q.xmlns, "type": q.kind, "to": types.ServerJID}}
		f.Add(frameOf(f, iq))
		iq.Content = []waBinary.Node{{Tag: q.child, Attrs: waBinary.Attrs{"jid": other, "type": "x", "id": "1"}, Content: inside}}
		if q.child != "" {
			f.Add(frameOf(f, iq))
		}
	}
	for id := range s.handlers.mex {
		f.Add(frameOf(f, waBinary.Node{Tag: "iq", Attrs: waBinary.Attrs{"id": "1", "xmlns": "w:mex", "type": "get", "to": types.ServerJID}, Content: []waBinary.Node{
			{Tag: "query", Attrs: waBinary.Attrs{"query_id": id}, Content: []byte(`{"variables":{"input":{"key":"1","name":"x"},"newsletter_id":"1@newsletter","updates":{}}}`)},
		}}))
	}
	for tag := range s.handlers.stanzas {
		for _, to := range []types.JID{other, me, types.NewJID("120363000000000000", types.GroupServer), types.NewJID("1", types.NewsletterServer), types.StatusBroadcastJID} {
			f.Add(frameOf(f, waBinary.Node{Tag: tag, Attrs: waBinary.Attrs{"id": "A", "to": to, "type": "text", "class": "message"}, Content: []waBinary.Node{
				{Tag: "enc", Attrs: waBinary.Attrs{"v": "2", "type": "msg"}, Content: []byte("\x33sealed")},
				{Tag: "participants", Content: []waBinary.Node{{Tag: "to", Attrs: waBinary.Attrs{"jid": other}, Content: []waBinary.Node{{Tag: "enc", Attrs: waBinary.Attrs{"type": "pkmsg"}, Content: []byte("\x33")}}}}},
				{Tag: "offer", Attrs: waBinary.Attrs{"call-id": "1", "call-creator": me}}, {Tag: "list", Content: []waBinary.Node{{Tag: "item", Attrs: waBinary.Attrs{"id": "B"}}}},
			}}))
		}
	}
	testfuzz.Run(f, func(t *testing.T, frame []byte) {
		n, err := decode(frame)
		if err != nil {
			return
		}
		c := &conn{s: s, ws: ws, device: s.byPhone[me.User].devices[0], parting: true}
		c.ctx, c.end = context.WithCancel(s.ctx)
		c.handle(n)
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
		c.end()
		c.work.Wait()
		said.none(t, n)
	})
}

// stranger is a client that nobody knows, at the end of a real connection.
type stranger struct {
	*testing.T
	ws   *websocket.Conn
	rest []byte
}

func (s *stranger) send(data ...[]byte) bool {
	return s.ws.Write(s.Context(), websocket.MessageBinary, bytes.Join(data, nil)) == nil
}

func framed(data []byte) []byte {
	return append([]byte{byte(len(data) >> 16), byte(len(data) >> 8), byte(len(data))}, data...)
}

// frame is the next frame that the server sends; nil at the end.
func (s *stranger) frame() []byte {
	for len(s.rest) < 3 || len(s.rest) < 3+int(s.rest[0])<<16|int(s.rest[1])<<8|int(s.rest[2]) {
		_, more, err := s.ws.Read(s.Context())
		if err != nil {
			return nil
		}
		s.rest = append(s.rest, more...)
	}
	return s.rest[3:]
}

// FuzzHandshake lets a stranger speak: raw bytes, an own first frame, or a client's payload at the end of a handshake that is right. The server closes
// the connection or goes on, nothing panics and nobody else notices.
func FuzzHandshake(f *testing.F) {
	marshalled := func(m proto.Message) []byte {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		return raw
	}
	hello := marshalled(&waWa6.HandshakeMessage{ClientHello: &waWa6.HandshakeMessage_ClientHello{Ephemeral: keys.NewKeyPair().Pub[:]}})
	f.Add(byte(0), append(bytes.Clone(socket.WAConnHeader), framed(hello)...))
	f.Add(byte(0), append([]byte("ED\x00\x01\x00\x00\x02xx"), socket.WAConnHeader...))
	f.Add(byte(0), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(byte(1), hello)
	f.Add(byte(1), marshalled(&waWa6.HandshakeMessage{ClientHello: &waWa6.HandshakeMessage_ClientHello{Ephemeral: make([]byte, 32)}}))
	pairing := &waWa6.ClientPayload{DevicePairingData: &waWa6.ClientPayload_DevicePairingRegistrationData{
		ERegid: []byte{0, 0, 0, 1}, EKeytype: []byte{5}, EIdent: make([]byte, 32), ESkeyID: []byte{0, 0, 1}, ESkeyVal: make([]byte, 32), ESkeySig: make([]byte, 64), DeviceProps: []byte{},
	}}
	f.Add(byte(2), marshalled(pairing))
	f.Add(byte(2), marshalled(&waWa6.ClientPayload{Username: proto.Uint64(5491123456789), Device: proto.Uint32(1<<32 - 1)}))
	f.Add(byte(2), []byte{})
	s, said := alone(f)
	if _, err := s.CreateAccount(f.Context(), "5491123456789", "Somebody"); err != nil {
		f.Fatal(err)
	}
	host := httptest.NewUnstartedServer(s)
	host.Config.ErrorLog = log.New(said, "", 0)
	host.Start()
	f.Cleanup(host.Close)
	testfuzz.Run(f, func(t *testing.T, how byte, data []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		ws, _, err := websocket.Dial(ctx, host.URL+Paths[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &stranger{T: t, ws: ws}
		switch {
		case len(data) >= socket.FrameMaxSize:
		case how%3 == 0:
			client.send(data)
		case how%3 == 1:
			client.send(socket.WAConnHeader, framed(data))
		default:
			if err := client.shakeHands(data); err != nil {
				t.Error(err)
			}
		}
		_ = ws.CloseNow()
		if !testpoll.True(10*time.Second, func() bool {
			s.mu.RLock()
			defer s.mu.RUnlock()
			return len(s.conns) == 0
		}) {
			t.Error("the server keeps the connection")
		}
		said.none(t, fmt.Sprint(how))
	})
}

// shakeHands does the client's part of the handshake, with any payload (whatsmeow's handshake.go).
func (s *stranger) shakeHands(payload []byte) error {
	ephemeral, static := keys.NewKeyPair(), keys.NewKeyPair()
	h := socket.NewNoiseHandshake()
	h.Start(socket.NoiseStartPattern, socket.WAConnHeader)
	h.Authenticate(ephemeral.Pub[:])
	hello, err := proto.Marshal(&waWa6.HandshakeMessage{ClientHello: &waWa6.HandshakeMessage_ClientHello{Ephemeral: ephemeral.Pub[:]}})
	if err != nil {
		return err
	}
	s.send(socket.WAConnHeader, framed(hello))
	var answer waWa6.HandshakeMessage
	if err := proto.Unmarshal(s.frame(), &answer); err != nil {
		return err
	}
	server := answer.GetServerHello()
	h.Authenticate(server.GetEphemeral())
	theirs := [32]byte(server.GetEphemeral())
	if err := h.MixSharedSecretIntoKey(*ephemeral.Priv, theirs); err != nil {
		return err
	}
	key, err := h.Decrypt(server.GetStatic())
	if err != nil {
		return err
	}
	if err := h.MixSharedSecretIntoKey(*ephemeral.Priv, [32]byte(key)); err != nil {
		return err
	}
	if _, err := h.Decrypt(server.GetPayload()); err != nil {
		return err
	}
	finish := &waWa6.HandshakeMessage_ClientFinish{Static: h.Encrypt(static.Pub[:])}
	if err := h.MixSharedSecretIntoKey(*static.Priv, theirs); err != nil {
		return err
	}
	finish.Payload = h.Encrypt(payload)
	last, err := proto.Marshal(&waWa6.HandshakeMessage{ClientFinish: finish})
	if err != nil {
		return err
	}
	s.send(framed(last))
	return nil
}

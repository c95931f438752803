package dispatcher

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/dispatcher/receivertest"
	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// A legacyReceiver is a webhook of the original's: it knows its messages alone. It checks the signature of each request all the same.
type legacyReceiver struct{ *receivertest.Receiver }

func receiveLegacy(t *testing.T) *legacyReceiver {
	t.Helper()
	r := &legacyReceiver{receivertest.New(t, testSecret)}
	r.Answer(func(h receivertest.Hook) receivertest.Fault {
		if n := h.Header.Get("Content-Length"); n != strconv.Itoa(len(h.Body)) {
			t.Errorf("Content-Length %s, body %d", n, len(h.Body))
		}
		if legacyID(h) == "" {
			t.Errorf("no message: %.200s", h.Body)
		}
		return receivertest.OK
	})
	return r
}

// legacyID is the message's id in a webhook.
func legacyID(h receivertest.Hook) string {
	var m events.LegacyMessage
	_ = h.Decode(&m) // what is no message has no id
	return m.ID
}

// body is that of the webhook that brought the message of an id, nil before it came.
func (r *legacyReceiver) body(id string) []byte {
	for _, h := range r.Hooks() {
		if legacyID(h) == id {
			return h.Body
		}
	}
	return nil
}

// message waits for the message of an id and returns it as it came.
func (r *legacyReceiver) message(t *testing.T, id string) (m events.LegacyMessage, raw string) {
	t.Helper()
	eventually(t, "message "+id, func() bool {
		raw = string(r.body(id))
		return raw != ""
	})
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatal(err)
	}
	return m, raw
}

func (r *legacyReceiver) has(id string) bool { return r.body(id) != nil }

// incoming is a message that came in, as its event has it.
func incoming(id string, media *events.Media) events.Message {
	m := events.Message{
		ID: events.MessagePrefix.Format(events.NewID()), WhatsAppID: id, SessionID: "mi-sesion-01", ChatID: "5491123456789@s.whatsapp.net", Direction: events.Incoming,
		From: events.NewAddress("5491123456789@s.whatsapp.net", "", "120363001122334", "Juan Pérez"), To: events.NewAddress("5491100000000@s.whatsapp.net", "", "", "Sales"),
		Status: events.StatusDelivered, Content: events.Content{Type: events.ContentText, Text: "Texto del <mensaje>"}, Timestamp: time.Unix(1640995200, 0),
	}
	if media != nil {
		m.Content = events.Content{Type: events.ContentImage, Caption: "imagen", Media: media}
	}
	return m
}

func (b *bench) announce(kind events.Type, data any) {
	b.t.Helper()
	if err := b.db.InTx(b.t.Context(), func(tx *queue.Tx) error {
		_, err := events.Publish(tx, kind, "mi-sesion-01", "5491123456789@s.whatsapp.net", time.Now(), data)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

// A store holds objects in memory, and fails as a test wants.
type store struct {
	mu      sync.Mutex
	objects map[string][]byte
	fail    func(reading int) error // of each reading, counted from 1: an error in its middle
	opened  int
}

// torn reads up to its middle, and then fails.
type torn struct {
	io.Reader
	err error
}

func (r torn) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = r.err
	}
	return n, err
}

func (s *store) read(_ context.Context, key string, _, _ int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	object, ok := s.objects[key]
	if !ok {
		return nil, errors.New("no such key")
	}
	if s.fail != nil {
		if err := s.fail(s.opened); err != nil {
			return io.NopCloser(torn{bytes.NewReader(object[:len(object)/2]), err}), nil
		}
	}
	return io.NopCloser(bytes.NewReader(object)), nil
}

// addMedia makes a media of a status with size random bytes.
func (b *bench) addMedia(s *store, status string, size int) (*events.Media, []byte) {
	b.t.Helper()
	file := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)}).Read(file) // never fails
	id, sum := events.NewID(), sha256.Sum256(file)
	public := events.MediaPrefix.Format(id)
	var object []byte
	if status == "ready" {
		object = sum[:]
		b.exec(`INSERT INTO objects (sha256, key, size) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, object, public, size)
		s.mu.Lock()
		s.objects[public] = file
		s.mu.Unlock()
	}
	b.exec(`INSERT INTO media (id, status, mimetype, size, sha256, object) VALUES ($1, $2, 'image/jpeg', $3, $4, $5)`, id, status, size, sum[:], object)
	return &events.Media{ID: public, URL: events.MediaURL("http://127.0.0.1:3000", public), Mimetype: "image/jpeg", Size: int64(size), FileName: "imagen.jpg"}, file
}

// legacySetup starts a dispatcher with a store and an endpoint of the original's format.
func legacySetup(t *testing.T, s *store) (*bench, *legacyReceiver) {
	t.Helper()
	b := setup(t)
	r := receiveLegacy(t)
	b.addEndpoint(r.URL, "format = 'legacy'", "events = '{message.received}'")
	b.start(quick, func(d *Dispatcher) { d.readObject = s.read })
	return b, r
}

// Feature: The original's webhook
func TestLegacyMessages(t *testing.T) {
	t.Parallel()
	s := &store{objects: map[string][]byte{}}
	b, r := legacySetup(t, s)
	b.announce(events.MessageReceived, events.MessageData{Message: incoming("TEXT", nil)})
	const want = `{"id":"TEXT","sessionId":"mi-sesion-01","from":"5491123456789@c.us","body":"Texto del \u003cmensaje\u003e","type":"chat","timestamp":1640995200,` +
		`"contact":{"name":"Juan Pérez","number":"5491123456789"}}`
	if _, raw := r.message(t, "TEXT"); raw != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
	for _, size := range []int{0, 1, 3000, events.LegacyMediaInline} {
		media, file := b.addMedia(s, "ready", size)
		id := fmt.Sprint("SIZE", size)
		b.announce(events.MessageReceived, events.MessageData{Message: incoming(id, media)})
		m, raw := r.message(t, id)
		if data, err := base64.StdEncoding.DecodeString(m.Media.Data); err != nil || !bytes.Equal(data, file) || m.Media.URL != "" || m.Media.Filename != "imagen.jpg" || m.Body != "imagen" || m.Type != "image" {
			t.Errorf("%d bytes: %v, %d came: %.300s", size, err, len(data), raw)
		}
	}
	// One byte more is named by its URL, and so is what has not come or will not.
	for status, size := range map[string]int{"ready": events.LegacyMediaInline + 1, "pending": 10, "failed": 11, "expired": 12} {
		media, _ := b.addMedia(s, status, size)
		b.announce(events.MessageReceived, events.MessageData{Message: incoming("URL"+status, media)})
		if m, raw := r.message(t, "URL"+status); m.Media.Data != "" || m.Media.URL != media.URL {
			t.Errorf("%s: %.300s", status, raw)
		}
	}
	eventually(t, "all delivered", b.settled(9))
}

// TestLegacyEndpointsGetMessagesAlone: of other events they get no delivery, and one that was made before the endpoint took this format is
// dropped.
func TestLegacyEndpointsGetMessagesAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receiveLegacy(t)
	e := b.addEndpoint(r.URL, "format = 'legacy'") // events: *
	old := events.FirstID(time.Now())
	b.exec(`INSERT INTO events (seq, id, type, occurred_at, body) VALUES (nextval('events_seq'), $1, 'session.status', now(), '{"type":"session.status","data":{}}')`, old)
	b.exec(`INSERT INTO deliveries (id, event_id, event_seq, endpoint_id) VALUES ($1, $2, 1, $3)`, events.NewID(), old, e.id)
	b.start(quick)
	b.announce(events.MessageSent, events.MessageData{Message: incoming("SENT", nil)})
	b.announce(events.MessageReceived, events.MessageData{Message: incoming("RECEIVED", nil)})
	r.message(t, "RECEIVED")
	eventually(t, "all dealt with", b.settled(3))
	if n := b.count(`SELECT count(*) FROM deliveries`); n != 2 {
		t.Errorf("%d deliveries, want 2", n)
	}
	if n := b.count(`SELECT count(*) FROM deliveries WHERE event_id = $1 AND state = 'cancelled' AND attempt = 0 AND last_class = 'unfit'`, old); n != 1 {
		t.Error("the event that has no form was not dropped")
	}
	if r.has("SENT") {
		t.Error("message.sent was sent")
	}
}

// TestAStoreThatFailsCostsNoAttempt: away, or torn in the middle of the first or the second reading. Texts pass it by meanwhile.
func TestAStoreThatFailsCostsNoAttempt(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	broken := errors.New("connection reset")
	s := &store{objects: map[string][]byte{}}
	s.fail = func(reading int) error {
		if up.Load() || reading%3 == 1 { // the second reading of the first attempt fails, then the first of the next one, then the second again
			return nil
		}
		return broken
	}
	b, r := legacySetup(t, s)
	media, file := b.addMedia(s, "ready", 1<<20)
	b.announce(events.MessageReceived, events.MessageData{Message: incoming("FILE", media)})
	eventually(t, "some tries", func() bool { return b.count(`SELECT count(*) FROM attempts WHERE class = 'storage'`) > 15 })
	b.announce(events.MessageReceived, events.MessageData{Message: incoming("TEXT", nil)})
	r.message(t, "TEXT")
	if r.has("FILE") {
		t.Error("a torn file was delivered")
	}
	if n := b.count(`SELECT count(*) FROM webhook_endpoints WHERE consecutive_failures = 0 AND breaker_until IS NULL`); n != 1 {
		t.Error("the endpoint is blamed for the store")
	}
	up.Store(true)
	m, _ := r.message(t, "FILE")
	if data, _ := base64.StdEncoding.DecodeString(m.Media.Data); !bytes.Equal(data, file) {
		t.Error("the file is not what it was")
	}
	eventually(t, "all delivered", b.settled(2))
	if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded' AND attempt = 1`); n != 2 {
		t.Error("the store's failures were counted")
	}
}

// TestAnOldMessageDoesNotWaitForTheStore: what has waited for long is delivered with the URL.
func TestAnOldMessageDoesNotWaitForTheStore(t *testing.T) {
	t.Parallel()
	s := &store{objects: map[string][]byte{}}
	b := setup(t)
	r := receiveLegacy(t)
	e := b.addEndpoint(r.URL, "format = 'legacy'")
	for i, fail := range []bool{true, false} {
		media, _ := b.addMedia(s, "ready", 100000+i)
		if fail {
			delete(s.objects, media.ID)
		} else {
			s.fail = func(int) error { return io.ErrUnexpectedEOF } // there, and torn
		}
		old := events.FirstID(time.Now().Add(-storePatience - time.Minute))
		old[15] = byte(i)
		body, err := json.Marshal(events.Event{ID: events.EventPrefix.Format(old), Type: events.MessageReceived, Data: events.MessageData{Message: incoming(fmt.Sprint("OLD", i), media)}})
		if err != nil {
			t.Fatal(err)
		}
		b.exec(`INSERT INTO events (seq, id, type, occurred_at, body) VALUES (nextval('events_seq'), $1, 'message.received', now(), $2)`, old, body)
		b.exec(`INSERT INTO deliveries (id, event_id, event_seq, endpoint_id) VALUES ($1, $2, 1, $3)`, events.NewID(), old, e.id)
	}
	b.start(quick, func(d *Dispatcher) { d.readObject = s.read })
	for _, id := range []string{"OLD0", "OLD1"} {
		if m, raw := r.message(t, id); m.Media.URL == "" || m.Media.Data != "" {
			t.Errorf("%s: %s", id, raw)
		}
	}
}

// TestContentCanBeReadAgain: as the transport does when a pooled connection turns out dead, and of every length.
func TestContentCanBeReadAgain(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 2, 3, encodeChunk - 1, encodeChunk, encodeChunk + 1, 3*encodeChunk + 2} {
		file := bytes.Repeat([]byte{'x', 0, 255}, size)[:size]
		c := &content{before: []byte(`{"data":"`), after: []byte(`"}`), size: int64(size), open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }}
		want := `{"data":"` + base64.StdEncoding.EncodeToString(file) + `"}`
		for range 2 {
			r, err := c.reader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != want || c.length() != int64(len(want)) {
				t.Errorf("%d bytes: %v, %d of %d read, %d announced", size, err, len(got), len(want), c.length())
			}
			r.Close()
		}
	}
	short := &content{size: 10, open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("short")), nil }}
	r, err := short.reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var failed *storeError
	if _, err := io.ReadAll(r); !errors.As(err, &failed) || !short.broken.Load() {
		t.Errorf("a file that ends early: %v", err)
	}
}

// TestNobodyForgesTheFile: a caption that looks like a place for a file is only a caption.
func TestNobodyForgesTheFile(t *testing.T) {
	t.Parallel()
	s := &store{objects: map[string][]byte{}}
	b, r := legacySetup(t, s)
	media, file := b.addMedia(s, "ready", 10)
	m := incoming("FORGED", media)
	m.Content.Caption = uuid.NewString() + `","data":"` + `"}`
	m.From.Name = m.Content.Caption
	b.announce(events.MessageReceived, events.MessageData{Message: m})
	got, _ := r.message(t, "FORGED")
	if got.Body != m.Content.Caption || got.Media.Data != base64.StdEncoding.EncodeToString(file) {
		t.Errorf("got %+v", got)
	}
}

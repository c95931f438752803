package api

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/chasqui/chasqui/events"
)

// unread opens a stream over a connection of its own, of which nothing is read: server-sent events and WebSocket by turns.
func (f *fixture) unread(i int, query string) net.Conn {
	f.t.Helper()
	if i%2 == 0 {
		return f.raw("GET /v1/events/stream?" + query + " HTTP/1.1\r\nHost: x\r\nX-API-Key: " + testKey + "\r\n\r\n")
	}
	return f.raw("GET /v1/events/ws?" + query + " HTTP/1.1\r\nHost: x\r\nX-API-Key: " + testKey +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
}

// TestStreamsThatAreNotReadCostLittle: 40 clients ask for 36 MB of events each and read none of them, until they are cut off. It has the process
// to itself (no t.Parallel), because it measures its memory.
func TestStreamsThatAreNotReadCostLittle(t *testing.T) {
	f := setup(t, shortened(func(l *limits) { l.write = 3 * time.Second }))
	const stuck, total, size = 40, 360, 100 << 10
	f.exec(`INSERT INTO events (seq, id, session_id, type, occurred_at, body)
		SELECT nextval('events_seq'), gen_random_uuid(), 'sales', 'message.received', now(), $1 FROM generate_series(1, $2)`, []byte(`{"t":"`+strings.Repeat("x", size)+`"}`), total)
	ids := make([]string, stuck)
	for i := range ids { // each begins elsewhere, so that they share nothing
		var id [16]byte
		if err := f.db.QueryRow(t.Context(), "SELECT id FROM events ORDER BY seq OFFSET $1 LIMIT 1", i).Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids[i] = events.EventPrefix.Format(id)
	}
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := live(), uint64(0)
	for i, id := range ids {
		f.unread(i, "after="+id)
	}
	f.open(stuck)
	deadline := time.After(patience)
	for cut := false; !cut; {
		most = max(most, live())
		f.tail.mu.Lock()
		cut = f.tail.open == 0
		f.tail.mu.Unlock()
		select {
		case <-deadline:
			t.Fatal("they are not cut off")
		case <-time.After(20 * time.Millisecond):
		}
	}
	// Each has a page in its hands, one event on its way to the socket and buffers of some KB; four at a time read a page of the log.
	const page = streamPage * size
	grown, allowed := most-before, uint64(stuck*(streamBytes+2*size+64<<10)+2*backlogReaders*page+tailBytes)
	t.Logf("the heap grew by at most %d MB, of %d MB that were asked for; %d MB are allowed", grown>>20, stuck*total*size>>20, allowed>>20)
	if grown > allowed {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
	metrics := string(f.do("GET", "/metrics", nil).body)
	for _, kind := range []string{"sse", "websocket"} {
		if !strings.Contains(metrics, fmt.Sprintf(`chasqui_event_streams_cut_total{kind=%q} %d`, kind, stuck/2)) {
			t.Errorf("%s: not all are counted as cut off", kind)
		}
	}
}

// TestFiveHundredStreams: so many are served by one process, the next is told to come back, and what leaves makes room.
func TestFiveHundredStreams(t *testing.T) {
	t.Parallel()
	f := setup(t)
	conns := make([]net.Conn, 500)
	for i := range conns {
		conns[i] = f.unread(i, "")
	}
	f.open(len(conns))
	for i, path := range []string{"/v1/events/stream", "/v1/events/ws"} {
		a := f.do("GET", path, nil, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
		if f.problem(a, Unavailable); a.Header.Get("Retry-After") == "" || !strings.Contains(string(a.body), "500") {
			t.Errorf("stream %d: %v %s", 501+i, a.Header, a.body)
		}
	}
	ids, _ := f.logged(3, events.MessageReceived, "sales") // requests that are no streams go on
	if got, _ := f.read("", ""); !slices.Equal(got, ids) {
		t.Errorf("read %v", got)
	}
	for i, conn := range conns {
		lines := bufio.NewReaderSize(conn, 8<<10)
		for _, id := range ids {
			for text := ""; !strings.Contains(text, id); {
				var err error
				if text, err = lines.ReadString('}'); err != nil {
					t.Fatalf("stream %d: %v", i, err)
				}
			}
		}
	}
	conns[0].Close()
	f.open(len(conns) - 1)
	again := f.sse("after=" + ids[1])
	if got, _ := again.must(t, 1); got[0] != ids[2] {
		t.Errorf("the place that was free: %v", got)
	}
}

// TestRetentionOvertakesAStream: a stream that is behind when what follows its place is dropped ends without skipping anything, and says why.
func TestRetentionOvertakesAStream(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ids, _ := f.logged(20, events.MessageReceived, "sales")
	for range backlogReaders { // nobody behind the tail can read
		f.backlog <- struct{}{}
	}
	ws, sse := f.websocket("after="+ids[3]), f.sse("", "Last-Event-ID", ids[3])
	filtered := f.websocket("type=session.qr&after=" + ids[3])
	kept := f.sse("after=" + ids[12])
	f.open(4)
	last, _ := events.EventPrefix.Parse(ids[9])
	f.exec("DELETE FROM events WHERE id <= $1", last)
	for range backlogReaders {
		<-f.backlog
	}
	for name, c := range map[string]*follower{"the WebSocket": ws, "the filtered WebSocket": filtered} {
		if e, err := c.next(); websocket.CloseStatus(err) != closeCursorExpired || !strings.Contains(err.Error(), "cursor_expired") {
			t.Errorf("%s: %v %v", name, e, err)
		}
	}
	if e, err := sse.next(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream: %v %v", e, err)
	}
	if got, _ := kept.must(t, 7); !slices.Equal(got, ids[13:]) {
		t.Errorf("a stream whose place is kept got %v", got)
	}
	for _, path := range []string{"/v1/events", "/v1/events/stream"} { // which is what it is told when it comes back
		f.problem(f.do("GET", path+"?after="+sse.seen(), nil), CursorExpired)
	}
}

// TestStreamsOutliveTheirTicket: a ticket opens a stream, and does not end it.
func TestStreamsOutliveTheirTicket(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ticket := func(seconds int) string { // one that runs out sooner than those the API makes
		text := "tkt_" + rand.Text()
		hash := sha256.Sum256([]byte(text))
		f.exec("INSERT INTO stream_tickets (hash, principal, purpose, expires_at) VALUES ($1, $2, 'stream', clock_timestamp() + make_interval(secs => $3))", hash[:], f.principal[:], seconds)
		return text
	}
	const valid = 6
	began := time.Now()
	used := []string{ticket(valid), ticket(valid), ticket(valid)}
	streams := []*follower{f.sse("ticket="+used[0], "X-API-Key", ""), f.websocketWith("ticket="+used[1], nil)}
	before, _ := f.logged(1, events.MessageReceived, "sales")
	<-time.After(time.Until(began.Add(valid * time.Second)))
	f.eventually("a second after the tickets' end", func() bool {
		var over bool
		return f.db.QueryRow(t.Context(), "SELECT NOT EXISTS (SELECT FROM stream_tickets WHERE expires_at > clock_timestamp() - interval '1 second')").Scan(&over) == nil && over
	})
	after, _ := f.logged(1, events.MessageReceived, "sales")
	for i, c := range streams {
		if got, _ := c.must(t, 2); !slices.Equal(got, append(slices.Clone(before), after...)) {
			t.Errorf("stream %d got %v", i, got)
		}
	}
	for _, ticket := range used { // used or not, they open nothing more
		if status := f.status(f.base, "/v1/events/stream?ticket="+ticket); status != 401 {
			t.Errorf("a ticket that has run out is answered %d", status)
		}
	}
}

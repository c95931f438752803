package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/chasqui/chasqui/events"
)

// A received is an event as a client has it. comment and position are the parts of SSE that are no events.
type received struct {
	id, kind, data string
	comment        bool
}

// A follower is a client of a stream, of either kind.
type follower struct {
	header http.Header
	next   func() (received, error) // the next event; over SSE also each comment
	seen   func() string            // the id to come back with
	close  func()
}

// sse opens a stream of server-sent events and reads it as the HTML standard says.
func (f *fixture) sse(query string, headers ...string) *follower {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	f.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", f.base+"/v1/events/stream?"+query, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("X-API-Key", testKey)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 {
		body, _ := io.ReadAll(response.Body)
		f.t.Fatalf("GET stream?%s: %d %s", query, response.StatusCode, body)
	}
	lines, last := bufio.NewReader(response.Body), r.Header.Get("Last-Event-ID")
	next := func() (e received, err error) {
		id := last
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return e, err
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case line == "\n":
				last = id
				if e.data != "" || e.comment {
					e.id = id
					return e, nil
				}
				e = received{}
			case name == "":
				e.comment = true
			case name == "id":
				id = value
			case name == "event":
				e.kind = value
			case name == "data":
				e.data += value
			case name != "retry":
				return e, fmt.Errorf("not a line of server-sent events: %q", line)
			}
		}
	}
	return &follower{response.Header, next, func() string { return last }, cancel}
}

// websocket opens a stream over a WebSocket, with the key.
func (f *fixture) websocket(query string) *follower {
	f.t.Helper()
	return f.websocketWith(query, http.Header{"X-Api-Key": {testKey}, "Origin": {"https://elsewhere.example"}}) // what opens the stream is no cookie
}

func (f *fixture) websocketWith(query string, header http.Header) *follower {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	f.t.Cleanup(cancel)
	ws, response, err := websocket.Dial(ctx, f.base+"/v1/events/ws?"+query, &websocket.DialOptions{HTTPHeader: header, HTTPClient: client})
	if err != nil {
		f.t.Fatalf("open WebSocket: %v", err)
	}
	f.t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	last := ""
	next := func() (e received, err error) {
		kind, body, err := ws.Read(ctx)
		if err != nil {
			return e, err
		}
		var event events.Event
		if err := json.Unmarshal(body, &event); err != nil || kind != websocket.MessageText {
			return e, fmt.Errorf("a message that is no event: %v %q", kind, body)
		}
		last = event.ID
		return received{id: event.ID, kind: string(event.Type), data: string(body)}, nil
	}
	return &follower{response.Header, next, func() string { return last }, func() { _ = ws.CloseNow() }}
}

// must returns the next n events.
func (c *follower) must(t testing.TB, n int) (ids, bodies []string) {
	t.Helper()
	for len(ids) < n {
		e, err := c.next()
		if err != nil {
			t.Fatalf("after %d events: %v", len(ids), err)
		}
		if e.comment {
			continue
		}
		ids, bodies = append(ids, e.id), append(bodies, e.data)
	}
	return ids, bodies
}

func shortened(change func(*limits)) func(*Config) {
	return func(c *Config) {
		c.limits = defaultLimits
		change(&c.limits)
	}
}

// open waits until n streams are open.
func (f *fixture) open(n int) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("%d open streams", n), func() bool {
		f.tail.mu.Lock()
		defer f.tail.mu.Unlock()
		return f.tail.open == n
	})
}

// Feature: Live events with resume: SSE and WebSocket
func TestStreamsFollow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for kind, open := range map[string]func(query string) *follower{"sse": func(q string) *follower { return f.sse(q) }, "websocket": f.websocket} {
		old, _ := f.logged(3, events.MessageReceived, "sales")
		all, filtered, resumed := open(""), open("type=session.status,session.qr&sessionId=sales"), open("after="+old[1])
		f.logged(1, events.SessionStatus, "other")
		first, firstBodies := f.logged(2, events.SessionStatus, "sales")
		ids, bodies := all.must(t, 3)
		if fmt.Sprint(ids[1:]) != fmt.Sprint(first) || fmt.Sprint(bodies[1:]) != fmt.Sprint(firstBodies) {
			t.Errorf("%s: followed %v %s, want %v %s", kind, ids, bodies, first, firstBodies)
		}
		if ids, _ := filtered.must(t, 2); fmt.Sprint(ids) != fmt.Sprint(first) {
			t.Errorf("%s: filtered %v, want %v", kind, ids, first)
		}
		if ids, _ := resumed.must(t, 4); ids[0] != old[2] || fmt.Sprint(ids[2:]) != fmt.Sprint(first) {
			t.Errorf("%s: resumed %v, want %s and then %v", kind, ids, old[2], first)
		}
		metrics := string(f.do("GET", "/metrics", nil).body)
		if !strings.Contains(metrics, fmt.Sprintf(`chasqui_event_streams{kind=%q} 3`, kind)) {
			t.Errorf("%s: the metrics do not count the streams", kind)
		}
		for _, c := range []*follower{all, filtered, resumed} {
			c.close()
		}
		f.open(0)
	}
	if strings.Contains(f.log.String(), "level=WARN") {
		t.Errorf("the log: %s", f.log)
	}
}

func TestStreamForm(t *testing.T) {
	t.Parallel()
	f := setup(t)
	old, _ := f.logged(1, events.MessageReceived, "sales")
	c := f.sse("")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform", "Access-Control-Allow-Origin": "*",
	} {
		if got := c.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	// What it begins with, byte for byte: a client that never gets an event comes back to where it was.
	r, err := http.NewRequestWithContext(t.Context(), "GET", f.base+"/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testKey)
	r.Header.Set("Accept", "text/event-stream")
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	ids, bodies := f.logged(1, events.SessionStatus, "sales")
	want := "retry: 2000\nid: " + old[0] + "\n\nid: " + ids[0] + "\nevent: session.status\ndata: " + bodies[0] + "\n\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if a := f.do("HEAD", "/v1/events/stream", nil); a.StatusCode != 200 || len(a.body) > 0 {
		t.Errorf("HEAD: %d %q", a.StatusCode, a.body)
	}
}

// TestEveryEventOnce: many clients of both kinds that come back again and again, in the middle of batches, while events are logged: each gets
// every event once, in order. The tail is so short that they are behind it most of the time.
func TestEveryEventOnce(t *testing.T) {
	t.Parallel()
	for name, capacity := range map[string]int{"behind the tail": 8, "within the tail": defaultLimits.tail} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, shortened(func(l *limits) { l.tail = capacity }))
			const total = 3000
			types := []events.Type{events.MessageReceived, events.SessionStatus, events.MessageSent}
			before, _ := f.logged(1, events.SessionQR, "sales") // what all begin after
			var logged [][2]string                              // id and type
			done := make(chan struct{})
			go func() { // as the sequencer does: one writer, many events a transaction
				defer close(done)
				for len(logged) < total {
					n := min(1+rand.IntN(60), total-len(logged))
					ids, kinds, bodies := make([]string, n), make([]string, n), make([]string, n)
					for i := range n {
						id, kind := events.NewID(), types[rand.IntN(len(types))]
						ids[i], kinds[i] = id.String(), string(kind)
						bodies[i] = fmt.Sprintf(`{"id":%q,"type":%q}`, events.EventPrefix.Format(id), kind)
						logged = append(logged, [2]string{events.EventPrefix.Format(id), string(kind)})
					}
					if _, err := f.db.Exec(context.Background(), `INSERT INTO events (seq, id, session_id, type, occurred_at, body)
						SELECT nextval('events_seq'), t.id::uuid, 'sales', t.kind, now(), t.body::bytea
						  FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS t(id, kind, body, n) ORDER BY t.n`, ids, kinds, bodies); err != nil {
						t.Error(err)
						return
					}
					f.wake.Notify(events.WakeLog)
				}
			}()
			var clients sync.WaitGroup
			got := make([][]string, 6)
			reconnects := make([]int, len(got))
			for i := range got {
				clients.Go(func() {
					g, at, query, want := *f, before[0], "", total
					g.t = t
					if i >= 4 {
						query = "type=message.received&"
					}
					<-time.After(time.Duration(i) * time.Millisecond)
					for len(got[i]) < want {
						var c *follower
						if ws, header := i%2 == 1, rand.IntN(2) == 0; ws {
							c = g.websocket(query + "after=" + at)
						} else if header { // which counts more than after
							c = g.sse(query+"after="+before[0], "Last-Event-ID", at)
						} else {
							c = g.sse(query + "after=" + at)
						}
						reconnects[i]++
						for n := 1 + rand.IntN(150); n > 0 && len(got[i]) < want; n-- {
							if i >= 4 { // how many there are is known once all are logged
								select {
								case <-done:
									want = 0
									for _, e := range logged {
										if e[1] == "message.received" {
											want++
										}
									}
									if len(got[i]) == want {
										continue
									}
								default:
								}
							}
							e, err := c.next()
							if err != nil {
								t.Errorf("client %d after %d events: %v", i, len(got[i]), err)
								return
							}
							got[i], at = append(got[i], e.id), c.seen()
						}
						c.close()
					}
				})
			}
			clients.Wait()
			<-done
			for i := range got {
				var want []string
				for _, e := range logged {
					if i < 4 || e[1] == "message.received" {
						want = append(want, e[0])
					}
				}
				if !slices.Equal(got[i], want) {
					t.Errorf("client %d got %d events, want %d; in order and once: %t", i, len(got[i]), len(want), false)
				}
			}
			t.Logf("connections: %v", reconnects)
			f.open(0)
		})
	}
}

// TestSlowConsumers: one that does not read is cut off, whatever its kind, and nobody else waits for it.
func TestSlowConsumers(t *testing.T) {
	t.Parallel()
	f := setup(t, shortened(func(l *limits) { l.write = 2 * time.Second }))
	stuck := []net.Conn{
		f.raw("GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: " + testKey + "\r\n\r\n"),
		f.raw("GET /v1/events/ws HTTP/1.1\r\nHost: x\r\nX-API-Key: " + testKey + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"),
	}
	f.open(2)
	quick := f.sse("")
	f.open(3)
	big := strings.Repeat("x", 250<<10)
	const total = 100 // 25 MB, more than the sockets' buffers hold
	for range total {
		f.exec("INSERT INTO events (seq, id, session_id, type, occurred_at, body) VALUES (nextval('events_seq'), $1, 'sales', 'message.received', now(), $2)", events.NewID(), []byte(`{"t":"`+big+`"}`))
	}
	f.wake.Notify(events.WakeLog)
	quick.must(t, total)
	f.open(1)
	metrics := string(f.do("GET", "/metrics", nil).body)
	for _, kind := range []string{"sse", "websocket"} {
		if !strings.Contains(metrics, fmt.Sprintf(`chasqui_event_streams_cut_total{kind=%q} 1`, kind)) {
			t.Errorf("%s: it is not counted as cut off", kind)
		}
	}
	for _, conn := range stuck { // the connections were closed, not only given up
		if n, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n >= total*250<<10 {
			t.Errorf("read %d bytes: %v", n, err)
		}
	}
}

// raw sends a request over a connection of its own and reads nothing.
func (f *fixture) raw(request string) net.Conn {
	f.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(f.t.Context(), "tcp", f.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		f.t.Fatal(err)
	}
	return conn
}

// TestHeartbeats: streams outlive the server's WriteTimeout, are not silent, and tell how far they have looked.
func TestHeartbeats(t *testing.T) {
	t.Parallel()
	f := setup(t, shortened(func(l *limits) {
		l.heartbeat, l.ping, l.request = 20*time.Millisecond, 20*time.Millisecond, 200*time.Millisecond
	}))
	began := time.Now()
	quiet := f.sse("type=session.qr")
	for range 15 {
		if e, err := quiet.next(); err != nil || !e.comment || e.data != "" {
			t.Fatalf("%+v %v", e, err)
		}
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("15 heartbeats took %s", took)
	}
	// What a filter leaves out is not looked at again after a reconnect, and is no event.
	ids, _ := f.logged(3, events.MessageReceived, "sales")
	for quiet.seen() != ids[2] {
		if e, err := quiet.next(); err != nil || !e.comment || e.data != "" {
			t.Fatalf("%+v %v", e, err)
		}
	}
	pings := make(chan struct{}, 100)
	ws, _, err := websocket.Dial(t.Context(), f.base+"/v1/events/ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"X-Api-Key": {testKey}}, HTTPClient: client,
		OnPingReceived: func(context.Context, []byte) bool { pings <- struct{}{}; return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow() // only a failure comes here with it open
	read := make(chan error, 1)
	go func() {
		_, _, err := ws.Read(context.Background())
		read <- err
	}()
	for range 15 {
		select {
		case <-pings:
		case err := <-read:
			t.Fatal(err)
		case <-time.After(patience):
			t.Fatal("no ping")
		}
	}
	f.logged(1, events.MessageReceived, "sales")
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// TestPlaceGone: where retention overtakes a stream it ends, and says so, instead of skipping.
func TestPlaceGone(t *testing.T) {
	t.Parallel()
	f := setup(t, shortened(func(l *limits) { l.tail = 1 }))
	ids, _ := f.logged(5*streamPage, events.MessageReceived, "sales")
	at, err := f.eventPlace(t.Context(), ids[0], "")
	if err != nil {
		t.Fatal(err)
	}
	rows, next, _, err := f.nextEvents(t.Context(), at, events.Filter{})
	if err != nil || len(rows) != streamPage {
		t.Fatalf("%d events: %v", len(rows), err)
	}
	f.exec("DELETE FROM events WHERE seq <= $1", next.seq+10)
	if rows, _, _, err := f.nextEvents(t.Context(), next, events.Filter{}); !errors.Is(err, errPlaceGone) || len(rows) > 0 {
		t.Errorf("%d events: %v", len(rows), err)
	}
	f.problem(f.do("GET", "/v1/events/stream", nil, "Last-Event-ID", ids[0]), CursorExpired)
}

func TestStreamRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t, shortened(func(l *limits) { l.streams = 2 }))
	const gone = "evt_00000000000070008000000000000000"
	upgrade := []string{"Connection", "keep-alive, Upgrade", "Upgrade", "WebSocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	for _, c := range []struct {
		path    string
		headers []string
		code    Code
		says    string
	}{
		{"/v1/events/stream", []string{"X-API-Key", ""}, Unauthorized, ""},
		{"/v1/events/stream?after=" + gone, nil, CursorExpired, ""},
		{"/v1/events/stream?after=" + gone, []string{"Accept", "text/event-stream"}, CursorExpired, ""},
		{"/v1/events/stream", []string{"Last-Event-ID", gone}, CursorExpired, ""},
		{"/v1/events/stream", []string{"Last-Event-ID", "17"}, ValidationFailed, "header.Last-Event-ID"},
		{"/v1/events/stream?after=17", nil, ValidationFailed, "query.after"},
		{"/v1/events/stream?type=message.recieved", nil, ValidationFailed, "query.type"},
		{"/v1/events/stream?sessionId=a%20b", nil, ValidationFailed, "query.sessionId"},
		{"/v1/events/stream?wait=3", nil, ValidationFailed, "query.wait"},
		{"/v1/events/ws", nil, UpgradeRequired, ""},
		{"/v1/events/ws", append(slices.Clone(upgrade), "Sec-WebSocket-Version", "8"), UpgradeRequired, ""},
		{"/v1/events/ws", append(slices.Clone(upgrade), "Sec-WebSocket-Key", "short"), BadRequest, "Sec-WebSocket-Key"},
		{"/v1/events/ws", append(slices.Clone(upgrade), "X-API-Key", ""), Unauthorized, ""},
		{"/v1/events/ws?after=" + gone, upgrade, CursorExpired, ""},
		{"/v1/events/ws?after=17", upgrade, ValidationFailed, "query.after"},
	} {
		a := f.do("GET", c.path, nil, c.headers...)
		if f.problem(a, c.code); !strings.Contains(string(a.body), c.says) {
			t.Errorf("%s %v: %s", c.path, c.headers, a.body)
		}
		if c.code == UpgradeRequired && (a.Header.Get("Upgrade") != "websocket" || a.Header.Get("Sec-WebSocket-Version") != "13") {
			t.Errorf("426 without what to upgrade to: %v", a.Header)
		}
	}
	f.open(0)
	f.sse("")
	f.websocket("")
	f.open(2)
	for path, headers := range map[string][]string{"/v1/events/stream": nil, "/v1/events/ws": upgrade} {
		a := f.do("GET", path, nil, headers...)
		if f.problem(a, Unavailable); a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
}

// TestStreamsSurviveTheDatabase: connections that break end no stream, and what is logged meanwhile comes.
func TestStreamsSurviveTheDatabase(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a, b := f.sse(""), f.websocket("")
	f.logged(1, events.MessageReceived, "sales")
	a.must(t, 1)
	b.must(t, 1)
	f.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name NOT LIKE '%test%' AND pid <> pg_backend_pid()")
	want, _ := f.logged(50, events.MessageReceived, "sales")
	for _, c := range []*follower{a, b} {
		if ids, _ := c.must(t, 50); !slices.Equal(ids, want) {
			t.Errorf("got %v, want %v", ids, want)
		}
	}
}

// TestStopEndsStreams: at once, with a farewell for those who listen and without one for those who do not.
func TestStopEndsStreams(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 2 { // also after a start
		a, b := f.sse(""), f.websocket("")
		f.open(2)
		f.raw("GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: " + testKey + "\r\n\r\n")
		f.raw("GET /v1/events/ws HTTP/1.1\r\nHost: x\r\nX-API-Key: " + testKey + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
		f.open(4)
		f.exec("INSERT INTO events (seq, id, session_id, type, occurred_at, body) SELECT nextval('events_seq'), gen_random_uuid(), 'sales', 'message.received', now(), $1 FROM generate_series(1, 100)",
			[]byte(`{"type":"message.received","t":"`+strings.Repeat("x", 250<<10)+`"}`))
		f.wake.Notify(events.WakeLog)
		a.must(t, 100)
		b.must(t, 100)
		ends := make(chan error, 2)
		for _, c := range []*follower{a, b} {
			go func() {
				_, err := c.next()
				ends <- err
			}()
		}
		began := time.Now()
		if err := f.Stop(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("stop took %s", took)
		}
		for range 2 {
			if err := <-ends; !errors.Is(err, io.EOF) && websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("a stream ended with %v", err)
			}
		}
		if err := f.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.base = f.URL()
	}
}

// BenchmarkStreams measures from the commit of an event until all of 100 streams have it.
func BenchmarkStreams(b *testing.B) {
	f := setup(b)
	var clients []*follower
	for range 100 {
		clients = append(clients, f.sse(url.Values{"sessionId": {"sales"}}.Encode()))
	}
	f.open(len(clients))
	for b.Loop() {
		f.logged(1, events.MessageReceived, "sales")
		for _, c := range clients {
			c.must(b, 1)
		}
	}
}

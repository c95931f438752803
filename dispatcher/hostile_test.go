package dispatcher

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
)

// serve starts a server whose connections are handled raw: after the request was read, answer does what it likes with the connection.
func serve(t *testing.T, answer func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	end := make(chan struct{})
	t.Cleanup(func() { l.Close(); close(end); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				go func() { <-end; c.Close() }()
				req, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				answer(c)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// newHole starts a server that takes requests and never answers.
func newHole(t *testing.T) string {
	return serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
}

// sendOnce makes one attempt with a short timeout and returns what came of it.
func sendOnce(t *testing.T, d *Dispatcher, url string, timeout time.Duration) outcome {
	t.Helper()
	defer d.client.CloseIdleConnections()
	return d.attemptDelivery(t.Context(), delivery{eventID: events.NewID(), claimedAt: time.Now(), body: []byte(`{}`),
		target: &target{url: url, secret: "whsec_c2VjcmV0c2VjcmV0", timeout: timeout}})
}

func local() *Dispatcher { return New(Config{Guard: localGuard(), Logger: silent()}) }

func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	status := func(lines string) func(net.Conn) {
		return func(c net.Conn) { fmt.Fprint(c, strings.ReplaceAll(lines, "\n", "\r\n")) }
	}
	huge := func(c net.Conn) {
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 1<<30)
		block := make([]byte, 1<<16)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		answer func(net.Conn)
		class  string
		status int
		most   time.Duration
		body   int
	}{
		"hangs before the header": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, classTimeout, 0, 3 * time.Second, 0},
		"hangs in mid-header":     {func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX-"); _, _ = io.Copy(io.Discard, c) }, classTimeout, 0, 3 * time.Second, 0},
		"hangs in mid-body": {func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			_, _ = io.Copy(io.Discard, c)
		}, classOK, 200, 3 * time.Second, 3},
		"a body of 1 GiB":               {huge, classOK, 200, 3 * time.Second, bodyKept},
		"a header without end":          {func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("a", 1<<20)) }, classBroken, 0, 3 * time.Second, 0},
		"closes without an answer":      {func(net.Conn) {}, classBroken, 0, time.Second, 0},
		"is no HTTP":                    {status("220 mail ready\n\n"), classBroken, 0, time.Second, 0},
		"ends the body early":           {status("HTTP/1.1 200 OK\nContent-Length: 10\n\nabc"), classOK, 200, time.Second, 3},
		"a status nobody knows":         {status("HTTP/1.1 999 Odd\nContent-Length: 0\n\n"), classStatus, 999, time.Second, 0},
		"redirects to metadata":         {status("HTTP/1.1 302 Found\nLocation: http://169.254.169.254/\nContent-Length: 0\n\n"), classStatus, 302, time.Second, 0},
		"a cookie and a NUL in text":    {status("HTTP/1.1 500 No\nSet-Cookie: a=b\nX-Odd: \xff\nContent-Length: 3\n\na\x00b"), classStatus, 500, time.Second, 3},
		"resets":                        {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, classBroken, 0, time.Second, 0},
		"an interim answer, then a 204": {status("HTTP/1.1 103 Early Hints\n\nHTTP/1.1 204 No Content\n\n"), classOK, 204, time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			o := sendOnce(t, local(), serve(t, c.answer), time.Second)
			if o.class != c.class || o.status != c.status || len(o.answer) != c.body {
				t.Errorf("got %s, %d, %d bytes (%s); want %s, %d, %d bytes", o.class, o.status, len(o.answer), o.err, c.class, c.status, c.body)
			}
			if took := time.Since(began); took > c.most+2*time.Second { // with a margin for a busy machine
				t.Errorf("took %s", took)
			}
			if strings.Contains(string(o.headers), "Cookie") {
				t.Errorf("a cookie was recorded: %s", o.headers)
			}
		})
	}
}

func TestClassesOfWhatNeverConnects(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = nil
	t.Cleanup(tlsServer.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for url, want := range map[string]string{
		"http://" + closed.Addr().String(): classConnect,
		"http://10.1.2.3/":                 classBlocked,
		"http://169.254.169.254/":          classBlocked,
		tlsServer.URL:                      classTLS, // signed by nobody we trust
		"https://" + strings.TrimPrefix(plain.URL, "http://"):       classTLS,
		"http://user:pass\x7f@" + closed.Addr().String():            classBroken,
		"http://user:hunter2@" + closed.Addr().String() + "/secret": classConnect,
	} {
		o := sendOnce(t, local(), url, 5*time.Second)
		if o.class != want || o.status != 0 {
			t.Errorf("%s: got %s (%s), want %s", url, o.class, o.err, want)
		}
		if strings.Contains(o.err, "hunter2") || strings.Contains(o.err, "secret") {
			t.Errorf("the error tells the URL: %s", o.err)
		}
	}
}

func TestANameThatLeadsInsideIsBlockedAtTheSocket(t *testing.T) {
	t.Parallel()
	reached := serve(t, func(net.Conn) { t.Error("the server was reached") })
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(reached, "http://"))
	d := New(Config{Guard: netguard.New(netguard.Config{}), Logger: silent()})
	o := sendOnce(t, d, "http://localhost:"+port, 5*time.Second) // resolves, and only to what is blocked
	if o.class != classBlocked || !strings.Contains(o.err, netguard.Variable) {
		t.Errorf("got %s (%s), want blocked and the variable's name", o.class, o.err)
	}
}

func TestADeadPooledConnectionIsRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	gone := make(chan struct{})
	first := true
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			r := bufio.NewReader(c)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, req.Body)
				if connections.Load() == 1 && !first { // the second request on the first connection: it dies unanswered
					close(gone)
					break
				}
				first = false
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
			c.Close()
		}
	}()
	d := local()
	t.Cleanup(d.client.CloseIdleConnections)
	c := delivery{eventID: events.NewID(), body: []byte(`{}`), target: &target{url: "http://" + l.Addr().String(), secret: "whsec_c2VjcmV0", timeout: 5 * time.Second}}
	for range 2 {
		c.claimedAt = time.Now()
		if o := d.attemptDelivery(t.Context(), c); o.class != classOK {
			t.Fatalf("got %s (%s)", o.class, o.err)
		}
	}
	<-gone
	if n := connections.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestFailuresOfOursAreNotTheEndpoints(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	d := local()
	for _, c := range []struct {
		err  error
		want string
	}{
		{dial(syscall.EMFILE), classLocal},
		{dial(syscall.EADDRNOTAVAIL), classLocal},
		{dial(syscall.ECONNREFUSED), classConnect},
		{dial(&net.DNSError{IsTimeout: true}), classLocal},
		{dial(&net.DNSError{IsTemporary: true}), classLocal},
		{dial(&net.DNSError{IsNotFound: true}), classDNS},
		{context.DeadlineExceeded, classTimeout},
		{io.ErrUnexpectedEOF, classBroken},
	} {
		if got := d.classify(c.err); got != c.want {
			t.Errorf("%v: got %s, want %s", c.err, got, c.want)
		}
	}
	d.resolvedAt.Store(time.Now().UnixNano()) // another name resolves: it is this one's servers
	if got := d.classify(dial(&net.DNSError{IsTimeout: true})); got != classDNS {
		t.Errorf("got %s, want dns", got)
	}
}

// A DNS server that is down uses up no attempt, and what waits goes out once it is back.
func TestADNSServerThatIsDownUsesUpNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the DNS server is down")
	}}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(r.URL, "http://"))
	e := b.addEndpoint("http://nowhere.test:" + port)
	b.start(quick, func(d *Dispatcher) {
		d.client = newClient(netguard.New(netguard.Config{Resolver: resolver, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}))
	})
	ids := b.publish("s", "1@s.whatsapp.net", 0, 30)
	eventually(t, "it was tried some times", func() bool { return b.count(`SELECT count(*) FROM attempts WHERE class = 'local'`) > 20 })
	if n := b.count(`SELECT count(*) FROM deliveries WHERE attempt = 0`); n != len(ids) {
		t.Errorf("%d have used no attempt, want all %d", n, len(ids))
	}
	if n := b.count(`SELECT count(*) FROM webhook_endpoints WHERE consecutive_failures = 0 AND failing_since IS NULL`); n != 1 {
		t.Error("the endpoint was blamed")
	}
	b.exec(`UPDATE webhook_endpoints SET url = $2 WHERE id = $1`, e.id, r.URL) // what needs no look-up goes out
	eventually(t, "all delivered", b.settled(len(ids)))
	wantAll(t, r.accepted(), ids)
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var asked atomic.Value
	asked.Store("")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if wait := asked.Load().(string); wait != "" {
			w.Header().Set("Retry-After", wait)
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	t.Cleanup(server.Close)
	b.addEndpoint(server.URL)
	b.start(quick)
	cases := []struct {
		value    string
		from, to time.Duration
	}{
		{"7200", 119 * time.Minute, 120 * time.Minute},
		{"99999999", 24*time.Hour - time.Minute, 24 * time.Hour},
		{time.Now().Add(3 * time.Hour).UTC().Format(http.TimeFormat), 179 * time.Minute, 180 * time.Minute},
	}
	waiting := func() int {
		return b.count(`SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempt = 1 AND run_at > now() + interval '1 h' AND planned_at = run_at`)
	}
	for i, c := range cases {
		asked.Store(c.value)
		b.publish("s", "1@s.whatsapp.net", i, 1)
		eventually(t, "it waits", func() bool { return waiting() == i+1 })
		if n := b.count(`SELECT count(*) FROM deliveries WHERE event_seq = (SELECT max(event_seq) FROM deliveries) AND run_at - now() BETWEEN $1 AND $2`, c.from, c.to); n != 1 {
			t.Errorf("%s: not due between %s and %s from now", c.value, c.from, c.to)
		}
	}
	asked.Store("")
	b.publish("s", "1@s.whatsapp.net", len(cases), 1)
	eventually(t, "another succeeds", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded'`) == 1 })
	if n := waiting(); n != len(cases) {
		t.Errorf("%d still wait, want %d: a success of another brings forward nothing that was told when to come back", n, len(cases))
	}
}

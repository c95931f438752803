package dispatcher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chasqui/chasqui/dispatcher/receivertest"
	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testdns"
)

// sendOnce makes one attempt with a short timeout and returns what came of it.
func sendOnce(t *testing.T, d *Dispatcher, url string, timeout time.Duration) outcome {
	t.Helper()
	defer d.client.CloseIdleConnections()
	return d.attemptDelivery(t.Context(), delivery{eventID: events.NewID(), claimedAt: time.Now(), body: []byte(`{}`),
		target: &target{url: url, secret: testSecret, timeout: timeout}})
}

func local() *Dispatcher { return New(Config{Guard: localGuard(), Logger: silent()}) }

// trusting is a dispatcher that reaches this machine, and whose client trusts a receiver's certificate.
func trusting(r *receivertest.Receiver) func(*Dispatcher) {
	return func(d *Dispatcher) { d.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = r.RootCAs() }
}

func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault  receivertest.Fault
		class  string
		status int
		most   time.Duration
		body   int
	}{
		{receivertest.HangBeforeHeaders, classTimeout, 0, 3 * time.Second, 0},
		{receivertest.HangInMidHeaders, classTimeout, 0, 3 * time.Second, 0},
		{receivertest.HangInMidBody, classOK, 200, 3 * time.Second, 3},
		{receivertest.OneByteASecond, classTimeout, 0, 3 * time.Second, 0},
		{receivertest.BodyOneByteASecond, classOK, 200, 3 * time.Second, -1},
		{receivertest.Body(1 << 30), classOK, 200, 3 * time.Second, bodyKept},
		{receivertest.GzipBomb, classOK, 200, 3 * time.Second, bodyKept},
		{receivertest.EndlessHeader, classBroken, 0, 3 * time.Second, 0},
		{receivertest.HangUp, classBroken, 0, time.Second, 0},
		{receivertest.NotHTTP, classBroken, 0, time.Second, 0},
		{receivertest.ShortBody, classOK, 200, time.Second, 3},
		{receivertest.ResetBeforeHeaders, classBroken, 0, time.Second, 0},
		{receivertest.ResetAfterHeaders, classOK, 200, time.Second, 0},
		{receivertest.Status(500), classStatus, 500, time.Second, 6},
		{receivertest.Gone, classStatus, 410, time.Second, 6},
		{receivertest.Status(999), classStatus, 999, time.Second, 6},
		{receivertest.RedirectToMetadata, classStatus, 302, time.Second, 6},
		{receivertest.Says("a cookie and a NUL in text", 500, "HTTP/1.1 500 No\nSet-Cookie: a=b\nX-Odd: \xff\nContent-Length: 3\n\na\x00b"),
			classStatus, 500, time.Second, 3},
		{receivertest.Says("an interim answer, then a 204", 204, "HTTP/1.1 103 Early Hints\n\nHTTP/1.1 204 No Content\n\n"), classOK, 204, time.Second, 0},
	} {
		t.Run(c.fault.Name, func(t *testing.T) {
			t.Parallel()
			r := receivertest.New(t, testSecret)
			r.Always(c.fault)
			began := time.Now()
			o := sendOnce(t, local(), r.URL, time.Second)
			if o.class != c.class || o.status != c.status || c.body >= 0 && len(o.answer) != c.body {
				t.Errorf("got %s, %d, %d bytes (%s); want %s, %d, %d bytes", o.class, o.status, len(o.answer), o.err, c.class, c.status, c.body)
			}
			if o.status != c.fault.Status {
				t.Errorf("the receiver says that it answered %d", c.fault.Status)
			}
			if took := time.Since(began); took > c.most+2*time.Second { // with a margin for a busy machine
				t.Errorf("took %s", took)
			}
			if strings.Contains(string(o.headers), "Cookie") {
				t.Errorf("a cookie was recorded: %s", o.headers)
			}
			if n := r.Begun(); n != 1 {
				t.Errorf("it took %d requests, want 1", n)
			}
		})
	}
}

// It runs alone: what is allocated meanwhile is what the answers cost. Whoever took a 1 GiB body or a bomb's content in would need that much.
func TestHugeAnswersCostNoMemory(t *testing.T) {
	for _, fault := range []receivertest.Fault{receivertest.Body(1 << 30), receivertest.GzipBomb, receivertest.EndlessHeader} {
		t.Run(fault.Name, func(t *testing.T) {
			r := receivertest.New(t, testSecret)
			r.Always(fault)
			d := local()
			sendOnce(t, d, r.URL, 5*time.Second) // what is made once is not counted
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			o := sendOnce(t, d, r.URL, 5*time.Second)
			runtime.ReadMemStats(&after)
			if mib := float64(after.TotalAlloc-before.TotalAlloc) / (1 << 20); mib > 4 {
				t.Errorf("%.1f MiB were allocated for one answer", mib)
			}
			if fault.Name == receivertest.GzipBomb.Name && !bytes.HasPrefix(o.answer, []byte{0x1f, 0x8b}) {
				t.Errorf("the answer was decompressed: %x", o.answer[:2])
			}
		})
	}
}

func TestAReceiverThatFailsOnceGetsItAgain(t *testing.T) {
	t.Parallel()
	for _, fault := range []receivertest.Fault{
		receivertest.Status(500), receivertest.Status(999), receivertest.HangBeforeHeaders, receivertest.HangUp,
		receivertest.ResetBeforeHeaders, receivertest.NotHTTP, receivertest.EndlessHeader, receivertest.RedirectToMetadata,
	} {
		t.Run(fault.Name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r := receivertest.New(t, testSecret)
			r.Play(fault)
			b.addEndpoint(r.URL, "timeout_seconds = 5")
			b.start(quick)
			ids := b.publish("s", "1@s.whatsapp.net", 0, 1)
			eventually(t, "it is delivered", b.settled(1))
			hooks := r.Hooks()
			if len(hooks) != 2 || hooks[0].Fault != fault.Name || hooks[0].ID != ids[0] || hooks[1].ID != ids[0] || !hooks[1].Accepted() {
				t.Errorf("got %+v, want the same webhook-id twice", hooks)
			}
			if string(hooks[0].Body) != string(hooks[1].Body) {
				t.Error("the repeat has another body")
			}
			if n := b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded' AND attempt = 2`); n != 1 {
				t.Error("it did not succeed with its second attempt")
			}
		})
	}
}

func TestACertificateThatIsNotTheReceiversEndsTheHandshake(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   receivertest.Certificate
		class  string
		reason string
	}{
		"valid":             {receivertest.Valid, classOK, ""},
		"expired":           {receivertest.Expired, classTLS, "expired"},
		"of another's host": {receivertest.WrongHost, classTLS, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := receivertest.NewTLS(t, c.kind, testSecret)
			d := local()
			trusting(r)(d)
			o := sendOnce(t, d, r.URL, 5*time.Second)
			if o.class != c.class || !strings.Contains(o.err, c.reason) {
				t.Errorf("got %s (%s), want %s and a reason with %q", o.class, o.err, c.class, c.reason)
			}
			if sent := r.Begun() > 0; sent != (c.class == classOK) {
				t.Errorf("sent: %t", sent)
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
	tlsServer, plain := receivertest.NewTLS(t, receivertest.Valid), receivertest.New(t)
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
	inside := receivertest.New(t)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(inside.URL, "http://"))
	d := New(Config{Guard: netguard.New(netguard.Config{}), Logger: silent()})
	o := sendOnce(t, d, "http://localhost:"+port, 5*time.Second) // resolves, and only to what is blocked
	if o.class != classBlocked || !strings.Contains(o.err, netguard.Variable) {
		t.Errorf("got %s (%s), want blocked and the variable's name", o.class, o.err)
	}
	if n := inside.Connections(); n != 0 {
		t.Error("the server was reached")
	}
}

// A name that is public when the endpoint is made and when the first event is sent, and leads inside from then on. The look-up that counts is
// that of the socket. 127.0.0.1 plays the public address here.
func TestANameThatTurnsPrivateIsBlockedAtTheSocket(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receivertest.New(t, testSecret)
	var private atomic.Bool
	guard := netguard.New(netguard.Config{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Resolver: testdns.Resolver(t, func(string) []string {
			if private.Load() {
				return []string{"127.0.0.2"}
			}
			return []string{"127.0.0.1"}
		}),
	})
	url := "http://rebinding.test:" + r.URL[strings.LastIndexByte(r.URL, ':')+1:]
	if err := guard.CheckURL(t.Context(), url); err != nil {
		t.Fatalf("the endpoint cannot be made: %v", err)
	}
	b.addEndpoint(url)
	d := b.start(quick, func(d *Dispatcher) { d.client = newClient(guard) })
	ids := b.publish("s", "1@s.whatsapp.net", 0, 1)
	eventually(t, "the first is delivered", b.settled(1))
	private.Store(true)
	d.client.CloseIdleConnections() // on which the next one would go to where the name led before
	ids = append(ids, b.publish("s", "1@s.whatsapp.net", 1, 1)...)
	eventually(t, "the second is blocked", func() bool { return b.count(`SELECT count(*) FROM attempts WHERE class = 'blocked'`) > 1 })
	if n := r.Begun(); n != 1 {
		t.Errorf("%d requests came, want 1", n)
	}
	private.Store(false)
	eventually(t, "the second is delivered", b.settled(2))
	wantAll(t, r.Hooks().Accepted(), ids)
	if n := b.count(`SELECT count(*) FROM attempts WHERE class NOT IN ('ok', 'blocked')`); n != 0 {
		t.Errorf("%d attempts had another end", n)
	}
}

// The server ends an HTTP/2 connection with requests under way. Those that it says it has not looked at go again at once, on a connection of
// their own, and cost no attempt.
func TestGoAwayInMidFlightLosesNothingAndCostsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receivertest.NewHTTP2(t, testSecret)
	all := make(chan struct{})
	r.Answer(func(h receivertest.Hook) receivertest.Fault {
		if h.N == 16 { // as many as the endpoint has in flight
			close(all)
		}
		if h.N > 16 {
			return receivertest.OK
		}
		<-all
		if h.N == 6 {
			return receivertest.GoAway
		}
		return receivertest.OK
	})
	b.addEndpoint(r.URL)
	b.start(quick, trusting(r))
	ids := b.publish("s", "1@s.whatsapp.net", 0, 64)
	eventually(t, "all delivered", b.settled(len(ids)))
	wantAll(t, r.Hooks().Accepted(), ids)
	if n := b.count(`SELECT count(*) FROM deliveries WHERE attempt = 1`); n != len(ids) {
		t.Errorf("%d of %d took one attempt", n, len(ids))
	}
	refused := 0
	for _, h := range r.Hooks() {
		if h.Fault == receivertest.GoAway.Name {
			refused++
		}
	}
	if refused == 0 || r.Connections() < 2 {
		t.Errorf("%d were refused, %d connections: the test shows nothing", refused, r.Connections())
	}
	for id, n := range r.Hooks().Accepted() {
		if n > 1 {
			t.Errorf("%s was accepted %d times", id, n)
		}
	}
}

// A request that the server took, and that it may have acted on, has failed; it comes again in its time, under the same webhook-id.
func TestAConnectionThatGoesAwayAndDiesCostsAnAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receivertest.NewHTTP2(t, testSecret)
	r.Play(receivertest.GoAwayAndDie)
	b.addEndpoint(r.URL)
	b.start(quick, trusting(r))
	ids := b.publish("s", "1@s.whatsapp.net", 0, 1)
	eventually(t, "it is delivered", b.settled(1))
	wantAll(t, r.Hooks().Accepted(), ids)
	if n := b.count(`SELECT count(*) FROM attempts WHERE class = 'broken' AND attempt = 1`); n != 1 || len(r.Hooks()) != 2 {
		t.Errorf("%d broken attempts and %d requests, want 1 and 2", n, len(r.Hooks()))
	}
}

func TestADeadPooledConnectionIsRepeatedAtOnce(t *testing.T) {
	t.Parallel()
	r := receivertest.New(t, testSecret)
	r.Play(receivertest.OK, receivertest.HangUp) // the second request on the first connection: it dies unanswered
	d := local()
	t.Cleanup(d.client.CloseIdleConnections)
	c := delivery{eventID: events.NewID(), body: []byte(`{}`), target: &target{url: r.URL, secret: testSecret, timeout: 5 * time.Second}}
	for range 2 {
		c.claimedAt = time.Now()
		if o := d.attemptDelivery(t.Context(), c); o.class != classOK {
			t.Fatalf("got %s (%s)", o.class, o.err)
		}
	}
	if n := r.Connections(); n != 2 {
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
	r := receivertest.New(t, testSecret)
	b.addEndpoint(r.URL)
	b.start(quick)
	cases := []struct {
		value    string
		from, to time.Duration
	}{
		{"7200", 119 * time.Minute, 120 * time.Minute},
		{"99999999", 24*time.Hour - time.Minute, 24 * time.Hour},
		{"99999999999999999999999", 0, 0}, // garbage: no number of ours
		{time.Now().Add(3 * time.Hour).UTC().Format(http.TimeFormat), 179 * time.Minute, 180 * time.Minute},
		{time.Now().AddDate(100, 0, 0).UTC().Format(http.TimeFormat), 24*time.Hour - time.Minute, 24 * time.Hour},
		{time.Now().Add(-3 * time.Hour).UTC().Format(http.TimeFormat), 0, 0},
		{"-7200", 0, 0},
		{"soon", 0, 0},
		{"", 0, 0},
	}
	waiting := func() int {
		return b.count(`SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempt = 1 AND run_at > now() + interval '1 h' AND planned_at = run_at`)
	}
	held := 0
	for i, c := range cases {
		r.Play(receivertest.RetryAfter(c.value))
		b.publish("s", "1@s.whatsapp.net", i, 1)
		if c.to == 0 { // it comes again as any other
			eventually(t, "it is delivered", func() bool { return b.count(`SELECT count(*) FROM deliveries WHERE state = 'succeeded'`) == i+1-held })
			continue
		}
		held++
		eventually(t, "it waits", func() bool { return waiting() == held })
		if n := b.count(`SELECT count(*) FROM deliveries WHERE event_seq = (SELECT max(event_seq) FROM deliveries) AND run_at - now() BETWEEN $1 AND $2`, c.from, c.to); n != 1 {
			t.Errorf("%s: not due between %s and %s from now", c.value, c.from, c.to)
		}
	}
	if n := waiting(); n != held {
		t.Errorf("%d still wait, want %d: a success of another brings forward nothing that was told when to come back", n, held)
	}
}

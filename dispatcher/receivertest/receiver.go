// Package receivertest is a webhook receiver for tests that can do all that receivers on the Internet do to those who deliver to them, and
// that keeps what came, so that a test can count what was lost, repeated or out of order.
//
//	r := receivertest.New(t, secret)
//	r.Play(receivertest.Status(500), receivertest.HangInMidBody) // what the first two requests get; the others get 200
package receivertest

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxBody bounds the body of a request. The dispatcher sends 8 MiB at most.
const maxBody = 32 << 20

// T is what a test gives: a *testing.T, a *testing.B.
type T interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A Hook is a webhook that came.
type Hook struct {
	N          int    // which request it was, from 1
	ID         string // webhook-id
	Path       string // and query of the request
	Header     http.Header
	Body       []byte
	SignedWith []string // those of the receiver's secrets that its signature verifies with
	At         time.Time
	Fault      string // the name of what was answered
	Status     int    // that was answered; 0: none that the sender could know
}

// Accepted says whether the answer was a 2xx.
func (h Hook) Accepted() bool { return h.Status/100 == 2 }

// Decode decodes the body into out.
func (h Hook) Decode(out any) error { return json.Unmarshal(h.Body, out) }

// Hooks are webhooks in the order in which they were answered.
type Hooks []Hook

// To returns those that came to a path.
func (l Hooks) To(path string) Hooks {
	return slices.Collect(func(yield func(Hook) bool) {
		for _, h := range l {
			if h.Path == path && !yield(h) {
				return
			}
		}
	})
}

// Accepted returns how often each webhook-id was accepted.
func (l Hooks) Accepted() map[string]int {
	times := map[string]int{}
	for _, h := range l {
		if h.Accepted() {
			times[h.ID]++
		}
	}
	return times
}

// First returns the first acceptance of each webhook-id.
func (l Hooks) First() Hooks {
	seen := map[string]bool{}
	var first Hooks
	for _, h := range l {
		if h.Accepted() && !seen[h.ID] {
			seen[h.ID] = true
			first = append(first, h)
		}
	}
	return first
}

// A Receiver answers requests as it is told. Make one with New, NewTLS or NewHTTP2.
type Receiver struct {
	// URL is http(s)://127.0.0.1:port, without a slash at its end.
	URL string

	t       T
	trusted []trust
	server  *http.Server
	ca      *authority
	work    sync.WaitGroup // of accepting, and of every connection
	end     chan struct{}

	mu      sync.Mutex
	begun   int
	opened  int
	decided func(Hook) Fault
	script  []Fault
	got     Hooks
	raw     map[net.Conn]struct{} // connections that the server knows no more
}

// trust is a secret with what verifies by it.
type trust struct {
	secret string
	hook   *webhooks.Webhook
}

// New starts a receiver of plain HTTP that ends with the test. Each request must be signed with one of the secrets, as the Standard Webhooks
// library says, else the test fails; without secrets nothing is checked. It answers 200 until it is told otherwise.
func New(t T, secrets ...string) *Receiver {
	t.Helper()
	return start(t, secrets, nil, false)
}

// NewTLS is New with TLS and a certificate of a kind.
func NewTLS(t T, kind Certificate, secrets ...string) *Receiver {
	t.Helper()
	return start(t, secrets, newAuthority(t, kind), false)
}

// NewHTTP2 is New with TLS and HTTP/2, of which it knows statuses and GoAway alone.
func NewHTTP2(t T, secrets ...string) *Receiver {
	t.Helper()
	return start(t, secrets, newAuthority(t, Valid), true)
}

func start(t T, secrets []string, ca *authority, http2 bool) *Receiver {
	t.Helper()
	r := &Receiver{t: t, ca: ca, end: make(chan struct{}), raw: map[net.Conn]struct{}{}}
	for _, s := range secrets {
		hook, err := webhooks.NewWebhook(s)
		if err != nil {
			t.Fatalf("receiver: secret: %v", err)
		}
		r.trusted = append(r.trusted, trust{s, hook})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		t.Fatalf("receiver: %v", err)
	}
	r.URL = "http://" + l.Addr().String()
	r.server = &http.Server{
		Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: time.Minute,
		ErrorLog:  log.New(io.Discard, "", 0), // of handshakes that fail on purpose
		ConnState: r.count,
	}
	if ca == nil {
		r.work.Go(func() { _ = r.server.Serve(l) })
	} else {
		r.URL = "https://" + l.Addr().String()
		r.server.TLSConfig = ca.config()
		r.server.TLSNextProto = map[string]func(*http.Server, *tlsConn, http.Handler){} // not nil: none by itself
		if http2 {
			r.server.TLSConfig.NextProtos = []string{"h2"}
			r.server.TLSNextProto["h2"] = func(_ *http.Server, c *tlsConn, _ http.Handler) { r.serveHTTP2(c) }
		}
		r.work.Go(func() { _ = r.server.ServeTLS(l, "", "") })
	}
	t.Cleanup(r.close)
	return r
}

// count follows a connection. A new one is met by the goroutine that accepts, for which close waits first; one that is taken from the server is
// done with when serve is.
func (r *Receiver) count(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		r.work.Add(1)
		r.mu.Lock()
		r.opened++
		r.mu.Unlock()
	case http.StateClosed:
		r.work.Done()
	case http.StateActive, http.StateIdle, http.StateHijacked:
	}
}

// close ends all connections and waits for those who serve them.
func (r *Receiver) close() {
	close(r.end)
	_ = r.server.Close()
	r.mu.Lock()
	for c := range r.raw {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.work.Wait()
}

// Play gives the next requests one of the faults each, in the order in which they come.
func (r *Receiver) Play(faults ...Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = append(r.script, faults...)
}

// Always gives every request a fault, but for those that Play has one for.
func (r *Receiver) Always(f Fault) { r.Answer(func(Hook) Fault { return f }) }

// Answer has f decide what each request gets, but for those that Play has one for. It is called as they come, many at once, and may wait.
func (r *Receiver) Answer(f func(Hook) Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decided = f
}

// Hooks returns what has come so far.
func (r *Receiver) Hooks() Hooks {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// Forget drops what Hooks has, for those who count otherwise and send a lot.
func (r *Receiver) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = nil
}

// Begun is how many requests have come, the unanswered among them.
func (r *Receiver) Begun() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun
}

// Connections is how many connections were opened to it.
func (r *Receiver) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// serve reads a request whole and answers it.
func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxBody))
	if err != nil {
		return // the sender was killed
	}
	h, f := r.meet(req.URL.RequestURI(), req.Header, body)
	r.record(h, f)
	if f.play == nil {
		f.write(w)
		return
	}
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer r.work.Done()
	r.adopt(c)
	defer r.drop(c)
	f.play(exchange{Conn: c, end: r.end})
}

// meet checks a request and decides what it gets.
func (r *Receiver) meet(path string, header http.Header, body []byte) (Hook, Fault) {
	h := Hook{ID: header.Get("webhook-id"), Path: path, Header: header, Body: body, At: time.Now()}
	var why error
	for _, s := range r.trusted {
		if err := s.hook.Verify(body, header); err != nil {
			why = err
			continue
		}
		h.SignedWith = append(h.SignedWith, s.secret)
	}
	if len(r.trusted) > 0 && len(h.SignedWith) == 0 {
		r.t.Errorf("receiver: signature of %s: %v", h.ID, why)
	}
	r.mu.Lock()
	r.begun++
	h.N = r.begun
	decide, f := r.decided, OK
	if len(r.script) > 0 {
		f, r.script, decide = r.script[0], r.script[1:], nil
	}
	r.mu.Unlock()
	if decide != nil {
		f = r.wait(func() Fault { return decide(h) })
	}
	return h, f
}

// wait returns what decide says, or at the test's end HangUp: a test that fails does not let go what it holds.
func (r *Receiver) wait(decide func() Fault) Fault {
	decided := make(chan Fault, 1)
	go func() { decided <- decide() }()
	select {
	case f := <-decided:
		return f
	case <-r.end:
		return HangUp
	}
}

// record keeps a request with its answer, before that is given: whoever sees what the answer caused finds it here.
func (r *Receiver) record(h Hook, f Fault) {
	h.Fault, h.Status = f.Name, f.Status
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, h)
}

func (r *Receiver) adopt(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw[c] = struct{}{}
}

func (r *Receiver) drop(c net.Conn) {
	_ = c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.raw, c)
}

// Lane says in which order hooks belong: the lane's numbers must grow.
type Lane func(Hook) (lane string, number int)

// Disorder returns what came out of its lane's order, in words, counting first acceptances alone.
func (l Hooks) Disorder(of Lane) (wrong []string) {
	last := map[string]int{}
	for _, h := range l.First() {
		lane, n := of(h)
		if before, ok := last[lane]; ok && n < before {
			wrong = append(wrong, fmt.Sprintf("%s: %d after %d", strings.TrimSpace(lane), n, before))
			continue
		}
		last[lane] = n
	}
	return wrong
}

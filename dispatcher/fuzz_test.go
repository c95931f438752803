package dispatcher

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testfuzz"
)

// FuzzAnswer delivers to a receiver that answers with any bytes: nothing panics, the outcome is one of the classes, and what is kept of it is bounded and
// can be stored.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 204 \r\n\r\n", "HTTP/1.1 410 Gone\r\n\r\n", "HTTP/1.1 503 x\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 301 x\r\nLocation: http://169.254.169.254/\r\n\r\n",
		"HTTP/1.1 429 x\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08", "HTTP/1.1 200 OK\r\nX-\xff: \x00\r\nSet-Cookie: a=b\r\n\r\n\xff\x00", "HTTP/1.1 999 \r\n\r\n", "HTTP/1.1 -1 x\r\n\r\n", "HTTP/1.1 -00 x\r\n\r\n", "HTTP/1.1 000 x\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x46", "", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"HTTP/1.1 500 x\r\nX: " + strings.Repeat("y", 2*headersKept) + "\r\n\r\n" + strings.Repeat("z", 2*bodyKept),
	} {
		f.Add([]byte(seed))
	}
	listener, err := (&net.ListenConfig{}).Listen(f.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	log.SetOutput(io.Discard) // net/http writes there what a receiver says without being asked
	f.Cleanup(func() { log.SetOutput(os.Stderr) })
	answers, ended := make(chan []byte, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write(<-answers)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	f.Cleanup(func() { _ = listener.Close(); <-ended })
	d := &Dispatcher{client: newClient(netguard.New(netguard.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}))}
	f.Cleanup(d.client.CloseIdleConnections)
	to := &target{url: "http://" + listener.Addr().String() + "/secret-path", secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", timeout: 5 * time.Second}
	testfuzz.Run(f, func(t *testing.T, answer []byte) {
		answers <- answer
		o := d.attemptDelivery(t.Context(), delivery{eventID: events.NewID(), claimedAt: time.Now(), body: []byte(`{"type":"x"}`), target: to})
		d.client.CloseIdleConnections()
		switch o.class {
		case classOK, classStatus:
			if o.status == 0 || (o.class == classOK) != (o.status >= 200 && o.status < 300) || o.err != "" {
				t.Errorf("%q: %+v", answer, o)
			}
		case classBroken, classTimeout:
			if o.status != 0 || o.err == "" || len(o.err) > errorKept || !utf8.ValidString(o.err) || strings.Contains(o.err, "secret-path") {
				t.Errorf("%q: %+v", answer, o)
			}
		default:
			t.Errorf("%q: %+v", answer, o)
		}
		var kept map[string]string
		if len(o.headers) > 0 && (json.Unmarshal(o.headers, &kept) != nil || len(o.headers) > 7*headersKept || kept["Set-Cookie"] != "" || strings.Contains(string(o.headers), `\u0000`)) {
			t.Errorf("%q: headers %s", answer, o.headers)
		}
		if len(o.answer) > bodyKept || o.retryAfter < 0 || o.retryAfter > maxRetryAfter || o.took > 5*time.Second {
			t.Errorf("%q: %d bytes, again after %v, took %v", answer, len(o.answer), o.retryAfter, o.took)
		}
		if now := time.Now(); o.retryAfter == 0 {
			if after := retryAfter(http.Header{"Retry-After": {string(answer)}}, now); after < 0 || after > maxRetryAfter {
				t.Errorf("%q: again after %v", answer, after)
			}
		}
	})
}

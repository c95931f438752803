package receivertest

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Fault is what a receiver does to one request, once it has it whole. Status is the one that the sender gets to know, 0 for none.
type Fault struct {
	Name   string
	Status int
	header http.Header
	// play does it on the bare connection; nil: an ordinary answer.
	play func(exchange)
	// goAway is what an HTTP/2 connection does instead.
	goAway goAway
}

// write answers as an ordinary server does.
func (f Fault) write(w http.ResponseWriter) {
	for k, v := range f.header {
		w.Header()[k] = v
	}
	w.WriteHeader(f.Status)
	_, _ = io.WriteString(w, "answer")
}

// OK answers 200.
var OK = Status(http.StatusOK)

// Gone answers 410: the receiver wants no more.
var Gone = Status(http.StatusGone)

// Status answers a status, which may be one that nobody knows, such as 999.
func Status(status int) Fault { return Fault{Name: "status " + strconv.Itoa(status), Status: status} }

// RetryAfter answers 429 and when to come again, in whatever form.
func RetryAfter(value string) Fault {
	return Fault{Name: "Retry-After " + value, Status: http.StatusTooManyRequests, header: http.Header{"Retry-After": {value}}}
}

// Redirect answers 302 to another place.
func Redirect(location string) Fault {
	return Fault{Name: "redirect to " + location, Status: http.StatusFound, header: http.Header{"Location": {location}}}
}

// RedirectToMetadata leads to where clouds keep the credentials of their machines.
var RedirectToMetadata = Redirect("http://169.254.169.254/latest/meta-data/")

// Says writes text in the place of an answer (with \n for CRLF) and closes the connection. status is what it says, 0 when that is no answer.
func Says(name string, status int, text string) Fault {
	return raw(name, status, func(c exchange) { c.say(text) })
}

// The faults that hang hold the connection until the sender ends it, or the test.
var (
	HangBeforeHeaders = raw("hangs before the headers", 0, exchange.hang)
	HangInMidHeaders  = raw("hangs in mid-headers", 0, func(c exchange) { c.say("HTTP/1.1 200 OK\nX-"); c.hang() })
	HangInMidBody     = raw("hangs in mid-body", 200, func(c exchange) { c.say("HTTP/1.1 200 OK\nContent-Length: 10\n\nabc"); c.hang() })
)

// The faults that end the connection.
var (
	HangUp             = raw("closes without an answer", 0, func(exchange) {})
	ResetBeforeHeaders = raw("resets before the headers", 0, exchange.reset)
	ResetAfterHeaders  = raw("resets after the headers", 200, func(c exchange) {
		c.say("HTTP/1.1 200 OK\nContent-Length: 10\n\n")
		c.reset()
	})
	ShortBody = Says("ends the body early", 200, "HTTP/1.1 200 OK\nContent-Length: 10\n\nabc")
	NotHTTP   = Says("is no HTTP", 0, "220 mail ready\n\n")
)

// EndlessHeader never comes to the end of a field.
var EndlessHeader = raw("a header without end", 0, func(c exchange) {
	c.say("HTTP/1.1 200 OK\nX-A: ")
	c.pour(bytes.Repeat([]byte("a"), 1<<16), 1<<40)
})

// OneByteASecond answers 200, headers and all, a byte a second.
var OneByteASecond = raw("1 byte a second", 0, func(c exchange) { c.dribble("HTTP/1.1 200 OK\nContent-Length: 6\n\nanswer") })

// BodyOneByteASecond answers 200 at once, and a byte of the body a second.
var BodyOneByteASecond = raw("a body of 1 byte a second", 200, func(c exchange) {
	c.say("HTTP/1.1 200 OK\nContent-Length: 3600\n\n")
	c.dribble(strings.Repeat("a", 3600))
})

// Body answers 200 and size bytes.
func Body(size int64) Fault {
	return raw(fmt.Sprintf("a body of %d bytes", size), 200, func(c exchange) {
		c.say("HTTP/1.1 200 OK\nContent-Length: " + strconv.FormatInt(size, 10) + "\n\n")
		c.pour(make([]byte, 1<<16), size)
	})
}

// GzipBomb answers 200 and 1 MiB that grows to 1 GiB in the hands of one who decompresses it: 64 gzip members, which make one stream
// (RFC 1952, section 2.2), of 16 MiB of zeros each.
var GzipBomb = raw("a gzip bomb", 200, func(c exchange) {
	member := bombMember()
	c.say("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: " + strconv.Itoa(64*len(member)) + "\n\n")
	c.pour(member, int64(64*len(member)))
})

var bombMember = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a level that exists
	block := make([]byte, 1<<20)
	for range 16 {
		_, _ = w.Write(block) // a buffer takes all
	}
	_ = w.Close()
	return b.Bytes()
})

func raw(name string, status int, play func(exchange)) Fault {
	return Fault{Name: name, Status: status, play: play}
}

// An exchange is a connection on which a request has come whole.
type exchange struct {
	net.Conn
	end <-chan struct{} // closed when the test ends
}

func (c exchange) say(text string) { _, _ = io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")) }

// hang waits until the other side ends the connection.
func (c exchange) hang() { _, _ = io.Copy(io.Discard, c) }

// pour writes size bytes, block by block, unless the other side wants no more.
func (c exchange) pour(block []byte, size int64) {
	for size > 0 {
		n, err := c.Write(block[:min(size, int64(len(block)))])
		if size -= int64(n); err != nil {
			return
		}
	}
}

func (c exchange) dribble(text string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for _, b := range []byte(strings.ReplaceAll(text, "\n", "\r\n")) {
		select {
		case <-c.end:
			return
		case <-tick.C:
		}
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
	}
}

// reset ends the connection with RST.
func (c exchange) reset() {
	under := c.Conn
	if t, ok := under.(*tls.Conn); ok {
		under = t.NetConn()
	}
	if t, ok := under.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
		_ = t.Close()
	}
}

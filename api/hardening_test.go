package api

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// dial opens a connection to the API and sends the beginning of a request.
func (f *fixture) dial(text string) net.Conn {
	f.t.Helper()
	conn, err := new(net.Dialer).DialContext(f.t.Context(), "tcp", strings.TrimPrefix(f.base, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		f.t.Fatal(err)
	}
	return conn
}

// status is what a connection is answered within a while; 0 when it is closed without an answer, -1 when it is left to wait.
func status(t *testing.T, conn net.Conn, within time.Duration) int {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return -1
	case err != nil:
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

const whole = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

// TestHeadersThatDoNotEnd: a slow loris has its connection for as long as a header may take, however it drips; one of the size of a book is refused.
func TestHeadersThatDoNotEnd(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) {
		c.limits = defaultLimits
		c.limits.header = 2 * time.Second
	})
	began := time.Now()
	conn := f.dial("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ")
	go func() {
		for range 100 {
			if _, err := io.WriteString(conn, "a"); err != nil {
				return
			}
			<-time.After(100 * time.Millisecond) // a drip is what is tested
		}
	}()
	if got := status(t, conn, patience); got != 0 && got != 408 {
		t.Errorf("it is answered %d", got)
	}
	if took := time.Since(began); took < time.Second || took > 8*time.Second {
		t.Errorf("it is cut off after %s", took)
	}
	if got := status(t, f.dial("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "+strings.Repeat("a", 2*maxHeader)+"\r\n\r\n"), patience); got != 431 {
		t.Errorf("a header of %d bytes is answered %d", 2*maxHeader, got)
	}
	if got := status(t, f.dial(whole), patience); got != 200 {
		t.Errorf("a usual one is answered %d", got)
	}
}

// TestConnectionsAreBounded: those beyond the limit wait until another ends.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) {
		c.limits = defaultLimits
		c.limits.conns = 4
	})
	var held []net.Conn
	for range 4 {
		conn := f.dial(whole)
		if got := status(t, conn, patience); got != 200 {
			t.Fatalf("answered %d", got)
		}
		held = append(held, conn)
	}
	beyond := f.dial(whole)
	if got := status(t, beyond, time.Second); got != -1 {
		t.Errorf("a fifth is answered %d", got)
	}
	_ = held[0].Close()
	if got := status(t, beyond, patience); got != 200 {
		t.Errorf("once another has ended it is answered %d", got)
	}
}

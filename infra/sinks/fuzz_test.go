package sinks

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

// said is a connection whose other side has said all that it will.
type said struct {
	net.Conn
	io.Reader
}

func (s said) Read(p []byte) (int, error)  { return s.Reader.Read(p) }
func (s said) Write(p []byte) (int, error) { return len(p), nil }
func (s said) Close() error                { return nil }

// FuzzWire reads what a NATS server sends: what comes through is what was sent, up to where it is refused, and no line or message is larger than allowed.
func FuzzWire(f *testing.F) {
	for _, seed := range []string{
		"INFO {\"server_id\":\"x\",\"max_payload\":1048576}\r\nPING\r\n", "MSG a 1 5\r\nhello\r\n", "HMSG a 1 12 17\r\nNATS/1.0\r\n\r\nhello\r\n", "MSG a 1 -1\r\n", "MSG a 1 99999999999999999999\r\n", "MSG\r\n", "\r\n", "INFO [\r\n", "+OK\r\n-ERR 'x'\r\n",
		"INFO {\"tls_required\":true}\r\n", "msg a 1 3\n\x00\xff\n\n", strings.Repeat("x", 100), "H 1048577\r\n",
	} {
		f.Add([]byte(seed))
	}
	testfuzz.Run(f, func(t *testing.T, sent []byte) {
		wire := &natsWire{r: bufio.NewReaderSize(bytes.NewReader(sent), natsMost)}
		got, err := io.ReadAll(wire)
		if !bytes.HasPrefix(sent, got) || err == nil && len(got) != len(sent) && bytes.HasSuffix(sent, []byte("\n")) {
			t.Errorf("%q comes through as %q, %v", sent, got, err)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%q: %v", sent, err)
		}
		if n, err := payload(sent); n < 0 || n > natsMost || err != nil && n != 0 {
			t.Errorf("%q is followed by %d bytes, %v", sent, n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if conn, err := (&natsDialer{ctx: ctx, host: "h"}).greet(said{Reader: bytes.NewReader(sent)}); err == nil && (conn == nil || !bytes.HasPrefix(sent, []byte("INFO "))) {
			t.Errorf("%q is a greeting", sent)
		}
	})
}

// FuzzCheck looks at URLs of brokers: what is taken has a host and a subject that NATS takes, and no refusal shows the URL, which may hold a password.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		"nats://localhost:4222/chasqui.{type}.{session}", "nats://user:password@[::1]/a", "nats+tls://h", "nats://h/a..b", "nats://h/$SYS.x", "nats://h/_INBOX.a", "nats://h/a b", "nats://h/a>", "nats://h/%00", "nats://h/{type}", "nats:h", "NATS://H", "http://h", "nats://", "nats://h/" + strings.Repeat("a", 300), "nats://h/a\u00a0",
	} {
		f.Add(seed)
	}
	testfuzz.Run(f, func(t *testing.T, text string) {
		u, s, err := parse(text)
		if err != nil {
			if len(err.Error()) > 300 || strings.Contains(err.Error(), "password") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		subject := fill(s.topicTemplate(u), "message.received", "sales")
		if u.Hostname() == "" || subject == "" || strings.ContainsAny(subject, " \t\r\n\x00*>") || strings.Contains(subject, "..") || len(subject) > natsSubjectMost+100 {
			t.Errorf("%q is taken, with the subject %q", text, subject)
		}
	})
}

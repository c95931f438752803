package sinks

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testnats"
	"github.com/chasqui/chasqui/infra/testwire"
)

// play starts a server that does with each connection what it likes.
func play(t *testing.T, act func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	end := make(chan struct{})
	t.Cleanup(func() { l.Close(); close(end); work.Wait() })
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				stop := make(chan struct{})
				work.Go(func() {
					select {
					case <-end:
					case <-stop:
					}
					c.Close()
				})
				act(c)
				close(stop)
			})
		}
	})
	return l.Addr().String()
}

const greeting = `INFO {"server_id":"x","version":"2.0","proto":1,"headers":true,"max_payload":1048576}` + "\r\n"

// greeted greets and lets the client log in; once it has published something, answer takes over.
func greeted(answer string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, greeting)
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch {
			case strings.HasPrefix(line, "PING"):
				_, _ = io.WriteString(c, "PONG\r\n")
			case strings.HasPrefix(line, "HPUB"):
				_, _ = io.WriteString(c, answer)
			}
		}
	}
}

// A server's word is taken for nothing that could cost more than its own connection. A message of 2^63 bytes would end the process.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	var taken atomic.Int64
	endless := func(c net.Conn) {
		_, _ = io.WriteString(c, "INFO {\"x\":\"")
		for block := strings.Repeat("a", 1<<16); ; {
			n, err := io.WriteString(c, block)
			taken.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
	t.Cleanup(func() {
		if n := taken.Load(); n > 32<<20 { // what is read is 32 KiB; the system's buffers hold some MiB
			t.Errorf("%d bytes of a greeting were taken", n)
		}
	})
	for name, act := range map[string]func(net.Conn){
		"a greeting without end":       endless,
		"HTTP":                         func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"a greeting that is no JSON":   func(c net.Conn) { _, _ = io.WriteString(c, "INFO {\r\n") },
		"hangs up":                     func(net.Conn) {},
		"hangs up after the greeting":  func(c net.Conn) { _, _ = io.WriteString(c, greeting) },
		"a line without end":           greeted("MSG " + strings.Repeat("a", 1<<20)),
		"a message of 2^63 bytes":      greeted("MSG a 1 9223372036854775807\r\nabc"),
		"a message of 1 TB":            greeted("HMSG a 1 12 1000000000000\r\nNATS/1.0\r\n\r\n"),
		"a message of more than 2^64":  greeted("MSG a 1 99999999999999999999999\r\nabc"),
		"a message of less than none":  greeted("MSG a 1 -5\r\nabc"),
		"a word that nobody knows":     greeted("WHAT\r\n"),
		"an error that nobody knows":   greeted("-ERR 'go away'\r\n"),
		"gives up in mid-conversation": greeted("-ERR 'Stale Connection'\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPool(t)
			var r *RefusedError
			_, err := send(t, p, "nats://user:hunter2@"+play(t, act)+"/wa.x", event(1))
			if err == nil || errors.As(err, &r) || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want a connection that breaks", err)
			}
		})
	}
}

// Whatever a server does not do, an attempt ends with its time.
func TestSlowServers(t *testing.T) {
	t.Parallel()
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, act := range map[string]func(net.Conn){
		"never greets":        silent,
		"greets, and no more": func(c net.Conn) { _, _ = io.WriteString(c, greeting); silent(c) },
		"never acknowledges":  greeted(""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPool(t)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			began := time.Now()
			if _, err := p.Send(ctx, "nats://"+play(t, act)+"/wa.x", event(1)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want a time-out", err)
			}
			if took := time.Since(began); took > 3*time.Second { // with a margin for a busy machine
				t.Errorf("took %s", took)
			}
		})
	}
}

// A network that swallows everything, while more is written than the system's buffers hold: nats.go waits for its lock then.
func TestABlackHoleEndsEverySendByItsTime(t *testing.T) {
	t.Parallel()
	s, p := testnats.Start(t), newPool(t)
	s.Stream(events)
	wire := testwire.Forward(t, "tcp", s.Addr())
	url := "nats://" + wire.Addr() + "/wa.x"
	if _, err := send(t, p, url, event(0)); err != nil {
		t.Fatal(err)
	}
	wire.Blackhole()
	began := time.Now()
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			e := event(n + 1)
			e.Body = make([]byte, 900<<10)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := p.Send(ctx, url, e); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want a time-out", err)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > 4*time.Second { // with a margin for a busy machine, short of the time that a write may take
		t.Errorf("took %s", took)
	}
	wire.Mend()
	if answer, err := send(t, p, url, event(100)); err != nil || answer["Nats-Duplicate"] != "" {
		t.Errorf("after it: %v, %v", answer, err)
	}
}

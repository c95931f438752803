package sandbox_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types/events"
	waLog "go.mau.fi/whatsmeow/util/log"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// benchSessions is how many sessions BenchmarkSessions connects, SANDBOX_BENCH_SESSIONS or 1,000.
func benchSessions() int {
	if n, err := strconv.Atoi(os.Getenv("SANDBOX_BENCH_SESSIONS")); err == nil {
		return n
	}
	return 1000
}

// session is a linked client with its store in memory.
type session struct {
	*whatsmeow.Client
	qr        chan string
	paired    chan struct{}
	connected chan struct{}
}

func newSession(s *sandbox.Sandbox, container *keystore.Container) *session {
	c := &session{qr: make(chan string, 1), paired: make(chan struct{}, 1), connected: make(chan struct{}, 8)}
	c.Client = whatsmeow.NewClient(container.NewDevice(keystore.Options{}), waLog.Noop)
	c.EnableDecryptedEventBuffer, c.SynchronousAck = true, true
	client := s.HTTPClient()
	c.SetWebsocketHTTPClient(client)
	c.SetPreLoginHTTPClient(client)
	c.SetMediaHTTPClient(client)
	c.AddEventHandler(func(event any) {
		switch e := event.(type) {
		case *events.QR:
			c.qr <- e.Codes[0]
		case *events.PairSuccess:
			c.paired <- struct{}{}
		case *events.Connected:
			c.connected <- struct{}{}
		}
	})
	return c
}

// each calls do for every number up to n, some at a time.
func each(b *testing.B, n, atOnce int, do func(int) error) {
	b.Helper()
	turns := make(chan struct{}, atOnce)
	var work sync.WaitGroup
	for i := range n {
		turns <- struct{}{}
		work.Go(func() {
			defer func() { <-turns }()
			if err := do(i); err != nil {
				b.Errorf("session %d: %v", i, err)
			}
		})
	}
	work.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// wait takes from a channel within 60 s.
func wait[T any](ch <-chan T, what string) (got T, err error) {
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case got = <-ch:
		return got, nil
	case <-timer.C:
		return got, fmt.Errorf("no %s within a minute", what)
	}
}

// memory is what the process uses once the garbage is gone: the heap and the stacks that are live, and all that it has from the system.
func memory() (live, total uint64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse, m.Sys - m.HeapReleased
}

// BenchmarkSessions links sessions to sinks beside 10,000 stubs, cuts all of them and measures how long it takes until every one is
// connected again, and what the process then holds: the sandbox, and the clients themselves, whose share is that of the process under test.
func BenchmarkSessions(b *testing.B) {
	const stubs = 10_000
	n := benchSessions()
	for range b.N {
		before, _ := memory()
		s := sandbox.New(sandbox.Config{Addr: "127.0.0.1:0", Logger: quiet()})
		if err := s.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(s.Stop)
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
		defer cancel()
		begun := time.Now()
		if _, _, err := s.CreatePhone(ctx, sandbox.NewPhone{Number: "5491100000000", Name: "Stub", Level: server.Stub, Count: stubs}); err != nil {
			b.Fatal(err)
		}
		withStubs, _ := memory()
		b.ReportMetric(time.Since(begun).Seconds(), "stubs-s")
		b.ReportMetric(float64(withStubs-before)/stubs, "B/stub")
		if _, _, err := s.CreatePhone(ctx, sandbox.NewPhone{Number: "5491200000000", Name: "Sink", Level: server.Sink, Count: n}); err != nil {
			b.Fatal(err)
		}

		container := keystore.New(journal.NewMemory())
		sessions := make([]*session, n)
		begun = time.Now()
		each(b, n, 16, func(i int) error {
			c := newSession(s, container)
			sessions[i] = c
			if err := c.Connect(); err != nil {
				return err
			}
			qr, err := wait(c.qr, "QR code")
			if err != nil {
				return err
			}
			if _, err := s.Scan(ctx, fmt.Sprint(5491200000000+i), qr); err != nil {
				return err
			}
			_, err = wait(c.connected, "login")
			return err
		})
		b.ReportMetric(time.Since(begun).Seconds(), "pairing-s")
		for _, c := range sessions {
			c.Disconnect()
		}

		begun = time.Now()
		each(b, n, n, func(i int) error {
			if err := sessions[i].Connect(); err != nil {
				return err
			}
			_, err := wait(sessions[i].connected, "login")
			return err
		})
		b.ReportMetric(time.Since(begun).Seconds(), "connecting-s")
		if got := s.Stats(); got.Connections != int64(n) || got.UnknownStanzas != 0 {
			b.Errorf("%d connections, %d unknown stanzas", got.Connections, got.UnknownStanzas)
		}
		live, total := memory()
		b.ReportMetric(float64(live-withStubs)/float64(n)/1024, "KB/session")
		b.ReportMetric(float64(live)/(1<<20), "MB-live")
		b.ReportMetric(float64(total)/(1<<20), "MB-from-system")
		for _, c := range sessions {
			c.Disconnect()
		}
	}
}

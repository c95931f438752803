package sinks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testnats"
	"github.com/chasqui/chasqui/infra/testwire"
)

func TestManySendsShareOneConnection(t *testing.T) {
	t.Parallel()
	s, p := testnats.Start(t), newPool(t)
	s.Stream(events)
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			if _, err := send(t, p, s.URL("/wa.{type}"), event(n)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.Clients(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if n := len(s.Messages("EVENTS")); n != 200 {
		t.Errorf("%d messages", n)
	}
}

func TestIdlePublishersAreClosed(t *testing.T) {
	t.Parallel()
	s, p := testnats.Start(t), newPool(t)
	s.Stream(events)
	for n := range 3 {
		if _, err := send(t, p, s.URL(fmt.Sprint("/wa.", n)), event(n)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Clients(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	p.mu.Lock()
	p.idleMost = 2
	p.mu.Unlock()
	if _, err := send(t, p, s.URL("/wa.3"), event(3)); err != nil { // makes two too many
		t.Fatal(err)
	}
	eventually(t, "two are left", func() bool { return s.Clients() == 2 })
	p.mu.Lock()
	if p.lines[s.URL("/wa.2")] == nil || p.lines[s.URL("/wa.3")] == nil {
		t.Error("those used last are not those kept")
	}
	p.idleTime = 50 * time.Millisecond
	p.mu.Unlock()
	if _, err := send(t, p, s.URL("/wa.2"), event(4)); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.sweep.Reset(p.idleTime) // which was set for five minutes
	p.mu.Unlock()
	eventually(t, "none is left", func() bool { return s.Clients() == 0 })
	if _, err := send(t, p, s.URL("/wa.2"), event(5)); err != nil {
		t.Error(err)
	}
	eventually(t, "none is left again", func() bool { return s.Clients() == 0 })
}

func TestADeadConnectionIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	s, p := testnats.Start(t), newPool(t)
	s.Stream(events)
	wire := testwire.Forward(t, "tcp", s.Addr())
	for n, url := range []string{s.URL("/wa.x"), "nats://" + wire.Addr() + "/wa.y"} {
		if _, err := send(t, p, url, event(n)); err != nil {
			t.Fatal(err)
		}
	}
	s.Stop()
	s.Restart()
	wire.Cut()
	wire.Mend()
	for n, url := range []string{s.URL("/wa.x"), "nats://" + wire.Addr() + "/wa.y"} {
		if _, err := send(t, p, url, event(10+n)); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if n := len(s.Messages("EVENTS")); n != 4 {
		t.Errorf("%d messages, want 4: the stream outlives its server", n)
	}
	s.Stop()
	_, err := send(t, p, s.URL("/wa.x"), event(20))
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("got %v, want what the dialer said", err)
	}
	s.Restart()
	if _, err := send(t, p, s.URL("/wa.x"), event(20)); err != nil {
		t.Error(err)
	}
}

// What waits in a socket that was given up on must not arrive once the network is back: later events would be overtaken by it.
func TestWhatWasGivenUpOnIsNotSentLater(t *testing.T) {
	t.Parallel()
	s, p := testnats.Start(t), newPool(t)
	s.Stream(events)
	wire := testwire.Forward(t, "tcp", s.Addr())
	url := "nats://" + wire.Addr() + "/wa.x"
	if _, err := send(t, p, url, event(0)); err != nil {
		t.Fatal(err)
	}
	wire.Blackhole()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.Send(ctx, url, event(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	p.work.Wait() // the connection is closed
	wire.Mend()
	if _, err := send(t, p, url, event(2)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old connection is gone", func() bool { return s.Clients() == 1 })
	if list := s.Messages("EVENTS"); len(list) != 2 || list[1].Header.Get("Nats-Msg-Id") != "evt_2" {
		t.Errorf("%d messages", len(list))
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	s := testnats.Start(t)
	s.Stream(events)
	p := NewPool(localDial())
	p.Close() // with nothing in it
	p.Close()
	if _, err := send(t, p, s.URL("/wa.x"), event(0)); err == nil {
		t.Error("a closed pool sends")
	}

	// One is open, one is being opened, to a server that never greets.
	var dialled atomic.Int32
	dial := localDial()
	p = NewPool(func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		return dial(ctx, network, address)
	})
	if _, err := send(t, p, s.URL("/wa.x"), event(1)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	silent := play(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) })
	go func() {
		_, err := p.Send(context.Background(), "nats://"+silent+"/wa.x", event(2))
		ended <- err
	}()
	eventually(t, "both were dialled", func() bool { return dialled.Load() == 2 })
	began := time.Now()
	p.Close()
	if err := <-ended; err == nil || time.Since(began) > openTimeout/2 {
		t.Errorf("the opening ended with %v after %s", err, time.Since(began))
	}
	eventually(t, "no connection is left", func() bool { return s.Clients() == 0 })
}

package connector

import (
	"bytes"
	"context"
	"errors"
	"net"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"

	"github.com/chasqui/chasqui/events"
)

// labelled returns the stacks of the goroutines that have the pprof label test=name.
func labelled(t testing.TB, name string) (stacks []string) {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	for _, stack := range strings.Split(profile.String(), "\n\n") {
		if strings.Contains(stack, `"test":"`+name+`"`) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// Connections end in the middle of a flood, by us and by the server at the same moment. Ended by Client.Disconnect this is a data race.
func TestConnectionsThatEndInAFloodLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.prepared()
	pprof.Do(t.Context(), pprof.Labels("test", t.Name()), func(context.Context) { // all goroutines of the connector inherit the label
		if err := c.Start(b.ctx()); err != nil {
			t.Fatal(err)
		}
	})
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	if len(labelled(t, t.Name())) == 0 {
		t.Fatal("no goroutine has the label")
	}
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	flood.Go(func() {
		for ctx.Err() == nil {
			if _, err := b.sandbox.SendText(ctx, juan, owner, "text"); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	for round := range 12 {
		before := c.session("sales").sender()
		had := one[int](b, `SELECT count(*)::int FROM messages`)
		b.await("messages", func() bool { return one[int](b, `SELECT count(*)::int FROM messages`) > had })
		if round%2 == 0 {
			go b.sandbox.Disconnect("")
		}
		b.exec(`UPDATE sessions SET restarts = restarts + 1`)
		b.await("another connection", func() bool {
			conn := c.session("sales").sender()
			return conn != nil && conn != before
		})
	}
	stop()
	flood.Wait()
	b.stop(c)
	var left []string
	b.awaitFor(patience/2, "all goroutines to end", func() bool {
		left = labelled(t, t.Name())
		return len(left) == 0
	})
}

func TestACutLineWritesNothingMore(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := newLine(func() bool { return true })
	near, err := l.dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	l.cut()
	l.cut()
	if _, err := near.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("written after the cut: %v", err)
	}
	if n, err := far.Read(make([]byte, 8)); n != 0 || err == nil {
		t.Errorf("the other side got %d bytes, %v", n, err)
	}
	select {
	case <-l.idle:
		t.Error("at rest before its user has closed the connection")
	default:
	}
	_ = near.Close()
	_ = near.Close()
	<-l.idle
	if _, err := l.dial(t.Context(), "tcp", listener.Addr().String()); err == nil {
		t.Error("a cut line dialled")
	}
}

// What follows a failure is neither sent nor acknowledged on this connection; the next one does it.
func TestAFailedConnectionIsCutAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	conn := c.session("sales").sender()
	conn.fail(errors.New("the test says so"))
	if conn.line.ctx.Err() == nil {
		t.Error("the line of a failed connection is not cut")
	}
	if err := conn.client.SendPresence(b.ctx(), "unavailable"); err == nil {
		t.Error("a failed connection still sends")
	}
	b.awaitStatus(b.send("sales", juan, "hello"), events.StatusDelivered)
}

package connector

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox/server"
	"github.com/chasqui/chasqui/infra/testwire"
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

// lineTo is a connection on a line, and its other side.
func lineTo(t *testing.T, l *line) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if near, err = l.dial(t.Context(), "tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	return near, far
}

func TestALineRefusesWhatLeavesOrComesAfterTheClaimsEnd(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"leaves", "comes"} {
		var claim term
		claim.extend(time.Now())
		l := newLine(claim.holds)
		near, far := lineTo(t, l)
		if _, err := near.Write([]byte("in time")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, make([]byte, len("in time"))); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		claim.extend(time.Now().Add(claimMargin - claimLength)) // as after a stop
		var err error
		if way == "leaves" {
			_, err = near.Write([]byte("late"))
		} else {
			_, err = near.Read(make([]byte, 8))
		}
		if !errors.Is(err, errClaimLost) {
			t.Errorf("what %s was let through: %v", way, err)
		}
		_ = far.SetReadDeadline(time.Now().Add(patience))
		if n, err := far.Read(make([]byte, 8)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the other side got %d bytes, %v", n, err)
		}
		if l.ctx.Err() == nil {
			t.Error("the line is not cut")
		}
	}
}

// A network may lose every packet and tell nobody.
func TestALineNoticesThatTheOtherSideHasVanished(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Log("packets are lost on Linux alone; elsewhere the questions alone are asked")
		return
	}
	for name, pending := range map[string]bool{"idle": false, "with something unsent": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			wire := testwire.Forward(t, "tcp", server.Addr().String())
			l := newLine(func() bool { return true })
			defer l.cut()
			near, err := l.dial(t.Context(), "tcp", wire.Addr())
			if err != nil {
				t.Fatal(err)
			}
			far, err := server.Accept() // so that the wire stands
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			wire.Blackhole()
			began := time.Now()
			if pending {
				if _, err := near.Write([]byte("ping")); err != nil {
					t.Fatal(err)
				}
			}
			_ = near.SetReadDeadline(time.Now().Add(patience))
			_, err = near.Read(make([]byte, 1))
			took := time.Since(began)
			t.Logf("noticed after %s: %v", took.Round(100*time.Millisecond), err)
			if !errors.Is(err, syscall.ETIMEDOUT) || took > 30*time.Second {
				t.Errorf("it took %s: %v", took, err)
			}
		})
	}
}

func TestACutLineWritesNothingMore(t *testing.T) {
	t.Parallel()
	l := newLine(func() bool { return true })
	near, far := lineTo(t, l)
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
	if _, err := l.dial(t.Context(), "tcp", far.LocalAddr().String()); !errors.Is(err, net.ErrClosed) && !errors.Is(err, context.Canceled) {
		t.Errorf("a cut line dialled: %v", err)
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

// whatsmeow lets a send whose connection is lost wait 5 s for the next one, and the session's next connection would wait for that.
func TestALostConnectionIsMadeAgainAtOnceWithACommandInHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	b.sandbox.SetFaults(server.Faults{AckDelay: 30 * time.Second})
	before := c.session("sales").sender()
	id := b.send("sales", juan, "hello")
	b.shown(juan, 1) // and the acknowledgement is still to come
	b.sandbox.SetFaults(server.Faults{})
	began := time.Now()
	b.sandbox.Disconnect("")
	b.await("another connection", func() bool {
		conn := c.session("sales").sender()
		return conn != nil && conn != before
	})
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
	b.awaitStatus(id, events.StatusDelivered)
}

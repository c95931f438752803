package testwire

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// echo is a server that says what it hears.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return listener.Addr().String()
}

func dial(t *testing.T, w *Wire) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", w.Addr(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// say sends a word and returns what comes back within d.
func say(c net.Conn, word string, d time.Duration) (string, error) {
	if _, err := c.Write([]byte(word)); err != nil {
		return "", err
	}
	_ = c.SetReadDeadline(time.Now().Add(d))
	answer := make([]byte, len(word))
	_, err := io.ReadFull(c, answer)
	return string(answer), err
}

func TestWireBreaksAndMends(t *testing.T) {
	t.Parallel()
	w := Forward(t, "tcp", echo(t))
	c := dial(t, w)
	if got, err := say(c, "one", 5*time.Second); got != "one" {
		t.Fatalf("open: %q, %v", got, err)
	}
	for i, breaks := range []func(){w.Mute, w.Blackhole} {
		breaks()
		if fresh, err := net.DialTimeout("tcp", w.Addr(), 100*time.Millisecond); err == nil {
			_ = fresh.Close()
			if runtime.GOOS == "linux" && i == 1 {
				t.Error("a blackhole took a connection")
			}
		}
		if got, err := say(c, "two", 100*time.Millisecond); err == nil {
			t.Fatalf("broken: %q came back", got)
		}
		w.Mend()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer := make([]byte, 3)
		if _, err := io.ReadFull(c, answer); string(answer) != "two" {
			t.Fatalf("mended: %q, %v", answer, err)
		}
	}
	w.Strand()
	if got, err := say(c, "gone", 100*time.Millisecond); err == nil {
		t.Fatalf("stranded: %q came back", got)
	}
	c = dial(t, w)
	if got, err := say(c, "new", 5*time.Second); got != "new" {
		t.Fatalf("beside a stranded one: %q, %v", got, err)
	}
	w.Cut()
	if got, err := say(c, "three", 5*time.Second); err == nil {
		t.Fatalf("cut: %q came back", got)
	}
	if fresh, err := net.DialTimeout("tcp", w.Addr(), 5*time.Second); err == nil { // which the reset may be too slow for
		defer fresh.Close()
		if got, err := say(fresh, "four", 5*time.Second); err == nil {
			t.Fatalf("cut: %q came back", got)
		}
	}
	w.Mend()
	if got, err := say(dial(t, w), "five", 5*time.Second); got != "five" {
		t.Fatalf("mended: %q, %v", got, err)
	}
}

package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/tests3"
)

// TestAServerThatComesLater: what was opened without it works once it is there, its bucket included.
func TestAServerThatComesLater(t *testing.T) {
	t.Parallel()
	config := tests3.New(t)
	target := strings.TrimPrefix(config.Endpoint, "http://")
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := door.Addr().String()
	if err := door.Close(); err != nil {
		t.Fatal(err)
	}
	config.Endpoint = "http://" + address
	s := open(t, config)
	if _, err := s.Put(t.Context(), "key", stream(random(10)), 10, ""); !s3.Unavailable(err) {
		t.Fatalf("put without the server: %v", err)
	}
	if door, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	var forwarding sync.WaitGroup
	forwarding.Go(func() {
		for {
			client, err := door.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			forwarding.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
			forwarding.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
		}
	})
	t.Cleanup(func() { _ = door.Close(); s.Close(); forwarding.Wait() })
	put(t, s, "key", random(100))
}

func TestAServerThatIsDown(t *testing.T) {
	t.Parallel()
	tests3.EachServer(t, func(t *testing.T, server *tests3.Server) {
		s := open(t, server.Config)
		put(t, s, "secret-key", random(100))
		server.Stop()
		late, err := s3.Open(t.Context(), server.Config)
		if err != nil {
			t.Fatalf("a start without the server: %v", err)
		}
		t.Cleanup(late.Close)
		check := func(what string, err error) {
			t.Helper()
			if err == nil || !s3.Unavailable(err) || strings.Contains(err.Error(), "secret-key") {
				t.Errorf("%s: %v", what, err)
			}
		}
		check("ready", s.Ready(t.Context()))
		_, err = late.Put(t.Context(), "secret-key", stream(random(10)), 10, "")
		check("the first put", err)
		for _, size := range []int{10, 6 * mega} {
			_, err = s.Put(t.Context(), "secret-key", stream(random(size)), int64(size), "")
			check("put of known size", err)
			_, err = s.Put(t.Context(), "secret-key", stream(random(size)), -1, "")
			check("put of unknown size", err)
		}
		_, err = s.Get(t.Context(), "secret-key", 0, -1)
		check("get", err)
		_, err = s.Stat(t.Context(), "secret-key")
		check("stat", err)
		check("delete", s.Delete(t.Context(), "secret-key"))
		_, err = s.SweepUploads(t.Context(), time.Hour)
		check("sweep", err)
		for _, err = range s.List(t.Context(), "") {
			check("list", err)
		}
	})
}

// The server is killed when a part of the body has gone out. The put fails, the
// object is not there, and the same put succeeds when the server is back.
func TestAServerThatIsKilledInTheMiddleOfAPut(t *testing.T) {
	t.Parallel()
	tests3.EachServer(t, func(t *testing.T, server *tests3.Server) {
		s := open(t, server.Config)
		put(t, s, "kept", random(7*mega))
		for _, size := range []int64{-1, 24 * mega} {
			content := random(24 * mega)
			var killed error
			body := io.MultiReader(stream(content[:12*mega]), readerFunc(func([]byte) (int, error) {
				killed = server.Kill()
				return 0, io.EOF
			}), stream(content[12*mega:]))
			_, err := s.Put(t.Context(), "object", body, size, "")
			if killed != nil {
				t.Fatal(killed)
			}
			// With parts in memory the put may go on where the server left off, for it
			// keeps the parts that it has confirmed.
			if size > 0 && !s3.Unavailable(err) || err != nil && !s3.Unavailable(err) {
				t.Fatalf("size %d: %v", size, err)
			}
			if err != nil {
				if _, err := s.Stat(t.Context(), "object"); !errors.Is(err, s3.ErrNotFound) {
					t.Fatalf("size %d: the object is there: %v", size, err)
				}
				if _, err := s.Put(t.Context(), "object", stream(content), size, ""); err != nil {
					t.Fatalf("size %d: the second put: %v", size, err)
				}
			}
			if !bytes.Equal(get(t, s, "object", 0, -1), content) {
				t.Fatalf("size %d: the object differs", size)
			}
			if err := s.Delete(t.Context(), "object"); err != nil {
				t.Fatal(err)
			}
		}
		if size, err := s.Stat(t.Context(), "kept"); err != nil || size != 7*mega {
			t.Fatalf("what was put before: %d, %v", size, err)
		}
	})
}

func TestAServerThatIsKilledInTheMiddleOfAGet(t *testing.T) {
	t.Parallel()
	tests3.EachServer(t, func(t *testing.T, server *tests3.Server) {
		s := open(t, server.Config)
		content := random(40 * mega) // more than the sockets' buffers hold
		put(t, s, "object", content)
		body, err := s.Get(t.Context(), "object", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if _, err := io.CopyN(io.Discard, body, mega); err != nil {
			t.Fatal(err)
		}
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		// Nor may it be io.ErrUnexpectedEOF, which who fills buffers takes for the end of the file.
		if n, err := io.Copy(io.Discard, body); !s3.Unavailable(err) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d more bytes, %v", n, err)
		}
		if !bytes.Equal(get(t, s, "object", 0, -1), content) {
			t.Fatal("the object differs")
		}
	})
}

// proxy passes on to an S3 server what spoil does not answer itself.
func proxy(t *testing.T, config s3.Config, spoil func(http.ResponseWriter, *http.Request) bool) s3.Config {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	behind := strings.TrimPrefix(config.Endpoint, "http://")
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spoil(w, r) {
			return
		}
		on := r.Clone(r.Context()) // with the host that was signed
		on.URL.Scheme, on.URL.Host, on.RequestURI = "http", behind, ""
		response, err := transport.RoundTrip(on)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		for name, values := range response.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}))
	t.Cleanup(front.Close)
	config.Endpoint = front.URL
	return config
}

func TestSendsAgainWhatABusyServerRefused(t *testing.T) {
	t.Parallel()
	var busy atomic.Int32
	config := proxy(t, tests3.New(t), func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && r.ContentLength > 0 && busy.Add(-1) >= 0 {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	s := open(t, config)
	for _, size := range []int{100, 12 * mega} {
		content := random(size)
		busy.Store(2)
		if _, err := s.Put(t.Context(), "object", stream(content), -1, ""); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if !bytes.Equal(get(t, s, "object", 0, -1), content) {
			t.Fatalf("%d bytes differ", size)
		}
		busy.Store(3)
		if _, err := s.Put(t.Context(), "other", stream(content), -1, ""); !s3.Unavailable(err) {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
}

func TestFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(elsewhere.Close)
	var away atomic.Bool
	config := proxy(t, tests3.New(t), func(w http.ResponseWriter, r *http.Request) bool {
		if away.Load() {
			http.Redirect(w, r, elsewhere.URL+"/elsewhere", http.StatusTemporaryRedirect)
		}
		return away.Load()
	})
	s := open(t, config)
	away.Store(true)
	if _, err := s.Get(t.Context(), "object", 0, -1); err == nil {
		t.Error("a redirected get succeeds")
	}
	if _, err := s.Put(t.Context(), "object", strings.NewReader("x"), 1, ""); err == nil {
		t.Error("a redirected put succeeds")
	}
	if reached.Load() {
		t.Error("the redirect was followed")
	}
}

// A server that accepts a connection and says nothing holds nobody longer than
// the caller's context.
func TestASilentServerEndsWithTheContext(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = s3.Open(ctx, s3.Config{Endpoint: "http://" + listener.Addr().String(), Bucket: "bucket", AccessKey: "key", SecretKey: "secret"})
	if !errors.Is(err, context.DeadlineExceeded) || s3.Unavailable(err) {
		t.Fatal(err)
	}
}

// Two clients pass 100 MiB each at once. The limit is what media may take above an
// idle process; the garbage collector is left as it is.
func TestMemoryStaysSmall(t *testing.T) {
	const size, limit = 100 * mega, 20 * mega
	// Not parallel: other tests' memory would count.
	for _, stated := range []int64{size, -1} {
		s := open(t, tests3.New(t))
		peak := heapPeak(func() {
			each := make(chan error)
			for _, key := range []string{"one", "two"} {
				go func() {
					_, err := s.Put(t.Context(), key, io.LimitReader(zeros{}, size), stated, "")
					if err == nil {
						var body io.ReadCloser
						if body, err = s.Get(t.Context(), key, 0, -1); err == nil {
							_, err = io.Copy(struct{ io.Writer }{io.Discard}, body)
							body.Close()
						}
					}
					each <- err
				}()
			}
			for range 2 {
				if err := <-each; err != nil {
					t.Error(err)
				}
			}
		})
		t.Logf("size stated as %d: heap grew by %.1f MiB at most", stated, float64(peak)/mega)
		if peak > limit {
			t.Errorf("size stated as %d: heap grew by %d bytes, limit %d", stated, peak, limit)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// heapPeak is how much more memory the heap had at most while work ran, looked at
// every 5 ms.
func heapPeak(work func()) uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before, peak := stats.HeapAlloc, stats.HeapAlloc
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				runtime.ReadMemStats(&stats)
				peak = max(peak, stats.HeapAlloc)
			}
		}
	}()
	work()
	close(done)
	<-watched
	return peak - before
}

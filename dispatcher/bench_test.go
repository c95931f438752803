package dispatcher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/tests3"
)

const (
	// benchEndpoints share the events evenly, each with the standard 16 deliveries at once.
	benchEndpoints = 16
	// benchBatch is how many events are published in a transaction.
	benchBatch = 100
)

// benchText makes bodies of about 1 KiB, as most messages have.
var benchText = strings.Repeat("How are you? ", 60)

// BenchmarkDeliveries measures deliveries beside a plain client of net/http that posts the same bodies to the same receiver with as many at
// once. Through chasqui a delivery is claimed, signed, sent and finished, with its attempt logged; "from the queue" has the event's way into the
// log on top. The receiver runs in the same process, PostgreSQL beside it: all share the machine. At least 20,000 rounds tell something.
func BenchmarkDeliveries(b *testing.B) {
	b.Run("plain", newBenchStack(b, "none").plain)
	for _, order := range []string{"none", "chat", "session"} {
		b.Run("order "+order, func(b *testing.B) {
			s := newBenchStack(b, order)
			s.publish(b, b.N)
			s.exec(b, `UPDATE webhook_endpoints SET state = 'paused'`)
			d := s.dispatcher(b)
			eventually(b, "all are in the log", func() bool { return s.count(b, "held") == b.N })
			d.Stop(b.Context())
			s.exec(b, `UPDATE deliveries SET state = 'pending'`)
			s.exec(b, `VACUUM ANALYZE`)
			s.exec(b, `UPDATE webhook_endpoints SET state = 'active'`)
			s.deliver(b)
		})
	}
	b.Run("from the queue", func(b *testing.B) {
		s := newBenchStack(b, "none")
		s.publish(b, b.N)
		s.deliver(b)
	})
}

// deliver measures until b.N deliveries have arrived, and sees them finished.
func (s *benchStack) deliver(b *testing.B) {
	arrived := s.expect(b.N)
	b.ResetTimer()
	d := s.dispatcher(b)
	<-arrived
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	eventually(b, "all are finished", func() bool { return s.count(b, "succeeded") == b.N })
	if n := s.scan(b, `SELECT count(*) FROM attempts`); n != b.N {
		b.Errorf("%d attempts are logged, want %d", n, b.N)
	}
	d.Stop(b.Context())
}

// BenchmarkLatency measures the time from an event's publication to its arrival at the receiver at a steady 200 events/s, and beside it what a
// plain client takes for the same bodies at the same pace.
func BenchmarkLatency(b *testing.B) {
	s := newBenchStack(b, "none")
	const pace = 5 * time.Millisecond
	paced := func(b *testing.B, send func(body []byte)) {
		var wg sync.WaitGroup
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for range b.N {
			<-tick.C
			wg.Go(func() { send(s.body()) })
		}
		wg.Wait()
	}
	b.Run("plain", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
		defer client.CloseIdleConnections()
		s.expect(-1)
		var mu sync.Mutex
		var took []time.Duration
		paced(b, func(body []byte) {
			began := time.Now()
			post(b, client, s.urls[0], body)
			mu.Lock()
			took = append(took, time.Since(began))
			mu.Unlock()
		})
		reportLatency(b, took)
	})
	b.Run("chasqui", func(b *testing.B) {
		d := s.dispatcher(b)
		defer d.Stop(context.Background())
		arrived := s.expect(b.N)
		s.latency = true
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for range b.N {
			<-tick.C
			s.publish(b, 1)
		}
		<-arrived
		s.mu.Lock()
		defer s.mu.Unlock()
		reportLatency(b, s.took)
		s.took, s.latency = nil, false
	})
}

func reportLatency(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	for name, part := range map[string]float64{"p50-ms": 0.5, "p99-ms": 0.99} {
		b.ReportMetric(float64(took[int(part*float64(len(took)-1))].Microseconds())/1000, name)
	}
}

// A benchStack is a database, a receiver and endpoints of it.
type benchStack struct {
	dsn  string
	pool *pgxpool.Pool
	db   *queue.DB
	urls []string
	next int // the endpoint whose session the next event is of

	left    atomic.Int64 // requests to come
	arrived atomic.Pointer[chan struct{}]
	latency bool
	mu      sync.Mutex
	took    []time.Duration
}

func newBenchStack(b *testing.B, order string) *benchStack {
	s := &benchStack{dsn: testdb.DSN(b)}
	var err error
	if s.pool, err = postgres.Open(b.Context(), s.dsn, postgres.Options{Name: "bench"}); err != nil {
		b.Fatal(err)
	}
	notifier := queue.NewNotifier(s.pool)
	s.db = &queue.DB{Pool: s.pool, Notifier: notifier}
	b.Cleanup(func() { notifier.Close(); s.pool.Close() })
	server := httptest.NewServer(http.HandlerFunc(s.receive))
	b.Cleanup(server.Close)
	for i := range benchEndpoints {
		s.urls = append(s.urls, fmt.Sprintf("%s/%d", server.URL, i))
		_, err := s.pool.Exec(b.Context(), `INSERT INTO webhook_endpoints (id, url, secret, sessions, order_mode) VALUES ($1, $2, $3, ARRAY[$4], $5)`,
			events.NewID(), s.urls[i], "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", sessionOf(i), order)
		if err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func sessionOf(i int) string { return fmt.Sprintf("session-%d", i%benchEndpoints) }

func (s *benchStack) receive(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if s.latency {
		var e struct{ Timestamp time.Time }
		_ = json.Unmarshal(body, &e)
		s.mu.Lock()
		s.took = append(s.took, time.Since(e.Timestamp))
		s.mu.Unlock()
	}
	if s.left.Add(-1) == 0 {
		close(*s.arrived.Load())
	}
}

// expect returns a channel that is closed when n more requests have come.
func (s *benchStack) expect(n int) <-chan struct{} {
	done := make(chan struct{})
	s.arrived.Store(&done)
	s.left.Store(int64(n))
	return done
}

func (s *benchStack) body() []byte {
	body, _ := json.Marshal(events.Event{ID: events.EventPrefix.Format(events.NewID()), Type: events.MessageReceived, Timestamp: time.Now().UTC(), SessionID: sessionOf(0), Data: benchText})
	return body
}

func (s *benchStack) publish(b *testing.B, n int) {
	for n > 0 {
		batch := min(n, benchBatch)
		n -= batch
		err := s.db.InTx(b.Context(), func(tx *queue.Tx) error {
			for i := range batch {
				s.next++
				chat := fmt.Sprintf("%d@s.whatsapp.net", i)
				if _, err := events.Publish(tx, events.MessageReceived, sessionOf(s.next), chat, time.Now(), benchText); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func (s *benchStack) dispatcher(b *testing.B) *Dispatcher {
	d := New(Config{DSN: s.dsn, Guard: localGuard(), S3: tests3.Open(b), Version: "bench", Logger: silent()})
	if err := d.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { stopNow(d) })
	return d
}

func (s *benchStack) count(b *testing.B, state string) int {
	return s.scan(b, `SELECT count(*) FROM deliveries WHERE state = $1`, state)
}

func (s *benchStack) scan(b *testing.B, sql string, args ...any) (n int) {
	b.Helper()
	if err := s.pool.QueryRow(b.Context(), sql, args...).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

func (s *benchStack) exec(b *testing.B, sql string) {
	b.Helper()
	if _, err := s.pool.Exec(b.Context(), sql); err != nil {
		b.Fatal(err)
	}
}

// plain posts b.N bodies, as many at once as the endpoints together may have.
func (s *benchStack) plain(b *testing.B) {
	t := &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DialContext: (&net.Dialer{}).DialContext}
	client := &http.Client{Transport: t}
	defer client.CloseIdleConnections()
	body := s.body()
	arrived := s.expect(b.N)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range benchEndpoints * 16 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				post(b, client, s.urls[i%benchEndpoints], body)
			}
		})
	}
	wg.Wait()
	<-arrived
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

func post(b *testing.B, client *http.Client, url string, body []byte) {
	res, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

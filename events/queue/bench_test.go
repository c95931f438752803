package queue_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	. "github.com/chasqui/chasqui/events/queue"
)

// keys is how many lanes the benchmarks use.
const keys = 500

// raw is what publishing and consuming cost without a queue: a plain table.
const raw = `CREATE TABLE raw (lane text, id bigint GENERATED ALWAYS AS IDENTITY, uuid uuid, payload bytea, metadata jsonb, PRIMARY KEY (lane, id))`

var payload = make([]byte, 300)

// BenchmarkPublish publishes from 16 goroutines, each message with a row of its own beside it: one message a transaction, and a hundred.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1, 100} {
		for _, kind := range []string{"raw", "queue"} {
			b.Run(fmt.Sprintf("%s/%dperTx", kind, size), func(b *testing.B) {
				s := setup(b)
				s.exec(raw)
				s.exec(`CREATE TABLE state (id uuid PRIMARY KEY)`)
				var n atomic.Int64
				b.ResetTimer()
				var all sync.WaitGroup
				for range 16 {
					all.Go(func() {
						for {
							first := n.Add(int64(size)) - int64(size)
							count := min(int64(size), int64(b.N)-first)
							if count <= 0 {
								return
							}
							if err := publishMany(b, s, kind, first, count); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			})
		}
	}
}

func publishMany(b *testing.B, s *bundle, kind string, first, count int64) error {
	ctx := b.Context()
	return s.db.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO state VALUES ($1)`, uuid.New()); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		for i := range count {
			lane := fmt.Sprint((first + i) % keys)
			if kind == "queue" {
				tx.Publish(topic, Message{Lane: lane, Payload: payload, Metadata: map[string]string{"type": "bench"}})
			} else {
				batch.Queue(`INSERT INTO raw (lane, uuid, payload, metadata) VALUES ($1, $2, $3, '{"type": "bench"}')`, lane, uuid.New(), payload)
			}
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// fill publishes b.N messages over the keys.
func fill(b *testing.B, s *bundle) {
	b.Helper()
	for first := 0; first < b.N; first += 5000 {
		s.must(s.db.InTx(b.Context(), func(tx *Tx) error {
			for i := first; i < min(first+5000, b.N); i++ {
				tx.Publish(topic, Message{Lane: fmt.Sprint(i % keys), Payload: payload})
			}
			return nil
		}))
	}
}

// BenchmarkConsume empties a full queue, beside reading and deleting the same rows in batches of 1,000.
func BenchmarkConsume(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		s := setup(b)
		fill(b, s)
		b.ResetTimer()
		for done := 0; done < b.N; {
			rows, err := s.pool.Query(b.Context(), `DELETE FROM queue_messages WHERE ctid = ANY (ARRAY(SELECT ctid FROM queue_messages LIMIT 1000)) RETURNING uuid, payload`)
			s.must(err)
			for rows.Next() {
				done++
			}
			s.must(rows.Err())
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	})
	b.Run("queue", func(b *testing.B) {
		s := setup(b)
		fill(b, s)
		handle(b, s, SubscriberConfig{CompletePool: asyncPool(b, s.pool)}, func(*message.Message) error { return nil })
	})
	b.Run("batch", func(b *testing.B) {
		s := setup(b)
		fill(b, s)
		b.ResetTimer()
		for done := 0; done < b.N; {
			s.must(s.db.InTx(b.Context(), func(tx *Tx) error {
				batch, err := FetchBatch(b.Context(), tx, topic, 200, 16)
				done += len(batch.Messages)
				if err != nil {
					return err
				}
				return batch.CompleteAll(b.Context(), tx)
			}))
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	})
}

// BenchmarkHandlers has handlers of 100 ms over 500 keys: 5,000 messages/s at best.
func BenchmarkHandlers(b *testing.B) {
	s := setup(b)
	fill(b, s)
	handle(b, s, SubscriberConfig{CompletePool: asyncPool(b, s.pool)}, func(*message.Message) error {
		return wait(100 * time.Millisecond)
	})
}

func wait(d time.Duration) error {
	<-time.After(d)
	return nil
}

// handle runs until b.N messages are done.
func handle(b *testing.B, s *bundle, config SubscriberConfig, handler func(*message.Message) error) {
	b.Helper()
	var done atomic.Int64
	all := make(chan struct{})
	b.ResetTimer()
	s.subscriber(config, func(m *message.Message) error {
		err := handler(m)
		if done.Add(1) == int64(b.N) {
			close(all)
		}
		return err
	})
	<-all
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkIdleLatency publishes to an idle subscriber, one message at a time, and reports the time from the commit's beginning to the handler.
func BenchmarkIdleLatency(b *testing.B) {
	s := setup(b)
	got := make(chan time.Time, 1)
	s.subscriber(SubscriberConfig{CompletePool: asyncPool(b, s.pool)}, func(*message.Message) error { got <- time.Now(); return nil })
	var took []time.Duration
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		s.must(s.db.InTx(context.WithoutCancel(b.Context()), func(tx *Tx) error { tx.Publish(topic, Message{Lane: "k"}); return nil }))
		took = append(took, receive(b, got).Sub(start))
		_ = wait(7 * time.Millisecond) // idle again: the lane of the message before is gone
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

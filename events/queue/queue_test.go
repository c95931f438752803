package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	. "github.com/chasqui/chasqui/events/queue"
)

func TestStateAndMessageLeaveTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		tx.Publish(topic, Message{Payload: []byte("early")}) // before the row: it is sent last all the same
		_, err := tx.Exec(t.Context(), `INSERT INTO sessions (id) VALUES ('kept')`)
		return err
	}))
	err := b.db.InTx(t.Context(), func(tx *Tx) error {
		tx.Publish(topic, Message{Payload: []byte("never")})
		if _, err := tx.Exec(t.Context(), `INSERT INTO sessions (id) VALUES ('gone')`); err != nil {
			return err
		}
		return errBoom
	})
	if !errors.Is(err, errBoom) {
		t.Errorf("error %v", err)
	}
	if n := b.count(`SELECT count(*) FROM queue_messages`); n != 1 {
		t.Errorf("%d messages", n)
	}
	if n := b.count(`SELECT count(*) FROM sessions`); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestPublishKeepsTheOrderOfTheCalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []string
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		want = nil
		for i := range 50 {
			lane := fmt.Sprint(i * 7 % 5)
			want = append(want, fmt.Sprint(lane, "-", i))
			tx.Publish(topic, Message{Lane: lane, Payload: []byte(want[i])})
		}
		return nil
	}))
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		batch, err := FetchBatch(t.Context(), tx, topic, 10, 100)
		if err != nil {
			return err
		}
		var got []string
		for _, m := range batch.Messages {
			got = append(got, string(m.Payload))
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got %v, want %v", got, want)
		}
		return batch.CompleteAll(t.Context(), tx)
	}))
	b.empty()
}

func TestPublishRefusesWhatBreaksALimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, m := range map[string]struct {
		topic string
		Message
	}{
		"lane with #":        {topic, Message{Lane: "a#1"}},
		"large payload":      {topic, Message{Payload: make([]byte, MaxPayload+1)}},
		"topic with /":       {"a/b", Message{}},
		"topic too long":     {strings.Repeat("x", 56), Message{}},
		"topic without name": {"", Message{}},
	} {
		err := b.db.InTx(t.Context(), func(tx *Tx) error { tx.Publish(m.topic, m.Message); return nil })
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if n := b.count(`SELECT count(*) FROM queue_messages`); n != 0 {
		t.Errorf("%d messages", n)
	}
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error { tx.Publish(topic, Message{Payload: make([]byte, MaxPayload)}); return nil }))
}

// A migration changes what a transaction's statements return, which the pool's connections have prepared: InTx runs it again on a connection
// that has not, and that one run is enough for all of the statements.
func TestInTxRunsAgainWithPlansThatAMigrationMadeStale(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec("CREATE TABLE notes (note text)")
	b.exec("INSERT INTO notes VALUES ('old')")
	readAll := func(tx *Tx) (read int, err error) {
		for i := range 6 { // more than a transaction is tried
			rows, err := tx.Query(t.Context(), fmt.Sprintf("SELECT * FROM notes WHERE note <> $1 /* statement %d */", i), "x")
			if err != nil {
				return 0, err
			}
			for rows.Next() { // whatever it is
				read++
			}
			read += 10 * len(rows.FieldDescriptions())
			if err := rows.Err(); err != nil {
				return 0, err
			}
		}
		return read, nil
	}
	runs, read := 0, 0
	run := func() {
		t.Helper()
		runs = 0
		b.must(b.db.InTx(t.Context(), func(tx *Tx) (err error) {
			runs++
			tx.Publish(topic, Message{Lane: "a", Payload: []byte("once")})
			read, err = readAll(tx)
			return err
		}))
	}
	run()
	b.exec("ALTER TABLE notes ADD COLUMN more text DEFAULT 'new'")
	run()
	if runs != 2 || read != 6*(10*2+1) || b.count("SELECT count(*) FROM queue_messages") != 2 {
		t.Errorf("%d runs, %d read", runs, read)
	}
}

// Two transactions update two rows in opposite order, once each at the same time: PostgreSQL ends one of them, and InTx runs it again.
func TestInTxRunsAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO sessions (id) VALUES ('a'), ('b')`)
	var runs atomic.Int32
	var both, all sync.WaitGroup
	both.Add(2)
	for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		all.Go(func() {
			first := true
			err := b.db.InTx(t.Context(), func(tx *Tx) error {
				runs.Add(1)
				tx.Publish(topic, Message{Payload: []byte(order[0])})
				if _, err := tx.Exec(t.Context(), `UPDATE sessions SET restarts = restarts + 1 WHERE id = $1`, order[0]); err != nil {
					return err
				}
				if first {
					first = false
					both.Done()
					both.Wait()
				}
				_, err := tx.Exec(t.Context(), `UPDATE sessions SET restarts = restarts + 1 WHERE id = $1`, order[1])
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if runs.Load() != 3 {
		t.Errorf("%d runs, want one repeated", runs.Load())
	}
	if n := b.count(`SELECT count(*) FROM queue_messages`); n != 2 {
		t.Errorf("%d messages: the repeated transaction published twice or never", n)
	}
	if n := b.count(`SELECT sum(restarts) FROM sessions`); n != 4 {
		t.Errorf("%d updates", n)
	}
}

// Many publishers create and find the same lanes in every order while a subscriber empties and deletes them.
func TestPublishersAndCompletionShareLanes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const publishers, rounds, lanes = 8, 60, 5
	var mu sync.Mutex
	last, seen := map[string]int{}, 0
	b.subscriber(SubscriberConfig{Owner: "one"}, orderly(t, &mu, last, &seen))
	b.subscriber(SubscriberConfig{Owner: "two"}, orderly(t, &mu, last, &seen))
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for r := range rounds {
				err := b.db.InTx(t.Context(), func(tx *Tx) error {
					for l := range lanes {
						tx.Publish(topic, Message{Lane: fmt.Sprint((l + p) % lanes), Payload: fmt.Appendf(nil, "%d %d", p, r)})
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	b.empty()
	mu.Lock()
	defer mu.Unlock()
	if seen != publishers*rounds*lanes {
		t.Errorf("%d messages seen, want %d", seen, publishers*rounds*lanes)
	}
}

func TestFetchBatchRollsBackWithItsTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("k", "a", "b")
	b.publish("l", "c")
	err := b.db.InTx(t.Context(), func(tx *Tx) error {
		batch, err := FetchBatch(t.Context(), tx, topic, 200, 16)
		if err != nil {
			return err
		}
		if len(batch.Messages) != 3 || batch.Messages[0].ID == uuid.Nil || batch.Messages[0].Lane != "k" {
			t.Errorf("batch %+v", batch.Messages)
		}
		// What one transaction holds, another does not see.
		b.must(b.db.InTx(t.Context(), func(other *Tx) error {
			rest, err := FetchBatch(t.Context(), other, topic, 200, 16)
			if err != nil {
				return err
			}
			if len(rest.Messages) != 0 {
				t.Errorf("fetched twice: %+v", rest.Messages)
			}
			return rest.CompleteAll(t.Context(), other)
		}))
		if err := batch.CompleteAll(t.Context(), tx); err != nil {
			return err
		}
		return errBoom
	})
	if !errors.Is(err, errBoom) {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM queue_messages`); n != 3 {
		t.Errorf("%d messages after the rollback", n)
	}
}

func TestBatchKillsOneMessageAndKeepsAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("k", "good", "bad", "later")
	var batch Batch
	b.must(b.db.InTx(t.Context(), func(tx *Tx) (err error) {
		if batch, err = FetchBatch(t.Context(), tx, topic, 200, 16); err != nil {
			return err
		}
		err = pgx.BeginFunc(t.Context(), tx, func(savepoint pgx.Tx) error {
			_, err := savepoint.Exec(t.Context(), `SELECT 1/0`)
			return err
		})
		if err := batch.Kill(t.Context(), tx, batch.Messages[1], err); err != nil {
			return err
		}
		return batch.Complete(t.Context(), tx, batch.Messages[0])
	}))
	dead, err := Dead(t.Context(), b.pool, topic, 10)
	b.must(err)
	if len(dead) != 1 || string(dead[0].Payload) != "bad" || !strings.Contains(dead[0].LastError, "division by zero") {
		t.Errorf("dead %+v", dead)
	}
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		rest, err := FetchBatch(t.Context(), tx, topic, 200, 16)
		if err != nil {
			return err
		}
		if len(rest.Messages) != 1 || string(rest.Messages[0].Payload) != "later" {
			t.Errorf("rest %+v", rest.Messages)
		}
		return rest.CompleteAll(t.Context(), tx)
	}))
	b.empty()
	if n := b.count(`SELECT count(*) FROM queue_dead`); n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

// A publisher's open transaction pins a lane; the batch that empties it must neither wait for that publisher nor lose its message.
func TestBatchDoesNotWaitForPublishers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("k", "a")
	drain := func() (n int) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		b.must(b.db.InTx(ctx, func(tx *Tx) error {
			batch, err := FetchBatch(ctx, tx, topic, 200, 16)
			if err != nil {
				return err
			}
			n = len(batch.Messages)
			return batch.CompleteAll(ctx, tx)
		}))
		return n
	}
	tx, err := b.pool.Begin(t.Context())
	b.must(err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `SELECT queue_publish($1, ARRAY[$1 || '/k'], ARRAY[''], ARRAY[gen_random_uuid()], ARRAY['b'::bytea], ARRAY['{}'])`, topic)
	b.must(err)
	if n := drain(); n != 1 {
		t.Errorf("drained %d, want a", n)
	}
	b.must(tx.Commit(t.Context()))
	if n := drain(); n != 1 { // at once: nothing waits for a timer
		t.Errorf("drained %d, want b", n)
	}
	b.empty()
}

func TestDeleteSessionRemovesWhatIsItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publishFor("s", "s/send", "a", "b")
	b.publishFor("s", "", "query")
	b.publishFor("other", "other/send", "kept")
	rows, err := Lease(t.Context(), b.pool, topic, "one", false)
	b.must(err)
	for _, r := range rows {
		if string(r.Payload) == "a" {
			if ok, err := r.Kill(t.Context(), b.pool, r.QueueID); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
	}
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error { return DeleteSession(t.Context(), tx, "s") }))
	if n := b.count(`SELECT (SELECT count(*) FROM queue_messages) * 100 + (SELECT count(*) FROM queue_lanes) * 10 + (SELECT count(*) FROM queue_dead)`); n != 110 {
		t.Errorf("messages, lanes, dead letters: %d, want 110", n)
	}
}

func TestStatsOfAnIdleTopicAreZero(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got, err := Stats(t.Context(), b.pool, topic)
	b.must(err)
	if got != (Figures{}) {
		t.Errorf("%+v", got)
	}
	b.publish("k", "a")
	b.exec(`UPDATE queue_messages SET created_at = now() - interval '1 hour'`)
	got, err = Stats(t.Context(), b.pool, topic)
	b.must(err)
	if got.Messages != 1 || got.Lanes != 1 || got.Oldest.Round(time.Minute) != time.Hour {
		t.Errorf("%+v", got)
	}
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pg   pgconn.PgError
		want bool
	}{
		{pgconn.PgError{Code: "40001"}, true}, {pgconn.PgError{Code: "40P01"}, true}, {pgconn.PgError{Code: "23505"}, false},
		{pgconn.PgError{Code: "0A000", Routine: "RevalidateCachedQuery"}, true}, {pgconn.PgError{Code: "0A000", Routine: "transformLockingClause"}, false},
	} {
		if Retryable(fmt.Errorf("write: %w", &tt.pg)) != tt.want {
			t.Errorf("%s %s: retryable is %v", tt.pg.Code, tt.pg.Routine, !tt.want)
		}
	}
	if Retryable(pgx.ErrNoRows) {
		t.Error("what PostgreSQL did not say is retryable")
	}
}

package queue_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	. "github.com/chasqui/chasqui/events/queue"
)

// counted counts what is sent to the server: each write is a round trip, as long as nothing sent is larger than a buffer.
type counted struct {
	net.Conn
	writes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestATransactionTakesNoRoundTripForItsBeginAndItsCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec("CREATE TABLE kept (n int)")
	var writes atomic.Int64
	cfg := b.pool.Config()
	cfg.MaxConns = 1
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return counted{c, &writes}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	b.must(err)
	defer pool.Close()
	db := &DB{Pool: pool}
	publish := func(tx *Tx) { tx.Publish(topic, Message{Lane: "a", Payload: []byte("x")}) }
	insert := func(tx *Tx) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO kept VALUES ($1)", 1)
		return err
	}
	rows := func(tx *Tx) error {
		found, err := tx.Query(t.Context(), "INSERT INTO kept VALUES ($1) RETURNING n", 1)
		if err == nil {
			_, err = pgx.CollectRows(found, pgx.RowTo[int])
		}
		return err
	}
	row := func(tx *Tx) error {
		return tx.QueryRow(t.Context(), "INSERT INTO kept VALUES ($1) RETURNING n", 1).Scan(new(int))
	}
	for _, tt := range []struct {
		name string
		fn   func(*Tx) error
		want int64
	}{
		{"a row, and a message", func(tx *Tx) error { publish(tx); return row(tx) }, 2},
		{"rows, and a message", func(tx *Tx) error { publish(tx); return rows(tx) }, 2},
		{"two statements", func(tx *Tx) error { return errors.Join(rows(tx), rows(tx)) }, 3},
		{"a statement, and a message", func(tx *Tx) error { publish(tx); return insert(tx) }, 2},
		{"a message alone", func(tx *Tx) error { publish(tx); return nil }, 1},
		{"a statement alone", insert, 2},
		{"nothing", func(*Tx) error { return nil }, 0},
	} {
		for range 2 { // the first prepares the statements
			writes.Store(0)
			b.must(db.InTx(t.Context(), tt.fn))
		}
		if got := writes.Load(); got != tt.want {
			t.Errorf("%s: %d round trips, want %d", tt.name, got, tt.want)
		}
	}
	if kept, published := b.count("SELECT count(*) FROM kept"), b.count("SELECT count(*) FROM queue_messages"); kept != 12 || published != 8 {
		t.Errorf("%d rows and %d messages", kept, published)
	}
}

// BEGIN, the statements, what is published and COMMIT go out together, or nearly: whatever of it fails, nothing of it stays, and the connection
// is good for the next transaction, unless pgx could not encode an argument and has closed it.
func TestATransactionThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec("CREATE TABLE kept (n int CHECK (n > 0), UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)")
	db := &DB{Pool: b.pool}
	before := b.pool.Stat().NewConnsCount()
	good := Message{Lane: "a", Payload: []byte("x")}
	refused := Message{Lane: "a", Payload: []byte("x"), Metadata: map[string]string{"nul": "\x00"}} // by jsonb, in the server
	insert := func(tx *Tx, n int) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO kept VALUES ($1)", n)
		return err
	}
	rows := func(tx *Tx, n int) error {
		found, _ := tx.Query(t.Context(), "INSERT INTO kept VALUES ($1) RETURNING n", n)
		_, err := pgx.CollectRows(found, pgx.RowTo[int])
		return err
	}
	row := func(tx *Tx, n int) error {
		return tx.QueryRow(t.Context(), "INSERT INTO kept VALUES ($1) RETURNING n", n).Scan(&n)
	}
	for name, fn := range map[string]func(*Tx) error{
		"its first statement":              func(tx *Tx) error { tx.Publish(topic, good); return insert(tx, 0) },
		"its first row":                    func(tx *Tx) error { tx.Publish(topic, good); return row(tx, 0) },
		"its first rows":                   func(tx *Tx) error { tx.Publish(topic, good); return rows(tx, 0) },
		"its first rows, passed over":      func(tx *Tx) error { tx.Publish(topic, good); _ = rows(tx, 0); return nil },
		"its second statement":             func(tx *Tx) error { tx.Publish(topic, good); _ = insert(tx, 1); return row(tx, 0) },
		"its first statement, passed over": func(tx *Tx) error { tx.Publish(topic, good); _ = insert(tx, 0); return nil },
		"its first row, passed over":       func(tx *Tx) error { tx.Publish(topic, good); _ = row(tx, 0); return nil },
		"an argument's encoding, passed over": func(tx *Tx) error {
			tx.Publish(topic, good)
			_, _ = tx.Exec(t.Context(), "INSERT INTO kept VALUES ($1)", struct{}{})
			return nil
		},
		"its commit":                          func(tx *Tx) error { tx.Publish(topic, good); _ = insert(tx, 1); return row(tx, 1) },
		"what it publishes":                   func(tx *Tx) error { tx.Publish(topic, refused); return insert(tx, 1) },
		"what it publishes second":            func(tx *Tx) error { tx.Publish(topic, good); tx.Publish("tess", refused); return row(tx, 1) },
		"what it publishes, and nothing else": func(tx *Tx) error { tx.Publish(topic, good); tx.Publish(topic, refused); return nil },
	} {
		if err := db.InTx(t.Context(), fn); err == nil {
			t.Errorf("%s failed, and the transaction did not", name)
		}
		if n := b.count("SELECT (SELECT count(*) FROM kept) + (SELECT count(*) FROM queue_messages)"); n != 0 {
			t.Fatalf("%s failed, and %d rows stay", name, n)
		}
	}
	b.must(db.InTx(t.Context(), func(tx *Tx) error { tx.Publish(topic, good); return row(tx, 1) }))
	if n := b.pool.Stat().NewConnsCount() - before; n > 1 {
		t.Errorf("%d connections were made in place of those that failed", n)
	}
}

// Several statements in one text, a savepoint and rows may come first too.
func TestATransactionBeginsWithWhateverComesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, first := range map[string]func(*Tx) error{
		"several": func(tx *Tx) error { _, err := tx.Exec(t.Context(), "SELECT 1; SELECT 2"); return err },
		"savepoint": func(tx *Tx) error {
			inner, err := tx.Begin(t.Context())
			if err != nil {
				return err
			}
			return inner.Rollback(t.Context())
		},
		"rows": func(tx *Tx) error {
			rows, err := tx.Query(t.Context(), "SELECT 1")
			if err == nil {
				rows.Close()
			}
			return err
		},
	} {
		var isolation string
		err := b.db.InTx(t.Context(), func(tx *Tx) error {
			if err := first(tx); err != nil {
				return err
			}
			tx.Publish(topic, Message{Lane: name, Payload: []byte("x")})
			return tx.QueryRow(t.Context(), "SELECT current_setting('transaction_isolation')").Scan(&isolation)
		})
		if err != nil || isolation != "read committed" {
			t.Errorf("%s: %q, %v", name, isolation, err)
		}
	}
	if n := b.count("SELECT count(*) FROM queue_messages"); n != 3 {
		t.Errorf("%d messages", n)
	}
}

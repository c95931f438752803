package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tx is a PostgreSQL transaction that can also publish. What is published leaves in the same commit, as the transaction's last statements
// whenever Publish is called (publishers of one lane wait for each other, so nothing slow may follow); the wake-ups follow the commit.
// What is published inside a savepoint (Begin) stays when the savepoint is rolled back.
//
// BEGIN travels with the first statement and COMMIT with what is published, so a transaction of one statement that publishes takes two round
// trips and not four: a session receives one message at a time, and waits for each.
type Tx struct {
	pgx.Tx // nil: no statement has been made yet. Of its methods those that are not below are for InTx alone, or for nobody (Prepare, LargeObjects)
	conn   *pgxpool.Conn
	out    map[string][]Message
	last   []pgx.QueuedQuery              // what Last was given
	after  []func()                       // what After was
	wakes  map[string]map[string]struct{} // by topic; no keys: wake everyone
	trace  string                         // the traceparent that what is published now gets; "": none
}

var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

// begun is the transaction, begun in a round trip of its own if need be.
func (t *Tx) begun(ctx context.Context) (pgx.Tx, error) {
	if t.Tx == nil {
		tx, err := t.conn.BeginTx(ctx, readCommitted)
		if err != nil {
			return nil, fmt.Errorf("begin transaction: %w", err)
		}
		t.Tx = tx
	}
	return t.Tx, nil
}

// first sends BEGIN and a statement together; the statement's result is the second. When BEGIN fails, the statement is not run.
func (t *Tx) first(ctx context.Context, statement string, args []any) pgx.BatchResults {
	var batch pgx.Batch
	batch.BeginTx(readCommitted)
	batch.Queue(statement, args...)
	results := t.conn.SendBatch(ctx, &batch)
	t.Tx = results.Tx()
	return results
}

// Exec runs a statement.
func (t *Tx) Exec(ctx context.Context, statement string, args ...any) (tag pgconn.CommandTag, err error) {
	if t.Tx == nil && len(args) > 0 { // without arguments it may be several statements, which a batch does not take
		results := t.first(ctx, statement, args)
		if _, err = results.Exec(); err == nil {
			tag, err = results.Exec()
		}
		if closed := results.Close(); err == nil {
			err = closed
		}
		return tag, err
	}
	tx, err := t.begun(ctx)
	if err != nil {
		return tag, err
	}
	return tx.Exec(ctx, statement, args...)
}

// QueryRow runs a statement that returns a row; its errors come from Scan, which must be called.
func (t *Tx) QueryRow(ctx context.Context, statement string, args ...any) pgx.Row {
	if t.Tx == nil {
		return firstRow{t.first(ctx, statement, args)}
	}
	return t.Tx.QueryRow(ctx, statement, args...)
}

// firstRow is the row of a transaction's first statement.
type firstRow struct{ results pgx.BatchResults }

func (r firstRow) Scan(to ...any) error {
	_, err := r.results.Exec()
	if err == nil {
		err = r.results.QueryRow().Scan(to...)
	}
	if closed := r.results.Close(); err == nil {
		err = closed
	}
	return err
}

// Query runs a statement that returns rows. The rows are never nil: they have the error too.
func (t *Tx) Query(ctx context.Context, statement string, args ...any) (pgx.Rows, error) {
	if t.Tx != nil {
		return t.Tx.Query(ctx, statement, args...)
	}
	results := t.first(ctx, statement, args)
	_, _ = results.Exec() // its error is the rows' too
	rows, err := results.Query()
	first := &firstRows{Rows: rows, results: results}
	if err != nil {
		first.Close()
	}
	return first, err
}

// firstRows are the rows of a transaction's first statement.
type firstRows struct {
	pgx.Rows
	results pgx.BatchResults
	err     error // of closing
}

func (r *firstRows) Next() bool {
	more := r.Rows.Next()
	if !more {
		r.Close()
	}
	return more
}

func (r *firstRows) Close() {
	r.Rows.Close()
	r.err = r.results.Close()
}

func (r *firstRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

// CopyFrom inserts many rows.
func (t *Tx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	tx, err := t.begun(ctx)
	if err != nil {
		return 0, err
	}
	return tx.CopyFrom(ctx, table, columns, rows)
}

// SendBatch runs statements in one round trip.
func (t *Tx) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	tx, err := t.begun(ctx)
	if err != nil {
		return pgx.FailedBatchResults(batch, err)
	}
	return tx.SendBatch(ctx, batch)
}

// Begin makes a savepoint.
func (t *Tx) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := t.begun(ctx)
	if err != nil {
		return nil, err
	}
	return tx.Begin(ctx)
}

// Publish adds a message to what leaves with the commit. Order within one lane is the order of the calls. A message that breaks a limit of
// Message fails the commit.
func (t *Tx) Publish(topic string, m Message) {
	if t.trace != "" && m.Metadata[MetaTrace] == "" {
		metadata := make(map[string]string, len(m.Metadata)+1)
		maps.Copy(metadata, m.Metadata)
		metadata[MetaTrace] = t.trace
		m.Metadata = metadata
	}
	t.out[topic] = append(t.out[topic], m)
}

// Join makes what is published from now on part of another trace than that of InTx's context, by its traceparent; "" makes it part of none.
func (t *Tx) Join(traceparent string) { t.trace = traceparent }

// Notify wakes the listeners of a wake-up topic after the commit: those of the keys, or without keys all of them.
func (t *Tx) Notify(topic string, keys ...string) {
	pending, ok := t.wakes[topic]
	switch {
	case len(keys) == 0:
		t.wakes[topic] = nil
		return
	case ok && pending == nil: // everyone is woken already
		return
	case !ok:
		pending = map[string]struct{}{}
		t.wakes[topic] = pending
	}
	for _, k := range keys {
		pending[k] = struct{}{}
	}
}

// Last adds a statement to what leaves with the commit, before what is published: it costs no round trip, and its result is not to be had. A failure
// of it fails the commit.
func (t *Tx) Last(statement string, args ...any) {
	t.last = append(t.last, pgx.QueuedQuery{SQL: statement, Arguments: args})
}

// After has a function called once the transaction is committed.
func (t *Tx) After(fn func()) { t.after = append(t.after, fn) }

// commit publishes what was collected, topics in their order and each topic's lanes sorted by the database, so that two transactions take the
// locks of their common lanes in the same order; and commits, in the same round trip. What cannot be published is not committed: the server
// passes over what follows a statement that failed.
func (t *Tx) commit(ctx context.Context) error {
	if len(t.out)+len(t.last) == 0 {
		if t.Tx == nil {
			return nil
		}
		if err := t.Commit(ctx); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		return nil
	}
	var batch pgx.Batch
	send := t.conn.SendBatch
	if t.Tx == nil {
		batch.BeginTx(readCommitted)
	} else {
		send = t.Tx.SendBatch // refuses when the transaction has ended
	}
	for _, last := range t.last {
		batch.Queue(last.SQL, last.Arguments...)
	}
	for _, topic := range slices.Sorted(maps.Keys(t.out)) {
		if err := publish(&batch, topic, t.out[topic]); err != nil {
			return err
		}
	}
	batch.Queue("commit")
	results := send(ctx, &batch)
	if t.Tx == nil {
		t.Tx = results.Tx()
	}
	if err := results.Close(); err != nil {
		return fmt.Errorf("publish and commit: %w", err)
	}
	return nil
}

// end rolls back what was not committed, and gives the connection back; one that is still in a transaction, or in the middle of a statement,
// is closed.
func (t *Tx) end(ctx context.Context) {
	if t.Tx != nil && t.conn.Conn().PgConn().TxStatus() != 'I' {
		_ = t.Rollback(context.WithoutCancel(ctx))
	}
	t.conn.Release()
}

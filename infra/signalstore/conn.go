package signalstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Fence is a query that returns one row as long as this process may write a device's state, and locks that row until the end of the
// transaction, so that nobody can take the device over in between:
//
//	SELECT 1 FROM claims WHERE session = $1 AND owner = $2 AND epoch = $3 AND expires_at > now() FOR KEY SHARE
//
// It runs in the transaction of every write and in the same round trip, so that it costs no wait. The zero Fence lets everything pass.
// Unqualified table names are looked up in the container's schema first, then in public.
type Fence struct {
	Query string
	Args  []any
}

// raising makes the fence an error inside PostgreSQL when it returns no row (SQLSTATE 22012, division by zero), which undoes the
// statements sent along with it.
func (f Fence) raising() statement {
	return statement{"SELECT 1 / count(*) FROM (" + f.Query + ") AS fence", f.Args}
}

const divisionByZero = "22012"

// binding travels in the context from a device's store to the connection that runs its statements.
type binding struct {
	fence Fence
	// deferred lets a transaction keep its writes back and send them together at the end, see transaction.
	deferred bool
	// lazy lets the commit return before it is on the disk. A crash of PostgreSQL may undo it, together with everything that was committed
	// later, unless a later commit was waited for: the log is written in order.
	lazy bool
}

// lazily goes before the writes of a transaction whose commit is not waited for, in the same round trip.
var lazily = statement{query: "SELECT set_config('synchronous_commit', 'off', true)"}

type bindingKey struct{}

func bind(ctx context.Context, b binding) context.Context {
	return context.WithValue(ctx, bindingKey{}, b)
}

// connector makes connections that run the fence of the device on whose behalf they write.
type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner.(*stdlib.Conn)}, nil
}

// conn is a connection whose writes are fenced. sqlstore writes with Exec only and reads with Query only, which a test verifies.
type conn struct {
	*stdlib.Conn
	tx *transaction // nil outside a bound transaction
}

type statement struct {
	query string
	args  []any
}

// ExecContext runs a write: at once, together with the fence; or, in a transaction whose writes are deferred, at its end. The number of
// affected rows of a deferred write is not known and reported as 0; sqlstore logs it and does nothing else with it.
func (c *conn) ExecContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Result, error) {
	bound, _ := ctx.Value(bindingKey{}).(binding)
	if (c.tx == nil && bound.fence.Query == "") || (c.tx != nil && c.tx.begun) {
		return c.Conn.ExecContext(ctx, query, named)
	}
	if c.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	write := statement{query, make([]any, len(named))}
	for i, arg := range named {
		write.args[i] = arg.Value
	}
	if c.tx != nil {
		c.tx.pending = append(c.tx.pending, write)
		return driver.RowsAffected(0), nil
	}
	writes := []statement{write}
	if bound.lazy {
		writes = []statement{lazily, write}
	}
	rows, err := c.send(ctx, false, bound.fence, writes...)
	if err != nil && pgconn.SafeToRetry(err) {
		return nil, driver.ErrBadConn
	}
	return driver.RowsAffected(rows), err
}

// QueryContext runs a read. One that follows deferred writes must see them, so they are sent first.
func (c *conn) QueryContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Rows, error) {
	if c.tx != nil && len(c.tx.pending) > 0 {
		if err := c.tx.begin(ctx); err != nil {
			return nil, err
		}
	}
	return c.Conn.QueryContext(ctx, query, named)
}

// BeginTx starts a bound transaction, or an ordinary one where nothing is bound.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	bound, ok := ctx.Value(bindingKey{}).(binding)
	if !ok {
		return c.Conn.BeginTx(ctx, opts)
	}
	if c.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	tx := &transaction{conn: c, ctx: ctx, fence: bound.fence, lazy: bound.lazy}
	if !bound.deferred {
		if err := tx.begin(ctx); err != nil {
			return nil, err
		}
	}
	c.tx = tx
	return tx, nil
}

// send runs the fence and then the statements in one round trip and in one transaction: the connection's, if it has begun one; a new one
// that stays open, if begin is set; else an implicit one (PostgreSQL, "Pipelining": everything up to the Sync succeeds or fails together).
// It returns the last statement's affected rows. Its error includes one of the implicit commit.
func (c *conn) send(ctx context.Context, begin bool, fence Fence, statements ...statement) (int64, error) {
	batch := &pgx.Batch{}
	if begin {
		batch.Queue("begin")
	}
	check := -1
	if fence.Query != "" {
		check = batch.Len()
		s := fence.raising()
		batch.Queue(s.query, s.args...)
	}
	for _, s := range statements {
		batch.Queue(s.query, s.args...)
	}
	results := c.Conn.Conn().SendBatch(ctx, batch)
	var rows int64
	for i := range batch.Len() {
		tag, err := results.Exec()
		if err != nil {
			_ = results.Close()
			var pg *pgconn.PgError
			if i == check && errors.As(err, &pg) && pg.Code == divisionByZero {
				return 0, ErrFenced
			}
			return 0, err
		}
		rows = tag.RowsAffected()
	}
	return rows, results.Close()
}

// transaction is one of a device's. When its writes are deferred, nothing is sent until it commits, and then the fence and all writes go
// in one round trip: its reads see the same as they would in a READ COMMITTED transaction, no connection idles in a transaction while
// keys are computed, and decrypting a message takes four round trips instead of eight. A read that must see an earlier write turns it into
// an ordinary transaction. The device's lock, not the database, keeps two of them apart.
type transaction struct {
	conn    *conn
	ctx     context.Context // of BeginTx, as database/sql gives none to Commit
	fence   Fence
	pending []statement
	lazy    bool
	begun   bool
}

func (t *transaction) begin(ctx context.Context) error {
	pending := t.pending
	t.pending, t.begun = nil, true
	if _, err := t.conn.send(ctx, true, t.fence, pending...); err != nil {
		t.abort()
		return err
	}
	return nil
}

// Commit implements driver.Tx.
func (t *transaction) Commit() error {
	t.conn.tx = nil
	if t.begun {
		tag, err := t.conn.Conn.Conn().Exec(t.ctx, "commit")
		if err == nil && tag.String() == "ROLLBACK" {
			err = pgx.ErrTxCommitRollback
		}
		if err != nil {
			t.abort()
		}
		return err
	}
	if len(t.pending) == 0 {
		return nil
	}
	if t.lazy {
		t.pending = slices.Insert(t.pending, 0, lazily)
	}
	_, err := t.conn.send(t.ctx, false, t.fence, t.pending...)
	return err
}

// Rollback implements driver.Tx.
func (t *transaction) Rollback() error {
	t.conn.tx = nil
	if t.begun {
		t.abort()
	}
	return nil
}

// abort ends a transaction on the server, or the connection if that does not answer. Failure policy: database/sql then opens another.
func (t *transaction) abort() {
	pg := t.conn.Conn.Conn()
	if pg.IsClosed() || pg.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), 5*time.Second)
	defer cancel()
	if _, err := pg.Exec(ctx, "rollback"); err != nil {
		_ = t.conn.Close()
	}
}

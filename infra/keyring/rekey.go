package keyring

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
)

const (
	// pageRows bounds the rows that one statement looks at.
	pageRows = 500
	// rounds is how often all places are walked through. One is enough unless a row moved behind the walk while it went on.
	rounds = 5
	// lockWait ends an UPDATE that waits for a row's writer, who then writes it anew: the next round looks.
	lockWait = "500"
)

// Config says what Rekey walks through.
type Config struct {
	DSN          string
	SignalSchema string // the PostgreSQL schema of the devices' Signal state
	Keys         *seal.Keys
}

// A Report says what Rekey did.
type Report struct {
	Places []Counted
	Left   int      // values that are still in another form, because others wrote them meanwhile
	Gone   []string // names of the keys that nothing is sealed under any more

	complete bool // it came to the end
}

// Counted is one place's part of a Report.
type Counted struct {
	Place            seal.Place
	Looked, Resealed int
}

// Rekey brings all values under the first key, those that are plain too; or makes them plain, where that is what the keys say. Roles may run
// meanwhile, if they have the same keys: nothing waits for it for longer than one row takes. It may be cut short anywhere and started again.
//
// Failure policy: a value that somebody changes at the same time is left to him, and looked at again in the next round. One that does not open ends
// it with an error that says where it is.
func Rekey(ctx context.Context, c Config) (Report, error) {
	if c.Keys == nil {
		return Report{}, errors.New("ENCRYPTION_KEY is not set: there is no key to seal with")
	}
	pool, err := postgres.Open(ctx, c.DSN, postgres.Options{Name: "rekey", MaxConns: 2})
	if err != nil {
		return Report{}, err
	}
	defer pool.Close()
	if err := postgres.CheckSchema(ctx, pool); err != nil {
		return Report{}, err
	}
	if err := Check(ctx, pool, c.Keys); err != nil {
		return Report{}, err
	}
	w := &walk{Config: c, pool: pool}
	if err := w.all(ctx); err != nil {
		return w.report, err
	}
	if w.report.Left > 0 {
		return w.report, nil
	}
	// Its commit is waited for, and so those before it are on the disk too.
	if w.report.Gone, err = db.New().EncryptionKeyDeleteOthers(ctx, pool, c.Keys.ID()); err != nil {
		return w.report, fmt.Errorf("forget keys: %w", err)
	}
	w.report.complete = true
	return w.report, nil
}

// walk is one Rekey.
type walk struct {
	Config
	pool   *pgxpool.Pool
	report Report
}

func (w *walk) all(ctx context.Context) error {
	for _, p := range seal.Places {
		w.report.Places = append(w.report.Places, Counted{Place: p})
	}
	for range rounds {
		changed := 0
		w.report.Left = 0
		for i := range w.report.Places {
			n, left, err := w.place(ctx, &w.report.Places[i])
			if err != nil {
				return fmt.Errorf("rekey %v: %w", w.report.Places[i].Place, err)
			}
			changed += n
			w.report.Left += left
		}
		if changed == 0 && w.report.Left == 0 {
			return nil
		}
	}
	return nil
}

// place walks through one column by its table's primary key.
func (w *walk) place(ctx context.Context, c *Counted) (changed, left int, err error) {
	p := c.Place
	table := pgx.Identifier{"public", p.Table}
	if p.Signal() {
		table[0] = w.SignalSchema
	}
	key, err := w.primaryKey(ctx, table.Sanitize())
	if err != nil {
		return 0, 0, err
	}
	c.Looked = 0
	for after := []any(nil); ; {
		page, err := w.page(ctx, p, table.Sanitize(), key, after)
		if err != nil {
			return changed, left, err
		}
		for _, row := range page {
			if row.value == nil {
				continue
			}
			next, other, err := w.reseal(p, row)
			if err != nil {
				return changed, left, fmt.Errorf("the row %v: %w", row.identity, err)
			}
			if !other {
				continue
			}
			done, err := w.replace(ctx, p, table.Sanitize(), key, row, next)
			if err != nil {
				return changed, left, err
			}
			if done {
				changed++
				c.Resealed++
			} else {
				left++
			}
		}
		c.Looked += len(page)
		if len(page) < pageRows {
			return changed, left, nil
		}
		after = page[len(page)-1].key
	}
}

// row is one that was looked at; value is nil where there is nothing to do.
type row struct {
	key      []any
	identity []string
	value    any // []byte, string or, as text, JSON
}

// page reads the rows after a key. Of values that are sealed as they should be nothing comes.
func (w *walk) page(ctx context.Context, p seal.Place, table string, key []string, after []any) ([]row, error) {
	column := pgx.Identifier{p.Column}.Sanitize()
	args := []any{pageRows}
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	var value string
	switch head := w.Keys.Head(); {
	case p.Form == seal.JSON:
		value = column + "::text"
	case head == nil:
		value = column
	case p.Form == seal.Text:
		value = "CASE WHEN NOT starts_with(" + column + ", " + arg(w.Keys.TextHead()) + ") THEN " + column + " END"
	default:
		value = "CASE WHEN octet_length(" + column + ") > 0 AND substring(" + column + " FROM 1 FOR " + strconv.Itoa(len(head)) + ") <> " + arg(head) + " THEN " + column + " END"
	}
	where := ""
	if after != nil {
		bounds := make([]string, len(after))
		for i, v := range after {
			bounds[i] = arg(v)
		}
		where = " WHERE (" + names(key) + ") > (" + strings.Join(bounds, ", ") + ")"
	}
	query := "SELECT " + names(slices.Concat(key, p.Identity)) + ", " + value + " FROM " + table + where + " ORDER BY " + names(key) + " LIMIT $1"
	rows, err := w.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	page, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (row, error) {
		values, err := r.Values()
		if err != nil {
			return row{}, err
		}
		one := row{key: values[:len(key)], value: values[len(values)-1]}
		for _, v := range values[len(key) : len(values)-1] {
			one.identity = append(one.identity, identity(v))
		}
		return one, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return page, nil
}

func names(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}

// identity is a column's value as Place.At takes it.
func identity(v any) string {
	switch v := v.(type) {
	case [16]byte:
		return uuid.UUID(v).String()
	case []byte:
		return hex.EncodeToString(v)
	}
	return fmt.Sprint(v)
}

func (w *walk) reseal(p seal.Place, r row) (next any, changed bool, err error) {
	switch v := r.value.(type) {
	case []byte:
		return asAny(w.Keys.Reseal(v, p.At(r.identity...)))
	case string:
		if p.Form == seal.JSON {
			raw, changed, err := w.Keys.ResealJSON(p, json.RawMessage(v), r.identity...)
			return string(raw), changed, err
		}
		return asAny(w.Keys.ResealText(v, p.At(r.identity...)))
	}
	return nil, false, fmt.Errorf("a value of the type %T", r.value)
}

func asAny[T any](v T, changed bool, err error) (any, bool, error) { return v, changed, err }

// replace writes a value unless somebody has written another meanwhile. Each is a transaction of its own, so that no two rows are ever locked
// together, and is not waited for.
func (w *walk) replace(ctx context.Context, p seal.Place, table string, key []string, r row, next any) (done bool, err error) {
	column, cast := pgx.Identifier{p.Column}.Sanitize(), ""
	if p.Form == seal.JSON {
		cast = "::text::jsonb"
	}
	args := []any{next, r.value}
	where := ""
	for i, name := range key {
		args = append(args, r.key[i])
		where += " AND " + pgx.Identifier{name}.Sanitize() + " = $" + strconv.Itoa(len(args))
	}
	err = pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{BeginQuery: "begin; set local synchronous_commit = off; set local lock_timeout = " + lockWait}, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "UPDATE "+table+" SET "+column+" = $1"+cast+" WHERE "+column+" = $2"+cast+where, args...)
		done = tag.RowsAffected() == 1
		return err
	})
	if postgres.ErrorCode(err) == "55P03" { // lock_not_available
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write row: %w", err)
	}
	return done, nil
}

// primaryKey reads the names of the columns of a table's primary key, in its order.
func (w *walk) primaryKey(ctx context.Context, table string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	rows, err := w.pool.Query(ctx, `SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k (attnum, n)
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE i.indrelid = $1::text::regclass AND i.indisprimary ORDER BY k.n`, table)
	if err != nil {
		return nil, fmt.Errorf("read primary key: %w", err)
	}
	key, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read primary key: %w", err)
	}
	if len(key) == 0 {
		return nil, errors.New("the table has no primary key")
	}
	return key, nil
}

// Print writes what was done, and what is to be done next.
func (r Report) Print(out io.Writer) {
	for _, c := range r.Places {
		fmt.Fprintf(out, "%-45v %9d looked at %9d changed\n", c.Place, c.Looked, c.Resealed)
	}
	switch {
	case r.Left > 0:
		fmt.Fprintf(out, "%d values were written by others meanwhile: run it again\n", r.Left)
	case len(r.Gone) > 0:
		fmt.Fprintf(out, "nothing is sealed any more under %s: once every role has the new setting, take it out of ENCRYPTION_KEY\n", strings.Join(r.Gone, ", "))
	case r.complete:
		fmt.Fprintln(out, "all values have the form that ENCRYPTION_KEY asks for")
	}
}

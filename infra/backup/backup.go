// Package backup writes all sessions with their keys into one encrypted file, and restores them from it, so that they reconnect without
// a QR code. A file holds what a session needs to live: its row, its device with the Signal state, contacts and chats, and the webhook
// endpoints; not the history (see leftOut).
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/keyring"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/signalstore"
)

// Config says what is backed up, or restored into.
type Config struct {
	DSN          string
	SignalSchema string // the PostgreSQL schema of the devices' Signal state
	Passphrase   string // encrypts the file
	Version      string // of this program, for the file's header
	// Keys open what is sealed in the database that is backed up, and seal what is restored; nil: nothing is sealed. In the file itself everything is
	// as it is, under the passphrase, so that it can be restored where there is another key, or none.
	Keys *seal.Keys
	// Rest makes restored sessions rest until somebody starts them, whatever was asked of them when the file was made.
	Rest bool
	// MaxContent is how many bytes of JSON lines are read of a file, which is compressed; one that has more counts as damaged. 0: there is no limit.
	MaxContent int64

	factor int // scrypt's work factor; 0 means workFactor. Tests need no second for each file.
}

func (c *Config) workFactor() int {
	if c.factor > 0 {
		return c.factor
	}
	return workFactor
}

// sealedSince is the version of the schema that has the table encryption_keys.
const sealedSince = 54

// Summary is what a file holds, or what was restored of it.
type Summary struct {
	Sessions  []Session
	Endpoints int64            // webhook endpoints
	Rows      int64            // of all tables
	Tables    map[string]int64 // rows of each table
}

func summarise(sessions []Session, counts map[string]int64) Summary {
	s := Summary{Sessions: sessions, Endpoints: counts["webhook_endpoints"], Tables: counts}
	for _, n := range counts {
		s.Rows += n
	}
	return s
}

// Write streams a backup to dst: one consistent state of the database, whatever is going on in it. Memory is bounded by the largest row.
func Write(ctx context.Context, c Config, dst io.Writer) (Summary, error) {
	return c.write(ctx, dst, "")
}

// WriteSession is Write for one session alone: without webhook endpoints, which are not its own, and of the pairs of LID and phone number
// with those of its contacts. What is restored of it is that session.
func WriteSession(ctx context.Context, c Config, session string, dst io.Writer) (Summary, error) {
	return c.write(ctx, dst, session)
}

// write writes a session, or all of them where only is "".
func (c *Config) write(ctx context.Context, dst io.Writer, only string) (Summary, error) {
	conn, err := connect(ctx, c.DSN, "0")
	if err != nil {
		return Summary{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return Summary{}, fmt.Errorf("begin: %w", err)
	}
	h := Header{Format: formatName, Version: formatVersion, Chasqui: c.Version, CreatedAt: time.Now().UTC().Truncate(time.Second)}
	h.Schema, err = c.schemaVersion(ctx, tx)
	if code := postgres.ErrorCode(err); code == "42P01" || code == "3F000" { // undefined table or schema: never migrated
		return Summary{}, errors.New("there is no chasqui in this database: check DATABASE_URL or --data, or run `chasqui migrate`")
	}
	if err != nil {
		return Summary{}, err
	}
	if h.Schema.Public >= sealedSince {
		if err := keyring.Verify(ctx, tx, c.Keys); err != nil {
			return Summary{}, err
		}
	}
	rows, err := tx.Query(ctx, "SELECT id, coalesce(jid, '') FROM public.sessions WHERE $1::text IN ('', id) ORDER BY id", only)
	if err != nil {
		return Summary{}, fmt.Errorf("list sessions: %w", err)
	}
	if h.Sessions, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Session]); err != nil {
		return Summary{}, fmt.Errorf("list sessions: %w", err)
	}
	if only != "" && len(h.Sessions) == 0 {
		return Summary{}, fmt.Errorf("there is no session %s", only)
	}
	w, err := newWriter(dst, c.Passphrase, c.workFactor(), h)
	if err != nil {
		return Summary{}, err
	}
	for _, t := range copied {
		if err := c.copyTable(ctx, tx, w, t.name, t.ofSession(), only, t.afresh); err != nil {
			return Summary{}, err
		}
	}
	signal, err := c.signalTables(ctx, tx)
	if err != nil {
		return Summary{}, err
	}
	for _, name := range signal {
		if name == "whatsmeow_sessions" {
			continue // a restore begins them anew (signalstore.Renew), and they are the most of a file
		}
		if err := c.copyTable(ctx, tx, w, name, "", only, nil); err != nil {
			return Summary{}, err
		}
	}
	if err := w.close(); err != nil {
		return Summary{}, err
	}
	return summarise(h.Sessions, w.counts), nil
}

// copyTable writes a table's rows as PostgreSQL makes JSON of them. Without a condition they are the rows of the sessions' devices. In
// conditions $1 is the only session, or "".
func (c *Config) copyTable(ctx context.Context, tx pgx.Tx, w *writer, name, where, only string, afresh []string) error {
	all, err := c.columns(ctx, tx, name)
	if err != nil {
		return err
	}
	t := table{Name: name}
	for _, column := range all {
		if !slices.Contains(afresh, column.Name) {
			t.Columns = append(t.Columns, column.Name)
		}
	}
	if where == "" {
		where = ofContacts
		if device := deviceColumn(t.Columns); device != "" {
			where = pgx.Identifier{device}.Sanitize() + " IN (SELECT jid FROM public.sessions WHERE jid IS NOT NULL AND $1::text IN ('', id))"
		}
	}
	if err := w.begin(t); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, "SELECT row_to_json(t)::text FROM (SELECT "+quoted(t.Columns)+" FROM "+c.identifier(name)+" WHERE "+where+") t", only)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		row, err := keyring.OpenRow(c.Keys, name, rows.RawValues()[0])
		if err != nil {
			return err
		}
		if err := w.row(row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// connect opens the one connection that a backup or a restore needs. idle is how long, in milliseconds, its transaction may wait for the
// file; 0 is for ever. Statements take as long as they take, as pg_dump's do.
func connect(ctx context.Context, dsn, idle string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("parse DATABASE_URL: %w", err) // pgx leaves the password out of its errors
	}
	cfg.RuntimeParams["application_name"] = "chasqui backup"
	cfg.RuntimeParams["timezone"] = "UTC"
	cfg.RuntimeParams["bytea_output"] = "hex"
	cfg.RuntimeParams["statement_timeout"] = "0"
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = idle
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("reach PostgreSQL: %w", err)
	}
	return conn, nil
}

// programSchema is the versions that this program knows.
func programSchema() (Schema, error) {
	public, err := postgres.SchemaVersion()
	return Schema{Public: public, Signal: int64(signalstore.SchemaVersion())}, err
}

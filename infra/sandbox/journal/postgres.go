package journal

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed schema.sql
var schema string

// schemaVersion is the version of schema.sql, which New writes into sandbox.journal_version.
const schemaVersion = 1

// ErrLocked is returned by OpenPostgres when another process works with the same schema.
var ErrLocked = errors.New("another sandbox uses this database")

// lockPatience is how long OpenPostgres waits for a predecessor to let go of its lock. A killed process's lock falls as soon as PostgreSQL
// sees its connection end, which on one machine is milliseconds.
const lockPatience = 10 * time.Second

// Postgres keeps everything in the schema sandbox of a database, for one process at a time.
type Postgres struct {
	pool  *pgxpool.Pool
	lock  *pgx.Conn // holds the advisory lock that keeps a second process off the schema
	close func() error
}

// OpenPostgres makes the schema where it is missing and locks it. It waits up to 10 s for another process that holds it and then returns
// ErrLocked. A schema that an older program left is emptied: what was in it cannot be carried over. The pool stays the caller's.
func OpenPostgres(ctx context.Context, pool *pgxpool.Pool) (*Postgres, error) {
	lock, err := acquireLock(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("lock sandbox schema: %w", err)
	}
	p := &Postgres{pool: pool, lock: lock}
	p.close = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := lock.Close(ctx); err != nil {
			return fmt.Errorf("release sandbox schema: %w", err)
		}
		return nil
	})
	if err := p.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate sandbox schema: %w", err), p.Close())
	}
	return p, nil
}

// acquireLock takes a connection out of the pool for the journal's life and locks the schema with it. When the connection is lost, with
// PostgreSQL itself say, the lock is gone and the journal goes on: it guards against a mistake, not against an enemy.
func acquireLock(ctx context.Context, pool *pgxpool.Pool) (*pgx.Conn, error) {
	pooled, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	db := pooled.Hijack()
	deadline := time.Now().Add(lockPatience)
	for {
		var mine bool
		err := db.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended('sandbox server', 0))`).Scan(&mine)
		if err == nil && mine {
			return db, nil
		}
		if err == nil && time.Now().After(deadline) {
			err = ErrLocked
		}
		if err == nil {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-time.After(50 * time.Millisecond):
				continue
			}
		}
		_ = db.Close(context.WithoutCancel(ctx))
		return nil, err
	}
}

// migrate makes the schema, in one transaction.
func (p *Postgres) migrate(ctx context.Context) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		var version int
		err := tx.QueryRow(ctx, `SELECT CASE WHEN to_regclass('sandbox.journal_version') IS NULL THEN 0 ELSE 1 END`).Scan(&version)
		if err == nil && version > 0 {
			err = tx.QueryRow(ctx, `SELECT version FROM sandbox.journal_version`).Scan(&version)
		}
		if err != nil {
			return err
		}
		if version > schemaVersion {
			return fmt.Errorf("schema is version %d, this program knows %d", version, schemaVersion)
		}
		if version == schemaVersion {
			return nil
		}
		_, err = tx.Exec(ctx, schema)
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO sandbox.journal_version VALUES ($1)`, schemaVersion)
		}
		return err
	})
}

// Close implements Journal.
func (p *Postgres) Close() error { return p.close() }

// Load implements Journal.
func (p *Postgres) Load(ctx context.Context, each func(Record) error) error {
	rows, err := p.pool.Query(ctx, `SELECT kind, key, value FROM sandbox.records ORDER BY kind COLLATE "C", key COLLATE "C"`)
	if err != nil {
		return fmt.Errorf("load records: %w", err)
	}
	var r Record
	_, err = pgx.ForEachRow(rows, []any{&r.Kind, &r.Key, &r.Value}, func() error {
		return each(Record{r.Kind, r.Key, slices.Clone(r.Value)})
	})
	if err != nil {
		return fmt.Errorf("load records: %w", err)
	}
	return nil
}

// Commit implements Journal. It is one round trip.
func (p *Postgres) Commit(ctx context.Context, records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	// In one order, so that two commits never wait for each other; of the same key only the last, since a statement may not write a row twice.
	ordered := slices.Clone(records)
	slices.SortStableFunc(ordered, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Key, b.Key))
	})
	var putKinds, putKeys, gone, goneKeys []string
	var values [][]byte
	for i, r := range ordered {
		switch {
		case i+1 < len(ordered) && ordered[i+1].Kind == r.Kind && ordered[i+1].Key == r.Key:
		case r.Value == nil:
			gone, goneKeys = append(gone, r.Kind), append(goneKeys, r.Key)
		default:
			putKinds, putKeys, values = append(putKinds, r.Kind), append(putKeys, r.Key), append(values, r.Value)
		}
	}
	var batch pgx.Batch // without BEGIN, a batch is one transaction
	if len(gone) > 0 {
		batch.Queue(`DELETE FROM sandbox.records r USING unnest($1::text[], $2::text[]) AS g (kind, key) WHERE r.kind = g.kind AND r.key = g.key`,
			gone, goneKeys)
	}
	if len(values) > 0 {
		batch.Queue(`INSERT INTO sandbox.records (kind, key, value) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])
			ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value`, putKinds, putKeys, values)
	}
	if err := p.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("commit records: %w", err)
	}
	return nil
}

// Forget implements Journal.
func (p *Postgres) Forget(ctx context.Context, kind string, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	var batch pgx.Batch
	batch.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
	batch.Queue(`DELETE FROM sandbox.records WHERE kind = $1 AND key = ANY($2)`, kind, keys)
	if err := p.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("forget records: %w", err)
	}
	return nil
}

// Ping implements Journal.
func (p *Postgres) Ping(ctx context.Context) error { return p.pool.Ping(ctx) }

// CreateBlob implements Journal.
func (p *Postgres) CreateBlob(ctx context.Context) (*BlobWriter, error) {
	var id int64
	if err := p.pool.QueryRow(ctx, `INSERT INTO sandbox.blobs DEFAULT VALUES RETURNING id`).Scan(&id); err != nil {
		return nil, fmt.Errorf("create blob: %w", err)
	}
	return newBlobWriter(ctx, p, id), nil
}

// OpenBlob implements Journal.
func (p *Postgres) OpenBlob(ctx context.Context, sha256 []byte) (*BlobReader, error) {
	var id, size int64
	err := p.pool.QueryRow(ctx, `SELECT id, size FROM sandbox.blobs WHERE sha256 = $1 ORDER BY stored_at DESC LIMIT 1`, sha256).Scan(&id, &size)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNoBlob
	}
	if err != nil {
		return nil, fmt.Errorf("find blob: %w", err)
	}
	return newBlobReader(ctx, p, id, size), nil
}

// RenewBlob implements Journal.
func (p *Postgres) RenewBlob(ctx context.Context, sha256 []byte) error {
	tag, err := p.pool.Exec(ctx, `UPDATE sandbox.blobs SET stored_at = now() WHERE sha256 = $1`, sha256)
	if err != nil {
		return fmt.Errorf("renew blob: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNoBlob
	}
	return nil
}

// SweepBlobs implements Journal.
func (p *Postgres) SweepBlobs(ctx context.Context, completed, begun time.Time) (int64, error) {
	tag, err := p.pool.Exec(ctx, `DELETE FROM sandbox.blobs WHERE stored_at < $1 OR sha256 IS NULL AND stored_at < $2`, completed, begun)
	if err != nil {
		return 0, fmt.Errorf("sweep blobs: %w", err)
	}
	return tag.RowsAffected(), nil
}

func (p *Postgres) putChunk(ctx context.Context, id int64, n int, data []byte) error {
	var batch pgx.Batch
	batch.Queue(`SELECT set_config('synchronous_commit', 'off', true)`)
	batch.Queue(`INSERT INTO sandbox.chunks (blob_id, n, data) VALUES ($1, $2, $3)`, id, n, data)
	return p.pool.SendBatch(ctx, &batch).Close()
}

func (p *Postgres) getChunk(ctx context.Context, id int64, n int64) (data []byte, err error) {
	err = p.pool.QueryRow(ctx, `SELECT data FROM sandbox.chunks WHERE blob_id = $1 AND n = $2`, id, n).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNoBlob // swept since it was opened
	}
	return data, err
}

func (p *Postgres) complete(ctx context.Context, id int64, sha256 []byte, size int64) error {
	_, err := p.pool.Exec(ctx, `UPDATE sandbox.blobs SET sha256 = $2, size = $3, stored_at = now() WHERE id = $1`, id, sha256, size)
	return err
}

func (p *Postgres) discard(ctx context.Context, id int64) error {
	_, err := p.pool.Exec(ctx, `DELETE FROM sandbox.blobs WHERE id = $1 AND sha256 IS NULL`, id)
	return err
}

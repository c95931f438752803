package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/chasqui/chasqui/events/queue"
)

// Migrations run while the roles of the release before are at work, so release N expands and N+1 contracts:
//
//   - New columns are nullable or have a constant default. Nothing that the release before reads or writes is renamed, retyped or dropped; a
//     file that drops what no supported release uses any more says so in a line "-- contract: why".
//   - An index on a large table is built CONCURRENTLY in a file of its own, marked "-- +goose NO TRANSACTION". Such a file is run again from
//     its top after a crash: it sets lock_timeout to 10min (it blocks nobody while it waits), drops the index IF EXISTS (a build that was cut
//     leaves an invalid one), and creates it.
//   - A partitioned table (events, deliveries, attempts) has no CONCURRENTLY: the index is created ON ONLY the table, for the partitions that
//     are still to come, and CONCURRENTLY on the default one. The others end by retention.
//   - A constraint of a large table is added NOT VALID, and validated by the next file.
//   - Rows of a large table are not changed: the program fills a new column.
//   - A file touches one busy table, so that it never waits for one while it holds another.
//
// A test reads every file and refuses what breaks these rules.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	// LockTimeout ends a statement that waits for its table, because every query of that table queues up behind it. It is longer than the
	// second (deadlock_timeout) after which an autovacuum gives way, and far below what a request may wait for the database (15 s).
	LockTimeout = 3 * time.Second
	// lockPatience is how long one migration is tried. A backup or report that reads longer has to be seen to by a person.
	lockPatience = 5 * time.Minute
	// Pauses between tries grow from the first to the last, so that the roles have the table to themselves for most of the time.
	firstPause, lastPause = 500 * time.Millisecond, 10 * time.Second
	// migratorWait is how long a migrator waits for another, which may be building an index.
	migratorWait = 2 * time.Hour
)

// ErrLocked says that a migration could not have its locks for 5 minutes. What was applied before it stays; Migrate may be called again.
var ErrLocked = errors.New("the locks that the migration needs are held by others")

// Migrate brings the schema up to date, beside running roles. One migrator works at a time, of any release: a second one waits and finds
// nothing to do. A migrator that was killed is simply started again.
//
// Failure policy: a migration that cannot have a lock within 3 s, or is the victim of a deadlock, is rolled back and tried again for 5
// minutes, with growing pauses; then it is ErrLocked. Any other error ends it at once.
func Migrate(ctx context.Context, dsn string) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	return MigrateFrom(ctx, dsn, files)
}

// MigrateFrom is Migrate with the migrations of files, whose numbers are above those that the database has.
func MigrateFrom(ctx context.Context, dsn string, files fs.FS) error {
	return migrate(ctx, dsn, files, lockPatience)
}

func migrate(ctx context.Context, dsn string, files fs.FS, patience time.Duration) error {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("parse DATABASE_URL: %w", err) // pgx leaves the password out of its errors
	}
	cfg.RuntimeParams["application_name"] = "chasqui migrate"
	cfg.RuntimeParams["lock_timeout"] = strconv.FormatInt(LockTimeout.Milliseconds(), 10)
	for done := false; !done; {
		err := persist(ctx, cfg, patience, func() (err error) {
			done, err = migrateOne(ctx, cfg, files)
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
	}
	return nil
}

// migrateOne applies the next migration, on a connection that serves for nothing else: what a file sets holds for this file alone. done:
// there was none. goose tries for its advisory lock, once a second: to wait in it would be a transaction, which an index that another
// migrator is building would wait for.
func migrateOne(ctx context.Context, cfg *pgx.ConnConfig, files fs.FS) (done bool, err error) {
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, uint64(migratorWait/time.Second)))
	if err != nil {
		return false, fmt.Errorf("make migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return false, fmt.Errorf("read migrations: %w", err)
	}
	_, err = p.UpByOne(ctx)
	if errors.Is(err, goose.ErrNoNextVersion) {
		return true, nil
	}
	return false, err
}

// Persist runs a change of the schema, in transactions whose lock_timeout is LockTimeout, until it has its locks: see Migrate.
func Persist(ctx context.Context, cfg *pgx.ConnConfig, change func() error) error {
	return persist(ctx, cfg, lockPatience, change)
}

func persist(ctx context.Context, cfg *pgx.ConnConfig, patience time.Duration, change func() error) error {
	deadline := time.Now().Add(patience)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := change()
		if code := ErrorCode(err); code != "55P03" && !queue.Retryable(err) { // lock_not_available
			return err
		}
		if time.Now().Add(pause).After(deadline) {
			return fmt.Errorf("%w: tried for %s; %s; run it again when they have ended: %w", ErrLocked, patience, oldestTransaction(ctx, cfg), err)
		}
		slog.WarnContext(ctx, "a migration waits for its locks", "error", err, "pause", pause.String())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// oldestTransaction says who is most likely in the way. Their statements are left out: they may hold what no log should.
func oldestTransaction(ctx context.Context, cfg *pgx.ConnConfig) string {
	const nobody = "nobody's transaction is open now"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nobody
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var pid, age int
	var name string
	err = conn.QueryRow(ctx, `SELECT pid, coalesce(nullif(application_name, ''), backend_type), extract(epoch FROM clock_timestamp() - xact_start)::int
		FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1`).Scan(&pid, &name, &age)
	if err != nil {
		return nobody
	}
	return fmt.Sprintf("the oldest open transaction is of %q, pid %d, %d s old", name, pid, age)
}

func latestMigration() (int64, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("list migrations: %w", err)
	}
	return goose.NumericComponent(names[len(names)-1])
}

// SchemaVersion is the number of the newest migration that this program knows.
func SchemaVersion() (int64, error) { return latestMigration() }

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/testdb"
)

// migratorEnv makes this test binary a migrator, with a folder of migrations, that a test can kill.
const migratorEnv, migratorFiles = "CHASQUI_TEST_MIGRATE_DSN", "CHASQUI_TEST_MIGRATE_FILES"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(migratorEnv); dsn != "" {
		if err := postgres.MigrateFrom(context.Background(), dsn, os.DirFS(os.Getenv(migratorFiles))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testdb.Run(m)
}

// patience bounds every wait of a test; it only matters when the test fails.
const patience = time.Minute

// bench is a database and what its tests need of it.
type bench struct {
	*testing.T
	dsn  string
	pool *pgxpool.Pool
}

func newBench(t *testing.T) bench {
	t.Helper()
	dsn := testdb.DSN(t)
	pool, err := postgres.Open(t.Context(), dsn, postgres.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return bench{t, dsn, pool}
}

func (b bench) exec(sql string) {
	b.Helper()
	if _, err := b.pool.Exec(b.Context(), sql); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

func (b bench) holds(sql string) bool {
	b.Helper()
	var yes bool
	if err := b.pool.QueryRow(b.Context(), "SELECT "+sql).Scan(&yes); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return yes
}

func (b bench) await(sql string) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !b.holds(sql); <-tick.C {
		if time.Now().After(end) {
			b.Fatalf("waited %s for %s", patience, sql)
		}
	}
}

// report opens a transaction that reads messages, as a backup or a person's report does, and returns what ends it.
func (b bench) report() (end func()) {
	b.Helper()
	cfg, err := pgx.ParseConfig(b.dsn)
	if err != nil {
		b.Fatal(err)
	}
	cfg.RuntimeParams["application_name"] = "monthly report"
	conn, err := pgx.ConnectConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	end = func() { _ = conn.Close(context.WithoutCancel(b.Context())) }
	b.Cleanup(end)
	if _, err := conn.Exec(b.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM messages"); err != nil {
		b.Fatal(err)
	}
	return end
}

func (b bench) migrate(files fstest.MapFS) <-chan error {
	done := make(chan error, 1)
	go func() { done <- postgres.MigrateFrom(b.Context(), b.dsn, files) }()
	return done
}

func (b bench) ends(done <-chan error) {
	b.Helper()
	select {
	case err := <-done:
		if err != nil {
			b.Fatal(err)
		}
	case <-time.After(patience):
		b.Fatal("the migrator still runs")
	}
}

func file(sql string) *fstest.MapFile { return &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)} }

var addNote = fstest.MapFS{"90001_note.sql": file("ALTER TABLE messages ADD COLUMN note text;")}

const (
	migratorBlocked = `EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'chasqui migrate' AND wait_event_type = 'Lock')`
	noMigrator      = `NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'chasqui migrate')`
	noteExists      = `EXISTS (SELECT FROM information_schema.columns WHERE table_name = 'messages' AND column_name = 'note')`
)

func TestASecondMigratorWaitsAndFindsNothingToDo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock(4711), set_config('idle_in_transaction_session_timeout', '0', true)"); err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"90001_slow.sql": file("SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(4711); CREATE TABLE made_once (); SELECT pg_sleep(0.5);")}
	first := b.migrate(files)
	b.await(migratorBlocked)
	second := b.migrate(files)
	b.await(`count(*) >= 2 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'chasqui migrate'`)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.ends(first)
	b.ends(second)
	if !b.holds("count(*) = 1 FROM goose_db_version WHERE version_id = 90001") {
		t.Error("it was applied twice")
	}
}

// TestNobodyQueuesBehindAMigrationForLong: while a report reads a table, an ALTER TABLE cannot have it, and whoever comes after the ALTER
// TABLE waits for both.
func TestNobodyQueuesBehindAMigrationForLong(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	endReport := b.report()
	done := b.migrate(addNote)
	for range 2 { // tried again, too
		b.await(migratorBlocked)
		ctx, cancel := context.WithTimeout(t.Context(), 5*postgres.LockTimeout)
		began := time.Now()
		if _, err := b.pool.Exec(ctx, "SELECT count(*) FROM messages"); err != nil {
			t.Fatalf("a reader waits for the report, behind the migration: %v", err)
		}
		t.Logf("a reader waited %s", time.Since(began).Round(time.Millisecond))
		cancel()
	}
	if b.holds(noteExists) {
		t.Fatal("the report was in nobody's way")
	}
	endReport()
	b.ends(done)
	if !b.holds(noteExists) {
		t.Error("the column is missing")
	}
}

func TestAMigrationThatGetsNoLockSaysWhoIsInTheWay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	endReport := b.report()
	err := postgres.MigrateWithin(t.Context(), b.dsn, addNote, time.Second)
	if !errors.Is(err, postgres.ErrLocked) || postgres.ErrorCode(err) != "55P03" || !strings.Contains(err.Error(), `"monthly report", pid `) {
		t.Errorf("it says %v", err)
	}
	endReport()
	b.ends(b.migrate(addNote))
}

// A migrator is a process of its own.
func (b bench) startMigrator(files fstest.MapFS) *exec.Cmd {
	b.Helper()
	dir := b.TempDir()
	for name, f := range files {
		if err := os.WriteFile(filepath.Join(dir, name), f.Data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), migratorEnv+"="+b.dsn, migratorFiles+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return cmd
}

func (b bench) kill(cmd *exec.Cmd) {
	b.Helper()
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
	_ = cmd.Wait() // it says how it ended
}

func TestAMigratorThatWasKilledIsStartedAgain(t *testing.T) {
	t.Parallel()
	applied := func(b bench, version int) bool {
		return b.holds(fmt.Sprintf("EXISTS (SELECT FROM goose_db_version WHERE version_id = %d)", version))
	}
	index := fstest.MapFS{"90001_index.sql": &fstest.MapFile{Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nSET lock_timeout = '10min';\n" +
		"DROP INDEX CONCURRENTLY IF EXISTS messages_note;\nCREATE INDEX CONCURRENTLY messages_note ON messages (created_at);\n")}}
	const valid = "EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('messages_note') AND indisvalid)"
	const invalid = "EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('messages_note') AND NOT indisvalid)"

	t.Run("InTheMiddleOfATransaction", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		files := fstest.MapFS{
			"90001_first.sql":  file("CREATE TABLE first ();"),
			"90002_second.sql": file("CREATE TABLE second (); ALTER TABLE messages ADD COLUMN note text;"),
		}
		endReport := b.report()
		migrator := b.startMigrator(files)
		b.await(migratorBlocked)
		b.kill(migrator)
		endReport()
		b.await(noMigrator)
		if !applied(b, 90001) || applied(b, 90002) || b.holds("to_regclass('second') IS NOT NULL") {
			t.Fatal("it was not killed where it should be")
		}
		b.ends(b.migrate(files))
		if !b.holds(noteExists) {
			t.Error("the column is missing")
		}
	})
	t.Run("WhileAnIndexIsBuilt", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		endReport := b.report() // whose snapshot the build waits for
		migrator := b.startMigrator(index)
		b.await(migratorBlocked + " AND " + invalid)
		b.kill(migrator)
		b.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'chasqui migrate'")
		b.await(noMigrator)
		if !b.holds(invalid) {
			t.Fatal("it left no invalid index")
		}
		endReport()
		b.ends(b.migrate(index))
		if !b.holds(valid) || !applied(b, 90001) {
			t.Error("the index is not valid")
		}
	})
	t.Run("BeforeItIsRecorded", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		endReport := b.report()
		migrator := b.startMigrator(index)
		b.await(migratorBlocked + " AND " + invalid)
		b.kill(migrator)
		again := b.migrate(index) // waits: the server is not done with the first one's statement
		endReport()
		b.ends(again)
		if !b.holds(valid) || !applied(b, 90001) {
			t.Error("the index is not valid")
		}
	})
}

// TestStatementsOutliveNewColumns prepares every query of the program, gives every table a new column, and has PostgreSQL look at each again:
// one that selects whatever columns there are would fail in every running role.
func TestStatementsOutliveNewColumns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn, err := pgx.Connect(t.Context(), b.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	queries := generatedQueries(t)
	if len(queries) < 80 {
		t.Fatalf("only %d queries were found", len(queries))
	}
	queries["a control that has to fail"] = "SELECT * FROM messages"
	for name, sql := range queries {
		if _, err := conn.Prepare(t.Context(), name, sql); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	b.exec(`DO $$ DECLARE r record; BEGIN
		FOR r IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition LOOP
			EXECUTE format('ALTER TABLE %s ADD COLUMN grown text NOT NULL DEFAULT ''new''', r.name);
		END LOOP; END $$`)
	stale := map[string]bool{}
	for name := range queries {
		err := describe(t, conn.PgConn(), name)
		if stale[name] = queue.StalePlan(err); err != nil && !stale[name] {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name := range queries {
		if control := strings.HasPrefix(name, "a control"); stale[name] != control {
			t.Errorf("%s: stale is %v", name, stale[name])
		}
	}
}

// describe asks for the columns of a prepared statement, for which PostgreSQL makes sure that it is as it was.
func describe(t *testing.T, conn *pgconn.PgConn, name string) (err error) {
	t.Helper()
	conn.Frontend().SendDescribe(&pgproto3.Describe{ObjectType: 'S', Name: name})
	conn.Frontend().SendSync(&pgproto3.Sync{})
	if err := conn.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		m, receiveErr := conn.ReceiveMessage(t.Context())
		if receiveErr != nil {
			t.Fatal(receiveErr)
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			err = pgconn.ErrorResponseToPgError(m)
		case *pgproto3.ReadyForQuery:
			return err
		}
	}
}

// generatedQueries are the constants of package db, by their names.
func generatedQueries(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("db/*.sql.go")
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.STRING {
				if queries[spec.Names[0].Name], err = strconv.Unquote(value.Value); err != nil {
					t.Fatal(err)
				}
			}
			return true
		})
	}
	return queries
}

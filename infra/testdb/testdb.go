// Package testdb gives every test a PostgreSQL database of its own: a clone,
// made in 17-44 ms, of a template that has all migrations. The server behind it
// is an embedded one that starts with a test binary's first database, or the one
// that CHASQUI_TEST_DATABASE_URL names.
package testdb

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/postgres"
)

// variable names a server to use instead of an embedded one, as a URL whose user
// may create databases.
const variable = "CHASQUI_TEST_DATABASE_URL"

// patience bounds each step here. Most take milliseconds; the first start of a
// server takes a second, or a minute when PostgreSQL has to be downloaded.
const patience = 5 * time.Minute

// server is this process's PostgreSQL, started by the first test that needs it.
var server struct {
	once     sync.Once
	err      error
	embedded *devstack.Postgres // nil: the server was named
	base     string             // URL of a database to administrate from
	template string             // name of the migrated database
}

// Run runs a package's tests, then fails them if goroutines are left, and stops
// the server. A package whose tests use a database calls it from TestMain; where
// that is missing, or the test binary is killed, the kernel stops the server and
// the next test run removes its files.
//
//	func TestMain(m *testing.M) { testdb.Run(m) }
func Run(m interface{ Run() int }, options ...goleak.Option) {
	code := m.Run()
	stop()
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// New returns a pool on a fresh, migrated database that is dropped when the test
// ends. A test that closes the pool itself does no harm.
func New(t testing.TB) *pgxpool.Pool {
	t.Helper()
	dsn := DSN(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pool, err := postgres.Open(ctx, dsn, postgres.Options{Name: "test"})
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// DSN returns the URL of a fresh, migrated database that is dropped, together
// with whatever is still connected to it, when the test ends.
func DSN(t testing.TB) string {
	t.Helper()
	server.once.Do(func() { server.err = start() })
	if server.err != nil {
		t.Fatalf("testdb: %v", server.err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	if err := execute("CREATE DATABASE " + name + " TEMPLATE " + server.template); err != nil {
		t.Fatalf("testdb: %v", err)
	}
	t.Cleanup(func() {
		if err := execute("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("testdb: %v", err)
		}
	})
	dsn, err := withDatabase(server.base, name)
	if err != nil {
		t.Fatalf("testdb: %v", err)
	}
	return dsn
}

// start finds the server and makes the template.
func start() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if server.base = os.Getenv(variable); server.base == "" {
		if server.embedded, err = devstack.StartPostgres(ctx, devstack.PostgresConfig{Test: true}); err != nil {
			return err
		}
		server.base = server.embedded.DSN()
	}
	name := "template_" + strings.ToLower(rand.Text())
	if err := execute("CREATE DATABASE " + name); err != nil {
		return err
	}
	server.template = name
	dsn, err := withDatabase(server.base, name)
	if err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, dsn); err != nil {
		return fmt.Errorf("migrate the template: %w", err)
	}
	return nil
}

// stop leaves nothing behind on the server, or no server.
func stop() {
	if server.embedded != nil {
		server.embedded.Stop()
		return
	}
	if server.template != "" {
		if err := execute("DROP DATABASE " + server.template); err != nil {
			fmt.Fprintln(os.Stderr, "testdb:", err)
		}
	}
}

// execute runs one statement on the administrative database, over a connection
// of its own: CREATE and DROP DATABASE allow no transaction, and a pool here
// would hold connections that tests may need.
func execute(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.base)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// withDatabase is the URL with another database's name.
func withDatabase(base, name string) (string, error) {
	address, err := url.Parse(base)
	if err != nil || address.Scheme == "" {
		return "", fmt.Errorf("%s is no URL such as postgres://user@host/database", variable)
	}
	address.Path = "/" + name
	return address.String(), nil
}

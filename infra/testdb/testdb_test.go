package testdb_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/testdb"
)

func TestMain(m *testing.M) { testdb.Run(m) }

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	one, two := testdb.New(t), testdb.New(t)
	if _, err := one.Exec(t.Context(), "CREATE TABLE mark (id int)"); err != nil {
		t.Fatal(err)
	}
	var seen bool
	if err := two.QueryRow(t.Context(), "SELECT to_regclass('mark') IS NOT NULL").Scan(&seen); err != nil {
		t.Fatal(err)
	}
	if seen {
		t.Fatal("a table of one database appeared in another")
	}
}

func TestTheDatabaseIsGoneAfterTheTest(t *testing.T) {
	t.Parallel()
	var dsn string
	var open *pgx.Conn // outlives the inner test: dropping takes it along
	t.Run("uses", func(t *testing.T) {
		dsn = testdb.DSN(t)
		var err error
		if open, err = pgx.Connect(t.Context(), dsn); err != nil {
			t.Fatal(err)
		}
	})
	defer open.Close(t.Context())
	if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
		conn.Close(t.Context())
		t.Fatal("the database was still there after its test")
	}
	if err := open.Ping(t.Context()); err == nil {
		t.Fatal("a connection to it was still open")
	}
}

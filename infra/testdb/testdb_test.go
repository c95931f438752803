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
	t.Run("uses", func(t *testing.T) {
		dsn = testdb.DSN(t)
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		// The connection stays open past the end of this test: dropping takes it along.
		t.Cleanup(func() { conn.PgConn() })
	})
	if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
		conn.Close(t.Context())
		t.Fatal("the database was still there after its test")
	}
}

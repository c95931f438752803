package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestMigratingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	if err := postgres.Migrate(t.Context(), testdb.DSN(t)); err != nil {
		t.Fatal(err)
	}
}

func TestRolesRefuseAnOlderSchemaAndAcceptANewer(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	if err := postgres.CheckSchema(t.Context(), pool); err != nil {
		t.Errorf("the current one: %v", err)
	}
	for _, step := range []struct {
		sql  string
		want error
	}{
		{"INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)", nil},
		{"DELETE FROM goose_db_version WHERE version_id > 1", postgres.ErrSchemaOld},
		{"DROP TABLE goose_db_version", postgres.ErrSchemaOld},
	} {
		if _, err := pool.Exec(t.Context(), step.sql); err != nil {
			t.Fatal(err)
		}
		if err := postgres.CheckSchema(t.Context(), pool); !errors.Is(err, step.want) {
			t.Errorf("after %s: %v, want %v", step.sql, err, step.want)
		}
	}
}

func TestATransactionThatIdlesIsEnded(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), testdb.DSN(t), postgres.Options{MaxConns: 1, Name: "test", AsyncCommit: true})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for setting, want := range map[string]string{
		"idle_in_transaction_session_timeout": "5s", "synchronous_commit": "off", "TimeZone": "UTC", "application_name": "chasqui test",
	} {
		var got string
		if err := pool.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", setting, got, err, want)
		}
	}
}

func TestAnAddressThatLeadsNowhereIsNotEchoed(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"postgres://user:s3cret@127.0.0.1:1/x", "postgres://user:s3cret@[bad"} {
		if _, err := postgres.Open(context.Background(), dsn, postgres.Options{}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("opened, or leaked: %v", err)
		}
	}
}

func TestErrorCode(t *testing.T) {
	t.Parallel()
	if err := fmt.Errorf("write: %w", &pgconn.PgError{Code: "23505"}); postgres.ErrorCode(err) != "23505" {
		t.Error("PostgreSQL's code is not found")
	}
	if postgres.ErrorCode(pgx.ErrNoRows) != "" || postgres.ErrorCode(nil) != "" {
		t.Error("what PostgreSQL did not say has a code")
	}
}

func TestAwayIsAboutTheServerAndNotTheQuestion(t *testing.T) {
	t.Parallel()
	_, refused := pgx.Connect(t.Context(), "postgres://127.0.0.1:1/none?sslmode=disable")
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{refused, true},
		{fmt.Errorf("store: %w", &pgconn.PgError{Code: "57P01"}), true},
		{&pgconn.PgError{Code: "57P03"}, true},
		{&pgconn.PgError{Code: "53300"}, true},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		{&pgconn.PgError{Code: "22021"}, false}, // a byte that no text may have
		{&pgconn.PgError{Code: "23505"}, false},
		{errors.New("handle message: panic"), false},
		{nil, false},
	} {
		if got := postgres.Away(tt.err); got != tt.want {
			t.Errorf("Away(%v) = %v", tt.err, got)
		}
	}
}

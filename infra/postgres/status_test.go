package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/testdb"
)

// The CHECK lists what message_rank knows, each once, and both refuse what is none.
func TestAMessageHasAStatusThatHasARank(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t)
	rows, err := pool.Query(t.Context(), `SELECT m[1] FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), '''(\w+)''', 'g') AS m
		 WHERE conname = 'messages_status_check' AND convalidated
		EXCEPT SELECT m[1] FROM pg_proc, regexp_matches(prosrc, 'WHEN ''(\w+)''', 'g') AS m WHERE proname = 'message_rank'`)
	if err != nil {
		t.Fatal(err)
	}
	if odd, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(odd) != 0 {
		t.Errorf("the CHECK lists %q, which have no rank: %v", odd, err)
	}
	var listed, ranked int
	if err := pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), '''(\w+)''', 'g') WHERE conname = 'messages_status_check' AND convalidated),
		(SELECT count(*) FROM pg_proc, regexp_matches(prosrc, 'WHEN ''(\w+)''', 'g') WHERE proname = 'message_rank')`).Scan(&listed, &ranked); err != nil || listed != ranked || ranked == 0 {
		t.Errorf("%d are listed and %d have a rank: %v", listed, ranked, err)
	}
}

package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Planned returns a connection or pool on which every statement is planned for the values that it is run with. Elsewhere PostgreSQL may keep one plan
// for any values, after five runs of a prepared statement; for a statement that finds a rare session or a common one by different indexes, that
// plan is wrong for one of them, and which it is depends on the sample that ANALYZE took. The types of its parameters are still asked for once.
func Planned(on db.DBTX) db.DBTX { return planned{on} }

type planned struct{ db.DBTX }

func (p planned) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.DBTX.Query(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

func (p planned) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return p.DBTX.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

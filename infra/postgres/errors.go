package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrorCode returns the SQLSTATE of a PostgreSQL error, or "" when err is none.
func ErrorCode(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// Retryable says whether the transaction that ended with err may simply be run again: serialization failure or deadlock.
func Retryable(err error) bool {
	code := ErrorCode(err)
	return code == "40001" || code == "40P01"
}

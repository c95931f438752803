package postgres

import (
	"errors"
	"io"
	"net"
	"strings"

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

// Away says whether err is about the way to PostgreSQL, or the server's being there, and not about what was asked of it: no connection, one that
// broke, a server that starts, stops or has no room (classes 08, 53 and 57P).
func Away(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) { // whatever the server's reason for refusing
		return true
	}
	if code := ErrorCode(err); code != "" {
		return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53") || strings.HasPrefix(code, "57P")
	}
	var network net.Error
	return errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// Retryable says whether the transaction that ended with err may simply be run again: serialization failure, deadlock, or a StalePlan.
func Retryable(err error) bool {
	code := ErrorCode(err)
	return code == "40001" || code == "40P01" || StalePlan(err)
}

// StalePlan says whether err is PostgreSQL's "cached plan must not change result type": a migration changed what a statement returns that this
// connection had prepared before. pgx forgets the statement with the error, so that the next try on the connection prepares it anew. The code
// alone would mean any feature that is missing, and the text is translated; the routine is neither.
func StalePlan(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "0A000" && pg.Routine == "RevalidateCachedQuery"
}

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

package signalstore

import (
	"database/sql"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chasqui/chasqui/infra/ratchet"
)

var (
	// ErrNoDevice says that no device with this JID is stored: it was never paired, or it was unlinked.
	ErrNoDevice = errors.New("no such device is stored")

	// ErrFenced says that a write was refused because the fence's query returned no row: somebody else owns the device now.
	ErrFenced = errors.New("another process owns the device")

	// ErrSuperseded says that this process has since loaded the same device again, so that the older one may not write.
	ErrSuperseded = ratchet.ErrSuperseded

	// ErrStolen says that a session was read too long ago to be written back. A send that fails with it can simply be repeated.
	ErrStolen = ratchet.ErrStolen
)

// translate wraps what the infrastructure did wrong in a ratchet.Failure, and passes on what is an answer: a row that is not there, or data that
// PostgreSQL will never accept. The latter comes from outside (a push name with a NUL byte, an id too long for an index) and fails at every
// repetition: taking it for a failure would let any contact stop a session for good.
func translate(err error) error {
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return err
	case errors.As(err, &pg) && unacceptable(pg.Code):
		return err
	}
	return ratchet.Fail(err)
}

// unacceptable tells by its SQLSTATE (PostgreSQL, appendix A) that an error is the data's fault: class 22, data exception; class 54,
// program limit exceeded; 23502 and 23514, a NOT NULL or CHECK violated.
func unacceptable(code string) bool {
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "54") || code == "23502" || code == "23514"
}

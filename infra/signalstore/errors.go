package signalstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrNoDevice says that no device with this JID is stored: it was never paired, or it was unlinked.
	ErrNoDevice = errors.New("no such device is stored")

	// ErrFenced says that a write was refused because the fence's query returned no row: somebody else owns the device now.
	ErrFenced = errors.New("another process owns the device")

	// ErrSuperseded says that this process has since loaded the same device again, so that the older one may not write.
	ErrSuperseded = errors.New("the device was loaded again")

	// ErrStolen says that a session was read too long ago to be written back: another use of the device took the lock in between.
	// Nothing was sent, so that a send which fails with it can simply be repeated.
	ErrStolen = errors.New("the device's lock was lost before its sessions could be written")
)

// Failure is an error of the infrastructure: the database, the connection to it, or the fence. It satisfies
// errors.Is(err, context.Canceled), because that is the one kind of error after which whatsmeow neither acknowledges a message nor asks
// for it again (message.go, decryptMessages; retry.go, tryHandleRetryReceipt): the server keeps it and delivers it on the next connection.
type Failure struct{ cause error }

// Error implements error.
func (f *Failure) Error() string { return "signal store: " + f.cause.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.cause }

// Is makes a Failure a context.Canceled as well as what its cause is.
func (f *Failure) Is(target error) bool { return target == context.Canceled }

// translate wraps what the infrastructure did wrong in a Failure, and passes on what is an answer: a row that is not there, or data that
// PostgreSQL will never accept. The latter comes from outside (a push name with a NUL byte, an id too long for an index) and fails at every
// repetition: taking it for a failure would let any contact stop a session for good.
func translate(err error) error {
	var failure *Failure
	var pg *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows), errors.As(err, &failure):
		return err
	case errors.As(err, &pg) && unacceptable(pg.Code):
		return err
	}
	return &Failure{cause: err}
}

// unacceptable tells by its SQLSTATE (PostgreSQL, appendix A) that an error is the data's fault: class 22, data exception; class 54,
// program limit exceeded; 23502 and 23514, a NOT NULL or CHECK violated.
func unacceptable(code string) bool {
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "54") || code == "23502" || code == "23514"
}

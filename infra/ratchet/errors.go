package ratchet

import (
	"context"
	"errors"
)

var (
	// ErrSuperseded says that this process has since loaded the same device again, so that the older one may not write.
	ErrSuperseded = errors.New("the device was loaded again")

	// ErrStolen says that a session was read too long ago to be written back: another use of the device took the lock in between.
	// Nothing was sent, so that a send which fails with it can simply be repeated.
	ErrStolen = errors.New("the device's lock was lost before its sessions could be written")
)

// Failure is an error of the infrastructure: the database, the connection to it, or what guards a write. It satisfies
// errors.Is(err, context.Canceled), because that is the one kind of error after which whatsmeow neither acknowledges a message nor asks
// for it again (message.go, decryptMessages; retry.go, tryHandleRetryReceipt): the server keeps it and delivers it on the next connection.
type Failure struct{ cause error }

// Fail returns a Failure with a cause; of an error that is one already, that one.
func Fail(cause error) *Failure {
	var failure *Failure
	if errors.As(cause, &failure) {
		return failure
	}
	return &Failure{cause}
}

// Error implements error.
func (f *Failure) Error() string { return "signal store: " + f.cause.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.cause }

// Is makes a Failure a context.Canceled as well as what its cause is.
func (f *Failure) Is(target error) bool { return target == context.Canceled }

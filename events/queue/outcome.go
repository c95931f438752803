package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
)

// A handler's error decides what becomes of its message. nil: it is done. Any error that is none of the following: it is tried again after
// the subscriber's backoff, and goes to the dead letters after MaxAttempts.

// RetryAfter counts as a failed attempt; the next comes after D.
type RetryAfter struct {
	D   time.Duration
	Err error
}

// Permanent sends the message to the dead letters at once; the rest of its lane goes on.
type Permanent struct{ Err error }

// WaitFor lets the whole lane wait for D without counting an attempt: for pacing, and for limits that somebody else sets.
type WaitFor struct{ D time.Duration }

// Park sets the message's lane aside, without counting an attempt, until Ready is called for its session; a message without a session
// cannot be parked. Unless is asked in the transaction that parks and answers true when the reason to park has gone: the lane is then ready
// at once. Unless must lock the row that it reads (the session's) FOR SHARE, and the transaction that changes that row calls Ready after the
// change: one of the two then sees what the other did, and no lane is parked for ever. FOR KEY SHARE is too weak, because an UPDATE that
// leaves the key alone does not wait for it. nil: park in any case.
type Park struct {
	Unless func(ctx context.Context, tx pgx.Tx) (bool, error)
	Err    error
}

func (e RetryAfter) Error() string { return fmt.Sprintf("retry after %s: %v", e.D, e.Err) }
func (e Permanent) Error() string  { return fmt.Sprintf("permanent: %v", e.Err) }
func (e WaitFor) Error() string    { return fmt.Sprintf("wait for %s", e.D) }
func (e Park) Error() string       { return fmt.Sprintf("park: %v", e.Err) }

// Unwrap returns the cause.
func (e RetryAfter) Unwrap() error { return e.Err }

// Unwrap returns the cause.
func (e Permanent) Unwrap() error { return e.Err }

// Unwrap returns the cause.
func (e Park) Unwrap() error { return e.Err }

// errNacked stands for a handler that nacked without saying why, which Outcome does away with.
var errNacked = errors.New("nacked without an error")

// A Delivery says which message a handler has in hand.
type Delivery struct {
	Topic     string
	Lane      string // the ordering key; "" when unordered
	Session   string
	ID        int64 // the message's place in the queue: it grows within a lane
	Attempt   int   // 1 at first; crashes and waits do not count
	CreatedAt time.Time
}

// deliveryKey is the context key of a message's *verdict.
type deliveryKey struct{}

// verdict carries a handler's error back to the subscriber; it is written before the nack and read after it.
type verdict struct {
	Delivery
	err error
}

// DeliveryOf returns what is known of the message whose context, or a context made from it, is ctx; false when it is none of this queue's.
func DeliveryOf(ctx context.Context) (Delivery, bool) {
	v, ok := ctx.Value(deliveryKey{}).(*verdict)
	if !ok {
		return Delivery{}, false
	}
	return v.Delivery, true
}

// Outcome is the Watermill middleware that carries the handler's error to the subscriber; a panic counts as an error. It comes first
// (outermost). The router never sees the error: the subscriber logs every attempt itself.
func Outcome(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) (produced []*message.Message, err error) {
		v, ok := msg.Context().Value(deliveryKey{}).(*verdict)
		if !ok {
			return h(msg)
		}
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			}
			if err != nil {
				v.err = err
				msg.Nack() // the router's Ack that follows has no effect
				produced, err = nil, nil
			}
		}()
		return h(msg)
	}
}

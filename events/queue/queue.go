// Package queue is a durable queue on PostgreSQL that leases the ordering key (a lane) instead of the message: messages of one lane are
// handled in order and one at a time, lanes side by side, and a crash loses neither a message nor its place.
//
// Publishing is part of the caller's transaction (DB.InTx, Tx.Publish) and goes through watermill-sql's Publisher. Consuming is a Watermill
// message.Subscriber (Subscriber), or a batch inside a transaction of the caller's own (FetchBatch). Delivery is at least once: what was in
// hand when a process died comes again, so handlers are idempotent by Message.ID. Order holds within a lane for what is published one
// after the other, or in one transaction.
package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/infra/trace"
)

// MaxPayload bounds a message's payload: 1 MiB. What is larger belongs in a table or in object storage, with a message that points to it.
const MaxPayload = 1 << 20

// maxAttemptsInTx bounds how often InTx runs its function. Deadlocks come from publishers that create the same new lanes at the same
// moment, which two or three rounds always resolve.
const maxAttemptsInTx = 5

// A Message is what a transaction publishes.
type Message struct {
	ID       uuid.UUID         // the message's own id; the zero value gets a new UUIDv7
	Lane     string            // the ordering key, without #; "" means unordered: a lane of its own
	Session  string            // the session whose claim's owner alone may take the lane, the same for all of a lane; "" when the topic is not claimed
	Payload  []byte            // at most MaxPayload
	Metadata map[string]string // strings without NUL, which jsonb cannot hold; MetaTrace is added where the transaction belongs to a trace
}

// DB runs transactions that can publish.
type DB struct {
	Pool     *pgxpool.Pool
	Notifier *Notifier // nil: nobody is woken, subscribers find messages by polling
}

// InTx runs fn in a READ COMMITTED transaction and commits it. A deadlock, a serialization failure or a plan that a migration made stale
// runs fn again, up to 5 times in all, so fn does nothing but database work. An error of fn rolls back and is returned. When the connection is
// lost during the commit, the error may hide a commit that took place: who tries again must recognise his own rows.
func (d *DB) InTx(ctx context.Context, fn func(*Tx) error) error {
	for attempt := 1; ; attempt++ {
		tx, err := d.once(ctx, fn)
		if err == nil {
			d.wake(tx)
			for _, fn := range tx.after {
				fn()
			}
			return nil
		}
		if attempt == maxAttemptsInTx || !Retryable(err) {
			return err
		}
		if StalePlan(err) { // the pool's other connections have it too: the next try gets one that never prepared anything
			d.Pool.Reset()
		}
		// The losers of a deadlock meet again unless their pauses differ: 0-5 ms, then 0-10 ms, 0-20 ms, 0-40 ms.
		if err := pause(ctx, rand.N(5*time.Millisecond<<(attempt-1))); err != nil {
			return err
		}
	}
}

func (d *DB) once(ctx context.Context, fn func(*Tx) error) (*Tx, error) {
	conn, err := d.Pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	tx := &Tx{conn: conn, out: map[string][]Message{}, wakes: map[string]map[string]struct{}{}, trace: trace.Parent(ctx)}
	defer tx.end(ctx)
	if err := fn(tx); err != nil {
		return nil, err
	}
	return tx, tx.commit(ctx)
}

func (d *DB) wake(tx *Tx) {
	if d.Notifier == nil {
		return
	}
	for topic := range tx.out {
		d.Notifier.Notify(topic)
	}
	for topic, keys := range tx.wakes {
		d.Notifier.Notify(topic, slices.Collect(maps.Keys(keys))...)
	}
}

// Retryable says whether the transaction that ended with err may simply be run again: serialization failure, deadlock, or a StalePlan.
func Retryable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01") || StalePlan(err)
}

// StalePlan says whether err is PostgreSQL's "cached plan must not change result type": a migration changed what a statement returns that this
// connection had prepared before. pgx forgets the statement with the error, so that the next try on the connection prepares it anew. The code
// alone would mean any feature that is missing, and the text is translated; the routine is neither.
func StalePlan(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "0A000" && pg.Routine == "RevalidateCachedQuery"
}

// pause waits for d, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// idempotencyLease is how long a request may run before its key is free again for the same request: four times what the database work
	// between reserving and finishing may take. It is the time after which a process that died lets its clients repeat.
	idempotencyLease = 4 * databaseBudget
	// idempotencyKept is how long an answer is kept for repeats.
	idempotencyKept = 24 * time.Hour
	sweepEvery      = time.Minute
	sweepBatch      = 2000 // rows a statement, so that no sweep holds locks for long
)

// once runs effect in a transaction and returns what it returns; with an Idempotency-Key at most once for this key, however often and in
// how many processes it is asked. The key is reserved before, with a lease, and finished in effect's own transaction, so what was done and
// the answer to repeats stand or fall together. A repeat gets the first answer and replayed.
//
// Failure policy: an effect that fails has written nothing, so its key is released and the next try starts afresh. After a crash the lease
// runs out first. A holder that slept past its lease cannot finish: its transaction is rolled back.
func once[T any](ctx context.Context, s *Server, key string, status int, effect func(context.Context, *queue.Tx) (T, error)) (value T, replayed bool, err error) {
	if key == "" {
		err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) (err error) { value, err = effect(ctx, tx); return err })
		return value, false, err
	}
	lease, stored, err := s.reserve(ctx, key)
	if err != nil {
		return value, false, err
	}
	if stored != nil {
		if err := json.Unmarshal(stored, &value); err != nil {
			return value, false, fmt.Errorf("read stored answer: %w", err)
		}
		return value, true, nil
	}
	principal := callOf(ctx).principal[:]
	err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) (err error) {
		if value, err = effect(ctx, tx); err != nil {
			return err
		}
		answer, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		finished, err := s.q.IdempotencyFinish(ctx, tx, db.IdempotencyFinishParams{Status: int32(status), Response: answer, Principal: principal, Key: key, Lease: lease})
		if err != nil {
			return fmt.Errorf("finish idempotency key: %w", err)
		}
		if finished == 0 {
			return problem(IdempotencyInProgress, "this request took so long that a repeat of it began")
		}
		return nil
	})
	if err != nil {
		// The caller may be gone; the release is for the next one. After a commit whose answer was lost it finds the key finished, and does
		// nothing.
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), databaseBudget)
		defer cancel()
		if failed := s.q.IdempotencyRelease(release, s.pool, principal, key, lease); failed != nil {
			s.log.WarnContext(ctx, "idempotency key stays reserved until its lease ends", "error", failed)
		}
	}
	return value, false, err
}

// reserve takes the key of the current request, or returns the answer that is stored under it.
func (s *Server) reserve(ctx context.Context, key string) (lease *time.Time, stored []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, databaseBudget)
	defer cancel()
	c := callOf(ctx)
	for range 3 { // a key that vanishes between the two statements was released just then
		lease, err = s.q.IdempotencyReserve(ctx, s.pool, db.IdempotencyReserveParams{
			Key: key, Principal: c.principal[:], Route: c.route, BodyHash: c.body[:],
			LeaseSeconds: idempotencyLease.Seconds(), KeepSeconds: idempotencyKept.Seconds(),
		})
		if err == nil {
			return lease, nil, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return nil, nil, fmt.Errorf("reserve idempotency key: %w", err)
		}
		held, err := s.q.IdempotencyGet(ctx, s.pool, c.principal[:], key)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("read idempotency key: %w", err)
		case held.Route != c.route || !bytes.Equal(held.BodyHash, c.body[:]):
			return nil, nil, problem(IdempotencyKeyReused, "this Idempotency-Key was used for another request")
		case held.Status != nil:
			return nil, held.Response, nil
		default:
			return nil, nil, problem(IdempotencyInProgress, "the first request with this Idempotency-Key is still running")
		}
	}
	return nil, nil, problem(IdempotencyInProgress, "other requests with this Idempotency-Key are running")
}

// replayedHeader is the value of Idempotency-Replayed.
func replayedHeader(replayed bool) string {
	if replayed {
		return "true"
	}
	return ""
}

// sweep removes, every minute and when it is kicked, the idempotency keys that have expired and the endpoints that were deleted. Several
// processes may do it at once. Failure policy: what fails is logged and done in the next round; nothing depends on it being soon.
func (s *Server) sweep() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.running.Go(func() { <-s.stopping; cancel() })
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for _, step := range []func(context.Context) (int64, error){
			func(ctx context.Context) (int64, error) { return s.q.IdempotencySweep(ctx, s.pool, sweepBatch) },
			func(ctx context.Context) (int64, error) { return s.q.DeliveryCancelDeleted(ctx, s.pool, sweepBatch) },
			func(ctx context.Context) (int64, error) { return s.q.EndpointRemoveDeleted(ctx, s.pool) },
		} {
			for n := int64(sweepBatch); n == sweepBatch; {
				var err error
				budget, done := context.WithTimeout(ctx, databaseBudget)
				if n, err = step(budget); err != nil && ctx.Err() == nil {
					s.log.WarnContext(ctx, "sweep failed", "error", err)
				}
				done()
			}
		}
		select {
		case <-tick.C:
		case <-s.kick:
		case <-s.stopping:
			return
		}
	}
}

package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
)

const (
	// idempotencyKept is how long an answer is kept for repeats.
	idempotencyKept = 24 * time.Hour
	sweepEvery      = time.Minute
	sweepBatch      = 2000 // rows a statement, so that no sweep holds locks for long
)

// once runs effect in a transaction and returns what it returns; with an Idempotency-Key at most once for this key, however often and in
// how many processes it is asked. The key is taken and answered in effect's own transaction, so that what was done and the answer to
// repeats stand or fall together, and a process that dies leaves nothing to wait for. A repeat gets the first answer and replayed; one that
// comes while the first is running is told so.
//
// Failure policy: an effect that fails has written nothing, its key included, so the next try starts afresh.
func once[T any](ctx context.Context, s *Server, key string, effect func(context.Context, *queue.Tx) (T, error)) (value T, replayed bool, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) (err error) {
		if key == "" {
			value, err = effect(ctx, tx)
			return err
		}
		stored, err := s.takeKey(ctx, tx, key)
		if err != nil {
			return err
		}
		if replayed = stored != nil; replayed {
			callOf(ctx).change = nil
			if err := json.Unmarshal(stored, &value); err != nil {
				return fmt.Errorf("read stored answer: %w", err)
			}
			return nil
		}
		if value, err = effect(ctx, tx); err != nil {
			return err
		}
		answer, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		if err := s.q.IdempotencyAnswer(ctx, tx, callOf(ctx).principal[:], key, s.config.Keys.Seal(answer, answerAt(ctx, key))); err != nil {
			return fmt.Errorf("store answer: %w", err)
		}
		return nil
	})
	return value, replayed, err
}

// answered says whether a request with this key has been answered already, so that what is slow need not be done again before once says so
// for sure.
func (s *Server) answered(ctx context.Context, key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	principal := callOf(ctx).principal
	_, err := s.q.IdempotencyGet(ctx, s.pool, principal[:], key)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read idempotency key: %w", err)
	}
	return true, nil
}

// errKeyExpired says that a request which had been answered, so that its file was not taken, has to be done after all.
var errKeyExpired = problem(Unavailable, "the answer to the first request with this Idempotency-Key expired just now; send the request again")

// takeKey takes the key for the current request, or returns the answer that is stored under it.
func (s *Server) takeKey(ctx context.Context, tx *queue.Tx, key string) (stored []byte, err error) {
	c := callOf(ctx)
	_, err = s.q.IdempotencyTake(ctx, tx, db.IdempotencyTakeParams{
		Key: key, Principal: c.principal[:], Route: c.route, BodyHash: c.body[:], KeepSeconds: idempotencyKept.Seconds(),
	})
	if err == nil {
		return nil, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("take idempotency key: %w", err)
	}
	held, err := s.q.IdempotencyGet(ctx, tx, c.principal[:], key)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, problem(IdempotencyInProgress, "the first request with this Idempotency-Key is still running")
	case err != nil:
		return nil, fmt.Errorf("read idempotency key: %w", err)
	case held.Route != c.route || !bytes.Equal(held.BodyHash, c.body[:]):
		return nil, problem(IdempotencyKeyReused, "this Idempotency-Key was used for another request")
	}
	stored, err = s.config.Keys.Open(held.Response, answerAt(ctx, key))
	if err != nil {
		return nil, fmt.Errorf("open stored answer: %w", err)
	}
	return stored, nil
}

// answerAt is where the answer to the current request is sealed: it may be that of a new webhook endpoint, with its secret.
func answerAt(ctx context.Context, key string) string {
	principal := callOf(ctx).principal
	return seal.IdempotencyResponse.At(hex.EncodeToString(principal[:]), key)
}

// replayedHeader is the value of Idempotency-Replayed.
func replayedHeader(replayed bool) string {
	if replayed {
		return "true"
	}
	return ""
}

// sweep removes, every minute and when it is kicked, the idempotency keys, tickets, queries, changes, notices of groups, typings, calls and webhook secrets that have expired and the
// endpoints that were deleted. Several processes may do it at once. Failure policy: what fails is logged and done in the next round; nothing depends on it being soon.
func (s *Server) sweep() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.running.Go(func() { <-s.stopping; cancel() })
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for _, step := range []func(context.Context) (int64, error){
			func(ctx context.Context) (int64, error) { return s.q.IdempotencySweep(ctx, s.pool, sweepBatch) },
			func(ctx context.Context) (int64, error) { return s.q.TicketSweep(ctx, s.pool, sweepBatch) },
			func(ctx context.Context) (int64, error) { return s.q.KeySweep(ctx, s.pool, sweepBatch) },
			func(ctx context.Context) (int64, error) {
				return s.q.AuditSweep(ctx, s.pool, events.FirstID(time.Now().Add(-auditKept)), sweepBatch)
			},
			func(ctx context.Context) (int64, error) {
				return s.q.QuerySweep(ctx, s.pool, queryKept.Seconds(), sweepBatch)
			},
			func(ctx context.Context) (int64, error) {
				return s.q.ChangeSweep(ctx, s.pool, changeKept.Seconds(), sweepBatch)
			},
			func(ctx context.Context) (int64, error) {
				return s.q.GroupNoticeSweep(ctx, s.pool, groupNoticesKept.Seconds(), sweepBatch)
			},
			func(ctx context.Context) (int64, error) {
				return s.q.PresenceSweep(ctx, s.pool, typingKept.Seconds(), sweepBatch)
			},
			func(ctx context.Context) (int64, error) {
				return s.q.CallSweep(ctx, s.pool, callsKept.Seconds(), sweepBatch)
			},
			func(ctx context.Context) (int64, error) { return s.q.DeliveryCancelDeleted(ctx, s.pool, sweepBatch) },
			func(ctx context.Context) (int64, error) { return s.q.EndpointRemoveDeleted(ctx, s.pool) },
			func(ctx context.Context) (int64, error) { return s.q.EndpointDropSecrets(ctx, s.pool) },
			func(ctx context.Context) (int64, error) { return s.q.RateLimitSweep(ctx, s.pool) },
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

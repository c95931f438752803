package mediastore

import (
	"context"
	"errors"
	"fmt"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/s3"
)

// sweepBatch bounds what one statement of a sweep touches.
const sweepBatch = 500

// Sweep removes from S3 what nobody refers to: objects without media, uploads that were never kept. Any number of processes may do it. It
// says whether there may be more.
//
// Failure policy: a key whose deletion fails stays marked and is tried again by the next sweep; it can become no object any more.
func (s *Store) Sweep(ctx context.Context) (more bool, err error) {
	orphans, err := s.queries.ObjectSweep(ctx, s.pool, sweepBatch)
	if postgres.ErrorCode(err) == "23503" { // foreign_key_violation: one of them got its media just now
		orphans, err = sweepBatch, nil // look again
	}
	if err != nil {
		return false, fmt.Errorf("sweep objects: %w", err)
	}
	keys, err := s.queries.UploadListExpired(ctx, s.pool, sweepBatch)
	if err != nil {
		return false, fmt.Errorf("list expired uploads: %w", err)
	}
	var gone []string
	var failed error
	for _, key := range keys {
		if err := s.s3.Delete(ctx, key); err != nil {
			failed = errors.Join(failed, err)
			if s3.Unavailable(err) || ctx.Err() != nil {
				break // the others would fail as well
			}
			continue
		}
		gone = append(gone, key)
	}
	if len(gone) > 0 {
		if err := s.queries.UploadForget(ctx, s.pool, gone); err != nil {
			return false, errors.Join(failed, fmt.Errorf("forget uploads: %w", err))
		}
	}
	if failed != nil {
		return false, fmt.Errorf("delete swept media: %w", failed)
	}
	return orphans == sweepBatch || len(keys) == sweepBatch, nil
}

-- Partitions themselves are found, made and dropped by statements that sqlc cannot hold.

-- name: RetentionTryLock :one
-- One dispatcher at a time looks after the partitions; the others have nothing to do.
SELECT pg_try_advisory_xact_lock(@key::bigint);

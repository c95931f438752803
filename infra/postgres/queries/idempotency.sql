-- name: IdempotencyReserve :one
-- Takes a key that is new, has expired, or whose holder's lease ran out before it finished the very same request. No row: it is taken.
-- The lease that comes back is also the fence: only who holds it can finish.
INSERT INTO idempotency_keys AS k (key, principal, route, body_hash, locked_until, expires_at)
VALUES (sqlc.arg(key), sqlc.arg(principal), sqlc.arg(route), sqlc.arg(body_hash),
        clock_timestamp() + sqlc.arg(lease_seconds)::float8 * interval '1 second', now() + sqlc.arg(keep_seconds)::float8 * interval '1 second')
ON CONFLICT (principal, key) DO UPDATE
   SET route = excluded.route, body_hash = excluded.body_hash, locked_until = excluded.locked_until, expires_at = excluded.expires_at,
       status = NULL, headers = NULL, response = NULL
 WHERE k.expires_at < now() OR (k.status IS NULL AND k.locked_until < now() AND k.route = excluded.route AND k.body_hash = excluded.body_hash)
RETURNING locked_until;

-- name: IdempotencyGet :one
SELECT route, body_hash, status, response FROM idempotency_keys WHERE principal = $1 AND key = $2;

-- name: IdempotencyFinish :execrows
UPDATE idempotency_keys SET status = sqlc.arg(status)::int, response = sqlc.arg(response), locked_until = NULL
 WHERE principal = sqlc.arg(principal) AND key = sqlc.arg(key) AND status IS NULL AND locked_until = sqlc.arg(lease);

-- name: IdempotencyRelease :exec
DELETE FROM idempotency_keys
 WHERE principal = sqlc.arg(principal) AND key = sqlc.arg(key) AND status IS NULL AND locked_until = sqlc.arg(lease);

-- name: IdempotencySweep :execrows
DELETE FROM idempotency_keys WHERE (principal, key) IN (
    SELECT k.principal, k.key FROM idempotency_keys k WHERE k.expires_at < now() ORDER BY k.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED);

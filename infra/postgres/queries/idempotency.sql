-- name: IdempotencyTake :one
-- Takes a key that is new or has expired. No row: another transaction is using it (the lock, which ends with that transaction or its
-- process, is tried and never waited for), or its answer is stored.
INSERT INTO idempotency_keys AS k (key, principal, route, body_hash, expires_at)
SELECT sqlc.arg(key), sqlc.arg(principal)::bytea, sqlc.arg(route), sqlc.arg(body_hash), now() + sqlc.arg(keep_seconds)::float8 * interval '1 second'
 WHERE pg_try_advisory_xact_lock(hashtextextended(encode(sqlc.arg(principal)::bytea, 'hex') || sqlc.arg(key)::text, 0))
ON CONFLICT (principal, key) DO UPDATE SET route = excluded.route, body_hash = excluded.body_hash, expires_at = excluded.expires_at, response = ''
 WHERE k.expires_at < now()
RETURNING true;

-- name: IdempotencyGet :one
SELECT route, body_hash, response FROM idempotency_keys WHERE principal = $1 AND key = $2 AND expires_at >= now();

-- name: IdempotencyAnswer :exec
UPDATE idempotency_keys SET response = $3 WHERE principal = $1 AND key = $2;

-- name: IdempotencySweep :execrows
DELETE FROM idempotency_keys WHERE (principal, key) IN (
    SELECT k.principal, k.key FROM idempotency_keys k WHERE k.expires_at < now() ORDER BY k.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED);

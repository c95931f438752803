-- API keys and links.

-- name: KeyByHash :one
-- The key that hashes so, or did before its rotation.
SELECT * FROM api_keys
 WHERE (hash = $1 OR previous_hash = $1 AND previous_until > now()) AND (expires_at IS NULL OR expires_at > now());

-- name: KeyUsed :exec
UPDATE api_keys SET last_used_at = now() WHERE id = @id AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute');

-- name: KeyByPrincipal :one
SELECT * FROM api_keys WHERE principal = @principal AND (expires_at IS NULL OR expires_at > now());

-- name: KeyInsert :one
INSERT INTO api_keys (id, kind, name, hint, hash, scopes, sessions, networks, rate_limit, expires_at, brand)
VALUES (@id, @kind, @name, @hint, sqlc.arg(hash), @scopes, @sessions, @networks, @rate_limit, @expires_at, sqlc.narg(brand)) RETURNING *;

-- name: KeyList :many
SELECT * FROM api_keys
 WHERE kind = 'key' AND (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid) ORDER BY id DESC LIMIT @max_rows;

-- name: KeyGet :one
SELECT * FROM api_keys WHERE id = @id AND kind = 'key';

-- name: KeyLock :one
SELECT * FROM api_keys WHERE id = @id AND kind = 'key' FOR UPDATE;

-- name: KeyChange :one
UPDATE api_keys SET name = @name, scopes = @scopes, sessions = @sessions, networks = @networks, rate_limit = @rate_limit, expires_at = @expires_at
 WHERE id = @id RETURNING *;

-- name: KeyRotate :one
-- The key before the last is good no more, whatever time it had.
UPDATE api_keys SET previous_hash = sqlc.narg(previous_hash), previous_until = sqlc.narg(previous_until), hash = sqlc.arg(new_hash), hint = @hint
 WHERE id = @id AND kind = 'key' RETURNING *;

-- name: KeyDelete :execrows
DELETE FROM api_keys WHERE id = @id AND kind = 'key';

-- name: LinkDelete :execrows
-- A link is good for one pairing, of a session that is not linked.
DELETE FROM api_keys WHERE kind = 'link' AND sessions = ARRAY[@session_id::text];

-- name: KeySweep :execrows
-- Links go when they have expired; keys stay for their list, 30 days.
DELETE FROM api_keys WHERE id IN (
    SELECT k.id FROM api_keys k WHERE k.expires_at < now() - CASE k.kind WHEN 'link' THEN interval '0' ELSE interval '30 days' END
     ORDER BY k.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED);

-- name: AuditList :many
SELECT * FROM audit_log
 WHERE (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid)
   AND (sqlc.narg(key_id)::uuid IS NULL OR key_id = sqlc.narg(key_id)::uuid)
   AND (@session_id::text = '' OR session_id = @session_id::text)
   AND (@operation::text = '' OR operation = @operation::text)
 ORDER BY id DESC LIMIT @max_rows;

-- name: AuditSweep :execrows
DELETE FROM audit_log WHERE id IN (SELECT a.id FROM audit_log a WHERE a.id < @before_id ORDER BY a.id LIMIT @max_rows FOR UPDATE SKIP LOCKED);

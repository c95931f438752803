-- Presence of contacts: see api/presence.go and connector/presence.go.

-- name: PresenceGet :one
SELECT * FROM presences WHERE session_id = $1 AND contact_id = $2;

-- name: PresenceRoom :one
-- Whether a session may subscribe to somebody: it has already, or has fewer subscriptions than it may.
SELECT (EXISTS (SELECT FROM presences p WHERE p.session_id = @session_id AND p.contact_id = @contact_id::text AND p.subscribed_at IS NOT NULL)
        OR (SELECT count(*) FROM presences p WHERE p.session_id = @session_id AND p.subscribed_at IS NOT NULL) < @most::int)::boolean;

-- name: PresenceSubscribe :one
-- It follows the fence in the same transaction.
INSERT INTO presences (session_id, contact_id, subscribed_at) VALUES (@session_id, @contact_id, clock_timestamp())
    ON CONFLICT (session_id, contact_id) DO UPDATE SET subscribed_at = coalesce(presences.subscribed_at, excluded.subscribed_at)
RETURNING *;

-- name: PresenceForget :exec
-- It follows the fence in the same transaction.
DELETE FROM presences WHERE session_id = $1 AND contact_id = $2;

-- name: PresenceListSubscribed :many
SELECT contact_id FROM presences
 WHERE session_id = @session_id AND subscribed_at IS NOT NULL AND contact_id > @after::text ORDER BY contact_id LIMIT @max_rows;

-- name: PresenceHear :one
-- Writes what was told of somebody. fresh: it is not what was known. No row: the session is not subscribed to him. It follows the fence in the
-- same transaction.
WITH before AS (
    SELECT p.contact_id, p.state, p.last_seen FROM presences p
     WHERE p.session_id = @session_id AND p.contact_id = @contact_id::text AND p.subscribed_at IS NOT NULL FOR NO KEY UPDATE)
UPDATE presences p SET state = @state::text, last_seen = coalesce(sqlc.narg(last_seen), p.last_seen), heard_at = clock_timestamp()
  FROM before WHERE p.session_id = @session_id AND p.contact_id = before.contact_id
RETURNING sqlc.embed(p), ((before.state, before.last_seen) IS DISTINCT FROM (p.state, p.last_seen))::boolean AS fresh;

-- name: PresenceType :exec
-- Writes that somebody is typing in his chat, or is no more. It follows the fence in the same transaction.
INSERT INTO presences (session_id, contact_id, typing, typing_at) VALUES (@session_id, @contact_id, @typing, clock_timestamp())
    ON CONFLICT (session_id, contact_id) DO UPDATE SET typing = excluded.typing, typing_at = excluded.typing_at;

-- name: PresenceJoin :exec
-- Part of what ContactJoin begins.
WITH old AS (
    DELETE FROM presences o WHERE o.session_id = @session_id AND o.contact_id = @lid::text RETURNING *)
INSERT INTO presences (session_id, contact_id, subscribed_at, state, last_seen, heard_at, typing, typing_at)
SELECT old.session_id, @phone::text, old.subscribed_at, old.state, old.last_seen, old.heard_at, old.typing, old.typing_at FROM old
    ON CONFLICT (session_id, contact_id) DO UPDATE
   SET subscribed_at = least(presences.subscribed_at, excluded.subscribed_at), last_seen = greatest(presences.last_seen, excluded.last_seen);

-- name: PresenceErase :exec
DELETE FROM presences WHERE session_id = @session_id AND contact_id = ANY (@ids::text[]);

-- name: PresenceSweep :execrows
-- Those of whom only an old typing is known.
DELETE FROM presences WHERE (session_id, contact_id) IN (
    SELECT p.session_id, p.contact_id FROM presences p
     WHERE p.subscribed_at IS NULL AND p.typing_at < now() - make_interval(secs => @kept_seconds) ORDER BY p.typing_at LIMIT @max_rows FOR UPDATE SKIP LOCKED);

-- name: SessionGet :one
SELECT * FROM session_views WHERE id = $1 AND delete_requested_at IS NULL;

-- name: SessionList :many
SELECT * FROM session_views
 WHERE delete_requested_at IS NULL AND (sqlc.narg(among)::text[] IS NULL OR id = ANY (sqlc.narg(among)::text[]))
   AND (sqlc.narg(before_created)::timestamptz IS NULL OR (created_at, id) < (sqlc.narg(before_created)::timestamptz, sqlc.arg(before_id)::text))
 ORDER BY created_at DESC, id DESC LIMIT sqlc.arg(max_rows);

-- name: SessionInsert :execrows
INSERT INTO sessions (id, name, settings, desired) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING;

-- name: SessionChange :execrows
-- settings holds only the members that change.
UPDATE sessions SET name = coalesce(sqlc.narg(name), name), settings = settings || sqlc.arg(settings)::jsonb, updated_at = now()
 WHERE id = sqlc.arg(id) AND delete_requested_at IS NULL;

-- name: SessionStart :execrows
-- What starts a session again that has come to an end is the restart counter.
UPDATE sessions SET desired = 'started', updated_at = now(),
       restarts = restarts + CASE WHEN state IN ('logged_out', 'banned', 'replaced', 'failed') THEN 1 ELSE 0 END
 WHERE id = $1 AND delete_requested_at IS NULL;

-- name: SessionStop :execrows
UPDATE sessions SET desired = 'stopped', updated_at = now() WHERE id = $1 AND delete_requested_at IS NULL;

-- name: SessionRestart :execrows
UPDATE sessions SET desired = 'started', restarts = restarts + 1, updated_at = now() WHERE id = $1 AND delete_requested_at IS NULL;

-- name: SessionLogout :execrows
-- One that is not linked has nothing to log out from.
UPDATE sessions SET logout_requested_at = CASE WHEN jid IS NULL THEN logout_requested_at ELSE coalesce(logout_requested_at, now()) END, updated_at = now()
 WHERE id = $1 AND delete_requested_at IS NULL;

-- name: SessionDeleteRequest :execrows
UPDATE sessions SET delete_requested_at = coalesce(delete_requested_at, now()), delete_unlinks = sqlc.arg(unlinks), updated_at = now() WHERE id = sqlc.arg(id);

-- name: SessionDeleteUnlinked :execrows
-- Without a device to forget and without an owner there is nobody to wait for.
DELETE FROM sessions s
 WHERE s.id = $1 AND s.jid IS NULL AND NOT EXISTS (SELECT FROM claims c WHERE c.session = s.id AND c.expires_at > now());

-- name: SessionExists :one
SELECT EXISTS (SELECT FROM sessions WHERE id = $1);

-- name: SessionPairing :one
-- What decides whether there is a QR code. restarting: a start or restart that no connector has taken up yet.
SELECT v.shown_state, v.reason, v.desired, (v.jid IS NOT NULL)::boolean AS linked, v.qr, v.qr_expires_at, (s.restarts > s.restarts_done)::boolean AS restarting
  FROM session_views v JOIN sessions s ON s.id = v.id
 WHERE v.id = $1 AND v.delete_requested_at IS NULL;

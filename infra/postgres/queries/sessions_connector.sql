-- A session as its connector sees it: what is asked of it, and what was observed.

-- name: SessionListControl :many
SELECT s.id, s.desired, s.restarts, s.restarts_done, s.logout_requested_at, s.delete_requested_at, s.delete_unlinks, s.state, s.reason, s.jid, s.settings, s.created_at
  FROM claims c JOIN sessions s ON s.id = c.session
 WHERE c.owner = @owner AND c.expires_at > clock_timestamp();

-- name: SessionSetState :exec
-- logged_out forgets the device: only that state is written after its keys are gone.
UPDATE sessions
   SET state = @state, reason = @reason, qr = sqlc.narg(qr), qr_expires_at = sqlc.narg(qr_expires_at),
       restarts_done = greatest(restarts_done, @restarts_done),
       connected_at = CASE WHEN @state = 'connected' THEN clock_timestamp() ELSE connected_at END,
       jid = CASE WHEN @state = 'logged_out' THEN NULL ELSE jid END,
       logout_requested_at = CASE WHEN @state = 'logged_out' THEN NULL ELSE logout_requested_at END,
       updated_at = clock_timestamp()
 WHERE id = @id;

-- name: SessionShow :one
SELECT * FROM session_views WHERE id = @id;

-- name: SessionLockState :one
-- Read under the lock of the row, which the transaction that writes the state holds too.
SELECT state FROM sessions WHERE id = @id FOR NO KEY UPDATE;

-- name: SessionDevice :one
SELECT jid FROM sessions WHERE id = @id;

-- name: SessionRemove :exec
-- Messages, chats, contacts and the claim go with it; events stay.
DELETE FROM sessions WHERE id = @id;

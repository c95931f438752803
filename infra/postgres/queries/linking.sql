-- name: SessionStartUnlinked :execrows
-- Starts a session for a phone to link it. One that is linked stays as it is, and so does one that runs.
UPDATE sessions SET desired = 'started', updated_at = now(),
       restarts = restarts + CASE WHEN state IN ('logged_out', 'banned', 'replaced', 'failed') AND restarts <= restarts_done THEN 1 ELSE 0 END
 WHERE id = $1 AND delete_requested_at IS NULL AND jid IS NULL AND (desired = 'stopped' OR state IN ('logged_out', 'banned', 'replaced', 'failed'));

-- name: SessionProxy :one
SELECT coalesce(settings ->> 'proxy', '')::text AS proxy FROM sessions WHERE id = $1;

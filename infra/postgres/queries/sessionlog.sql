-- The log of a session.

-- name: SessionLogAppend :exec
-- Adds an entry, and removes what is older than the newest 500 with it. The row added is not seen by the removal.
WITH added AS (
    INSERT INTO session_log (session_id, kind, state, reason, code, settings) VALUES (@session_id, @kind, @state, @reason, @code, @settings))
DELETE FROM session_log l
 WHERE l.session_id = @session_id AND l.id < (SELECT o.id FROM session_log o WHERE o.session_id = @session_id ORDER BY o.id DESC OFFSET 498 LIMIT 1);

-- name: SessionLogList :many
SELECT * FROM session_log WHERE session_id = @session_id AND (@before::bigint = 0 OR id < @before::bigint) ORDER BY id DESC LIMIT @max_rows;

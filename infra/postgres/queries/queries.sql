-- Queries: what is asked of WhatsApp. Times are those of the server's clock, so that the clocks of who asks and who answers need not agree.

-- name: QueryLock :exec
-- Those who ask one session count its queries one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('queries/' || @session_id::text, 0));

-- name: QueryOpen :execrows
-- Adds a query, unless as many are open. It follows QueryLock as a statement of its own, which sees what was committed while that waited.
INSERT INTO queries (id, session_id, kind, parameters, deadline)
SELECT @id, @session_id, @kind, @parameters, clock_timestamp() + make_interval(secs => @wait_seconds)
 WHERE (SELECT count(*) FROM queries q WHERE q.session_id = @session_id AND q.deadline > clock_timestamp()) < @max_open::int;

-- name: QueryLook :one
-- Whether a query is answered, and the state of its session.
SELECT (q.answered_at IS NOT NULL)::boolean AS answered, v.shown_state
  FROM queries q JOIN session_views v ON v.id = q.session_id WHERE q.id = $1;

-- name: QueryTake :one
-- Ends the wait: takes the answer, if there is one, and the row.
DELETE FROM queries WHERE id = $1 RETURNING answered_at, result, error_code, error_message;

-- name: QueryRead :one
-- What is to be asked, and for how long somebody waits.
SELECT kind, parameters, (answered_at IS NOT NULL)::boolean AS answered, extract(epoch FROM deadline - clock_timestamp())::float8 AS left_seconds
  FROM queries WHERE id = @id AND session_id = @session_id;

-- name: QueryAnswer :execrows
UPDATE queries SET answered_at = clock_timestamp(), result = @answer, error_code = @error_code, error_message = @error_message
 WHERE id = @id AND answered_at IS NULL;

-- name: QuerySweep :execrows
DELETE FROM queries WHERE id IN (
    SELECT q.id FROM queries q WHERE q.deadline < now() - make_interval(secs => @kept_seconds) ORDER BY q.deadline LIMIT @max_rows FOR UPDATE SKIP LOCKED);

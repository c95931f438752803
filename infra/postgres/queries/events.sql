-- name: EventGet :one
SELECT body FROM events WHERE id = $1;

-- name: EventSeq :one
SELECT seq FROM events WHERE id = $1;

-- name: EventHead :one
-- The newest event. seq is given under the sequencer's lock, so whatever is below this one is visible too.
SELECT seq, id FROM events ORDER BY seq DESC LIMIT 1;

-- name: EventPage :many
-- Looks at scan rows of the log at most, so that a rare type cannot make one request read all of it.
SELECT w.seq, w.id, w.session_id, w.type, w.body FROM (
    SELECT e.seq, e.id, e.session_id, e.type, e.body FROM events e
     WHERE e.seq > sqlc.arg(after)::bigint AND e.seq <= sqlc.arg(head)::bigint
       AND (sqlc.arg(session_id)::text = '' OR e.session_id = sqlc.arg(session_id)::text)
     ORDER BY e.seq LIMIT sqlc.arg(scan)::int) w
 WHERE cardinality(sqlc.arg(types)::text[]) = 0 OR w.type = ANY (sqlc.arg(types)::text[])
 ORDER BY w.seq LIMIT sqlc.arg(max_rows)::int;

-- name: EventScanEnd :one
-- The last event that EventPage looked at, when it stopped because of scan.
SELECT e.seq, e.id FROM events e
 WHERE e.seq > sqlc.arg(after)::bigint AND e.seq <= sqlc.arg(head)::bigint
   AND (sqlc.arg(session_id)::text = '' OR e.session_id = sqlc.arg(session_id)::text)
 ORDER BY e.seq OFFSET sqlc.arg(scan)::int - 1 LIMIT 1;

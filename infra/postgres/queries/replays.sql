-- Sending an endpoint's deliveries of a time again.

-- name: ReplayInsert :one
-- No row when another replay of the endpoint runs.
INSERT INTO webhook_replays (id, endpoint_id, since, until, states, types, reached)
VALUES (@id, @endpoint_id, @since, @until, @states, @types, @reached)
ON CONFLICT (endpoint_id) WHERE state = 'running' DO NOTHING RETURNING id;

-- name: ReplayRunningID :one
SELECT id FROM webhook_replays WHERE endpoint_id = $1 AND state = 'running';

-- name: ReplayGet :one
SELECT * FROM webhook_replay_views WHERE id = $1;

-- name: ReplayList :many
SELECT * FROM webhook_replay_views
 WHERE endpoint_id = @endpoint_id AND (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid)
 ORDER BY id DESC LIMIT sqlc.arg(max_rows);

-- name: ReplayListRunning :many
SELECT id, (endpoint_state IS NULL)::boolean AS orphaned, most, room, flowing FROM webhook_replay_views WHERE state = 'running' ORDER BY id;

-- name: ReplayLock :one
-- No row when another dispatcher is at it, or it is over.
SELECT * FROM webhook_replays WHERE id = $1 AND state = 'running' FOR UPDATE SKIP LOCKED;

-- name: ReplayScan :many
-- The next events of the log, with the state of the endpoint's delivery of each, missing where it has none.
SELECT w.id, w.seq, w.type, w.session_id, w.order_key, w.from_me, coalesce(d.state, 'missing')::text AS state
  FROM (SELECT e.id, e.seq, e.type, e.session_id, e.order_key, e.from_me FROM events e
         WHERE e.id > @after::uuid AND e.id < @before::uuid AND e.body <> '' ORDER BY e.id LIMIT @scan::int) w
  LEFT JOIN LATERAL (SELECT i.state FROM deliveries i WHERE i.event_id = w.id AND i.endpoint_id = @endpoint_id LIMIT 1) d ON true
 ORDER BY w.id;

-- name: ReplayResend :execrows
-- Due now, with all attempts before them. Whatever has become of one since it was looked at stays.
UPDATE deliveries d
   SET state = 'pending', attempt = 0, run_at = statement_timestamp(), planned_at = NULL, media_id = NULL, order_key = nullif(u.order_key, ''), finished_at = NULL
  FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@order_keys::text[]) AS order_key) u
 WHERE d.event_id = u.event_id AND d.endpoint_id = @endpoint_id AND d.state = ANY (@states::text[]);

-- name: ReplayInsertMissing :execrows
INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, order_key, run_at)
SELECT u.id, u.event_id, u.event_seq, @endpoint_id, nullif(u.order_key, ''), statement_timestamp()
  FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@event_ids::uuid[]) AS event_id, unnest(@event_seqs::bigint[]) AS event_seq,
               unnest(@order_keys::text[]) AS order_key) u
ON CONFLICT (event_id, endpoint_id) DO NOTHING;

-- name: ReplayAdvance :exec
UPDATE webhook_replays
   SET reached = @reached, scanned = scanned + @scanned, resent = resent + @resent,
       state = CASE WHEN @done::boolean THEN 'done' ELSE state END, finished_at = CASE WHEN @done::boolean THEN statement_timestamp() END
 WHERE id = @id;

-- name: ReplayCancel :execrows
UPDATE webhook_replays SET state = 'cancelled', finished_at = statement_timestamp() WHERE id = $1 AND state = 'running';

-- name: ReplayPurge :execrows
DELETE FROM webhook_replays WHERE id IN (SELECT r.id FROM webhook_replays r WHERE r.finished_at < @before::timestamptz LIMIT @max_rows);

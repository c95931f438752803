-- The sequencer's statements, all in one transaction under its lock.

-- name: SequencerLock :exec
-- A statement of its own: those that follow see everything that was committed before the lock was had.
SELECT pg_advisory_xact_lock(@key::bigint);

-- name: EventInsertMany :many
-- Numbers the events in the order of the arrays. from_mes are true, false, or empty for an event about no message. An event that is in the log already is not returned and gets nothing twice.
INSERT INTO events (seq, id, session_id, type, order_key, from_me, occurred_at, body, traceparent)
SELECT nextval('events_seq'), u.id, u.session_id, u.type, u.order_key, nullif(u.from_me, '')::boolean, u.occurred_at, u.body, nullif(u.traceparent, '')
  FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@session_ids::text[]) AS session_id, unnest(@types::text[]) AS type,
               unnest(@order_keys::text[]) AS order_key, unnest(@from_mes::text[]) AS from_me, unnest(@occurred_ats::timestamptz[]) AS occurred_at,
               unnest(@bodies::bytea[]) AS body, unnest(@traceparents::text[]) AS traceparent) u
ON CONFLICT (id) DO NOTHING
RETURNING seq, id;

-- name: EndpointListForEvents :many
SELECT id, events, sessions, chat_kinds, from_me, format, order_mode, state, wait_for_media FROM webhook_endpoints WHERE state <> 'deleted';

-- name: DeliveryInsertMany :copyfrom
INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, state, order_key, media_id) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: MediaListPending :many
-- Those whose bytes are still on their way. The lock makes whoever ends the wait come wholly before this or after the deliveries are there.
SELECT id FROM media WHERE id = ANY (@ids::uuid[]) AND status = 'pending' ORDER BY id FOR SHARE;

-- name: DeliveryWaitForMedia :exec
-- The deliveries of these events that have media wait for it, as long as they may.
UPDATE deliveries SET run_at = statement_timestamp() + make_interval(secs => @wait_seconds::float8)
 WHERE event_id = ANY (@event_ids::uuid[]) AND media_id IS NOT NULL AND state IN ('pending', 'held');

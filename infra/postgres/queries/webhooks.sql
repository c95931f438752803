-- name: EndpointGet :one
SELECT * FROM webhook_endpoints WHERE id = $1 AND state <> 'deleted';

-- name: EndpointList :many
SELECT * FROM webhook_endpoints
 WHERE state <> 'deleted' AND (sqlc.narg(sessions)::text[] IS NULL OR cardinality(sessions) > 0 AND sessions <@ sqlc.narg(sessions)::text[])
   AND (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid)
 ORDER BY id DESC LIMIT sqlc.arg(max_rows);

-- name: EndpointInsert :one
INSERT INTO webhook_endpoints (id, url, events, sessions, chat_kinds, from_me, format, headers, secret, timeout_seconds, max_in_flight,
                               rate_per_second, retry_seconds, order_mode, wait_for_media, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING *;

-- name: EndpointLock :one
SELECT * FROM webhook_endpoints WHERE id = $1 AND state <> 'deleted' FOR UPDATE;

-- name: EndpointChange :one
-- fresh gives it a clean record: what failed before is no reason to hold back now.
UPDATE webhook_endpoints
   SET url = @url, events = @events, sessions = @sessions, chat_kinds = @chat_kinds, from_me = @from_me, headers = @headers,
       timeout_seconds = @timeout_seconds, max_in_flight = @max_in_flight, rate_per_second = @rate_per_second,
       retry_seconds = @retry_seconds, order_mode = @order_mode, wait_for_media = @wait_for_media, state = @state, updated_at = now(),
       disabled_reason = CASE WHEN @fresh::boolean THEN '' ELSE disabled_reason END,
       failing_since = CASE WHEN @fresh::boolean THEN NULL ELSE failing_since END,
       breaker_until = CASE WHEN @fresh::boolean THEN NULL ELSE breaker_until END,
       breaker_trips = CASE WHEN @fresh::boolean THEN 0 ELSE breaker_trips END,
       concurrency = CASE WHEN @fresh::boolean THEN NULL ELSE concurrency END,
       failing_told = failing_told AND NOT @fresh::boolean,
       rate_tokens = CASE WHEN @fresh::boolean THEN 0 ELSE rate_tokens END,
       rate_at = CASE WHEN @fresh::boolean THEN NULL ELSE rate_at END,
       consecutive_failures = CASE WHEN @fresh::boolean THEN 0 ELSE consecutive_failures END
 WHERE id = @id RETURNING *;

-- name: EndpointConfigure :exec
-- The endpoint of WEBHOOK_URL, in the original's format. Its secret and what a client chose for it stay. A value that was applied before
-- changes nothing, so that what /webhook/config or a DELETE has made of it since stays; another one makes it active, with a clean record.
INSERT INTO webhook_endpoints AS w (id, url, secret, format, events, configured_url)
VALUES (@id, @url::text, @secret, 'legacy', '{message.received}', @url::text)
ON CONFLICT (id) DO UPDATE
   SET url = excluded.url, format = excluded.format, events = excluded.events, configured_url = excluded.configured_url, updated_at = now(),
       state = 'active', disabled_reason = '', failing_since = NULL, breaker_until = NULL, breaker_trips = 0, consecutive_failures = 0,
       concurrency = NULL, failing_told = false, rate_tokens = 0, rate_at = NULL
 WHERE w.configured_url IS DISTINCT FROM excluded.configured_url;

-- name: EndpointUnconfigure :exec
-- WEBHOOK_URL is unset: its endpoint goes, unless /webhook/config has given it another URL since.
UPDATE webhook_endpoints
   SET state = CASE WHEN url = configured_url THEN 'deleted' ELSE state END, configured_url = NULL, updated_at = now()
 WHERE id = @id AND configured_url IS NOT NULL;

-- name: EndpointAssign :exec
-- What /webhook/config asks for: the same endpoint, active, with a clean record.
INSERT INTO webhook_endpoints AS w (id, url, secret, format, events) VALUES (@id, @url, @secret, 'legacy', '{message.received}')
ON CONFLICT (id) DO UPDATE
   SET url = excluded.url, format = excluded.format, events = excluded.events, updated_at = now(),
       state = 'active', disabled_reason = '', failing_since = NULL, breaker_until = NULL, breaker_trips = 0, consecutive_failures = 0,
       concurrency = NULL, failing_told = false, rate_tokens = 0, rate_at = NULL;

-- name: EndpointDelete :execrows
UPDATE webhook_endpoints SET state = 'deleted', updated_at = now() WHERE id = $1 AND state <> 'deleted';

-- name: DeliveryCancelDeleted :execrows
-- What waited for endpoints that are deleted, a batch at a time. One being sent ends by itself.
UPDATE deliveries SET state = 'cancelled', finished_at = now()
 WHERE (event_id, endpoint_id) IN (
    SELECT d.event_id, d.endpoint_id FROM webhook_endpoints w CROSS JOIN LATERAL (
        (SELECT h.event_id, h.endpoint_id FROM deliveries h WHERE h.endpoint_id = w.id AND h.state = 'held' LIMIT @max_rows)
        UNION ALL
        (SELECT a.event_id, a.endpoint_id FROM deliveries a WHERE a.endpoint_id = w.id AND a.state = 'pending' AND a.order_key IS NULL LIMIT @max_rows)
        UNION ALL
        (SELECT b.event_id, b.endpoint_id FROM deliveries b WHERE b.endpoint_id = w.id AND b.state = 'pending' AND b.order_key IS NOT NULL LIMIT @max_rows)) d
     WHERE w.state = 'deleted' LIMIT @max_rows)
   AND state IN ('held', 'pending');

-- name: EndpointRemoveDeleted :execrows
-- Once nothing of it is left to deliver. The conditions are those of the indexes. That of WEBHOOK_URL stays, to know which value was applied.
DELETE FROM webhook_endpoints w WHERE w.state = 'deleted' AND w.configured_url IS NULL
   AND NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'held')
   AND NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NULL)
   AND NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NOT NULL)
   AND NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'sending');

-- name: EndpointBacklog :one
-- What waits for an endpoint, each counted up to a bound. The conditions are those of the indexes.
SELECT (SELECT count(*) FROM (
            (SELECT FROM deliveries a WHERE a.endpoint_id = @endpoint_id AND a.state = 'pending' AND a.order_key IS NULL LIMIT @most)
            UNION ALL
            (SELECT FROM deliveries b WHERE b.endpoint_id = @endpoint_id AND b.state = 'pending' AND b.order_key IS NOT NULL LIMIT @most)
            LIMIT @most) p)::int AS pending,
       (SELECT count(*) FROM (SELECT FROM deliveries h WHERE h.endpoint_id = @endpoint_id AND h.state = 'held' LIMIT @most) q)::int AS held;

-- name: EndpointSetSecret :exec
UPDATE webhook_endpoints SET secret = @secret, previous_secrets = @previous_secrets, updated_at = now() WHERE id = @id;

-- name: EndpointDropSecrets :execrows
-- Secrets that sign no more are kept no longer.
UPDATE webhook_endpoints w
   SET previous_secrets = (SELECT coalesce(jsonb_agg(p.v ORDER BY p.n), '[]') FROM jsonb_array_elements(w.previous_secrets) WITH ORDINALITY p (v, n)
                            WHERE (p.v->>'until')::timestamptz > now())
 WHERE w.previous_secrets <> '[]'
   AND EXISTS (SELECT FROM jsonb_array_elements(w.previous_secrets) p (v) WHERE (p.v->>'until')::timestamptz <= now());

-- name: DeliveryOutcome :one
-- What has come of an event at an endpoint so far.
SELECT id, state, last_status, last_class FROM deliveries WHERE event_id = @event_id AND endpoint_id = @endpoint_id;

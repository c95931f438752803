-- name: EndpointGet :one
SELECT * FROM webhook_endpoints WHERE id = $1 AND state <> 'deleted';

-- name: EndpointList :many
SELECT * FROM webhook_endpoints
 WHERE state <> 'deleted' AND (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid)
 ORDER BY id DESC LIMIT sqlc.arg(max_rows);

-- name: EndpointInsert :one
INSERT INTO webhook_endpoints (id, url, events, sessions, format, headers, secret, timeout_seconds, max_in_flight, order_mode, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING *;

-- name: EndpointLock :one
SELECT * FROM webhook_endpoints WHERE id = $1 AND state <> 'deleted' FOR UPDATE;

-- name: EndpointChange :one
-- Whoever makes an endpoint active again gives it a clean record.
UPDATE webhook_endpoints w
   SET url = sqlc.arg(url), events = sqlc.arg(events), sessions = sqlc.arg(sessions), headers = sqlc.arg(headers),
       timeout_seconds = sqlc.arg(timeout_seconds), max_in_flight = sqlc.arg(max_in_flight), order_mode = sqlc.arg(order_mode),
       state = sqlc.arg(state), updated_at = now(),
       disabled_reason = CASE WHEN w.state = sqlc.arg(state) THEN w.disabled_reason ELSE '' END,
       failing_since = CASE WHEN w.state = sqlc.arg(state) THEN w.failing_since END,
       breaker_until = CASE WHEN w.state = sqlc.arg(state) THEN w.breaker_until END,
       consecutive_failures = CASE WHEN w.state = sqlc.arg(state) THEN w.consecutive_failures ELSE 0 END
 WHERE id = sqlc.arg(id) RETURNING *;

-- name: EndpointConfigure :one
-- The endpoint of WEBHOOK_URL. Its secret and what a client chose for it stay; only another URL makes it active again.
INSERT INTO webhook_endpoints AS w (id, url, secret) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET url = excluded.url, updated_at = now(),
       state = CASE WHEN w.url <> excluded.url OR w.state = 'deleted' THEN 'active' ELSE w.state END
RETURNING *;

-- name: EndpointDelete :execrows
UPDATE webhook_endpoints SET state = 'deleted', updated_at = now() WHERE id = $1 AND state <> 'deleted';

-- name: DeliveryRelease :execrows
-- Held deliveries of one endpoint become due, oldest first.
UPDATE deliveries SET state = 'pending', run_at = now() WHERE (event_id, endpoint_id) IN (
    SELECT d.event_id, d.endpoint_id FROM deliveries d WHERE d.endpoint_id = $1 AND d.state = 'held' ORDER BY d.event_id LIMIT $2);

-- name: DeliveryCancelDeleted :execrows
-- What waited for endpoints that are deleted, a batch at a time. One being sent ends by itself.
UPDATE deliveries SET state = 'cancelled', finished_at = now() WHERE (event_id, endpoint_id) IN (
    SELECT d.event_id, d.endpoint_id FROM webhook_endpoints w JOIN deliveries d ON d.endpoint_id = w.id AND d.state IN ('pending', 'held')
     WHERE w.state = 'deleted' LIMIT $1 FOR UPDATE OF d SKIP LOCKED);

-- name: EndpointRemoveDeleted :execrows
DELETE FROM webhook_endpoints w WHERE w.state = 'deleted'
   AND NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending')
   AND NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'held')
   AND NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'sending');

-- Claiming, finishing and sweeping deliveries. Times are statement_timestamp(), the server's clock when the statement came: now() would be
-- the begin of a transaction that may have waited for its lock, and clock_timestamp() can use no index.

-- name: DeliveryClaimDue :many
-- Claims deliveries without order, of each endpoint those that are due longest. Where there is not room for all, the endpoints take turns. An
-- endpoint whose breaker's time is over gets a single delivery, the probe, and only while nothing else of it is under way. Leases last as long
-- as the attempt may take and lease_slack more, for the wait before it and the finish after it. body is NULL when the event is gone; early says
-- that a failure costs no attempt.
WITH picked AS MATERIALIZED (
    SELECT p.event_id, w.id AS endpoint_id, w.timeout_seconds FROM webhook_endpoints w
     CROSS JOIN LATERAL (
        SELECT CASE WHEN (SELECT true FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NULL
                             AND d.run_at <= statement_timestamp() ORDER BY d.run_at LIMIT 1)
                    THEN least((CASE WHEN w.breaker_until IS NULL THEN least(w.max_in_flight, w.concurrency) ELSE 1 END)
                                 - (SELECT count(*) FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'sending'),
                               floor(rate_tokens_now(w.rate_per_second, w.rate_tokens, w.rate_at)))
                    ELSE 0 END AS free) s
     CROSS JOIN LATERAL (
        SELECT o.event_id, row_number() OVER (ORDER BY o.run_at) AS turn FROM (
            SELECT d.event_id, d.run_at FROM deliveries d
             WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NULL AND d.run_at <= statement_timestamp()
             ORDER BY d.run_at LIMIT greatest(s.free, 0)::int) o) p
     WHERE w.state = 'active' AND (w.breaker_until IS NULL OR w.breaker_until <= statement_timestamp())
     ORDER BY p.turn LIMIT @room::int
), claimed AS (
    UPDATE deliveries d
       SET state = 'sending', claim_id = @claim_id, claimed_by = @owner::text, media_id = NULL,
           lease_until = statement_timestamp() + make_interval(secs => u.timeout_seconds + @lease_slack::int)
      FROM picked u
     WHERE d.event_id = u.event_id AND d.endpoint_id = u.endpoint_id AND d.state = 'pending'
    RETURNING d.id, d.event_id, d.endpoint_id, d.attempt, coalesce(d.planned_at > statement_timestamp(), false) AS early)
SELECT c.id, c.event_id, c.endpoint_id, c.attempt, c.early::boolean AS early, e.body, e.occurred_at, coalesce(e.traceparent, '')::text AS traceparent
  FROM claimed c LEFT JOIN events e ON e.id = c.event_id AND e.body <> '';

-- name: EndpointListLimited :many
-- Endpoints for which DeliveryClaimDue alone is not enough: that have something due whose order matters, or a rate. free is how many more
-- deliveries they take at once, tokens how many requests the rate allows now.
SELECT e.id, e.timeout_seconds, e.free, e.rate_per_second, coalesce(e.tokens, 0)::float8 AS tokens, e.due_ordered FROM (
    SELECT w.id, w.timeout_seconds, w.rate_per_second, rate_tokens_now(w.rate_per_second, w.rate_tokens, w.rate_at) AS tokens,
           least((CASE WHEN w.breaker_until IS NULL THEN least(w.max_in_flight, w.concurrency) ELSE 1 END)
                   - (SELECT count(*) FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'sending'),
                 floor(rate_tokens_now(w.rate_per_second, w.rate_tokens, w.rate_at)))::int AS free,
           coalesce((SELECT true FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NOT NULL
                        AND d.run_at <= statement_timestamp() ORDER BY d.run_at LIMIT 1), false)::boolean AS due_ordered
      FROM webhook_endpoints w
     WHERE w.state = 'active' AND (w.breaker_until IS NULL OR w.breaker_until <= statement_timestamp())) e
 WHERE e.due_ordered OR e.rate_per_second IS NOT NULL;

-- name: EndpointListTargets :many
SELECT id, url, secret, previous_secrets, format, headers, timeout_seconds, retry_seconds, max_in_flight,
       least(max_in_flight, concurrency)::int AS slots
  FROM webhook_endpoints WHERE id = ANY (@ids::uuid[]);

-- name: EndpointSpendTokens :exec
-- Takes tokens of endpoints that have a rate. The rows are locked in the order of ids, as those who finish deliveries do it.
WITH locked AS MATERIALIZED (
    SELECT l.id FROM webhook_endpoints l WHERE l.id = ANY (@ids::uuid[]) ORDER BY l.id FOR NO KEY UPDATE)
UPDATE webhook_endpoints w
   SET rate_at = statement_timestamp(), rate_tokens = rate_tokens_now(w.rate_per_second, w.rate_tokens, w.rate_at) - u.tokens
  FROM locked, (SELECT unnest(@ids::uuid[]) AS id, unnest(@tokens::int[]) AS tokens) u
 WHERE w.id = locked.id AND u.id = locked.id AND w.rate_per_second IS NOT NULL;

-- name: DeliveryListHeads :many
-- The earliest unfinished delivery of each order key after a given one, key by key (an index skip scan: one probe a key, however long the
-- backlog behind it). Only a head goes out, and only when it is due.
WITH RECURSIVE heads AS (
    (SELECT 1 AS n, d.order_key, d.event_id, d.state, d.run_at FROM deliveries d
      WHERE d.endpoint_id = @endpoint_id AND d.order_key > @after::text AND d.state IN ('pending', 'sending', 'held')
      ORDER BY d.order_key, d.event_seq LIMIT 1)
    UNION ALL
    SELECT h.n + 1, x.order_key, x.event_id, x.state, x.run_at FROM heads h CROSS JOIN LATERAL (
        SELECT d.order_key, d.event_id, d.state, d.run_at FROM deliveries d
         WHERE d.endpoint_id = @endpoint_id AND d.order_key > h.order_key AND d.state IN ('pending', 'sending', 'held')
         ORDER BY d.order_key, d.event_seq LIMIT 1) x
     WHERE h.n < @max_keys::int
)
SELECT h.order_key::text AS order_key, h.event_id, (h.state = 'pending' AND h.run_at <= statement_timestamp())::boolean AS due FROM heads h;

-- name: DeliveryListBehind :many
-- What comes behind the heads of order keys, up to max_rows of each, in its order.
SELECT k.order_key::text AS order_key, b.event_id, (b.state = 'pending' AND b.run_at <= statement_timestamp())::boolean AS due
  FROM unnest(@order_keys::text[]) AS k (order_key) CROSS JOIN LATERAL (
    SELECT d.event_id, d.event_seq, d.state, d.run_at FROM deliveries d
     WHERE d.endpoint_id = @endpoint_id AND d.order_key = k.order_key AND d.state IN ('pending', 'sending', 'held')
     ORDER BY d.event_seq OFFSET 1 LIMIT @max_rows::int) b
 ORDER BY k.order_key, b.event_seq;

-- name: DeliveryClaimMany :many
-- Leases last as long as the attempt may take and 30 s more, for the wait before it and the finish after it. body is NULL when the event is
-- gone; early says that a failure costs no attempt.
WITH claimed AS (
    UPDATE deliveries d
       SET state = 'sending', claim_id = @claim_id, claimed_by = @owner::text, media_id = NULL,
           lease_until = statement_timestamp() + make_interval(secs => u.lease_seconds)
      FROM (SELECT unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
                   unnest(@lease_seconds::int[]) AS lease_seconds) u
     WHERE d.event_id = u.event_id AND d.endpoint_id = u.endpoint_id AND d.state = 'pending'
    RETURNING d.id, d.event_id, d.endpoint_id, d.attempt, coalesce(d.planned_at > statement_timestamp(), false) AS early)
SELECT c.id, c.event_id, c.endpoint_id, c.attempt, c.early::boolean AS early, e.body, e.occurred_at, coalesce(e.traceparent, '')::text AS traceparent
  FROM claimed c LEFT JOIN events e ON e.id = c.event_id AND e.body <> '';

-- name: EndpointListUnwell :many
-- Those of the endpoints for which a success changes something.
SELECT id FROM webhook_endpoints
 WHERE id = ANY (@ids::uuid[]) AND (consecutive_failures > 0 OR breaker_until IS NOT NULL OR concurrency IS NOT NULL OR failing_told);

-- name: EndpointLockHealth :many
-- In the order of ids, so that two who lock several never wait for each other in a circle.
SELECT id, state, consecutive_failures, failing_since, breaker_until, breaker_trips, failing_told, concurrency, max_in_flight,
       statement_timestamp()::timestamptz AS now
  FROM webhook_endpoints WHERE id = ANY (@ids::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: DeliveryFinishMany :exec
-- What was sent is over, or waits for its next time. Guarded by the claim: whose lease was taken cannot overwrite. How the time is set:
-- same leaves it, planned goes back to the one before it was brought forward, delay sets one, fixed sets one that is not to be brought
-- forward. loose takes a delivery out of its order. The attempts are logged in the same statement, whether the claim still stands or not; those
-- without a start were none.
WITH u AS MATERIALIZED (
    SELECT unnest(@ids::uuid[]) AS id, unnest(@event_ids::uuid[]) AS event_id, unnest(@endpoint_ids::uuid[]) AS endpoint_id,
           unnest(@claim_ids::uuid[]) AS claim_id, unnest(@states::text[]) AS state, unnest(@attempts::int[]) AS attempt,
           nullif(unnest(@statuses::int[]), 0) AS status, unnest(@classes::text[]) AS class, unnest(@waits::text[]) AS wait,
           unnest(@delays_ms::bigint[]) AS delay_ms, unnest(@loose::boolean[]) AS loose, unnest(@tries::int[]) AS try,
           unnest(@started_ats::timestamptz[]) AS started_at, unnest(@durations_ms::int[]) AS duration_ms, unnest(@headers::text[]) AS headers,
           unnest(@bodies::bytea[]) AS body, unnest(@errors::text[]) AS error
), logged AS (
    INSERT INTO attempts (delivery_id, attempt, started_at, duration_ms, class, status, headers, body, error)
    SELECT u.id, u.try, u.started_at, u.duration_ms, u.class, u.status, nullif(u.headers, '')::jsonb, u.body, u.error FROM u WHERE u.try > 0
)
UPDATE deliveries d
   SET state = u.state, attempt = u.attempt, last_status = u.status, last_class = u.class,
       claim_id = NULL, claimed_by = NULL, lease_until = NULL,
       run_at = CASE u.wait WHEN 'same' THEN d.run_at WHEN 'planned' THEN coalesce(d.planned_at, d.run_at)
                            ELSE statement_timestamp() + u.delay_ms * interval '1 ms' END,
       planned_at = CASE u.wait WHEN 'delay' THEN NULL WHEN 'fixed' THEN statement_timestamp() + u.delay_ms * interval '1 ms'
                                ELSE d.planned_at END,
       order_key = CASE WHEN u.loose THEN NULL ELSE d.order_key END,
       finished_at = CASE WHEN u.state IN ('succeeded', 'exhausted', 'cancelled') THEN statement_timestamp() END
  FROM u
 WHERE d.event_id = u.event_id AND d.endpoint_id = u.endpoint_id AND d.claim_id = u.claim_id;

-- name: EndpointSetHealth :exec
UPDATE webhook_endpoints
   SET consecutive_failures = @consecutive_failures, failing_since = @failing_since, breaker_until = @breaker_until,
       breaker_trips = @breaker_trips, failing_told = @failing_told, concurrency = sqlc.narg(concurrency)
 WHERE id = @id;

-- name: EndpointDisable :exec
UPDATE webhook_endpoints SET state = 'disabled', disabled_reason = @reason, updated_at = now() WHERE id = @id AND state = 'active';

-- name: EndpointListSpent :many
-- Endpoints that have failed for so long that they are to be disabled, with something that waits and nothing under way: one that nothing is
-- for may answer again, and one that is being asked is judged by what it answers.
SELECT w.id FROM webhook_endpoints w
 WHERE w.state = 'active' AND w.failing_since <= statement_timestamp() - make_interval(secs => @outage_seconds::float8)
   AND w.breaker_trips >= @trips::int AND w.breaker_until >= statement_timestamp() - make_interval(secs => @gap_seconds::float8)
   AND NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'sending')
   AND (EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NULL)
     OR EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NOT NULL));

-- name: AttemptLastFailure :one
-- Of what waits for an endpoint. Few of them were tried: its breaker keeps the others back.
SELECT a.class, coalesce(a.status, 0)::int AS status
  FROM (SELECT f.id FROM deliveries f WHERE f.endpoint_id = @endpoint_id AND f.state = 'pending' AND f.order_key IS NULL AND f.attempt > 0
        UNION ALL
        SELECT o.id FROM deliveries o WHERE o.endpoint_id = @endpoint_id AND o.state = 'pending' AND o.order_key IS NOT NULL AND o.attempt > 0) d
  JOIN attempts a ON a.delivery_id = d.id
 WHERE a.class NOT IN ('ok', 'local', 'storage') ORDER BY a.started_at DESC LIMIT 1;

-- name: DeliveryBringForward :execrows
-- An endpoint answers again: what waits for a later time is due now, once for each of its waits. What waits for media goes on waiting, and
-- what is locked is passed over: it is being claimed, and to wait for it with the endpoint's row in hand could be to wait in a circle.
UPDATE deliveries d SET planned_at = d.run_at, run_at = statement_timestamp()
 WHERE (d.event_id, d.endpoint_id) IN (
    SELECT x.event_id, x.endpoint_id FROM (
        SELECT a.event_id, a.endpoint_id FROM deliveries a WHERE a.endpoint_id = @endpoint_id AND a.state = 'pending' AND a.order_key IS NULL
           AND a.run_at > statement_timestamp() AND a.planned_at IS NULL AND a.media_id IS NULL FOR UPDATE SKIP LOCKED) x
    UNION ALL
    SELECT y.event_id, y.endpoint_id FROM (
        SELECT b.event_id, b.endpoint_id FROM deliveries b WHERE b.endpoint_id = @endpoint_id AND b.state = 'pending' AND b.order_key IS NOT NULL
           AND b.run_at > statement_timestamp() AND b.planned_at IS NULL AND b.media_id IS NULL FOR UPDATE SKIP LOCKED) y)
   AND d.state = 'pending' AND d.planned_at IS NULL;

-- name: DeliveryReleaseExpired :execrows
-- Whoever sent these is dead or was stopped for longer than its lease: they are due again, with the attempt not counted.
UPDATE deliveries d SET state = 'pending', claim_id = NULL, claimed_by = NULL, lease_until = NULL
 WHERE d.state = 'sending' AND d.lease_until < statement_timestamp();

-- name: DeliveryReleaseOwned :execrows
UPDATE deliveries d SET state = 'pending', claim_id = NULL, claimed_by = NULL, lease_until = NULL
 WHERE d.state = 'sending' AND d.claimed_by = @owner::text;

-- name: OwnerTryLock :one
-- Held as long as the session (the connection) lives: it says that the dispatcher of that name does.
SELECT pg_try_advisory_lock(hashtextextended('dispatcher ' || @owner::text, 0))::boolean AS locked;

-- name: DeliveryListOwners :many
-- Who else has deliveries under way, and whether nobody holds its lock. To try it, shared, for the length of this statement disturbs nobody:
-- others who look may share it, and an owner that comes at that very moment tries again.
WITH owners AS MATERIALIZED (
    SELECT DISTINCT d.claimed_by AS owner FROM deliveries d WHERE d.state = 'sending' AND d.claimed_by <> @me::text)
SELECT o.owner::text AS owner, pg_try_advisory_xact_lock_shared(hashtextextended('dispatcher ' || o.owner, 0))::boolean AS free FROM owners o;

-- name: EndpointListUnsettled :many
-- Endpoints whose deliveries do not agree with their state: active with held ones, paused or disabled with pending ones.
SELECT w.id, w.state FROM webhook_endpoints w
 WHERE (w.state = 'active' AND EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'held'))
    OR (w.state IN ('paused', 'disabled') AND (
        EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NULL)
     OR EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NOT NULL)));

-- name: DeliveryHold :execrows
UPDATE deliveries d SET state = 'held'
 WHERE (d.event_id, d.endpoint_id) IN (
    SELECT p.event_id, p.endpoint_id FROM deliveries p WHERE p.endpoint_id = @endpoint_id AND p.state = 'pending'
     LIMIT @max_rows::int FOR UPDATE SKIP LOCKED);

-- name: DeliveryUnhold :execrows
UPDATE deliveries d SET state = 'pending', run_at = statement_timestamp(), planned_at = NULL
 WHERE (d.event_id, d.endpoint_id) IN (
    SELECT h.event_id, h.endpoint_id FROM deliveries h WHERE h.endpoint_id = @endpoint_id AND h.state = 'held'
     ORDER BY h.event_id LIMIT @max_rows::int FOR UPDATE SKIP LOCKED);

-- name: DeliveryLag :one
-- How long the delivery that is due longest has been waiting, over the endpoints that may be sent to.
SELECT coalesce(max(extract(epoch FROM statement_timestamp() - d.run_at)), 0)::float8 AS seconds
  FROM webhook_endpoints w CROSS JOIN LATERAL (
    (SELECT a.run_at FROM deliveries a WHERE a.endpoint_id = w.id AND a.state = 'pending' AND a.order_key IS NULL ORDER BY a.run_at LIMIT 1)
    UNION ALL
    (SELECT b.run_at FROM deliveries b WHERE b.endpoint_id = w.id AND b.state = 'pending' AND b.order_key IS NOT NULL ORDER BY b.run_at LIMIT 1)) d
 WHERE w.state = 'active' AND w.breaker_until IS NULL AND d.run_at <= statement_timestamp();

-- name: EndpointCountByBreaker :many
-- Endpoints by what their breaker does (or their state, where they are not active), with what they have in flight.
SELECT b.breaker::text AS breaker, count(*) AS endpoints, coalesce(sum(b.sending), 0)::bigint AS sending FROM (
    SELECT CASE WHEN w.state <> 'active' THEN w.state WHEN w.breaker_until IS NULL THEN 'closed'
                WHEN w.breaker_until > statement_timestamp() THEN 'open' ELSE 'half_open' END AS breaker,
           (SELECT count(*) FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'sending') AS sending
      FROM webhook_endpoints w WHERE w.state <> 'deleted') b
 GROUP BY b.breaker;

-- name: EndpointListBusiest :many
-- The endpoints with the most deliveries under way.
SELECT endpoint_id, count(*) AS sending FROM deliveries WHERE state = 'sending' GROUP BY endpoint_id ORDER BY sending DESC LIMIT @max_rows;

-- name: DeliveryCountUnfinished :one
-- Read from the partial indexes, each up to a bound, so that a backlog of millions costs no more than one of max_rows.
SELECT (SELECT count(*) FROM (SELECT FROM deliveries a WHERE a.state = 'pending' AND a.order_key IS NULL LIMIT @max_rows) x)
     + (SELECT count(*) FROM (SELECT FROM deliveries b WHERE b.state = 'pending' AND b.order_key IS NOT NULL LIMIT @max_rows) y) AS pending,
       (SELECT count(*) FROM (SELECT FROM deliveries c WHERE c.state = 'held' LIMIT @max_rows) z) AS held;

-- name: DeliveryOldestHeld :many
-- The oldest event that is held for an endpoint; none where nothing is held.
SELECT h.event_id FROM webhook_endpoints w CROSS JOIN LATERAL (
    SELECT d.event_id FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'held' ORDER BY d.event_id LIMIT 1) h
 ORDER BY h.event_id LIMIT 1;

-- name: DeliveryPage :many
-- The newest deliveries, of one endpoint or of all, in one of states, of events from from_id to to_id; those of the event to_id itself only of
-- endpoints before before_endpoint. At most scan of them are looked at, and the last of these always comes along, with n = scan: where types
-- leave out much, that is where to read on. Each endpoint and state is a run of the index deliveries_endpoint. The rows are compared as a whole
-- and ordered by all of it, because no other index has that order: with an estimate that is wrong for a rare endpoint or state, a plan by the
-- primary key would read a whole partition.
SELECT w.id, w.event_id, w.endpoint_id, w.state, w.attempt, w.run_at, w.last_status, w.last_class, w.created_at, w.finished_at,
       w.type::text AS type, w.session_id::text AS session_id, w.n
  FROM (
    SELECT d.*, coalesce(e.type, '') AS type, coalesce(e.session_id, '') AS session_id,
           row_number() OVER (ORDER BY d.event_id DESC, d.endpoint_id DESC) AS n
      FROM (SELECT x.* FROM webhook_endpoints o CROSS JOIN unnest(@states::text[]) AS s(state) CROSS JOIN LATERAL (
                SELECT i.* FROM deliveries i
                 WHERE (i.endpoint_id, i.state, i.event_id) >= (o.id, s.state, @from_id::uuid)
                   AND (i.endpoint_id, i.state, i.event_id) <= (o.id, s.state, @to_id::uuid)
                   AND (i.event_id < @to_id::uuid OR i.endpoint_id < @before_endpoint::uuid)
                 ORDER BY i.endpoint_id DESC, i.state DESC, i.event_id DESC LIMIT @scan::int) x
             WHERE o.state <> 'deleted' AND (sqlc.narg(sessions)::text[] IS NULL OR cardinality(o.sessions) > 0 AND o.sessions <@ sqlc.narg(sessions)::text[])
               AND (sqlc.narg(endpoint_id)::uuid IS NULL OR o.id = sqlc.narg(endpoint_id)::uuid)
             ORDER BY x.event_id DESC, x.endpoint_id DESC LIMIT @scan::int) d
      LEFT JOIN LATERAL (SELECT v.type, v.session_id FROM events v WHERE v.id = d.event_id LIMIT 1) e ON true) w
 WHERE cardinality(@types::text[]) + cardinality(@prefixes::text[]) = 0 OR w.type = ANY (@types::text[]) OR w.type ^@ ANY (@prefixes::text[])
    OR w.n = @scan::int
 ORDER BY w.n LIMIT @max_rows::int;

-- name: DeliveryGet :one
-- A delivery with its event, which retention may have taken.
SELECT d.id, d.event_id, d.endpoint_id, d.state, d.attempt, d.run_at, d.last_status, d.last_class, d.created_at, d.finished_at, e.type, e.session_id, e.body
  FROM deliveries d LEFT JOIN events e ON e.id = d.event_id AND e.body <> ''
 WHERE d.id = $1;

-- name: AttemptList :many
-- The latest first.
SELECT attempt, started_at, duration_ms, class, status, headers, body, error FROM attempts
 WHERE delivery_id = @delivery_id ORDER BY started_at DESC LIMIT @max_rows;

-- name: DeliveryResend :execrows
-- Due now, with all attempts before it and out of its order, since later ones have gone; held while its endpoint is not active. One that is being
-- sent stays as it is.
UPDATE deliveries
   SET state = @state, attempt = 0, run_at = statement_timestamp(), planned_at = NULL, media_id = NULL, order_key = NULL, finished_at = NULL
 WHERE event_id = @event_id AND endpoint_id = @endpoint_id AND state <> 'sending';

-- name: EndpointHold :one
-- Until the transaction ends the endpoint stays as it is, so that it is not deleted, and its deliveries with it, before what is due of it now is
-- there. Whoever also locks deliveries does that after this, as the finish does.
SELECT state FROM webhook_endpoints WHERE id = $1 AND state <> 'deleted' FOR SHARE;

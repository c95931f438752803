-- What an operator sees of the whole: the queue, the sessions, and the minutes of stats_minutes.

-- name: QueueState :many
-- Of each topic: how long the message has waited that is ready longest, how many messages there are (counted up to max_rows), dead letters and parked
-- lanes. A message that was tried before waits since it is due again. Lanes of sessions that nobody is to run wait by intention. Of ready lanes the 1,000
-- that are ready longest are looked at.
SELECT t.topic::text AS topic,
       coalesce((SELECT max(extract(epoch FROM statement_timestamp() - CASE WHEN m.attempts > 0 THEN greatest(m.created_at, l.ready_at) ELSE m.created_at END))
                   FROM (SELECT x.lane, x.ready_at, x.session FROM queue_lanes x
                          WHERE x.topic = t.topic AND x.ready_at <= statement_timestamp() ORDER BY x.ready_at LIMIT 1000) l
                  CROSS JOIN LATERAL (SELECT q.created_at, q.attempts FROM queue_messages q WHERE q.lane = l.lane ORDER BY q.id LIMIT 1) m
                  WHERE l.session IS NULL OR EXISTS (SELECT FROM sessions s WHERE s.id = l.session AND s.wanted)), 0)::float8 AS lag,
       (SELECT count(*) FROM (SELECT FROM queue_messages q WHERE q.lane >= t.topic || '/' COLLATE "C" AND q.lane < t.topic || '0' COLLATE "C" LIMIT @max_rows) d) AS messages,
       (SELECT count(*) FROM (SELECT FROM queue_dead d WHERE d.topic = t.topic LIMIT @max_rows) d) AS dead,
       (SELECT count(*) FROM (SELECT FROM queue_lanes p WHERE p.topic = t.topic AND p.parked = 'crashes' LIMIT @max_rows) p) AS crashed
  FROM unnest(@topics::text[]) AS t(topic);

-- name: SessionCountByState :many
SELECT shown_state AS state, count(*) AS sessions FROM session_views WHERE delete_requested_at IS NULL GROUP BY shown_state;

-- name: StatsAdd :exec
-- Adds what a dispatcher counted to a minute.
INSERT INTO stats_minutes AS s (minute, received, sent, failed, delivered, undelivered, exhausted, latency)
VALUES (@minute, @received, @sent, @failed, @delivered, @undelivered, @exhausted, @latency::bigint[])
ON CONFLICT (minute) DO UPDATE
   SET received = s.received + excluded.received, sent = s.sent + excluded.sent, failed = s.failed + excluded.failed, delivered = s.delivered + excluded.delivered,
       undelivered = s.undelivered + excluded.undelivered, exhausted = s.exhausted + excluded.exhausted,
       latency = ARRAY(SELECT coalesce(s.latency[n], 0) + coalesce(excluded.latency[n], 0)
                       FROM generate_series(1, greatest(cardinality(s.latency), cardinality(excluded.latency))) AS g(n) ORDER BY n);

-- name: StatsSample :exec
-- Notes what was measured in a minute.
INSERT INTO stats_minutes AS s (minute, lag_commands, lag_events, lag_media, lag_deliveries, sessions)
VALUES (@minute, @lag_commands, @lag_events, @lag_media, @lag_deliveries, @sessions)
ON CONFLICT (minute) DO UPDATE
   SET lag_commands = greatest(s.lag_commands, excluded.lag_commands), lag_events = greatest(s.lag_events, excluded.lag_events),
       lag_media = greatest(s.lag_media, excluded.lag_media), lag_deliveries = greatest(s.lag_deliveries, excluded.lag_deliveries), sessions = excluded.sessions;

-- name: StatsForget :execrows
DELETE FROM stats_minutes WHERE minute < statement_timestamp() - interval '31 days';

-- name: StatsList :many
-- The minutes of a time, put together in steps that begin at multiples of step since 1970. latency has the 16 buckets of events.LatencyBuckets.
SELECT date_bin(make_interval(secs => @step::int), s.minute, 'epoch'::timestamptz)::timestamptz AS at, sum(s.received)::bigint AS received, sum(s.sent)::bigint AS sent,
       sum(s.failed)::bigint AS failed, sum(s.delivered)::bigint AS delivered, sum(s.undelivered)::bigint AS undelivered, sum(s.exhausted)::bigint AS exhausted,
       max(s.lag_commands)::float8 AS lag_commands, max(s.lag_events)::float8 AS lag_events, max(s.lag_media)::float8 AS lag_media,
       max(s.lag_deliveries)::float8 AS lag_deliveries,
       ARRAY[coalesce(sum(s.latency[1]), 0), coalesce(sum(s.latency[2]), 0), coalesce(sum(s.latency[3]), 0), coalesce(sum(s.latency[4]), 0),
             coalesce(sum(s.latency[5]), 0), coalesce(sum(s.latency[6]), 0), coalesce(sum(s.latency[7]), 0), coalesce(sum(s.latency[8]), 0),
             coalesce(sum(s.latency[9]), 0), coalesce(sum(s.latency[10]), 0), coalesce(sum(s.latency[11]), 0), coalesce(sum(s.latency[12]), 0),
             coalesce(sum(s.latency[13]), 0), coalesce(sum(s.latency[14]), 0), coalesce(sum(s.latency[15]), 0), coalesce(sum(s.latency[16]), 0)]::bigint[] AS latency,
       (array_agg(s.sessions ORDER BY s.minute DESC) FILTER (WHERE s.sessions <> '{}'))[1]::jsonb AS sessions
  FROM stats_minutes s WHERE s.minute >= @since AND s.minute < @until GROUP BY 1 ORDER BY 1;

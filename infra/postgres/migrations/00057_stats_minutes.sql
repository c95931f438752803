-- +goose Up
-- What a dashboard draws: what happened in each minute, counted by the dispatchers as it happens. Rows are few (1,440 a day) and go after 31 days.
-- latency counts deliveries by how long they took, in the buckets of events.LatencyBuckets; lags are the longest that were measured, in seconds; sessions
-- are their number by state as it was last.
CREATE TABLE stats_minutes (
    minute         timestamptz PRIMARY KEY,
    received       bigint      NOT NULL DEFAULT 0,
    sent           bigint      NOT NULL DEFAULT 0,
    failed         bigint      NOT NULL DEFAULT 0,
    delivered      bigint      NOT NULL DEFAULT 0,
    undelivered    bigint      NOT NULL DEFAULT 0,
    exhausted      bigint      NOT NULL DEFAULT 0,
    latency        bigint[]    NOT NULL DEFAULT '{}',
    lag_commands   float8      NOT NULL DEFAULT 0,
    lag_events     float8      NOT NULL DEFAULT 0,
    lag_media      float8      NOT NULL DEFAULT 0,
    lag_deliveries float8      NOT NULL DEFAULT 0,
    sessions       jsonb       NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE stats_minutes;

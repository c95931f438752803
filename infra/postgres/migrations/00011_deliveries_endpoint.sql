-- +goose NO TRANSACTION
-- +goose Up
-- For the lists of deliveries: an endpoint's of one state, by event. Partitions that are there already are listed without it, more slowly, until
-- retention drops them.
SET lock_timeout = '10min';
CREATE INDEX IF NOT EXISTS deliveries_endpoint ON ONLY deliveries (endpoint_id, state, event_id);
DROP INDEX CONCURRENTLY IF EXISTS deliveries_default_endpoint;
CREATE INDEX CONCURRENTLY deliveries_default_endpoint ON deliveries_default (endpoint_id, state, event_id);

-- +goose Down
DROP INDEX deliveries_default_endpoint;
DROP INDEX deliveries_endpoint;

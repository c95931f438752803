-- +goose Up
-- What the API's lists and the sweep of deleted endpoints read.
CREATE INDEX sessions_created ON sessions (created_at DESC, id DESC);
CREATE INDEX deliveries_held ON deliveries (endpoint_id, event_id) WHERE state = 'held';

-- +goose Down
DROP INDEX deliveries_held, sessions_created;

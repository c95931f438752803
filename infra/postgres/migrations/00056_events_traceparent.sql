-- +goose Up
-- The trace that an event belongs to, where the program was told to make any: what its deliveries go on with.
ALTER TABLE events ADD COLUMN traceparent text;

-- +goose Down
ALTER TABLE events DROP COLUMN traceparent;

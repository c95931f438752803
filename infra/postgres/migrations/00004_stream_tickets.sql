-- +goose Up
-- Tickets stand in for a key where a browser cannot send a header. Only their hash is kept. One for a stream is deleted by its use, so
-- that any process redeems it once; one for media is good until it expires.
CREATE TABLE stream_tickets (
    hash       bytea       PRIMARY KEY CHECK (length(hash) = 32),   -- SHA-256 of the ticket
    principal  bytea       NOT NULL CHECK (length(principal) = 32), -- SHA-256 of the API key that asked for it
    purpose    text        NOT NULL CHECK (purpose IN ('stream', 'media')),
    expires_at timestamptz NOT NULL
);
CREATE INDEX stream_tickets_expiry ON stream_tickets (expires_at);

-- +goose Down
DROP TABLE stream_tickets;

-- +goose Up
-- The keys of ENCRYPTION_KEY that values in this database may be sealed under: the first 4 bytes of a hash of each, in hex, and a value that it
-- sealed, by which a process that starts sees whether it has the right ones. Without a row nothing is sealed.
CREATE TABLE encryption_keys (
    id          text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{8}$'),
    check_value bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE encryption_keys;

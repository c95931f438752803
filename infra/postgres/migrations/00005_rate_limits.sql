-- +goose Up
-- How many requests of a key were given out in a minute: every api process takes blocks of them. UNLOGGED, so that a block costs no write to
-- disk: what a crash of the server forgets is one minute's count.
CREATE UNLOGGED TABLE rate_limits (
    principal bytea  NOT NULL, -- SHA-256 of the API key
    minute    bigint NOT NULL, -- since 1970
    taken     bigint NOT NULL,
    PRIMARY KEY (principal, minute)
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE rate_limits;

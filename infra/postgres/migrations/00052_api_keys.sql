-- +goose Up
-- Keys beside API_KEY, and links, which are keys that pair one session. Only hashes are kept. principal is what quotas, idempotency keys, tickets and
-- uploads belong to: it stays the same when the key is rotated.
CREATE TABLE api_keys (
    id             uuid        PRIMARY KEY,
    principal      bytea       NOT NULL UNIQUE GENERATED ALWAYS AS (sha256(uuid_send(id))) STORED,
    kind           text        NOT NULL CHECK (kind IN ('key', 'link')),
    name           text        NOT NULL,
    hint           text        NOT NULL, -- how the key begins
    hash           bytea       NOT NULL UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the key
    previous_hash  bytea       UNIQUE CHECK (length(previous_hash) = 32), -- of the one before it, good until previous_until
    previous_until timestamptz,
    scopes         text[]      NOT NULL,
    sessions       text[],     -- NULL: all
    networks       text[]      NOT NULL DEFAULT '{}', -- CIDRs; none: from everywhere
    rate_limit     int         CHECK (rate_limit > 0), -- requests a minute; NULL: RATE_LIMIT
    expires_at     timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    last_used_at   timestamptz, -- to the minute
    CHECK (kind = 'key' OR cardinality(sessions) = 1 AND expires_at IS NOT NULL)
);
CREATE INDEX api_keys_expired ON api_keys (expires_at) WHERE expires_at IS NOT NULL;

-- Every change that was asked for and made: who, what, from where. Written in the change's own transaction.
CREATE TABLE audit_log (
    id         uuid        PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    key_id     uuid,       -- NULL: API_KEY
    key_name   text        NOT NULL,
    operation  text        NOT NULL,
    path       text        NOT NULL,
    session_id text        NOT NULL DEFAULT '',
    remote     text        NOT NULL,
    request_id text        NOT NULL
);
CREATE INDEX audit_log_key ON audit_log (key_id, id DESC);
CREATE INDEX audit_log_session ON audit_log (session_id, id DESC);

-- +goose Down
DROP TABLE audit_log, api_keys;

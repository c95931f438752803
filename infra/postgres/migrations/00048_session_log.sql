-- +goose Up
-- What happened to a session, newest by id. settings are the names of those that were changed, never what they were set to. The newest 500 rows of
-- a session are kept.
CREATE TABLE session_log (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind       text        NOT NULL CHECK (kind IN ('state', 'linked', 'pairing', 'restriction', 'settings')),
    state      text        NOT NULL DEFAULT '',
    reason     text        NOT NULL DEFAULT '',
    code       text        NOT NULL DEFAULT '',
    settings   text[]      NOT NULL DEFAULT '{}'
);
CREATE INDEX session_log_session ON session_log (session_id, id DESC);

-- +goose Down
DROP TABLE session_log;

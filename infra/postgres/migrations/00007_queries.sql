-- +goose Up
-- What is asked of WhatsApp, each row for as long as its client waits: whoever asked removes it with the answer, or without when the wait
-- is over. A row that a dead process left is swept. The texts are json and not jsonb: names that strangers chose may hold U+0000, which jsonb refuses,
-- and nothing looks into them.
CREATE TABLE queries (
    id            uuid        PRIMARY KEY,
    session_id    text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    kind          text        NOT NULL,
    parameters    json        NOT NULL,
    deadline      timestamptz NOT NULL, -- nobody waits any longer
    created_at    timestamptz NOT NULL DEFAULT now(),
    answered_at   timestamptz,
    result        json,
    error_code    text,
    error_message text,
    CHECK (num_nonnulls(result, error_code) = num_nonnulls(answered_at)),
    CHECK ((error_code IS NULL) = (error_message IS NULL))
);
CREATE INDEX queries_session ON queries (session_id, deadline);
CREATE INDEX queries_deadline ON queries (deadline);

-- +goose Down
DROP TABLE queries;

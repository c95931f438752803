-- +goose Up
-- The notices about groups that were told, so that one that WhatsApp delivers again, because its acknowledgement was lost, is not told twice.
-- WhatsApp keeps what could not be delivered for 30 days.
CREATE TABLE group_notices (
    session_id text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    digest     bytea       NOT NULL, -- SHA-256 of all that the notice says, its time and the version of the participants' list included
    told_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, digest)
);
CREATE INDEX group_notices_told ON group_notices (told_at);

-- +goose Down
DROP TABLE group_notices;

-- +goose Up
-- The channels that an account follows or runs, as clients were last told of them (events.Channel in JSON, without its followers): what differs
-- from it is news. The row with an empty id says that they have been read once; what was followed before is none.
CREATE TABLE channels (
    session_id text  NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    id         text  NOT NULL,
    known      jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (session_id, id)
);

-- +goose Down
DROP TABLE channels;

-- +goose Up
-- What is changed at WhatsApp: edits, reactions, settings of chats, groups. A row is there from the moment a client was told that it is accepted,
-- and for a day after it ended, with its result; a command in a lane of the session points at it. begun_at is when it was first tried: from
-- then on it may have happened. The texts are json and not jsonb, as those of queries are.
CREATE TABLE changes (
    id            uuid        PRIMARY KEY,
    session_id    text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    kind          text        NOT NULL,
    target        text        NOT NULL DEFAULT '', -- what it changes: a message's id or a JID
    chat_id       text        NOT NULL DEFAULT '', -- whose lane of events tells of it
    parameters    json        NOT NULL,
    status        text        NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'done', 'failed', 'expired')),
    begun_at      timestamptz,
    expires_at    timestamptz NOT NULL,
    result        json,
    error_code    text,
    error_message text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    CHECK ((status = 'queued') = (finished_at IS NULL)),
    CHECK ((error_code IS NULL) = (error_message IS NULL))
);
CREATE INDEX changes_session ON changes (session_id, id DESC);
CREATE INDEX changes_waiting ON changes (session_id, expires_at) WHERE status = 'queued';
CREATE INDEX changes_finished ON changes (finished_at) WHERE finished_at IS NOT NULL;

-- Who received, read and played an own message, one row a recipient.
CREATE TABLE message_receipts (
    message_id   uuid        NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    contact_id   text        NOT NULL,
    delivered_at timestamptz,
    read_at      timestamptz,
    played_at    timestamptz,
    PRIMARY KEY (message_id, contact_id)
);

-- Reactions to messages, one row a person: the last one holds. sender_id is '' for the session's own account.
CREATE TABLE reactions (
    message_id uuid        NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    sender_id  text        NOT NULL,
    emoji      text        NOT NULL, -- '' is one that was taken back: an older one that comes late must not win
    timestamp  timestamptz NOT NULL,
    PRIMARY KEY (message_id, sender_id)
);

-- Votes in polls and answers to events, one row a person: the last one holds. choices are the options' texts, or the answer alone.
CREATE TABLE votes (
    message_id uuid        NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    voter_id   text        NOT NULL, -- '' is the session's own account
    choices    text[]      NOT NULL,
    guests     int         NOT NULL DEFAULT 0,
    timestamp  timestamptz NOT NULL,
    PRIMARY KEY (message_id, voter_id)
);

-- Labels of a business account, and the chats that have them.
CREATE TABLE labels (
    session_id text NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    id         text NOT NULL,
    name       text NOT NULL,
    color      int  NOT NULL DEFAULT 0,
    PRIMARY KEY (session_id, id)
);
CREATE TABLE chat_labels (
    session_id text NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    chat_id    text NOT NULL,
    label_id   text NOT NULL,
    PRIMARY KEY (session_id, chat_id, label_id)
);

-- Batches of messages: the messages hold the rest.
CREATE TABLE message_batches (
    id           uuid        PRIMARY KEY,
    session_id   text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    size         int         NOT NULL,
    cancelled_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX message_batches_session ON message_batches (session_id, id DESC);

-- +goose Down
DROP TABLE message_batches, chat_labels, labels, votes, reactions, message_receipts, changes;

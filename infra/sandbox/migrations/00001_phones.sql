-- +goose Up
-- The virtual phones. A row here is what makes a phone: its account and its Signal store are made again from it when they are missing.
-- last_seq is raised in the statement that shows a message, so the row's lock makes the order of seq the order of commits and a reader
-- that asks for what came after seq n can never skip one.
CREATE TABLE sandbox.phones (
    number     text        PRIMARY KEY CHECK (number ~ '^[1-9][0-9]{6,14}$'),
    name       text        NOT NULL,
    auto_reply text        NOT NULL DEFAULT '' CHECK (auto_reply IN ('', 'echo')),
    last_seq   bigint      NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- What each phone decrypted, once per (sender, recipient, id); repeats counts the further copies. chat is the JID that a read receipt of
-- the message is addressed to.
CREATE TABLE sandbox.phone_seen (
    number    text        NOT NULL REFERENCES sandbox.phones (number),
    seq       bigint      NOT NULL,
    id        text        NOT NULL,
    sender    text        NOT NULL,
    recipient text        NOT NULL,
    chat      text        NOT NULL,
    from_me   boolean     NOT NULL,
    type      text        NOT NULL,
    text      text        NOT NULL,
    sent_at   timestamptz NOT NULL,
    read_at   timestamptz,
    repeats   int         NOT NULL DEFAULT 0,
    PRIMARY KEY (number, seq),
    UNIQUE (number, sender, recipient, id)
);
CREATE INDEX phone_seen_unread ON sandbox.phone_seen (number, sender, seq) WHERE read_at IS NULL AND NOT from_me;

-- What each phone has to send. The id is chosen with the row, so a repeat after a crash is the same message. reply marks an automatic
-- answer, which no phone answers again.
CREATE TABLE sandbox.phone_outbox (
    number    text        NOT NULL REFERENCES sandbox.phones (number),
    id        text        NOT NULL,
    position  bigint      GENERATED ALWAYS AS IDENTITY,
    recipient text        NOT NULL,
    text      text        NOT NULL,
    reply     boolean     NOT NULL,
    sent_at   timestamptz,
    PRIMARY KEY (number, id)
);
CREATE INDEX phone_outbox_unsent ON sandbox.phone_outbox (number, position) WHERE sent_at IS NULL;

-- +goose Down
DROP TABLE sandbox.phone_outbox, sandbox.phone_seen, sandbox.phones;

-- +goose Up
-- The parts of an account's state (settings, saved names, labels) of which the signal store has a version that has not been handled to its end. A
-- row is written with the version and deleted when all that came with it is handled; one that a connection finds at its login makes it read the
-- part as a whole.
CREATE TABLE unhandled_states (
    session_id text    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    part       text    NOT NULL, -- WhatsApp's name: regular, regular_low, regular_high, critical_block, critical_unblock_low
    version    bigint  NOT NULL, -- the newest that was stored
    initial    boolean NOT NULL, -- it is the first reading, which tells nothing
    PRIMARY KEY (session_id, part)
);

-- +goose Down
DROP TABLE unhandled_states;

-- +goose Up
CREATE TABLE next_notes (
    id         uuid PRIMARY KEY,
    session_id text NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    note       text NOT NULL
);
CREATE INDEX next_notes_session ON next_notes (session_id);

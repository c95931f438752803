-- +goose Up
ALTER TABLE messages ADD COLUMN next_note text NOT NULL DEFAULT 'none', ADD COLUMN next_seen_at timestamptz;


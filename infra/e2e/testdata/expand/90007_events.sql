-- +goose Up
ALTER TABLE events ADD COLUMN next_note text NOT NULL DEFAULT 'none';

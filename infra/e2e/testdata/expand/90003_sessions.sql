-- +goose Up
ALTER TABLE sessions ADD COLUMN next_note text NOT NULL DEFAULT 'none';

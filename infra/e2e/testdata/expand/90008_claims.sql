-- +goose Up
ALTER TABLE claims ADD COLUMN next_note text NOT NULL DEFAULT 'none';

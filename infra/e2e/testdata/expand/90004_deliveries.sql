-- +goose Up
ALTER TABLE deliveries ADD COLUMN next_note text NOT NULL DEFAULT 'none';

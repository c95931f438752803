-- +goose Up
ALTER TABLE queue_lanes ADD COLUMN next_note text NOT NULL DEFAULT 'none';

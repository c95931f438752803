-- +goose Up
ALTER TABLE queue_messages ADD COLUMN next_note text NOT NULL DEFAULT 'none';

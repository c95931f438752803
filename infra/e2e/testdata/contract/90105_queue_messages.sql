-- contract: no release reads the column any more
-- +goose Up
ALTER TABLE queue_messages DROP COLUMN next_note;

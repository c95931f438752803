-- contract: no release reads the column any more
-- +goose Up
ALTER TABLE events DROP COLUMN next_note;

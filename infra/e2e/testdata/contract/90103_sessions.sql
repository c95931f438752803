-- contract: no release reads the column any more
-- +goose Up
ALTER TABLE sessions DROP COLUMN next_note;

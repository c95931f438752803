-- contract: no release reads the column any more
-- +goose Up
ALTER TABLE claims DROP COLUMN next_note;

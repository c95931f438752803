-- contract: no release reads the column any more
-- +goose Up
ALTER TABLE deliveries DROP COLUMN next_note;

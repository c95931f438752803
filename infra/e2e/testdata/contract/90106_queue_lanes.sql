-- contract: no release reads the column any more
-- +goose Up
ALTER TABLE queue_lanes DROP COLUMN next_note;

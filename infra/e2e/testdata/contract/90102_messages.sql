-- contract: no release reads the columns any more
-- +goose Up
ALTER TABLE messages DROP COLUMN next_note, DROP COLUMN next_seen_at;

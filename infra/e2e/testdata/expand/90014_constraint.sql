-- +goose Up
ALTER TABLE messages ADD CONSTRAINT next_note_is_short CHECK (length(next_note) <= 100) NOT VALID;

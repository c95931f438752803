-- +goose Up
ALTER TABLE messages VALIDATE CONSTRAINT next_note_is_short;

-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS next_messages_note;
CREATE INDEX CONCURRENTLY next_messages_note ON messages (next_note, id);

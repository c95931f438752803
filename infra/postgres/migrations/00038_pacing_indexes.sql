-- +goose NO TRANSACTION
-- +goose Up
-- The messages that were set aside, and the people that an account wrote to first.
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS messages_held;
CREATE INDEX CONCURRENTLY messages_held ON messages (session_id) WHERE status = 'queued' AND held IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS chats_opened;
CREATE INDEX CONCURRENTLY chats_opened ON chats (session_id, opened_at) WHERE opened_at IS NOT NULL;

-- +goose Down
DROP INDEX chats_opened;
DROP INDEX messages_held;

-- +goose NO TRANSACTION
-- +goose Up
-- Messages that are to be sent at a time of their own.
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS messages_due;
CREATE INDEX CONCURRENTLY messages_due ON messages (send_at) WHERE status = 'scheduled';
DROP INDEX CONCURRENTLY IF EXISTS messages_batch;
CREATE INDEX CONCURRENTLY messages_batch ON messages (batch_id) WHERE batch_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS chats_recent;
CREATE INDEX CONCURRENTLY chats_recent ON chats (session_id, last_message_at DESC NULLS LAST, id DESC);

-- +goose Down
DROP INDEX chats_recent;
DROP INDEX messages_batch;
DROP INDEX messages_due;

-- +goose NO TRANSACTION
-- +goose Up
-- Status updates by their time: those that are shown, and those that are over.
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS messages_status;
CREATE INDEX CONCURRENTLY messages_status ON messages (session_id, timestamp) WHERE chat_id = 'status@broadcast';

-- +goose Down
DROP INDEX messages_status;

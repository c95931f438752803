-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS next_queue_messages_uuid;
CREATE INDEX CONCURRENTLY next_queue_messages_uuid ON queue_messages (uuid);

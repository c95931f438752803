-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS next_messages_note;
DROP INDEX CONCURRENTLY IF EXISTS next_queue_messages_uuid;
DROP INDEX CONCURRENTLY IF EXISTS next_deliveries_default_note;

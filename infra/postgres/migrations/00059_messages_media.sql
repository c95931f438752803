-- +goose NO TRANSACTION
-- +goose Up
-- The files that a session has sent, newest first.
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS messages_sent_media;
CREATE INDEX CONCURRENTLY messages_sent_media ON messages (session_id, media_id) WHERE media_id IS NOT NULL;

-- +goose Down
DROP INDEX messages_sent_media;

-- +goose NO TRANSACTION
-- +goose Up
-- The words of messages, for searches. New entries wait in a list that is worked in once it has 512 kB, and not 4 MB, so that whoever does it is
-- not held up for long.
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS messages_words;
CREATE INDEX CONCURRENTLY messages_words ON messages USING gin (message_words(session_id, content)) WITH (gin_pending_list_limit = 512);

-- +goose Down
DROP INDEX messages_words;

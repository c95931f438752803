-- +goose NO TRANSACTION
-- +goose Up
-- The rows of people of whom only the LID is known: when their phone becomes known, these rows move to it. They are few, so that an index of them
-- alone costs next to nothing.
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS messages_sender_lid;
CREATE INDEX CONCURRENTLY messages_sender_lid ON messages (session_id, sender_id) WHERE sender_id LIKE '%@lid';
DROP INDEX CONCURRENTLY IF EXISTS reactions_sender_lid;
CREATE INDEX CONCURRENTLY reactions_sender_lid ON reactions (sender_id) WHERE sender_id LIKE '%@lid';
DROP INDEX CONCURRENTLY IF EXISTS votes_voter_lid;
CREATE INDEX CONCURRENTLY votes_voter_lid ON votes (voter_id) WHERE voter_id LIKE '%@lid';
DROP INDEX CONCURRENTLY IF EXISTS message_receipts_contact_lid;
CREATE INDEX CONCURRENTLY message_receipts_contact_lid ON message_receipts (contact_id) WHERE contact_id LIKE '%@lid';

-- +goose Down
DROP INDEX message_receipts_contact_lid;
DROP INDEX votes_voter_lid;
DROP INDEX reactions_sender_lid;
DROP INDEX messages_sender_lid;

-- +goose NO TRANSACTION
-- +goose Up
-- The lists of files, newest first: by status and kind, of a session, and of whoever uploaded them.
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS media_listed;
CREATE INDEX CONCURRENTLY media_listed ON media (
    status, (CASE lower(split_part(mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END), id);
DROP INDEX CONCURRENTLY IF EXISTS media_received;
CREATE INDEX CONCURRENTLY media_received ON media (
    session_id, status, (CASE lower(split_part(mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END), id)
    WHERE session_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS media_uploaded;
CREATE INDEX CONCURRENTLY media_uploaded ON media (uploaded_by, id) WHERE uploaded_by IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS media_session; -- media_received does its work

-- +goose Down
CREATE INDEX media_session ON media (session_id) WHERE session_id IS NOT NULL;
DROP INDEX media_uploaded;
DROP INDEX media_received;
DROP INDEX media_listed;

-- Objects and uploads: what is in S3.

-- name: UploadBegin :exec
-- Before the first byte leaves for S3, so that what a crash leaves there is known.
INSERT INTO uploads (key, expires_at) VALUES (@key, clock_timestamp() + make_interval(secs => @keep_seconds::float8));

-- name: UploadAbandon :exec
-- What was uploaded is not wanted: it goes with the next sweep. Where its row is gone it was kept after all, by a commit whose answer was
-- lost: it must stay.
UPDATE uploads SET expires_at = clock_timestamp() WHERE key = @key;

-- name: UploadFinish :execrows
-- The upload becomes an object, in the transaction that inserts that. No row: it was given up meanwhile.
DELETE FROM uploads WHERE key = @key AND NOT doomed;

-- name: ObjectEnsure :one
-- Returns the key that holds this content: the given one, or that of whoever stored it before. The row is locked, so that it cannot be swept
-- before the caller's media row refers to it.
INSERT INTO objects (sha256, key, size) VALUES (@sha256, @key, @size)
ON CONFLICT (sha256) DO UPDATE SET size = objects.size
RETURNING key;

-- name: ObjectGet :one
SELECT key, size FROM objects WHERE sha256 = @sha256;

-- name: ObjectSweep :execrows
-- Objects that nobody refers to any more become uploads that have expired. A media row that would refer to one at this moment waits for this,
-- or this for it, by its foreign key.
WITH gone AS (
    DELETE FROM objects o WHERE o.sha256 IN (
        SELECT u.sha256 FROM objects u
         WHERE u.created_at < clock_timestamp() - interval '1 minute' AND NOT EXISTS (SELECT FROM media m WHERE m.object = u.sha256)
         LIMIT @max_rows FOR UPDATE SKIP LOCKED)
    RETURNING o.key)
INSERT INTO uploads (key, expires_at) SELECT key, clock_timestamp() FROM gone;

-- name: UploadListExpired :many
-- Marks those that are over and returns them; they are then deleted in S3, and here. A crash in between is made up for by the next sweep.
UPDATE uploads u SET doomed = true
 WHERE u.key IN (SELECT x.key FROM uploads x WHERE x.expires_at < clock_timestamp() ORDER BY x.expires_at LIMIT @max_rows FOR UPDATE SKIP LOCKED)
RETURNING u.key;

-- name: UploadForget :exec
DELETE FROM uploads WHERE key = ANY (@keys::text[]) AND doomed;

-- Media: what people see of it.

-- name: MediaInsert :one
-- A file that a client gave.
INSERT INTO media (id, status, mimetype, file_name, size, sha256, object, details, uploaded_by)
VALUES (@id, 'ready', @mimetype, @file_name, @size, @sha256, @sha256, @details, sqlc.narg(uploaded_by)) RETURNING *;

-- name: MediaGet :one
SELECT * FROM media WHERE id = @id;

-- name: MediaOfSessions :one
-- Whether a message of one of these sessions sends it.
SELECT EXISTS (SELECT FROM messages WHERE media_id = @id::uuid AND session_id = ANY (@sessions::text[]));

-- name: MediaList :many
-- The files of a page, newest first.
SELECT * FROM media WHERE id = ANY (@ids::uuid[]) ORDER BY id DESC;

-- name: MediaPage :many
-- The ids of the newest files before one, of these statuses and kinds. Each pair of the two is read by media_listed from where its page begins, so that
-- what is rare costs no more than what is common. What is equal in all rows is compared as the rest is, here and below: told that it is equal, PostgreSQL
-- would take an index that has the order alone where it takes the two for equally good, and read all that is somebody else's.
SELECT g.id FROM unnest(@statuses::text[]) s (status) CROSS JOIN unnest(@kinds::text[]) k (kind) CROSS JOIN LATERAL (
    SELECT f.id FROM media f
     WHERE (f.status, (CASE lower(split_part(f.mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END), f.id) < (s.status, k.kind, @before::uuid)
       AND (f.status, (CASE lower(split_part(f.mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END)) >= (s.status, k.kind)
     ORDER BY f.status DESC, (CASE lower(split_part(f.mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END) DESC, f.id DESC
     LIMIT @max_rows::int) g
 ORDER BY g.id DESC LIMIT @max_rows::int;

-- name: MediaPageOfSessions :many
-- MediaPage of what messages of these sessions brought or send, and of what uploaded_by uploaded, if anybody: what MediaOfSessions and its like let
-- see. A file may be sent by any number of messages, so sent jumps from one file to the next, by messages_sent_media, as far as it is asked.
WITH RECURSIVE sent AS (
    SELECT (SELECT n.media_id FROM unnest(@sessions::text[]) s (id) CROSS JOIN LATERAL (
                SELECT m.media_id FROM messages m WHERE (m.session_id, m.media_id) < (s.id, @before::uuid) AND m.session_id >= s.id AND m.media_id IS NOT NULL
                 ORDER BY m.session_id DESC, m.media_id DESC LIMIT 1) n
             ORDER BY n.media_id DESC LIMIT 1) AS id
    UNION ALL
    SELECT (SELECT n.media_id FROM unnest(@sessions::text[]) s (id) CROSS JOIN LATERAL (
                SELECT m.media_id FROM messages m WHERE (m.session_id, m.media_id) < (s.id, sent.id) AND m.session_id >= s.id AND m.media_id IS NOT NULL
                 ORDER BY m.session_id DESC, m.media_id DESC LIMIT 1) n
             ORDER BY n.media_id DESC LIMIT 1)
      FROM sent WHERE sent.id IS NOT NULL
), found AS (
    (SELECT g.id FROM unnest(@sessions::text[]) s (id) CROSS JOIN unnest(@statuses::text[]) t (status) CROSS JOIN unnest(@kinds::text[]) k (kind) CROSS JOIN LATERAL (
        SELECT f.id FROM media f
         WHERE (f.session_id, f.status, (CASE lower(split_part(f.mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END), f.id) < (s.id, t.status, k.kind, @before::uuid)
           AND (f.session_id, f.status, (CASE lower(split_part(f.mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END)) >= (s.id, t.status, k.kind) AND f.session_id IS NOT NULL
         ORDER BY f.session_id DESC, f.status DESC, (CASE lower(split_part(f.mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END) DESC, f.id DESC
         LIMIT @max_rows::int) g)
    UNION
    (SELECT f.id FROM media f
      WHERE (f.uploaded_by, f.id) < (sqlc.narg(uploaded_by)::bytea, @before::uuid) AND f.uploaded_by >= sqlc.narg(uploaded_by)::bytea AND f.uploaded_by IS NOT NULL
        AND f.status = ANY (@statuses::text[])
        AND (CASE lower(split_part(f.mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END) = ANY (@kinds::text[])
      ORDER BY f.uploaded_by DESC, f.id DESC LIMIT @max_rows::int)
    UNION
    (SELECT g.id FROM sent CROSS JOIN LATERAL (
        SELECT f.id FROM media f
         WHERE f.id = sent.id AND f.status = ANY (@statuses::text[])
           AND (CASE lower(split_part(f.mimetype, '/', 1)) WHEN 'image' THEN 'image' WHEN 'video' THEN 'video' WHEN 'audio' THEN 'audio' ELSE 'document' END) = ANY (@kinds::text[])
         OFFSET 0) g -- so that each is looked for by its id, and sent goes no further than LIMIT wants
      LIMIT @max_rows::int)
)
SELECT found.id FROM found ORDER BY found.id DESC LIMIT @max_rows::int;

-- name: MediaDelete :one
-- A client's own upload goes; of a message's media only the bytes do, since the message still names it.
WITH changed AS (
    UPDATE media SET status = 'expired', object = NULL, direct_path = NULL, media_key = NULL, updated_at = clock_timestamp()
     WHERE media.id = @id AND (message_id IS NOT NULL OR EXISTS (SELECT FROM messages m WHERE m.media_id = media.id))
    RETURNING media.id
), removed AS (
    DELETE FROM media WHERE media.id = @id AND NOT EXISTS (SELECT FROM changed) AND message_id IS NULL
    RETURNING media.id)
SELECT (SELECT count(*) FROM changed) + (SELECT count(*) FROM removed) AS deleted;

-- name: MediaDetail :exec
UPDATE media SET details = @details, updated_at = clock_timestamp() WHERE id = @id;

-- name: MediaRemember :exec
-- Where WhatsApp has it now, so that the next message with it need not upload it again.
UPDATE media SET kind = @kind, direct_path = @direct_path, media_key = @media_key, enc_sha256 = @enc_sha256, remote_at = clock_timestamp()
 WHERE id = @id;

-- name: MediaReady :execrows
UPDATE media SET status = 'ready', object = @sha256, size = @size, error_code = NULL, error_message = NULL, updated_at = clock_timestamp()
 WHERE id = @id AND status IN ('pending', 'failed');

-- name: MediaAsk :execrows
-- Notes that the phone is asked to upload it again; once only.
UPDATE media SET asked_at = clock_timestamp(), updated_at = clock_timestamp() WHERE id = @id AND status = 'pending' AND asked_at IS NULL;

-- name: MediaFail :one
-- No row: it has ended otherwise. message is NULL when its message is gone.
WITH failed AS (
    UPDATE media SET status = 'failed', error_code = @error_code::text, error_message = @error_message::text, updated_at = clock_timestamp()
     WHERE media.id = @id AND media.status = 'pending'
    RETURNING media.*)
SELECT f.session_id, f.mimetype, f.file_name, f.size, f.sha256, m.id AS message, m.whatsapp_id, m.chat_id, m.direction
  FROM failed f LEFT JOIN messages m ON m.id = f.message_id;

-- name: DeliveryMediaDone :execrows
-- What waited for this media is due.
UPDATE deliveries SET media_id = NULL, run_at = least(run_at, statement_timestamp()) WHERE media_id = @media_id::uuid AND state IN ('pending', 'held');

-- name: MediaListOverdue :many
-- Media that the phone was asked for and has not answered about, unless the session that is to ask it has not been connected since: its lane is
-- set aside then. And after a week whatever still waits: for its session, or for a job that is a dead letter.
SELECT id, (asked_at IS NOT NULL)::boolean AS asked FROM media
 WHERE status = 'pending' AND NOT on_demand AND coalesce(asked_at, created_at) < statement_timestamp() - make_interval(secs => @patience_seconds::float8)
   AND (created_at < statement_timestamp() - interval '7 days'
        OR (asked_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM queue_lanes l WHERE l.lane = 'commands/' || media.session_id || '/media' AND l.parked = 'session')))
 LIMIT @max_rows;

-- name: MediaExpire :execrows
-- The bytes that have been kept long enough, unless a message still waits to be sent with them.
UPDATE media SET status = 'expired', object = NULL, direct_path = NULL, media_key = NULL, updated_at = clock_timestamp()
 WHERE id IN (SELECT m.id FROM media m
               WHERE m.object IS NOT NULL AND m.created_at < clock_timestamp() - make_interval(days => @days::int)
                 AND NOT EXISTS (SELECT FROM messages w WHERE w.media_id = m.id AND w.status IN ('scheduled', 'queued', 'sending'))
               LIMIT @max_rows FOR UPDATE SKIP LOCKED);

-- name: MediaForget :execrows
-- What a client uploaded, of which neither the bytes are left nor a message that names it.
DELETE FROM media WHERE id IN (
    SELECT m.id FROM media m
     WHERE m.session_id IS NULL AND m.object IS NULL AND m.updated_at < clock_timestamp() - interval '30 days'
       AND NOT EXISTS (SELECT FROM messages w WHERE w.media_id = m.id)
     LIMIT @max_rows FOR UPDATE SKIP LOCKED);

-- name: MediaRetrySource :one
-- What is needed to ask the phone for a media, with the fence of its session. No row: it is there, or gone, or the session is not ours.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE)
SELECT m.whatsapp_id, m.chat_id, m.sender_id, m.direction, f.media_key
  FROM fence JOIN media f ON f.session_id = fence.session JOIN messages m ON m.id = f.message_id
 WHERE f.id = @id AND f.status = 'pending' AND f.media_key IS NOT NULL;

-- name: MediaAsked :exec
-- The phone has been asked: its time to answer begins.
UPDATE media SET asked_at = clock_timestamp() WHERE id = @id AND status = 'pending';

-- name: MediaListAsked :many
-- The media that an answer of the phone may be about. WhatsApp's ids are unique within a chat and a sender only, so its keys must tell.
SELECT f.id, f.media_key, f.status FROM messages m JOIN media f ON f.message_id = m.id
 WHERE m.session_id = @session_id::text AND m.whatsapp_id = @whatsapp_id::text AND f.asked_at IS NOT NULL AND f.status IN ('pending', 'failed')
   AND f.media_key IS NOT NULL;

-- name: MediaRefound :one
-- The phone has uploaded it again. No row: the claim is lost, or nobody wants it any more.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE)
UPDATE media SET status = 'pending', direct_path = @direct_path::text, remote_at = clock_timestamp(), error_code = NULL, error_message = NULL,
       updated_at = clock_timestamp()
  FROM fence WHERE media.id = @id AND media.session_id = fence.session AND media.status IN ('pending', 'failed') AND media.asked_at IS NOT NULL
RETURNING media.id;

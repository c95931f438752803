-- name: MessageBeginSend :one
-- Reads the message and marks it sending, in one round trip. status is what it was before. No row: the message or the claim is gone.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), begun AS (
    UPDATE messages SET status = 'sending', updated_at = clock_timestamp() FROM fence
     WHERE messages.id = @id::uuid AND messages.session_id = fence.session AND messages.status = 'queued'
       AND (messages.expires_at IS NULL OR messages.expires_at > clock_timestamp()))
SELECT m.chat_id, m.whatsapp_id, m.status, m.type, m.content, m.media_id,
       coalesce(m.expires_at <= clock_timestamp(), false)::boolean AS expired
  FROM fence JOIN messages m ON m.id = @id::uuid AND m.session_id = fence.session;

-- name: MessageFinish :one
-- Writes how sending ended, unless the message is further already: then finished is false, and nobody is told a second time. One round trip
-- with the fence; the view is the message as it was before. No row: the message or the claim is gone.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), done AS (
    UPDATE messages
       SET status = @status, error_code = sqlc.narg(error_code), error_message = sqlc.narg(error_message),
           timestamp = coalesce(sqlc.narg(timestamp), timestamp), updated_at = clock_timestamp()
      FROM fence
     WHERE messages.id = @id::uuid AND messages.session_id = fence.session AND message_rank(messages.status) < message_rank(@status)
    RETURNING messages.id)
SELECT EXISTS (SELECT FROM done)::boolean AS finished, sqlc.embed(message_views)
  FROM fence JOIN message_views ON message_views.id = @id::uuid AND message_views.session_id = fence.session;

-- name: MessageShow :one
SELECT * FROM message_views WHERE id = @id;

-- name: MessageSweepExpired :many
-- Messages whose time ran out before they were sent. One that is being sent is left to its sender; only where that sender is gone for good
-- (ten minutes without a word: twice as long as any sender tries) it is swept too.
UPDATE messages m
   SET status = 'expired', error_code = NULL, error_message = NULL, updated_at = clock_timestamp()
 WHERE m.id IN (SELECT w.id FROM messages w
                 WHERE w.expires_at <= clock_timestamp()
                   AND (w.status IN ('scheduled', 'queued') OR (w.status = 'sending' AND w.updated_at < clock_timestamp() - interval '10 minutes'))
                 ORDER BY w.expires_at LIMIT @max_rows FOR NO KEY UPDATE SKIP LOCKED)
RETURNING m.id, m.session_id, m.chat_id, m.whatsapp_id;

-- name: MessageSweepLoggedOut :many
-- Messages that wait for a session that has been logged out.
UPDATE messages m
   SET status = 'failed', error_code = @error_code, error_message = @error_message, updated_at = clock_timestamp()
 WHERE m.id IN (SELECT w.id FROM messages w JOIN sessions s ON s.id = w.session_id
                 WHERE s.state = 'logged_out' AND w.status IN ('scheduled', 'queued', 'sending')
                 LIMIT @max_rows FOR NO KEY UPDATE OF w SKIP LOCKED)
RETURNING m.id, m.session_id, m.chat_id, m.whatsapp_id;

-- What is around a message on its way out: its time, its batch, typing, receipts.

-- name: MessagePublishDue :many
-- The messages whose time has come are queued, in its order; their commands leave in the same transaction. One process at a time does it, or a
-- second one's later messages could be published first; no row, then. A message that is just being rescheduled or cancelled is passed over.
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(hashtextextended('messages due', 0)) AS ours
), due AS (
    SELECT m.id FROM messages m
     WHERE m.status = 'scheduled' AND m.send_at <= statement_timestamp() AND (SELECT ours FROM turn)
     ORDER BY m.send_at, m.id LIMIT @max_rows FOR NO KEY UPDATE SKIP LOCKED
), queued AS (
    UPDATE messages m SET status = 'queued', updated_at = clock_timestamp() FROM due
     WHERE m.id = due.id RETURNING m.id, m.session_id, m.chat_id, m.send_at, m.typing_seconds, m.urgent, coalesce(m.context ->> 'trace', '')::text AS trace
), touched AS (
    UPDATE chats c SET last_message_at = greatest(c.last_message_at, statement_timestamp())
      FROM (SELECT DISTINCT q.session_id, q.chat_id FROM queued q) q WHERE c.session_id = q.session_id AND c.id = q.chat_id)
SELECT queued.id, queued.session_id, queued.typing_seconds, queued.urgent, queued.trace FROM queued ORDER BY queued.send_at, queued.id;

-- name: MessageNextDue :one
-- In how many seconds the next message is due.
SELECT extract(epoch FROM send_at - statement_timestamp())::float8 AS seconds FROM messages WHERE status = 'scheduled' ORDER BY send_at LIMIT 1;

-- name: MessageReschedule :execrows
-- Its bound moves with it.
UPDATE messages m SET send_at = sqlc.arg(at)::timestamptz, expires_at = m.expires_at + (sqlc.arg(at)::timestamptz - m.send_at), updated_at = clock_timestamp()
 WHERE m.session_id = sqlc.arg(session_id) AND m.id = sqlc.arg(id) AND m.status = 'scheduled';

-- name: MessageCancel :many
-- Cancels messages of which nothing has left: one, or all of a batch. One that a sender is just marking as being sent is his.
UPDATE messages m SET status = 'cancelled', updated_at = clock_timestamp()
 WHERE m.id IN (SELECT w.id FROM messages w
                 WHERE w.session_id = @session_id AND (w.id = sqlc.narg(id)::uuid OR w.batch_id = sqlc.narg(batch_id)::uuid) AND w.status IN ('scheduled', 'queued')
                 ORDER BY w.id FOR NO KEY UPDATE)
RETURNING m.id, m.chat_id, m.whatsapp_id;

-- name: MessageQueueMany :copyfrom
INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, context, media_id, client_reference, expires_at, send_at, typing_seconds,
                      urgent, batch_id, timestamp)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- name: ChatTouchMany :many
-- As ChatTouch, for many of one session, in the order of their ids: who does the same at the same time waits, and does not deadlock. It returns the
-- timers for disappearing messages.
INSERT INTO chats (session_id, id, kind, last_message_at, cold)
SELECT @session_id::text, c.id, c.kind, sqlc.narg(at)::timestamptz, c.kind = 'user' FROM (SELECT unnest(@ids::text[]) AS id, unnest(@kinds::text[]) AS kind) c ORDER BY c.id
ON CONFLICT (session_id, id) DO UPDATE SET last_message_at = greatest(chats.last_message_at, excluded.last_message_at)
RETURNING id, disappearing_seconds;

-- name: ContactEnsureMany :exec
INSERT INTO contacts (session_id, id, phone, lid)
SELECT @session_id::text, c.id, nullif(c.phone, ''), nullif(c.lid, '') FROM (SELECT unnest(@ids::text[]) AS id, unnest(@phones::text[]) AS phone, unnest(@lids::text[]) AS lid) c
 ORDER BY c.id
ON CONFLICT DO NOTHING;

-- name: ContactListByLID :many
-- As ContactByLID, for many.
SELECT DISTINCT ON (lid) lid::text AS lid, id FROM contacts WHERE session_id = @session_id AND lid = ANY (@lids::text[]) ORDER BY lid, phone IS NULL, id;

-- name: BatchInsert :one
INSERT INTO message_batches (id, session_id, size) VALUES ($1, $2, $3) RETURNING *;

-- name: BatchGet :one
SELECT * FROM message_batches WHERE session_id = $1 AND id = $2;

-- name: BatchCancel :one
UPDATE message_batches SET cancelled_at = coalesce(cancelled_at, clock_timestamp()) WHERE session_id = $1 AND id = $2 RETURNING *;

-- name: BatchCount :many
SELECT status, count(*)::int AS messages FROM messages WHERE batch_id = @batch_id::uuid GROUP BY status ORDER BY status;

-- name: MessageListByID :many
SELECT * FROM message_views WHERE id = ANY (@ids::uuid[]) ORDER BY id DESC;

-- name: ReceiptList :many
-- In the order in which people received it.
SELECT r.contact_id, coalesce(k.phone, '') AS phone, coalesce(k.lid, '') AS lid,
       coalesce(nullif(k.saved_name, ''), nullif(k.name, ''), k.business_name, '') AS name, r.delivered_at, r.read_at, r.played_at
  FROM message_receipts r LEFT JOIN contacts k ON k.session_id = @session_id AND k.id = r.contact_id
 WHERE r.message_id = @message_id ORDER BY least(r.delivered_at, r.read_at, r.played_at), r.contact_id;

-- name: RestrictionPut :one
-- Notes until when an account may write to no strangers. No row: the claim is lost.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE)
INSERT INTO restrictions (session_id, until) SELECT fence.session, @until::timestamptz FROM fence
ON CONFLICT (session_id) DO UPDATE SET until = excluded.until
RETURNING until;

-- name: RestrictionGet :one
-- How many seconds it still lasts.
SELECT extract(epoch FROM until - statement_timestamp())::float8 AS seconds FROM restrictions WHERE session_id = @session_id AND until > statement_timestamp();

-- name: MediaAskAgain :one
-- A received file that could not be had is awaited again: its phone is asked. No row: it is there, its keys are gone, or it never came with a
-- message.
UPDATE media SET status = 'pending', asked_at = clock_timestamp(), error_code = NULL, error_message = NULL, updated_at = clock_timestamp()
 WHERE id = @id AND session_id = @session_id::text AND message_id IS NOT NULL AND media_key IS NOT NULL AND status IN ('pending', 'failed')
RETURNING *;

-- Calls: see api/calls.go, connector/calls.go and connector/callreject.go.

-- name: CallList :many
SELECT * FROM call_views
 WHERE session_id = @session_id AND (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid)
 ORDER BY id DESC LIMIT @max_rows;

-- name: CallGet :one
SELECT * FROM call_views WHERE session_id = $1 AND id = $2;

-- name: CallGetByWhatsAppID :one
SELECT * FROM call_views WHERE session_id = $1 AND whatsapp_id = $2;

-- name: CallOffer :execrows
-- Writes a call that rings, once. It follows the fence in the same transaction.
INSERT INTO calls (id, session_id, whatsapp_id, caller_id, creator, group_id, video, offered_at)
VALUES (@id, @session_id, @whatsapp_id, @caller_id, @creator, @group_id, @video, @offered_at) ON CONFLICT (session_id, whatsapp_id) DO NOTHING;

-- name: CallAccept :one
-- Writes that a call was accepted on another device. No row: it does not ring, or is not known. It follows the fence in the same transaction.
UPDATE calls SET state = 'accepted', accepted_at = clock_timestamp() WHERE session_id = @session_id AND whatsapp_id = @whatsapp_id AND state = 'ringing' RETURNING id;

-- name: CallEnd :one
-- Writes that a call has ended; one that was accepted was not missed. No row: it had ended, or is not known. It follows the fence in the same
-- transaction.
UPDATE calls SET state = 'ended', reason = CASE WHEN state = 'accepted' THEN 'completed' ELSE @reason::text END, ended_at = clock_timestamp()
 WHERE session_id = @session_id AND whatsapp_id = @whatsapp_id AND state <> 'ended' RETURNING id;

-- name: CallTextedLately :one
SELECT EXISTS (SELECT FROM calls c
 WHERE c.session_id = @session_id AND c.caller_id = @caller_id AND c.texted_at > clock_timestamp() - make_interval(secs => @within_seconds::float8));

-- name: CallTexted :exec
UPDATE calls SET texted_at = clock_timestamp() WHERE id = $1;

-- name: ChatAnswer :one
-- A message is to be sent that nobody wrote: it reads nothing in the chat. Otherwise as ChatTouch.
INSERT INTO chats (session_id, id, kind, last_message_at) VALUES ($1, $2, 'user', $3)
    ON CONFLICT (session_id, id) DO UPDATE SET last_message_at = greatest(chats.last_message_at, excluded.last_message_at)
RETURNING disappearing_seconds;

-- name: CallSweepLost :many
-- Calls whose end nobody told: they ring no more.
UPDATE calls c SET state = 'ended', reason = 'unknown', ended_at = clock_timestamp()
 WHERE c.id IN (SELECT w.id FROM calls w
                 WHERE w.state = 'ringing' AND w.created_at < clock_timestamp() - make_interval(secs => @rings_seconds::float8)
                 ORDER BY w.created_at LIMIT @max_rows FOR NO KEY UPDATE SKIP LOCKED)
RETURNING c.id, c.session_id;

-- name: CallJoin :exec
-- Part of what ContactJoin begins.
UPDATE calls SET caller_id = @phone::text WHERE session_id = @session_id AND caller_id = @lid::text;

-- name: CallErase :exec
DELETE FROM calls WHERE session_id = @session_id AND caller_id = ANY (@ids::text[]);

-- name: CallSweep :execrows
DELETE FROM calls WHERE id IN (
    SELECT c.id FROM calls c WHERE c.created_at < now() - make_interval(secs => @kept_seconds) ORDER BY c.created_at LIMIT @max_rows FOR UPDATE SKIP LOCKED);

-- name: MessageGet :one
SELECT * FROM message_views WHERE session_id = $1 AND id = $2;

-- name: MessageGetByWhatsAppID :one
-- WhatsApp's ids are unique within a chat and a sender only; in the rare case of two the newest is meant.
SELECT * FROM message_views WHERE session_id = $1 AND whatsapp_id = $2 ORDER BY id DESC LIMIT 1;

-- name: MessageList :many
-- Without a chat all but status updates.
SELECT * FROM message_views
 WHERE session_id = sqlc.arg(session_id)
   AND (sqlc.arg(chat_id)::text = '' AND chat_id <> 'status@broadcast' OR chat_id = sqlc.arg(chat_id)::text)
   AND (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid)
 ORDER BY id DESC LIMIT sqlc.arg(max_rows);

-- name: MessageQueue :exec
INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, context, media_id, client_reference, expires_at, send_at, typing_seconds, urgent, timestamp)
VALUES (@id, @session_id, @chat_id, @whatsapp_id, 'outgoing', @status, @type, @content, sqlc.narg(context), @media_id, @client_reference, @expires_at, @send_at, @typing_seconds,
        @urgent, @timestamp);

-- name: ChatTouch :one
-- A message is to be sent: makes the chat, or notes that there is something new in it, which whoever writes there has read. It returns the
-- chat's timer for disappearing messages, 0 for none.
INSERT INTO chats (session_id, id, kind, last_message_at, cold) VALUES ($1, $2, $3, $4, $3 = 'user')
ON CONFLICT (session_id, id) DO UPDATE
   SET last_message_at = greatest(chats.last_message_at, excluded.last_message_at), unread = 0, marked_unread = false
RETURNING disappearing_seconds;

-- name: ContactEnsure :exec
INSERT INTO contacts (session_id, id, phone, lid) VALUES (@session_id, @id, nullif(@phone::text, ''), nullif(@lid::text, '')) ON CONFLICT DO NOTHING;

-- name: ContactByLID :one
-- The canonical id of the person whose LID this is: the phone's JID where it is known, the latest where he changed it.
SELECT id FROM contacts WHERE session_id = $1 AND lid = $2 ORDER BY phone IS NULL, updated_at DESC, id LIMIT 1;

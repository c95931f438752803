-- What is done to messages through the API, and to the account's own view of them on the phone. See connector/action*.go and api/message*.go.

-- name: ActionLock :one
-- The status of a message, whose row nobody else changes until the transaction ends.
SELECT status FROM messages WHERE session_id = @session_id AND id = @id FOR NO KEY UPDATE;

-- name: ActionEditWaiting :exec
-- Writes what a message that was not begun to be sent will say. It follows ActionLock in the same transaction.
UPDATE messages SET content = @content, updated_at = clock_timestamp() WHERE session_id = @session_id AND id = @id;

-- name: ActionDelete :execrows
DELETE FROM messages WHERE id = @id;

-- name: ActionStar :execrows
-- Stars a message or takes the star back. No row: it is so already.
UPDATE messages SET starred = @starred, updated_at = clock_timestamp() WHERE id = @id AND starred <> @starred;

-- name: VoteList :many
-- The votes in a poll, or the answers to an event, oldest first; those of the session's own account have its address.
SELECT v.voter_id, v.choices, v.guests, v.timestamp, s.phone AS own_phone, s.lid AS own_lid, s.name AS own_name,
       coalesce(c.phone, '') AS phone, coalesce(c.lid, '') AS lid, coalesce(nullif(c.saved_name, ''), nullif(c.name, ''), c.business_name, '')::text AS name
  FROM votes v JOIN sessions s ON s.id = @session_id LEFT JOIN contacts c ON c.session_id = @session_id AND c.id = v.voter_id
 WHERE v.message_id = @message_id ORDER BY v.timestamp, v.voter_id;

-- name: MessageForward :exec
-- Accepts a copy of a message for another chat, with the same file and the same protobuf, which the sender makes a forwarded one; what belonged
-- to the message's own chat is left out. Its command follows in the same transaction.
INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, context, raw, media_id, client_reference, expires_at, timestamp)
SELECT @id, m.session_id, @chat_id::text, @whatsapp_id, 'outgoing', 'queued', m.type, m.content - 'albumId' - 'backgroundColor' - 'font',
       jsonb_strip_nulls(jsonb_build_object('forwarded', least(coalesce((m.context ->> 'forwarded')::bigint, 0), 126) + 1,
           'disappearsAfter', (SELECT nullif(c.disappearing_seconds, 0) FROM chats c WHERE c.session_id = m.session_id AND c.id = @chat_id::text),
           'trace', nullif(@trace::text, ''))),
       m.raw, m.media_id, sqlc.narg(client_reference), @expires_at, @timestamp
  FROM messages m WHERE m.session_id = @session_id AND m.id = @source_id;

-- name: MessageHasRaw :one
-- Whether there is WhatsApp's own form of a message, of which a forwarded copy is made.
SELECT (raw IS NOT NULL)::boolean FROM messages WHERE session_id = @session_id AND id = @id;

-- name: MessageFindMany :many
-- Messages by either of their ids, oldest first. WhatsApp's are unique within a chat and a sender only.
SELECT id, chat_id, whatsapp_id, direction FROM messages
 WHERE session_id = @session_id AND (id = ANY (@ids::uuid[]) OR whatsapp_id = ANY (@whatsapp_ids::text[])) ORDER BY id;

-- name: MessageReadMany :many
-- What read receipts have to know of messages that came in, oldest first.
SELECT id, chat_id, sender_id, whatsapp_id, timestamp FROM messages
 WHERE session_id = @session_id AND id = ANY (@ids::uuid[]) AND direction = 'incoming' ORDER BY chat_id, sender_id, timestamp, id;

-- name: ChatReadTo :execrows
-- Notes that a chat was read, unless something newer than what was read has come in. It follows ChatLock in the same transaction.
UPDATE chats SET unread = 0, marked_unread = false
 WHERE chats.session_id = @session_id AND chats.id = @id AND (chats.unread <> 0 OR chats.marked_unread)
   AND NOT EXISTS (SELECT FROM messages m
                    WHERE m.session_id = chats.session_id AND m.chat_id = chats.id AND m.direction = 'incoming' AND m.timestamp > @read_to::timestamptz);

-- name: ActionFind :one
-- The message that the phone did something to, locked; senders are those it may be of, none for anybody.
SELECT id, chat_id FROM messages
 WHERE session_id = @session_id AND whatsapp_id = @whatsapp_id AND chat_id = ANY (@chat_ids::text[]) AND (direction = 'outgoing') = @own::boolean
   AND (cardinality(@senders::text[]) = 0 OR sender_id = ANY (@senders::text[]))
 ORDER BY id DESC LIMIT 1 FOR UPDATE;

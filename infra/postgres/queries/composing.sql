-- What a message to send refers to: the message that it answers, the album that it belongs to, and whom it mentions.

-- name: MessageReferred :one
-- A message by WhatsApp's id, which is unique within a chat and a sender only: the one in the given chat before others, the newest of several.
SELECT * FROM message_views WHERE session_id = @session_id AND whatsapp_id = @whatsapp_id ORDER BY (chat_id = @chat_id) DESC, id DESC LIMIT 1;

-- name: MessageQuoted :one
-- What a quote is made of.
SELECT raw FROM messages WHERE session_id = @session_id AND id = @id;

-- name: ContactMentioned :many
-- What is known of people by their ids or LIDs; of two rows with one LID, the one with a phone first.
SELECT id, coalesce(phone, '') AS phone, coalesce(lid, '') AS lid, coalesce(nullif(saved_name, ''), nullif(name, ''), business_name, '') AS name
  FROM contacts WHERE session_id = @session_id AND (id = ANY (@ids::text[]) OR lid = ANY (@lids::text[]))
 ORDER BY phone IS NULL, id;

-- name: MessageReceive :one
-- All that one incoming message writes, in one round trip: the fence, the contact, the chat, the message and last_event_at of the session
-- (at most once a second, to spare the row). No row: the claim is lost. message_id is NULL: the message was there already, and nothing is
-- to be told. An undecryptable message is replaced by its content, once, as is one that came
-- with the history first. The chat counts what came in and was not there; an own message reads it.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), touched AS (
    UPDATE sessions SET last_event_at = clock_timestamp()
      FROM fence
     WHERE sessions.id = fence.session AND (last_event_at IS NULL OR last_event_at < clock_timestamp() - interval '1 second')
), known AS (
    SELECT phone, lid, name FROM contacts WHERE session_id = @session_id::text AND id = @contact_id::text
), contact AS (
    INSERT INTO contacts (session_id, id, phone, lid, name)
    SELECT fence.session, @contact_id::text, nullif(@contact_phone::text, ''), nullif(@contact_lid::text, ''), @contact_name::text
      FROM fence WHERE @contact_id::text <> ''
        ON CONFLICT (session_id, id) DO UPDATE
       SET phone = coalesce(excluded.phone, contacts.phone), lid = coalesce(excluded.lid, contacts.lid),
           name = coalesce(nullif(excluded.name, ''), contacts.name), updated_at = clock_timestamp()
     WHERE (coalesce(excluded.phone, contacts.phone), coalesce(excluded.lid, contacts.lid), coalesce(nullif(excluded.name, ''), contacts.name))
           IS DISTINCT FROM (contacts.phone, contacts.lid, contacts.name)
    RETURNING phone, lid, name
), message AS (
    INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, media_id, timestamp)
    SELECT @id::uuid, fence.session, @chat_id::text, @sender_id::text, @whatsapp_id::text, @direction::text, @status::text, @type::text,
           @content::jsonb, sqlc.narg(media_id)::uuid, @timestamp::timestamptz
      FROM fence
        ON CONFLICT (session_id, chat_id, sender_id, whatsapp_id) DO UPDATE
       SET type = excluded.type, content = excluded.content, media_id = excluded.media_id, history = false, updated_at = clock_timestamp()
     WHERE excluded.type <> 'undecryptable' AND (messages.type = 'undecryptable' OR messages.history)
    RETURNING id
), chat AS (
    INSERT INTO chats (session_id, id, kind, last_message_at, unread)
    SELECT fence.session, @chat_id::text, @chat_kind::text, @timestamp::timestamptz, (message.id IS NOT NULL AND @direction::text = 'incoming')::int
      FROM fence LEFT JOIN message ON message.id = @id::uuid
        ON CONFLICT (session_id, id) DO UPDATE
       SET last_message_at = greatest(chats.last_message_at, excluded.last_message_at),
           unread = CASE WHEN @direction::text = 'incoming' THEN chats.unread + excluded.unread WHEN EXISTS (SELECT FROM message) THEN 0 ELSE chats.unread END,
           marked_unread = chats.marked_unread AND (@direction::text = 'incoming' OR NOT EXISTS (SELECT FROM message))
)
SELECT message.id AS message_id, s.phone AS own_phone, s.lid AS own_lid, s.name AS own_name,
       coalesce(contact.phone, known.phone, '')::text AS contact_phone, coalesce(contact.lid, known.lid, '')::text AS contact_lid,
       coalesce(contact.name, known.name, '')::text AS contact_name
  FROM fence JOIN sessions s ON s.id = fence.session LEFT JOIN contact ON true LEFT JOIN known ON true
  LEFT JOIN message ON true;

-- name: MediaReceive :exec
-- The file of a message that MessageReceive has just written, in the same transaction and so behind the same fence. A statement of its own,
-- because most messages have none.
INSERT INTO media (id, session_id, message_id, status, mimetype, file_name, size, sha256, kind, direct_path, media_key, enc_sha256, remote_at)
VALUES (@id, @session_id, @message_id, 'pending', @mimetype, @file_name, @size, @sha256, @kind, @direct_path, @media_key, @enc_sha256, @remote_at);

-- name: MessageReceiptMany :many
-- Moves statuses forward, never back; the rows that moved come back with the status before, and with the name of the contact whose receipt
-- it is. No row: nothing moved, or the claim is lost.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), before AS (
    SELECT w.id, w.status, coalesce(k.name, '') AS name
      FROM fence JOIN messages w ON w.session_id = fence.session LEFT JOIN contacts k ON k.session_id = fence.session AND k.id = @contact_id
     WHERE w.whatsapp_id = ANY (@whatsapp_ids::text[]) AND w.chat_id = ANY (@chat_ids::text[])
       AND w.direction = 'outgoing' AND message_rank(w.status) < message_rank(@status)
     ORDER BY w.id FOR NO KEY UPDATE OF w)
UPDATE messages m SET status = @status, error_code = NULL, error_message = NULL, updated_at = clock_timestamp()
  FROM before WHERE m.id = before.id
RETURNING m.id, m.whatsapp_id, m.chat_id, before.status AS before, before.name AS contact_name;

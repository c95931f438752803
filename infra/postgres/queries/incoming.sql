-- name: MessageReceive :one
-- All that one incoming message writes, in one round trip: the fence, the contact, the chat with its count of unread messages, the message and
-- last_event_at of the session (at most once a second, to spare the row). No row: the claim is lost. message_id is NULL: the message was there
-- already, and nothing is to be told. An undecryptable message is replaced by its content, once, as is one that
-- came with the history first. The chat counts what came in and was not there; an own message reads it. What it quotes (quoted_id, empty for nothing) is
-- looked up, and our own id of it goes into the context.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), touched AS (
    UPDATE sessions SET last_event_at = clock_timestamp()
      FROM fence
     WHERE sessions.id = fence.session AND (last_event_at IS NULL OR last_event_at < clock_timestamp() - interval '1 second')
), known AS (
    SELECT phone, lid, coalesce(nullif(saved_name, ''), nullif(name, ''), business_name) AS name
      FROM contacts WHERE session_id = @session_id::text AND id = @contact_id::text
), contact AS (
    INSERT INTO contacts (session_id, id, phone, lid, name)
    SELECT fence.session, @contact_id::text, nullif(@contact_phone::text, ''), nullif(@contact_lid::text, ''), @contact_name::text
      FROM fence WHERE @contact_id::text <> ''
        ON CONFLICT (session_id, id) DO UPDATE
       SET phone = coalesce(excluded.phone, contacts.phone), lid = coalesce(excluded.lid, contacts.lid),
           name = coalesce(nullif(excluded.name, ''), contacts.name), updated_at = clock_timestamp()
     WHERE (coalesce(excluded.phone, contacts.phone), coalesce(excluded.lid, contacts.lid), coalesce(nullif(excluded.name, ''), contacts.name))
           IS DISTINCT FROM (contacts.phone, contacts.lid, contacts.name)
    RETURNING phone, lid, coalesce(nullif(saved_name, ''), nullif(name, ''), business_name) AS name
), message AS (
    INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, context, raw, media_id, timestamp)
    SELECT @id::uuid, fence.session, @chat_id::text, @sender_id::text, @whatsapp_id::text, @direction::text, @status::text, @type::text,
           @content::jsonb,
           CASE WHEN @quoted_id::text = '' THEN sqlc.narg(context)::jsonb
                ELSE coalesce(jsonb_set(sqlc.narg(context)::jsonb, '{replyTo,messageId}', to_jsonb('msg_' || replace(
                       message_quoted(@session_id::text, @quoted_id::text, @quoted_chats::text[], @quoted_authors::text[])::text, '-', ''))),
                     sqlc.narg(context)::jsonb) END,
           sqlc.narg(raw)::bytea, sqlc.narg(media_id)::uuid, @timestamp::timestamptz
      FROM fence
        ON CONFLICT (session_id, chat_id, sender_id, whatsapp_id) DO UPDATE
       SET type = excluded.type, content = excluded.content, context = excluded.context, raw = excluded.raw, media_id = excluded.media_id,
           history = false, updated_at = clock_timestamp()
     WHERE excluded.type <> 'undecryptable' AND (messages.type = 'undecryptable' OR messages.history)
    RETURNING id, context, (id = @id::uuid AND direction = 'incoming')::int AS unread
), chat AS (
    INSERT INTO chats (session_id, id, kind, last_message_at, unread)
    SELECT fence.session, @chat_id::text, @chat_kind::text, @timestamp::timestamptz, coalesce(message.unread, 0) FROM fence LEFT JOIN message ON true
        ON CONFLICT (session_id, id) DO UPDATE
       SET last_message_at = greatest(chats.last_message_at, excluded.last_message_at),
           unread = CASE WHEN @direction::text = 'incoming' THEN chats.unread + excluded.unread WHEN EXISTS (SELECT FROM message) THEN 0 ELSE chats.unread END,
           marked_unread = chats.marked_unread AND (@direction::text = 'incoming' OR NOT EXISTS (SELECT FROM message)),
           cold = chats.cold AND @direction::text <> 'incoming'
)
SELECT message.id AS message_id, message.context, s.phone AS own_phone, s.lid AS own_lid, s.name AS own_name,
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
-- Notes who received, read or played the messages of one receipt, and when: the first time counts, and who has read a message has received it. And
-- it moves their statuses forward, never back; the rows that moved come back with the status before, and with the name of the contact whose receipt
-- it is. No row: nothing moved, or the claim is lost.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), before AS MATERIALIZED (
    SELECT w.id, w.status, coalesce(k.name, '') AS name
      FROM fence JOIN messages w ON w.session_id = fence.session LEFT JOIN contacts k ON k.session_id = fence.session AND k.id = @contact_id
     WHERE w.whatsapp_id = ANY (@whatsapp_ids::text[]) AND w.chat_id = ANY (@chat_ids::text[]) AND w.direction = 'outgoing'
     ORDER BY w.id FOR NO KEY UPDATE OF w
), receipts AS (
    INSERT INTO message_receipts (message_id, contact_id, delivered_at, read_at, played_at)
    SELECT b.id, @contact_id, @at::timestamptz, CASE WHEN @status <> 'delivered' THEN @at::timestamptz END, CASE WHEN @status = 'played' THEN @at::timestamptz END
      FROM before b ORDER BY b.id
        ON CONFLICT (message_id, contact_id) DO UPDATE
       SET delivered_at = least(message_receipts.delivered_at, excluded.delivered_at), read_at = least(message_receipts.read_at, excluded.read_at),
           played_at = least(message_receipts.played_at, excluded.played_at)
     WHERE (least(message_receipts.delivered_at, excluded.delivered_at), least(message_receipts.read_at, excluded.read_at),
            least(message_receipts.played_at, excluded.played_at))
           IS DISTINCT FROM (message_receipts.delivered_at, message_receipts.read_at, message_receipts.played_at)
)
UPDATE messages m SET status = @status, error_code = NULL, error_message = NULL, updated_at = clock_timestamp()
  FROM before WHERE m.id = before.id AND message_rank(before.status) < message_rank(@status)
RETURNING m.id, m.whatsapp_id, m.chat_id, before.status AS before, before.name AS contact_name, coalesce(m.context ->> 'trace', '')::text AS trace;

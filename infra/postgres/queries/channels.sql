-- Channels and their posts, which are messages of a chat that the list of chats does not have. See connector/channels.go and
-- connector/channelposts.go.

-- name: ChannelPut :execrows
-- Notes a channel; no row where it is known. It follows the fence in the same transaction.
INSERT INTO channels (session_id, id, known) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: ChannelLock :one
SELECT known FROM channels WHERE session_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: ChannelWrite :exec
UPDATE channels SET known = @known WHERE session_id = @session_id AND id = @id;

-- name: ChannelRemove :one
-- Forgets a channel, and returns what was known of it.
DELETE FROM channels WHERE session_id = $1 AND id = $2 RETURNING known;

-- name: ChannelIDs :many
SELECT id FROM channels WHERE session_id = $1 AND id <> '' ORDER BY id;

-- name: ChannelPostKeep :one
-- Keeps a post, behind the fence. message_id is NULL where it is there already: from the channel, or as the account's own, which this session sent.
-- One that came with the channel's older posts first (history) and is now told is not there yet. No row: the claim is lost.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), touched AS (
    UPDATE sessions SET last_event_at = clock_timestamp()
      FROM fence
     WHERE sessions.id = fence.session AND (last_event_at IS NULL OR last_event_at < clock_timestamp() - interval '1 second')
), message AS (
    INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, context, raw, media_id, timestamp, history)
    SELECT @id::uuid, fence.session, @channel_id::text, @channel_id::text, @whatsapp_id::text, 'incoming', 'delivered', @type::text, @content::jsonb,
           sqlc.narg(context)::jsonb, sqlc.narg(raw)::bytea, sqlc.narg(media_id)::uuid, @timestamp::timestamptz, @history::boolean
      FROM fence
     WHERE NOT EXISTS (SELECT FROM messages own WHERE own.session_id = fence.session AND own.chat_id = @channel_id::text
                          AND own.sender_id = '' AND own.whatsapp_id = @whatsapp_id::text)
        ON CONFLICT (session_id, chat_id, sender_id, whatsapp_id) DO UPDATE SET history = false, updated_at = clock_timestamp()
     WHERE messages.history AND NOT excluded.history
    RETURNING id)
SELECT message.id AS message_id FROM fence LEFT JOIN message ON true;

-- name: ChannelPostList :many
-- The messages that posts are, by WhatsApp's ids.
SELECT * FROM message_views WHERE session_id = @session_id AND chat_id = @channel_id AND whatsapp_id = ANY (@whatsapp_ids::text[]);

-- Chats: see api/chats.go and connector/chats.go.

-- name: ChatList :many
-- A page of the list, newest first; chats that never had a message come last. The index chats_recent has the order; what a page costs is its
-- rows, and those that the filters leave out; that of status updates is no chat. after_at and after_id are the place after which it begins; with after_id alone it is among those without a message.
SELECT * FROM chat_views v
 WHERE v.session_id = @session_id AND v.id <> 'status@broadcast'
   AND CASE WHEN sqlc.narg(after_id)::text IS NULL THEN true
            WHEN sqlc.narg(after_at)::timestamptz IS NULL THEN v.last_message_at IS NULL AND v.id < sqlc.narg(after_id)::text
            ELSE v.last_message_at IS NULL OR (v.last_message_at, v.id) < (sqlc.narg(after_at)::timestamptz, sqlc.narg(after_id)::text) END
   AND (sqlc.narg(archived)::boolean IS NULL OR v.archived = sqlc.narg(archived)::boolean)
   AND (sqlc.narg(pinned)::boolean IS NULL OR (v.pinned_at IS NOT NULL) = sqlc.narg(pinned)::boolean)
   AND (sqlc.narg(unread)::boolean IS NULL OR (v.unread > 0 OR v.marked_unread) = sqlc.narg(unread)::boolean)
   AND (@kind::text = '' OR v.kind = @kind::text)
   AND (@label_id::text = '' OR EXISTS (SELECT FROM chat_labels l WHERE l.session_id = v.session_id AND l.chat_id = v.id AND l.label_id = @label_id::text))
   AND (@pattern::text = '' OR v.name ILIKE @pattern::text OR v.phone ILIKE @pattern::text OR v.id ILIKE @pattern::text)
 ORDER BY v.last_message_at DESC NULLS LAST, v.id DESC LIMIT @max_rows;

-- name: ChatListLast :many
-- The newest message of each chat, of those that are not still to be sent at a time of their own.
SELECT v.* FROM unnest(@chat_ids::text[]) AS c (id)
 CROSS JOIN LATERAL (SELECT m.id FROM messages m WHERE m.session_id = @session_id AND m.chat_id = c.id AND m.status <> 'scheduled' ORDER BY m.id DESC LIMIT 1) n
  JOIN message_views v ON v.id = n.id;

-- name: ChatGet :one
SELECT * FROM chat_views WHERE session_id = $1 AND id = $2;

-- name: ChatLock :one
-- What a change of a chat begins with: the statement after it sees every message that its count of unread ones has.
SELECT * FROM chats WHERE session_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- name: ChatEnsure :execrows
INSERT INTO chats (session_id, id, kind) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: ChatWrite :exec
UPDATE chats SET archived = @archived, pinned_at = @pinned_at, muted_until = @muted_until, unread = @unread, marked_unread = @marked_unread,
       disappearing_seconds = @disappearing_seconds
 WHERE session_id = @session_id AND id = @id;

-- name: ChatRemove :execrows
-- Removes a chat that was deleted, with its labels, unless something has been written in it since.
WITH gone AS (
    DELETE FROM chats c WHERE c.session_id = @session_id AND c.id = @id
       AND NOT EXISTS (SELECT FROM messages m WHERE m.session_id = @session_id AND m.chat_id = @id)
    RETURNING c.id
), unlabelled AS (
    DELETE FROM chat_labels l USING gone WHERE l.session_id = @session_id AND l.chat_id = gone.id)
SELECT id FROM gone;

-- name: ChatUnreadSince :one
-- How many of the newest incoming messages, as many as are unread, are after a moment of WhatsApp's clock.
WITH newest AS (
    SELECT m.timestamp FROM messages m
     WHERE m.session_id = @session_id AND m.chat_id = @chat_id AND m.direction = 'incoming' ORDER BY m.id DESC LIMIT @unread::int)
SELECT count(*)::int FROM newest WHERE newest.timestamp > @read_until::timestamptz;

-- name: ChatUnreadAfter :one
-- How many messages have come in after the newest of these, as far as max_rows, and in which chat. No row: none of them is known.
SELECT n.chat_id, (SELECT count(*) FROM (SELECT 1 AS one FROM messages m
        WHERE m.session_id = @session_id AND m.chat_id = n.chat_id AND m.direction = 'incoming' AND m.id > n.id LIMIT @max_rows::int) x)::int AS unread
  FROM (SELECT id, chat_id FROM messages
         WHERE session_id = @session_id AND chat_id = ANY (@chat_ids::text[]) AND whatsapp_id = ANY (@whatsapp_ids::text[]) ORDER BY id DESC LIMIT 1) n;

-- name: ChatListUnread :many
-- The newest incoming messages of a chat, as many as are unread.
SELECT m.whatsapp_id, m.sender_id FROM messages m
 WHERE m.session_id = @session_id AND m.chat_id = @chat_id AND m.direction = 'incoming' ORDER BY m.id DESC LIMIT @max_rows;

-- name: ChatNewest :one
-- The newest message of a chat that WhatsApp has, by which its app state says how far a change of the chat goes.
SELECT m.whatsapp_id, m.sender_id, m.direction, m.timestamp FROM messages m
 WHERE m.session_id = $1 AND m.chat_id = $2 AND message_rank(m.status) >= 4 ORDER BY m.id DESC LIMIT 1;

-- name: ChatOldest :one
-- The oldest message of a chat that WhatsApp has.
SELECT m.id, m.whatsapp_id, m.direction, m.timestamp FROM messages m
 WHERE m.session_id = $1 AND m.chat_id = $2 AND message_rank(m.status) >= 4 ORDER BY m.id LIMIT 1;

-- name: MessageEmpty :execrows
-- Deletes some of a chat's messages up to a moment, with their files' rows but for those that another message sends as well. What is still to
-- be sent stays. The bytes go with the sweep of what nobody refers to.
WITH gone AS (
    DELETE FROM messages WHERE id IN (
        SELECT w.id FROM messages w
         WHERE w.session_id = @session_id AND w.chat_id = @chat_id AND w.timestamp < @before AND w.status NOT IN ('scheduled', 'queued', 'sending')
         ORDER BY w.id LIMIT @max_rows)
    RETURNING id
), files AS (
    DELETE FROM media f USING gone
     WHERE f.message_id = gone.id AND NOT EXISTS (SELECT FROM messages o WHERE o.media_id = f.id AND o.id <> gone.id))
SELECT id FROM gone;

-- name: MessageLeft :one
-- Whether MessageEmpty has more to delete.
SELECT EXISTS (SELECT FROM messages w
 WHERE w.session_id = @session_id AND w.chat_id = @chat_id AND w.timestamp < @before AND w.status NOT IN ('scheduled', 'queued', 'sending'));

-- Labels.

-- name: LabelList :many
SELECT id, name, color FROM labels WHERE session_id = $1 ORDER BY length(id), id;

-- name: LabelGet :one
SELECT id, name, color FROM labels WHERE session_id = $1 AND id = $2;

-- name: LabelReserve :one
-- Takes the next id for a label that is to be made.
INSERT INTO label_ids (session_id, last)
SELECT @session_id::text, coalesce(max(l.id::int), 0) + 1 FROM labels l WHERE l.session_id = @session_id::text AND l.id ~ '^[0-9]{1,8}$'
    ON CONFLICT (session_id) DO UPDATE SET last = greatest(label_ids.last + 1, excluded.last) RETURNING last;

-- name: LabelRetire :exec
-- The id of a label that is deleted is not given again.
INSERT INTO label_ids (session_id, last) VALUES ($1, $2) ON CONFLICT (session_id) DO UPDATE SET last = greatest(label_ids.last, excluded.last);

-- name: LabelCount :one
SELECT count(*) FROM labels WHERE session_id = $1;

-- name: LabelPut :execrows
-- Writes a label; no row where it is so already.
INSERT INTO labels (session_id, id, name, color) VALUES ($1, $2, $3, $4)
    ON CONFLICT (session_id, id) DO UPDATE SET name = excluded.name, color = excluded.color
 WHERE (labels.name, labels.color) IS DISTINCT FROM (excluded.name, excluded.color);

-- name: LabelRemove :execrows
DELETE FROM labels WHERE session_id = $1 AND id = $2;

-- name: LabelClear :exec
DELETE FROM chat_labels WHERE session_id = $1 AND label_id = $2;

-- name: LabelChatAdd :execrows
INSERT INTO chat_labels (session_id, chat_id, label_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: LabelChatRemove :execrows
DELETE FROM chat_labels WHERE session_id = $1 AND chat_id = $2 AND label_id = $3;

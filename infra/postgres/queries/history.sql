-- History: see connector/history.go.

-- name: HistoryOffer :execrows
-- Notes a part of the history that the phone offers. No row: it was offered before.
INSERT INTO history_parts (id, session_id, whatsapp_id, notification) VALUES (@id, @session_id, @whatsapp_id, @notification) ON CONFLICT DO NOTHING;

-- name: HistoryRead :one
-- A part that is to be stored. No row: it has been.
SELECT whatsapp_id, notification, created_at FROM history_parts WHERE session_id = @session_id AND id = @id AND finished_at IS NULL;

-- name: HistoryCount :exec
UPDATE history_parts SET messages = messages + @messages::int WHERE id = @id;

-- name: HistoryFinish :one
-- No row: it has ended already.
UPDATE history_parts SET finished_at = clock_timestamp(), notification = NULL, error = @error WHERE id = @id AND finished_at IS NULL RETURNING messages;

-- name: HistoryForget :exec
-- Parts that ended so long ago that WhatsApp does not offer them again.
DELETE FROM history_parts WHERE session_id = @session_id AND finished_at < now() - interval '30 days';

-- name: HistoryAskedOf :one
-- The chat of the request for history that has an id of WhatsApp's.
SELECT chat_id FROM changes WHERE session_id = @session_id AND kind = @kind AND parameters ->> 'whatsappId' = @whatsapp_id::text ORDER BY id DESC LIMIT 1;

-- name: HistorySweepBroken :many
-- Parts whose command is a dead letter, or stands at the front of a lane that was parked because processes kept dying with it in hand.
UPDATE history_parts p SET finished_at = clock_timestamp(), notification = NULL, error = @error
  FROM history_parts before
 WHERE before.id = p.id AND p.finished_at IS NULL
   AND p.id IN (SELECT d.uuid FROM queue_dead d WHERE d.topic = @topic
                UNION ALL
                SELECT h.uuid FROM queue_lanes l
                 CROSS JOIN LATERAL (SELECT x.uuid FROM queue_messages x WHERE x.lane = l.lane ORDER BY x.id LIMIT 1) h
                 WHERE l.topic = @topic AND l.parked = 'crashes')
RETURNING p.session_id, p.messages, before.notification;

-- name: HistoryListStuck :many
-- The commands that park a lane by crashing although their part has ended.
SELECT h.id FROM queue_lanes l
 CROSS JOIN LATERAL (SELECT x.id, x.uuid FROM queue_messages x WHERE x.lane = l.lane ORDER BY x.id LIMIT 1) h
  JOIN history_parts p ON p.id = h.uuid
 WHERE l.topic = @topic AND l.parked = 'crashes' AND p.finished_at IS NOT NULL
 LIMIT @max_rows;

-- name: HistoryChat :exec
-- A chat as the phone had it. What is known already from live messages and app state is newer; only where fill is set does the history add to
-- it what it has and the row has not. An account that has a history with somebody does not write to him first.
INSERT INTO chats (session_id, id, kind, last_message_at, archived, pinned_at, muted_until, unread, marked_unread, disappearing_seconds)
VALUES (@session_id, @id, @kind, @last_message_at, @archived, @pinned_at, @muted_until, @unread, @marked_unread, @disappearing_seconds)
    ON CONFLICT (session_id, id) DO UPDATE
   SET last_message_at = greatest(chats.last_message_at, excluded.last_message_at), cold = false,
       archived = CASE WHEN @fill::boolean THEN chats.archived OR excluded.archived ELSE chats.archived END,
       pinned_at = CASE WHEN @fill::boolean THEN coalesce(chats.pinned_at, excluded.pinned_at) ELSE chats.pinned_at END,
       muted_until = CASE WHEN @fill::boolean THEN coalesce(chats.muted_until, excluded.muted_until) ELSE chats.muted_until END,
       unread = CASE WHEN @fill::boolean THEN greatest(chats.unread, excluded.unread) ELSE chats.unread END,
       marked_unread = CASE WHEN @fill::boolean THEN chats.marked_unread OR excluded.marked_unread ELSE chats.marked_unread END,
       disappearing_seconds = CASE WHEN @fill::boolean AND chats.disappearing_seconds = 0 THEN excluded.disappearing_seconds ELSE chats.disappearing_seconds END;

-- name: HistoryContact :exec
-- A contact that the history names. A name that is known already is newer.
INSERT INTO contacts (session_id, id, phone, lid, name)
VALUES (@session_id, @id, nullif(@phone::text, ''), nullif(@lid::text, ''), @name)
    ON CONFLICT (session_id, id) DO UPDATE
   SET phone = coalesce(contacts.phone, excluded.phone), lid = coalesce(contacts.lid, excluded.lid),
       name = coalesce(nullif(contacts.name, ''), excluded.name), updated_at = clock_timestamp()
 WHERE (contacts.phone IS NULL AND excluded.phone IS NOT NULL) OR (contacts.lid IS NULL AND excluded.lid IS NOT NULL) OR (contacts.name = '' AND excluded.name <> '');

-- name: HistoryMessages :many
-- Messages of the history; those that are there already stay as they are. The ids that come back are new.
INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, context, raw, media_id, starred, timestamp, history)
SELECT u.id, @session_id::text, u.chat_id, u.sender_id, u.whatsapp_id, u.direction, u.status, u.type, u.content::jsonb, nullif(u.context, '')::jsonb, nullif(u.raw, ''::bytea),
       nullif(u.media_id, '00000000-0000-0000-0000-000000000000'::uuid), u.starred, u.timestamp, true
  FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@chat_ids::text[]) AS chat_id, unnest(@sender_ids::text[]) AS sender_id, unnest(@whatsapp_ids::text[]) AS whatsapp_id,
               unnest(@directions::text[]) AS direction, unnest(@statuses::text[]) AS status, unnest(@types::text[]) AS type, unnest(@contents::text[]) AS content,
               unnest(@contexts::text[]) AS context,
               unnest(@raws::bytea[]) AS raw, unnest(@media_ids::uuid[]) AS media_id, unnest(@starred::boolean[]) AS starred,
               unnest(@timestamps::timestamptz[]) AS timestamp) u
    ON CONFLICT (session_id, chat_id, sender_id, whatsapp_id) DO NOTHING
RETURNING id;

-- name: HistoryMedia :exec
-- The file of a message of the history, which is fetched when somebody wants it.
INSERT INTO media (id, session_id, message_id, status, mimetype, file_name, size, sha256, kind, direct_path, media_key, enc_sha256, remote_at, on_demand)
VALUES (@id, @session_id, @message_id, 'pending', @mimetype, @file_name, @size, @sha256, @kind, @direct_path, @media_key, @enc_sha256, @remote_at, true);

-- name: MediaWant :execrows
-- Somebody wants the file of a message of the history: its time begins now. No row: it is wanted already.
UPDATE media SET on_demand = false, created_at = clock_timestamp(), updated_at = clock_timestamp() WHERE id = @id AND status = 'pending' AND on_demand;

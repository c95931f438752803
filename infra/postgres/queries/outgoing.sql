-- name: MessageBeginSend :one
-- Reads the message and, in the same round trip, marks it as being sent and notes when, as the last thing before a copy of it may leave.
-- begun is false when it must not leave: it has ended, or its time is over. status is what it was before, by this statement's snapshot; only
-- begun has waited for whoever was just changing the row. resolve lets one go on whose time is over, because an earlier copy may have reached
-- WhatsApp: whether it did is only known from the answer to another. No row: the message or the claim is gone.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), begun AS (
    UPDATE messages SET status = 'sending', updated_at = clock_timestamp() FROM fence
     WHERE messages.id = @id::uuid AND messages.session_id = fence.session AND messages.status IN ('queued', 'sending')
       AND (messages.expires_at IS NULL OR messages.expires_at > clock_timestamp() OR (messages.status = 'sending' AND @resolve::boolean))
    RETURNING messages.id)
SELECT m.chat_id, m.whatsapp_id, m.status, m.type, m.content, m.context, m.raw, m.media_id, EXISTS (SELECT FROM begun)::boolean AS begun,
       coalesce(m.expires_at <= clock_timestamp(), false)::boolean AS expired
  FROM fence JOIN messages m ON m.id = @id::uuid AND m.session_id = fence.session;

-- name: MessageFinish :one
-- Writes how sending ended, unless the message is further already: then finished is false, and nobody is told a second time. raw, what was sent,
-- is kept either way, and so are server_id, a channel's number of its post, and that it was the first to somebody who never wrote. One round trip with the fence; the view is the message as it was before. No row: the message or the claim is gone.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), before AS (
    SELECT w.id, w.chat_id, message_rank(w.status) < message_rank(@status) AS behind
      FROM fence JOIN messages w ON w.id = @id::uuid AND w.session_id = fence.session FOR NO KEY UPDATE OF w
), done AS (
    UPDATE messages
       SET status = CASE WHEN before.behind THEN @status ELSE messages.status END,
           error_code = CASE WHEN before.behind THEN sqlc.narg(error_code) ELSE messages.error_code END,
           error_message = CASE WHEN before.behind THEN sqlc.narg(error_message) ELSE messages.error_message END,
           timestamp = CASE WHEN before.behind THEN coalesce(sqlc.narg(timestamp), messages.timestamp) ELSE messages.timestamp END,
           raw = coalesce(sqlc.narg(raw)::bytea, messages.raw), content = coalesce(sqlc.narg(content)::jsonb, messages.content),
           context = CASE WHEN sqlc.narg(server_id)::bigint IS NULL THEN messages.context
                          ELSE coalesce(messages.context, '{}') || jsonb_build_object('serverId', sqlc.narg(server_id)::bigint) END,
           updated_at = clock_timestamp()
      FROM before
     WHERE messages.id = before.id AND (before.behind OR sqlc.narg(raw)::bytea IS NOT NULL)
    RETURNING before.behind
), opened AS (
    UPDATE chats h SET opened_at = clock_timestamp() FROM before
     WHERE @status = 'sent' AND h.session_id = @session_id::text AND h.id = before.chat_id AND h.cold AND h.opened_at IS NULL)
SELECT EXISTS (SELECT FROM done WHERE done.behind)::boolean AS finished, sqlc.embed(message_views)
  FROM fence JOIN message_views ON message_views.id = @id::uuid AND message_views.session_id = fence.session;

-- name: MessageShow :one
SELECT * FROM message_views WHERE id = @id;

-- name: MessageSweepExpired :many
-- Messages whose time ran out before they were sent. One that is being sent is left to its sender; only where no sender has begun an attempt
-- for so long that none can be under way (see sweepSending) it is swept too, with an error, since nobody knows how the last attempt ended.
UPDATE messages m
   SET status = 'expired', error_code = CASE WHEN m.status = 'sending' THEN @error_code::text END,
       error_message = CASE WHEN m.status = 'sending' THEN @error_message::text END, updated_at = clock_timestamp()
 WHERE m.id IN (SELECT w.id FROM messages w
                 WHERE w.expires_at <= clock_timestamp()
                   AND (w.status IN ('scheduled', 'queued')
                        OR (w.status = 'sending' AND w.updated_at < clock_timestamp() - make_interval(secs => @sending_seconds::float8)))
                 ORDER BY w.expires_at LIMIT @max_rows FOR NO KEY UPDATE SKIP LOCKED)
RETURNING m.id, m.session_id, m.chat_id, m.whatsapp_id, m.error_code, m.error_message, coalesce(m.context ->> 'trace', '')::text AS trace;

-- name: MessageSweepEnded :many
-- Messages that wait for a session which has ended in a state that sends nothing any more.
UPDATE messages m
   SET status = 'failed', error_code = @error_code, error_message = @error_message, updated_at = clock_timestamp()
 WHERE m.id IN (SELECT w.id FROM messages w JOIN sessions s ON s.id = w.session_id
                 WHERE s.state = @state AND w.status IN ('scheduled', 'queued', 'sending')
                 LIMIT @max_rows FOR NO KEY UPDATE OF w SKIP LOCKED)
RETURNING m.id, m.session_id, m.chat_id, m.whatsapp_id, m.error_code, m.error_message, coalesce(m.context ->> 'trace', '')::text AS trace;

-- name: MessageSweepBroken :many
-- Messages whose command is a dead letter, or stands at the front of a lane that was parked because processes kept dying with it in hand. A
-- send command has the id of its message.
UPDATE messages m
   SET status = 'failed', error_code = @error_code, error_message = @error_message, updated_at = clock_timestamp()
 WHERE m.id IN (SELECT w.id FROM messages w
                 WHERE w.status IN ('queued', 'sending')
                   AND w.id IN (SELECT d.uuid FROM queue_dead d WHERE d.topic = @topic
                                UNION ALL
                                SELECT h.uuid FROM queue_lanes l
                                 CROSS JOIN LATERAL (SELECT x.uuid FROM queue_messages x WHERE x.lane = l.lane ORDER BY x.id LIMIT 1) h
                                 WHERE l.topic = @topic AND l.parked = 'crashes')
                 LIMIT @max_rows FOR NO KEY UPDATE OF w SKIP LOCKED)
RETURNING m.id, m.session_id, m.chat_id, m.whatsapp_id, m.error_code, m.error_message, coalesce(m.context ->> 'trace', '')::text AS trace;

-- name: MessageListStuck :many
-- The commands that park a lane by crashing although their message has ended: handled once more they do nothing, and the lane goes on.
SELECT h.id FROM queue_lanes l
 CROSS JOIN LATERAL (SELECT x.id, x.uuid FROM queue_messages x WHERE x.lane = l.lane ORDER BY x.id LIMIT 1) h
  JOIN messages m ON m.id = h.uuid
 WHERE l.topic = @topic AND l.parked = 'crashes' AND m.status NOT IN ('scheduled', 'queued', 'sending')
 LIMIT @max_rows;

-- name: MessageBound :execrows
-- Gives messages that wait without a bound one; a release before this one accepted them.
UPDATE messages SET expires_at = clock_timestamp() + interval '24 hours'
 WHERE status IN ('scheduled', 'queued', 'sending') AND expires_at IS NULL;

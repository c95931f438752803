-- Messages that are set aside before they are sent, and what is known of an account's health: see connector/pacing.go and infra/postgres/health.go.

-- name: MessageHold :one
-- Sets a message aside, unless it was let go already, and says what it waits for. No row: it waits no more, or the claim is lost.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE)
UPDATE messages m SET held = coalesce(m.held, 'chat') FROM fence
 WHERE m.id = @id AND m.session_id = fence.session AND m.status = 'queued'
RETURNING m.held::text AS held;

-- name: MessageListHeld :many
-- The messages of a session that were set aside, in the order in which they go on. opened: they are not the first to somebody who never wrote. answers:
-- the other side wrote since a time of which @since is the first id.
SELECT m.id, m.chat_id, m.type, m.typing_seconds, m.urgent, m.held::text AS held, coalesce(m.context ->> 'trace', '')::text AS trace, coalesce(c.cold, false)::boolean AS cold,
       (c.opened_at IS NOT NULL)::boolean AS opened,
       EXISTS (SELECT FROM messages i
                WHERE i.session_id = m.session_id AND i.chat_id = m.chat_id AND i.id > @since::uuid AND i.direction = 'incoming' AND NOT i.history)::boolean AS answers
  FROM messages m LEFT JOIN chats c ON c.session_id = m.session_id AND c.id = m.chat_id
 WHERE m.session_id = @session_id AND m.status = 'queued' AND m.held IS NOT NULL
   AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
 ORDER BY coalesce(m.send_at, m.timestamp), m.id LIMIT @max_rows;

-- name: MessageLetGo :many
-- Writes what messages that were set aside wait for; those that are let go come back.
WITH changed AS (
    UPDATE messages m SET held = h.held FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@held::text[]) AS held) h
     WHERE m.id = h.id AND m.session_id = @session_id AND m.status = 'queued'
    RETURNING m.id, m.held)
SELECT id FROM changed WHERE held = 'released';

-- name: ChatOpen :exec
-- Notes that an account writes first to people.
UPDATE chats SET opened_at = clock_timestamp() WHERE session_id = @session_id AND id = ANY (@ids::text[]) AND cold AND opened_at IS NULL;

-- name: ChatOpened :one
-- How many people the account wrote to first since a time, up to max_rows, and when it wrote to the first of these.
SELECT count(*)::int AS opened, coalesce(min(opened_at), @since)::timestamptz AS first
  FROM (SELECT opened_at FROM chats WHERE session_id = @session_id AND opened_at > @since::timestamptz ORDER BY opened_at DESC LIMIT @max_rows) o;

-- name: SessionHealth :one
-- What there is to say of an account's health. The messages are the last 2,000 within 24 hours, of which since is the first id.
WITH recent AS MATERIALIZED (
    SELECT m.direction, m.status, m.error_code FROM messages m
     WHERE m.session_id = @id::text AND m.id > @since::uuid AND NOT m.history ORDER BY m.id DESC LIMIT 2000
), failed AS (
    SELECT r.error_code, count(*) AS n FROM recent r WHERE r.direction = 'outgoing' AND r.status = 'failed' AND r.error_code IS NOT NULL GROUP BY r.error_code
), waiting AS (
    SELECT w.held, count(*) AS n FROM (SELECT m.held FROM messages m WHERE m.session_id = @id::text AND m.status = 'queued' AND m.held IS NOT NULL LIMIT 1000) w
     WHERE w.held <> 'released' GROUP BY w.held)
SELECT s.state, s.settings, s.created_at, s.health,
       b.until AS restricted_until,
       (SELECT count(*) FROM recent r WHERE r.direction = 'outgoing' AND message_rank(r.status) >= 4)::int AS sent,
       (SELECT coalesce(jsonb_object_agg(f.error_code, f.n), '{}') FROM failed f)::jsonb AS failed,
       (SELECT coalesce(jsonb_object_agg(w.held, w.n), '{}') FROM waiting w)::jsonb AS waiting,
       (SELECT count(*) FROM chats c WHERE c.session_id = s.id AND c.opened_at > clock_timestamp() - interval '1 day')::int AS today,
       (SELECT count(*) FROM chats c WHERE c.session_id = s.id AND c.opened_at > clock_timestamp() - interval '8 days'
                                       AND c.opened_at <= clock_timestamp() - interval '1 day')::int AS week,
       (SELECT count(*) FROM chats c WHERE c.session_id = s.id AND c.opened_at > clock_timestamp() - interval '8 days'
                                       AND c.opened_at <= clock_timestamp() - interval '1 day' AND NOT c.cold)::int AS answered
  FROM sessions s LEFT JOIN restrictions b ON b.session_id = s.id WHERE s.id = @id::text AND s.delete_requested_at IS NULL;

-- name: SessionSetHealth :execrows
UPDATE sessions SET health = @health WHERE id = @id AND health <> @health;

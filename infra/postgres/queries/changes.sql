-- Changes: what is changed at WhatsApp. See connector/change.go and api/change.go.

-- name: ChangeQueue :one
-- Accepts a change, unless as many wait. Its command follows in the same transaction.
INSERT INTO changes (id, session_id, kind, target, chat_id, parameters, expires_at)
SELECT @id, @session_id, @kind, @target, @chat_id, @parameters, @expires_at
 WHERE (SELECT count(*) FROM changes c WHERE c.session_id = @session_id AND c.status = 'queued') < @max_open::int
RETURNING *;

-- name: ChangeLook :one
-- A change, and the state of its session.
SELECT sqlc.embed(c), v.shown_state FROM changes c JOIN session_views v ON v.id = c.session_id WHERE c.session_id = $1 AND c.id = $2;

-- name: ChangeGet :one
SELECT * FROM changes WHERE session_id = $1 AND id = $2;

-- name: ChangeList :many
SELECT * FROM changes
 WHERE session_id = sqlc.arg(session_id) AND (sqlc.narg(before)::uuid IS NULL OR id < sqlc.narg(before)::uuid)
   AND (sqlc.arg(status)::text = '' OR status = sqlc.arg(status)::text)
 ORDER BY id DESC LIMIT sqlc.arg(max_rows);

-- name: ChangeBegin :one
-- Reads a change that is to be made, and notes when it was first tried. begun_at is as it was before: NULL for one that no process has tried.
-- No row: it has ended, was deleted, or the claim is lost.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), before AS (
    SELECT w.id, w.begun_at FROM fence JOIN changes w ON w.session_id = fence.session WHERE w.id = @id::uuid AND w.status = 'queued' FOR NO KEY UPDATE OF w)
UPDATE changes c SET begun_at = coalesce(c.begun_at, clock_timestamp())
  FROM before WHERE c.id = before.id
RETURNING c.kind, c.target, c.chat_id, c.parameters, c.created_at, before.begun_at, (c.expires_at <= clock_timestamp())::boolean AS expired;

-- name: ChangeFinish :one
-- Writes how a change ended, once. It follows the fence in the same transaction. No row: it has ended already, or was deleted.
UPDATE changes SET status = @status, result = sqlc.narg(result), error_code = sqlc.narg(error_code), error_message = sqlc.narg(error_message),
       finished_at = clock_timestamp()
 WHERE id = @id AND session_id = @session_id AND status = 'queued' RETURNING *;

-- name: ChangeSweepExpired :many
-- Changes whose time ran out before they could be made. One that was begun lately is left to whoever makes it.
UPDATE changes c
   SET status = 'expired', finished_at = clock_timestamp(),
       error_code = CASE WHEN c.begun_at IS NOT NULL THEN @error_code::text END, error_message = CASE WHEN c.begun_at IS NOT NULL THEN @error_message::text END
 WHERE c.id IN (SELECT w.id FROM changes w
                 WHERE w.status = 'queued' AND w.expires_at <= clock_timestamp()
                   AND (w.begun_at IS NULL OR w.begun_at < clock_timestamp() - make_interval(secs => @begun_seconds::float8))
                 ORDER BY w.expires_at LIMIT @max_rows FOR NO KEY UPDATE SKIP LOCKED)
RETURNING *;

-- name: ChangeSweepEnded :many
-- Changes that wait for a session which has ended in a state that changes nothing any more.
UPDATE changes c
   SET status = 'failed', error_code = @error_code, error_message = @error_message, finished_at = clock_timestamp()
 WHERE c.id IN (SELECT w.id FROM changes w JOIN sessions s ON s.id = w.session_id
                 WHERE s.state = @state AND w.status = 'queued' LIMIT @max_rows FOR NO KEY UPDATE OF w SKIP LOCKED)
RETURNING *;

-- name: ChangeSweepBroken :many
-- Changes whose command is a dead letter, or parks its lane because processes kept dying with it in hand. A change's command has its id.
UPDATE changes c
   SET status = 'failed', error_code = @error_code, error_message = @error_message, finished_at = clock_timestamp()
 WHERE c.id IN (SELECT w.id FROM changes w
                 WHERE w.status = 'queued'
                   AND w.id IN (SELECT d.uuid FROM queue_dead d WHERE d.topic = @topic
                                UNION ALL
                                SELECT h.uuid FROM queue_lanes l
                                 CROSS JOIN LATERAL (SELECT x.uuid FROM queue_messages x WHERE x.lane = l.lane ORDER BY x.id LIMIT 1) h
                                 WHERE l.topic = @topic AND l.parked = 'crashes')
                 LIMIT @max_rows FOR NO KEY UPDATE OF w SKIP LOCKED)
RETURNING *;

-- name: ChangeListStuck :many
-- The commands that park a lane by crashing although their change has ended.
SELECT h.id FROM queue_lanes l
 CROSS JOIN LATERAL (SELECT x.id, x.uuid FROM queue_messages x WHERE x.lane = l.lane ORDER BY x.id LIMIT 1) h
  JOIN changes c ON c.id = h.uuid
 WHERE l.topic = @topic AND l.parked = 'crashes' AND c.status <> 'queued'
 LIMIT @max_rows;

-- name: ChangeSweep :execrows
DELETE FROM changes WHERE id IN (
    SELECT c.id FROM changes c WHERE c.finished_at < now() - make_interval(secs => @kept_seconds) ORDER BY c.finished_at LIMIT @max_rows FOR UPDATE SKIP LOCKED);

-- name: ReactionPut :one
-- Keeps a person's reaction to a message, the newest; sender_id is '' for the session's own account. No row: a newer one is there, or this very one.
INSERT INTO reactions (message_id, sender_id, emoji, timestamp) VALUES (@message_id, @sender_id, @emoji, @timestamp)
    ON CONFLICT (message_id, sender_id) DO UPDATE SET emoji = excluded.emoji, timestamp = excluded.timestamp
 WHERE reactions.timestamp <= excluded.timestamp AND (reactions.timestamp, reactions.emoji) IS DISTINCT FROM (excluded.timestamp, excluded.emoji)
RETURNING message_id;

-- name: ReactionList :many
-- The reactions to some messages, oldest first; those of the session's own account have its address.
SELECT r.message_id, r.sender_id, r.emoji, r.timestamp, s.phone AS own_phone, s.lid AS own_lid, s.name AS own_name,
       coalesce(c.phone, '') AS phone, coalesce(c.lid, '') AS lid, coalesce(nullif(c.saved_name, ''), nullif(c.name, ''), c.business_name, '')::text AS name
  FROM reactions r JOIN sessions s ON s.id = @session_id LEFT JOIN contacts c ON c.session_id = @session_id AND c.id = r.sender_id
 WHERE r.message_id = ANY (@message_ids::uuid[]) AND r.emoji <> '' ORDER BY r.message_id, r.timestamp, r.sender_id;

-- name: MessageTarget :one
-- What a change of a message has to know of it.
SELECT id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, timestamp, content, raw, revoked_at, expires_at
  FROM messages WHERE session_id = @session_id AND id = @id;

-- Groups: their names are those of contacts, their timers those of chats. See connector/groupnotices.go.

-- name: GroupNoticePut :execrows
-- Notes that a notice is told. No row: it was told before. It follows the fence in the same transaction.
INSERT INTO group_notices (session_id, digest) VALUES (@session_id, @digest) ON CONFLICT DO NOTHING;

-- name: GroupNoticeSweep :execrows
DELETE FROM group_notices WHERE (session_id, digest) IN (
    SELECT n.session_id, n.digest FROM group_notices n WHERE n.told_at < now() - make_interval(secs => @kept_seconds) ORDER BY n.told_at LIMIT @max_rows FOR UPDATE SKIP LOCKED);

-- name: GroupNameMany :exec
-- Keeps the names of groups, which are there once each.
INSERT INTO contacts (session_id, id, name)
SELECT @session_id::text, g.id, g.name FROM (SELECT unnest(@ids::text[]) AS id, unnest(@names::text[]) AS name) g WHERE g.name <> '' ORDER BY g.id
    ON CONFLICT (session_id, id) DO UPDATE SET name = excluded.name, updated_at = clock_timestamp() WHERE contacts.name <> excluded.name;

-- name: GroupTimerMany :exec
-- Keeps the timers of groups. A chat is made where there is a timer, or, with make, in any case.
WITH g AS (SELECT unnest(@ids::text[]) AS id, unnest(@seconds::int[]) AS seconds), moved AS (
    UPDATE chats c SET disappearing_seconds = g.seconds FROM g
     WHERE c.session_id = @session_id::text AND c.id = g.id AND c.disappearing_seconds <> g.seconds)
INSERT INTO chats (session_id, id, kind, disappearing_seconds)
SELECT @session_id::text, g.id, 'group', g.seconds FROM g WHERE @make::boolean OR g.seconds > 0 ORDER BY g.id
    ON CONFLICT DO NOTHING;

-- name: ContactNameMany :many
-- The names that contacts are shown by.
SELECT id, coalesce(nullif(saved_name, ''), nullif(name, ''), business_name)::text AS name FROM contacts WHERE session_id = @session_id AND id = ANY (@ids::text[]);

-- name: GroupCreatedHere :one
-- Whether a change that is done has made a group.
SELECT EXISTS (SELECT 1 FROM changes WHERE session_id = @session_id AND kind = @kind AND status = 'done' AND result->>'id' = @group_id::text);

-- name: SendAhead :many
-- The commands behind one in a lane of sends, in their order, with their chats. What carries a file, or shows typing first, takes its time.
SELECT q.id, q.uuid, coalesce(m.chat_id, h.chat_id, '')::text AS chat_id, (m.id IS NOT NULL)::boolean AS is_message, (m.media_id IS NOT NULL OR m.typing_seconds > 0)::boolean AS takes_time
  FROM queue_messages q
  LEFT JOIN messages m ON m.id = q.uuid AND m.session_id = @session_id::text
  LEFT JOIN changes h ON h.id = q.uuid AND h.session_id = @session_id::text
 WHERE q.lane = @lane::text AND q.id > @after::bigint
 ORDER BY q.id LIMIT @max_rows;

-- name: SendPlace :one
-- Where a command stands in a lane of sends.
SELECT id FROM queue_messages WHERE lane = @lane::text AND uuid = @uuid ORDER BY id LIMIT 1;

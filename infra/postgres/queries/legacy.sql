-- What only the routes of the original need.

-- name: SessionCounts :one
SELECT count(*)::int AS total, (count(*) FILTER (WHERE shown_state = 'connected'))::int AS connected FROM session_views WHERE delete_requested_at IS NULL;

-- name: MediaContent :one
-- Where the bytes of a media are; key is NULL when they are nowhere yet, or no more.
SELECT m.status, o.key, coalesce(o.size, 0)::bigint AS size FROM media m LEFT JOIN objects o ON o.sha256 = m.object WHERE m.id = @id;

-- name: LegacyMessageList :many
-- The original knows no status updates and no channels.
SELECT * FROM message_views WHERE session_id = $1 AND chat_id <> 'status@broadcast' AND chat_id NOT LIKE '%@newsletter' ORDER BY id DESC LIMIT $2;

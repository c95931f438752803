-- Messages that are to be read by themselves, settings.markRead: see connector/readdue.go.

-- name: ReadDuePut :exec
-- It is part of the transaction that writes the message.
INSERT INTO messages_to_read (message_id, session_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: ReadDueList :many
-- Messages whose senders are to be told that they were read, oldest first.
SELECT m.id, m.chat_id, m.sender_id, m.whatsapp_id, m.timestamp
  FROM messages_to_read r JOIN messages m ON m.id = r.message_id
 WHERE r.session_id = $1 ORDER BY r.message_id LIMIT @max_rows;

-- name: ReadDueDone :exec
-- It follows the fence in the same transaction.
DELETE FROM messages_to_read WHERE session_id = @session_id AND message_id = ANY (@ids::uuid[]);

-- name: ReadDueGiveUp :execrows
-- It follows the fence in the same transaction.
DELETE FROM messages_to_read WHERE session_id = @session_id AND created_at < clock_timestamp() - make_interval(secs => @kept_seconds::float8);

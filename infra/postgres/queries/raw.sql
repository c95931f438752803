-- name: MessageRawMany :many
-- WhatsApp's own form of messages, the newest first, up to max_bytes in all.
SELECT w.id, m.session_id, m.raw FROM (
    SELECT r.id, sum(octet_length(r.raw)) OVER (ORDER BY r.id DESC) AS bytes FROM messages r WHERE r.id = ANY (@ids::uuid[]) AND r.raw IS NOT NULL) w
  JOIN messages m ON m.id = w.id
 WHERE w.bytes <= @max_bytes::bigint ORDER BY w.id DESC;

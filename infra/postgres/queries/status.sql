-- Status updates: messages of the chat status@broadcast. See api/status.go and connector/status.go.

-- name: StatusList :many
-- A page of those that live, newest first: what is still to be sent, and what was sent or came in since then and was not deleted. The indexes
-- messages_status and messages_waiting lead to them.
SELECT v.* FROM message_views v
 WHERE v.session_id = @session_id AND v.chat_id = 'status@broadcast' AND v.revoked_at IS NULL AND v.type <> 'undecryptable'
   AND (v.timestamp > @since::timestamptz AND v.status NOT IN ('failed', 'cancelled', 'expired') OR v.status IN ('scheduled', 'queued', 'sending'))
   AND (sqlc.narg(from_me)::boolean IS NULL OR (v.direction = 'outgoing') = sqlc.narg(from_me)::boolean)
   AND (@contact_id::text = '' OR v.sender_id = @contact_id::text)
   AND (sqlc.narg(before)::uuid IS NULL OR v.id < sqlc.narg(before)::uuid)
 ORDER BY v.id DESC LIMIT @max_rows;

-- name: StatusViewerList :many
-- A page of who viewed a status update, the last before others. after_at and after_id are the place after which it begins.
SELECT r.contact_id, coalesce(k.phone, '') AS phone, coalesce(k.lid, '') AS lid,
       coalesce(nullif(k.saved_name, ''), nullif(k.name, ''), k.business_name, '') AS name, r.read_at::timestamptz AS viewed_at
  FROM message_receipts r LEFT JOIN contacts k ON k.session_id = @session_id AND k.id = r.contact_id
 WHERE r.message_id = @message_id AND r.read_at IS NOT NULL
   AND (sqlc.narg(after_at)::timestamptz IS NULL OR (r.read_at, r.contact_id) < (sqlc.narg(after_at)::timestamptz, @after_id::text))
 ORDER BY r.read_at DESC, r.contact_id DESC LIMIT @max_rows;

-- name: StatusSweep :execrows
-- Deletes status updates that have been over for long, with their files' rows but for those that another message sends as well. The bytes go with
-- the sweep of what nobody refers to.
WITH gone AS (
    DELETE FROM messages WHERE id IN (
        SELECT w.id FROM sessions s
         CROSS JOIN LATERAL (
               SELECT m.id FROM messages m
                WHERE m.session_id = s.id AND m.chat_id = 'status@broadcast' AND m.timestamp < @before AND m.status NOT IN ('scheduled', 'queued', 'sending')
                ORDER BY m.timestamp LIMIT @max_rows FOR UPDATE SKIP LOCKED) w
         LIMIT @max_rows)
    RETURNING id
), files AS (
    DELETE FROM media f USING gone
     WHERE f.message_id = gone.id AND NOT EXISTS (SELECT FROM messages o WHERE o.media_id = f.id AND o.id <> gone.id))
SELECT id FROM gone;

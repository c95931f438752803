-- Erasing a person from the store, page by page: see api/contacterase.go. ids are his JIDs, named the same in quotes, as JSON holds them.

-- name: EraseMessages :one
-- The messages of one page of a session that are in his chat or from him go, with their files, reactions, votes and receipts; his own reactions, votes
-- and receipts go from the others, and who quotes or mentions him does so no more. waiting are messages to him that were still to be sent: their
-- commands find no row.
WITH page AS MATERIALIZED (
    SELECT m.id, (m.chat_id = ANY (@ids::text[]) OR m.sender_id = ANY (@ids::text[])) AS his,
           coalesce(m.context::text LIKE ANY (@named::text[]), false) AS named
      FROM messages m WHERE m.session_id = @session_id::text AND m.id > @after::uuid ORDER BY m.id LIMIT @max_rows::int
), gone AS (
    DELETE FROM messages m USING page p WHERE m.id = p.id AND p.his RETURNING m.id, m.media_id, m.status
), files AS (
    DELETE FROM media f USING gone g
     WHERE f.message_id = g.id OR (f.id = g.media_id AND f.message_id IS NULL
       AND NOT EXISTS (SELECT FROM messages o WHERE o.media_id = f.id AND NOT EXISTS (SELECT FROM page p WHERE p.id = o.id AND p.his)))
), reacted AS (
    DELETE FROM reactions r USING page p WHERE r.message_id = p.id AND NOT p.his AND r.sender_id = ANY (@ids::text[])
), voted AS (
    DELETE FROM votes v USING page p WHERE v.message_id = p.id AND NOT p.his AND v.voter_id = ANY (@ids::text[])
), received AS (
    DELETE FROM message_receipts r USING page p WHERE r.message_id = p.id AND NOT p.his AND r.contact_id = ANY (@ids::text[])
), scrubbed AS (
    UPDATE messages m
       SET raw = NULL,
           context = CASE WHEN m.context->'replyTo'->'from'->>'id' = ANY (@ids::text[]) THEN m.context - 'replyTo' ELSE m.context END
                  || CASE WHEN jsonb_typeof(m.context->'mentions') = 'array' THEN jsonb_build_object('mentions', (
                         SELECT coalesce(jsonb_agg(x.value), '[]') FROM jsonb_array_elements(m.context->'mentions') x
                          WHERE (x.value->>'id' = ANY (@ids::text[])) IS NOT TRUE)) ELSE '{}' END
      FROM page p WHERE m.id = p.id AND p.named AND NOT p.his
)
SELECT (SELECT count(*) FROM page)::int AS looked, coalesce((SELECT p.id FROM page p ORDER BY p.id DESC LIMIT 1), @after::uuid)::uuid AS last,
       (SELECT count(*) FROM gone)::int AS gone, ARRAY(SELECT g.id FROM gone g WHERE g.status IN ('scheduled', 'queued', 'sending'))::uuid[] AS waiting;

-- name: EraseChanges :many
DELETE FROM changes
 WHERE session_id = @session_id AND (target = ANY (@ids::text[]) OR chat_id = ANY (@ids::text[]) OR parameters::text LIKE ANY (@named::text[])
       OR result::text LIKE ANY (@named::text[]))
RETURNING id;

-- name: EraseChat :exec
WITH labels AS (DELETE FROM chat_labels l WHERE l.session_id = @session_id AND l.chat_id = ANY (@ids::text[]))
DELETE FROM chats c WHERE c.session_id = @session_id AND c.id = ANY (@ids::text[]);

-- name: EraseEvents :one
-- The events of one page of a session's log that are of his chat or name him lose what they say and keep their places, which clients may have as
-- cursors; nothing shows or sends them any more. Deliveries that have not gone out are cancelled, and what was answered to those that have is
-- forgotten. One that is being sent at this moment goes on. What told of an erasure before stays.
WITH page AS MATERIALIZED (
    SELECT e.seq, e.id, (e.order_key = ANY (@ids::text[]) OR EXISTS (SELECT FROM unnest(@named::bytea[]) n WHERE position(n IN e.body) > 0))
           AND NOT (e.type = 'contact.updated' AND position('"changed":"erased"'::bytea IN e.body) > 0) AS his
      FROM events e WHERE e.session_id = @session_id::text AND e.seq > @after::bigint ORDER BY e.seq LIMIT @max_rows::int
), emptied AS (
    UPDATE events e SET body = '', order_key = '' FROM page p WHERE e.id = p.id AND p.his AND (e.body <> '' OR e.order_key <> '') RETURNING e.id
), stopped AS (
    UPDATE deliveries d
       SET state = CASE WHEN d.state IN ('pending', 'held') THEN 'cancelled' ELSE d.state END, finished_at = coalesce(d.finished_at, statement_timestamp()),
           order_key = NULL, media_id = NULL
      FROM page p WHERE d.event_id = p.id AND p.his AND d.state <> 'sending'
), forgotten AS (
    DELETE FROM attempts a USING deliveries d, page p WHERE d.event_id = p.id AND p.his AND a.delivery_id = d.id
)
SELECT (SELECT count(*) FROM page)::int AS looked, coalesce((SELECT max(p.seq) FROM page p), @after::bigint)::bigint AS last,
       (SELECT count(*) FROM emptied)::int AS gone;

-- name: EraseContact :execrows
DELETE FROM contacts WHERE session_id = @session_id AND id = ANY (@ids::text[]);

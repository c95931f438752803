-- name: EventGet :one
SELECT body FROM events WHERE id = $1 AND body <> '';

-- name: EventSeq :one
SELECT seq FROM events WHERE id = $1;

-- name: EventSeqFromEnd :one
-- The place before the newest so many events; none where there are not more than that.
SELECT seq FROM events ORDER BY seq DESC OFFSET @newest::int LIMIT 1;

-- name: EventHead :one
-- The newest event. seq is given under the sequencer's lock, so whatever is below this one is visible too.
SELECT seq, id FROM events ORDER BY seq DESC LIMIT 1;

-- name: EventPage :many
-- What events.Filter lets pass, of scan rows of the log at most: so what is rare cannot make one request read all of it. One session (session_id,
-- empty for all) has an index of its own, and only its rows are looked at; several (sessions) are looked for like types. Each of the two ways is
-- a branch of its own, so that also a plan that was made for any values has the right index for each. Where from_me is NULL the type says it, as
-- far as it can.
SELECT w.seq, w.id, w.session_id, w.type, w.order_key, w.from_me, w.body FROM (
    (SELECT e.seq, e.id, e.session_id, e.type, e.order_key, e.from_me, e.body FROM events e
      WHERE sqlc.arg(session_id)::text = '' AND e.seq > sqlc.arg(after)::bigint AND e.seq <= sqlc.arg(head)::bigint
      ORDER BY e.seq LIMIT sqlc.arg(scan)::int)
    UNION ALL
    (SELECT e.seq, e.id, e.session_id, e.type, e.order_key, e.from_me, e.body FROM events e
      WHERE e.session_id = nullif(sqlc.arg(session_id)::text, '') AND e.seq > sqlc.arg(after)::bigint AND e.seq <= sqlc.arg(head)::bigint
      ORDER BY e.seq LIMIT sqlc.arg(scan)::int)) w
 WHERE w.body <> '' -- else it was erased
   AND (cardinality(sqlc.arg(types)::text[]) + cardinality(sqlc.arg(prefixes)::text[]) = 0
        OR w.type = ANY (sqlc.arg(types)::text[]) OR w.type ^@ ANY (sqlc.arg(prefixes)::text[]))
   AND (cardinality(sqlc.arg(sessions)::text[]) = 0 OR w.session_id = ANY (sqlc.arg(sessions)::text[]))
   AND (cardinality(sqlc.arg(chat_kinds)::text[]) = 0 OR w.order_key = ''
        OR CASE WHEN w.order_key = 'status@broadcast' THEN 'status'
                ELSE CASE substring(w.order_key FROM '@(.*)$') WHEN 'g.us' THEN 'group' WHEN 'broadcast' THEN 'broadcast' WHEN 'newsletter' THEN 'channel'
                     ELSE 'user' END
           END = ANY (sqlc.arg(chat_kinds)::text[]))
   AND (sqlc.narg(from_me)::boolean IS NULL
        OR coalesce(w.from_me, CASE w.type WHEN 'message.received' THEN false WHEN 'message.sent' THEN true WHEN 'message.status' THEN true END,
                    sqlc.narg(from_me)::boolean) = sqlc.narg(from_me)::boolean)
 ORDER BY w.seq LIMIT sqlc.arg(max_rows)::int;

-- name: EventPairingCode :one
-- The newest pairing code of a session, made since.
SELECT e.body FROM events e
 WHERE e.session_id = @session_id AND e.type = 'session.pairing-code' AND e.id >= @since AND e.body <> ''
 ORDER BY e.seq DESC LIMIT 1;

-- name: EventScanEnd :one
-- The last event that EventPage looked at, when it stopped because of scan.
(SELECT e.seq, e.id FROM events e
  WHERE sqlc.arg(session_id)::text = '' AND e.seq > sqlc.arg(after)::bigint AND e.seq <= sqlc.arg(head)::bigint
  ORDER BY e.seq OFFSET sqlc.arg(scan)::int - 1 LIMIT 1)
UNION ALL
(SELECT e.seq, e.id FROM events e
  WHERE e.session_id = nullif(sqlc.arg(session_id)::text, '') AND e.seq > sqlc.arg(after)::bigint AND e.seq <= sqlc.arg(head)::bigint
  ORDER BY e.seq OFFSET sqlc.arg(scan)::int - 1 LIMIT 1);

-- What is done to a message by others, and by the owner on the phone: edits, revocations, reactions, pins, votes, answers. See connector/addon.go.

-- name: AddOnTarget :one
-- The message that something is done to, locked, with who does it, behind the fence. Its author is one of authors, or the session's own account
-- where own is set or one of them is the account's phone or LID; with neither, whoever it is. No row: the claim is lost. message_id is NULL where
-- the session has no such message; foreign says that it has one of this id in the chat by somebody else.
WITH fence AS MATERIALIZED (
    SELECT c.session FROM claims c
     WHERE c.session = @session_id::text AND c.owner = @owner AND c.epoch = @epoch AND c.expires_at > clock_timestamp() FOR KEY SHARE
), known AS (
    SELECT phone, lid, coalesce(nullif(saved_name, ''), nullif(name, ''), business_name) AS name
      FROM contacts WHERE session_id = @session_id::text AND id = @contact_id::text
), contact AS (
    INSERT INTO contacts (session_id, id, phone, lid, name)
    SELECT fence.session, @contact_id::text, nullif(@contact_phone::text, ''), nullif(@contact_lid::text, ''), @contact_name::text
      FROM fence WHERE @contact_id::text <> ''
        ON CONFLICT (session_id, id) DO UPDATE
       SET phone = coalesce(excluded.phone, contacts.phone), lid = coalesce(excluded.lid, contacts.lid),
           name = coalesce(nullif(excluded.name, ''), contacts.name), updated_at = clock_timestamp()
     WHERE (coalesce(excluded.phone, contacts.phone), coalesce(excluded.lid, contacts.lid), coalesce(nullif(excluded.name, ''), contacts.name))
           IS DISTINCT FROM (contacts.phone, contacts.lid, contacts.name)
    RETURNING phone, lid, coalesce(nullif(saved_name, ''), nullif(name, ''), business_name) AS name
), target AS MATERIALIZED (
    SELECT m.id, m.chat_id, m.type, m.content, m.context
      FROM fence JOIN sessions o ON o.id = fence.session JOIN messages m ON m.session_id = fence.session
     WHERE m.whatsapp_id = @whatsapp_id::text AND m.chat_id = ANY (@chat_ids::text[])
       AND (NOT @own::boolean AND cardinality(@authors::text[]) = 0 OR m.sender_id = ANY (@authors::text[])
            OR m.sender_id = '' AND (@own::boolean OR o.phone || '@s.whatsapp.net' = ANY (@authors::text[]) OR o.lid || '@lid' = ANY (@authors::text[])))
     ORDER BY m.id DESC LIMIT 1 FOR NO KEY UPDATE OF m
)
SELECT target.id AS message_id,
       (target.id IS NULL AND EXISTS (SELECT FROM messages f WHERE f.session_id = @session_id::text AND f.whatsapp_id = @whatsapp_id::text
                                                               AND f.chat_id = ANY (@chat_ids::text[])))::boolean AS "foreign",
       coalesce(target.chat_id, '')::text AS chat_id, coalesce(target.type, '')::text AS type, target.content, target.context,
       s.phone AS own_phone, s.lid AS own_lid, s.name AS own_name,
       coalesce(contact.phone, known.phone, '')::text AS contact_phone, coalesce(contact.lid, known.lid, '')::text AS contact_lid,
       coalesce(contact.name, known.name, '')::text AS contact_name
  FROM fence JOIN sessions s ON s.id = fence.session LEFT JOIN target ON true LEFT JOIN contact ON true LEFT JOIN known ON true;

-- name: AddOnVote :one
-- Keeps what a person chose, the newest; voter_id is '' for the session's own account. No row: a newer one is there, or this very one.
INSERT INTO votes (message_id, voter_id, choices, guests, timestamp) VALUES (@message_id, @voter_id, @choices, @guests, @timestamp)
    ON CONFLICT (message_id, voter_id) DO UPDATE SET choices = excluded.choices, guests = excluded.guests, timestamp = excluded.timestamp
 WHERE votes.timestamp <= excluded.timestamp
   AND (votes.timestamp, votes.choices, votes.guests) IS DISTINCT FROM (excluded.timestamp, excluded.choices, excluded.guests)
RETURNING message_id;

-- name: AddOnEdit :execrows
-- Writes what a message says now. raw stays where the edit does not say all of it (keep_raw). No row: a newer edit is there, or this very one, or the
-- message was revoked.
UPDATE messages SET content = @content, context = sqlc.narg(context), raw = CASE WHEN @keep_raw::boolean THEN raw ELSE sqlc.narg(raw)::bytea END, edited_at = @edited_at, updated_at = clock_timestamp()
 WHERE id = @id AND revoked_at IS NULL
   AND (edited_at IS NULL OR edited_at < @edited_at OR edited_at = @edited_at AND (content, context) IS DISTINCT FROM (@content::jsonb, sqlc.narg(context)::jsonb));

-- name: AddOnRevoke :execrows
-- Notes that a message was deleted for everybody, once.
UPDATE messages SET revoked_at = @revoked_at, updated_at = clock_timestamp() WHERE id = @id AND revoked_at IS NULL;

-- name: AddOnPin :execrows
-- Pins a message until a time, or unpins it. No row: it is so already.
UPDATE messages SET pinned_until = sqlc.narg(pinned_until), updated_at = clock_timestamp()
 WHERE id = @id AND pinned_until IS DISTINCT FROM sqlc.narg(pinned_until)::timestamptz;

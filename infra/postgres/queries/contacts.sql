-- Contacts: whom a session knows. See connector/contactkeep.go, connector/joining.go and api/contacts.go.

-- name: ContactGet :one
SELECT * FROM contacts WHERE session_id = $1 AND id = $2;

-- name: ContactList :many
-- People by id. q is a part of a name, or the digits of a number.
SELECT * FROM contacts c
 WHERE c.session_id = sqlc.arg(session_id) AND c.id > sqlc.arg(after)::text AND (c.id LIKE '%@s.whatsapp.net' OR c.id LIKE '%@lid')
   AND (sqlc.arg(phone)::text = '' OR c.phone = sqlc.arg(phone)::text) AND (sqlc.arg(lid)::text = '' OR c.lid = sqlc.arg(lid)::text)
   AND (sqlc.narg(blocked)::boolean IS NULL OR c.blocked = sqlc.narg(blocked)::boolean)
   AND (sqlc.narg(saved)::boolean IS NULL OR (c.saved_name <> '') = sqlc.narg(saved)::boolean)
   AND (sqlc.arg(name)::text = '' OR c.saved_name ILIKE sqlc.arg(name)::text OR c.name ILIKE sqlc.arg(name)::text OR c.business_name ILIKE sqlc.arg(name)::text
        OR (sqlc.arg(digits)::text <> '' AND (c.phone LIKE '%' || sqlc.arg(digits)::text || '%' OR c.lid LIKE '%' || sqlc.arg(digits)::text || '%')))
 ORDER BY c.id LIMIT sqlc.arg(max_rows);

-- name: ContactLearn :one
-- Writes what was learnt about somebody; NULL leaves what is there. It follows the fence in the same transaction. No row: nothing is new, or the
-- contact is unknown and only one that is known matters.
INSERT INTO contacts (session_id, id, phone, lid, name, saved_name, business_name, blocked, about, about_at, picture_id)
SELECT @session_id::text, @id::text, sqlc.narg(phone)::text, sqlc.narg(lid)::text, coalesce(sqlc.narg(name)::text, ''), coalesce(sqlc.narg(saved_name)::text, ''), coalesce(sqlc.narg(business_name)::text, ''),
       coalesce(sqlc.narg(blocked)::boolean, false), coalesce(sqlc.narg(about)::text, ''), sqlc.narg(about_at)::timestamptz, coalesce(sqlc.narg(picture_id)::text, '')
 WHERE NOT @known::boolean OR EXISTS (SELECT FROM contacts k WHERE k.session_id = @session_id::text AND k.id = @id::text)
    ON CONFLICT (session_id, id) DO UPDATE
   SET phone = coalesce(sqlc.narg(phone)::text, contacts.phone), lid = coalesce(sqlc.narg(lid)::text, contacts.lid), name = coalesce(sqlc.narg(name)::text, contacts.name),
       saved_name = coalesce(sqlc.narg(saved_name)::text, contacts.saved_name), business_name = coalesce(sqlc.narg(business_name)::text, contacts.business_name),
       blocked = coalesce(sqlc.narg(blocked)::boolean, contacts.blocked), about = coalesce(sqlc.narg(about)::text, contacts.about),
       about_at = coalesce(sqlc.narg(about_at)::timestamptz, contacts.about_at), picture_id = coalesce(sqlc.narg(picture_id)::text, contacts.picture_id),
       updated_at = clock_timestamp()
 WHERE (coalesce(sqlc.narg(phone)::text, contacts.phone), coalesce(sqlc.narg(lid)::text, contacts.lid), coalesce(sqlc.narg(name)::text, contacts.name),
        coalesce(sqlc.narg(saved_name)::text, contacts.saved_name), coalesce(sqlc.narg(business_name)::text, contacts.business_name),
        coalesce(sqlc.narg(blocked)::boolean, contacts.blocked), coalesce(sqlc.narg(about)::text, contacts.about), coalesce(sqlc.narg(picture_id)::text, contacts.picture_id))
       IS DISTINCT FROM (contacts.phone, contacts.lid, contacts.name, contacts.saved_name, contacts.business_name, contacts.blocked, contacts.about,
        contacts.picture_id)
RETURNING *;

-- name: ContactSaveMany :exec
-- The account's address book, as a newly linked device gets it. It follows the fence in the same transaction.
INSERT INTO contacts (session_id, id, phone, lid, saved_name)
SELECT @session_id::text, u.id, nullif(u.phone, ''), nullif(u.lid, ''), u.name
  FROM (SELECT unnest(@ids::text[]) AS id, unnest(@phones::text[]) AS phone, unnest(@lids::text[]) AS lid, unnest(@names::text[]) AS name) u
    ON CONFLICT (session_id, id) DO UPDATE
   SET saved_name = excluded.saved_name, lid = coalesce(excluded.lid, contacts.lid), updated_at = clock_timestamp()
 WHERE (contacts.saved_name, contacts.lid) IS DISTINCT FROM (excluded.saved_name, coalesce(excluded.lid, contacts.lid));

-- name: ContactAnySaved :one
SELECT EXISTS (SELECT FROM contacts WHERE session_id = @session_id AND saved_name <> '')::boolean;

-- name: ContactListBlocked :many
SELECT id FROM contacts WHERE session_id = @session_id AND blocked;

-- name: ContactKnownByLID :one
-- Whether anything is kept under a LID alone.
SELECT EXISTS (SELECT FROM contacts WHERE session_id = @session_id AND id = @id)::boolean;

-- name: ContactListLIDs :many
-- The LIDs of people of whom no more is known, in order.
SELECT lid::text FROM contacts WHERE session_id = @session_id AND phone IS NULL AND lid > @after::text ORDER BY lid LIMIT @max_rows;

-- Somebody's phone has become known: the statements from here to ChangeJoin move all that is kept under his LID (@lid) to his phone (@phone), both as
-- JIDs. They follow the fence in one transaction, and ContactJoin comes first: its lock is the transaction's.

-- name: ContactJoin :one
-- No row: nothing is kept under the LID.
WITH old AS (
    DELETE FROM contacts o WHERE o.session_id = @session_id AND o.id = @lid::text RETURNING *)
INSERT INTO contacts (session_id, id, phone, lid, name, saved_name, business_name, blocked, about, about_at, picture_id)
SELECT old.session_id, @phone::text, split_part(@phone::text, '@', 1), split_part(@lid::text, '@', 1), old.name, old.saved_name, old.business_name, old.blocked,
       old.about, old.about_at, old.picture_id
  FROM old
    ON CONFLICT (session_id, id) DO UPDATE
   SET lid = excluded.lid, name = coalesce(nullif(contacts.name, ''), excluded.name), saved_name = coalesce(nullif(contacts.saved_name, ''), excluded.saved_name),
       business_name = coalesce(nullif(contacts.business_name, ''), excluded.business_name), blocked = contacts.blocked OR excluded.blocked,
       about = coalesce(nullif(contacts.about, ''), excluded.about), about_at = coalesce(contacts.about_at, excluded.about_at),
       picture_id = coalesce(nullif(contacts.picture_id, ''), excluded.picture_id), updated_at = clock_timestamp()
RETURNING *;

-- name: ChatJoin :exec
-- A chat under each of the two becomes one: unread messages add up, and what a person set for either holds.
WITH old AS (
    DELETE FROM chats o WHERE o.session_id = @session_id AND o.id = @lid::text RETURNING *)
INSERT INTO chats (session_id, id, kind, last_message_at, created_at, archived, pinned_at, muted_until, unread, marked_unread, disappearing_seconds, cold, opened_at)
SELECT old.session_id, @phone::text, old.kind, old.last_message_at, old.created_at, old.archived, old.pinned_at, old.muted_until, old.unread, old.marked_unread,
       old.disappearing_seconds, old.cold, old.opened_at
  FROM old
    ON CONFLICT (session_id, id) DO UPDATE
   SET last_message_at = greatest(chats.last_message_at, excluded.last_message_at), created_at = least(chats.created_at, excluded.created_at),
       archived = chats.archived AND excluded.archived, pinned_at = coalesce(chats.pinned_at, excluded.pinned_at),
       muted_until = greatest(chats.muted_until, excluded.muted_until), unread = chats.unread + excluded.unread,
       marked_unread = chats.marked_unread OR excluded.marked_unread, cold = chats.cold AND excluded.cold,
       opened_at = least(chats.opened_at, excluded.opened_at),
       disappearing_seconds = CASE WHEN coalesce(excluded.last_message_at > chats.last_message_at, false) THEN excluded.disappearing_seconds
                                   ELSE chats.disappearing_seconds END;

-- name: ChatLabelJoin :exec
WITH old AS (
    DELETE FROM chat_labels o WHERE o.session_id = @session_id AND o.chat_id = @lid::text RETURNING *)
INSERT INTO chat_labels (session_id, chat_id, label_id) SELECT old.session_id, @phone::text, old.label_id FROM old ON CONFLICT DO NOTHING;

-- name: MessageJoinDuplicates :execrows
-- A message that came under both goes once: the one under the LID, unless the other could not be decrypted.
DELETE FROM messages m USING (
    SELECT CASE WHEN b.type = 'undecryptable' AND a.type <> 'undecryptable' THEN b.id ELSE a.id END AS id
      FROM messages a
      JOIN messages b ON b.session_id = a.session_id AND b.whatsapp_id = a.whatsapp_id AND b.id <> a.id
       AND b.chat_id = CASE a.chat_id WHEN @lid::text THEN @phone::text ELSE a.chat_id END
       AND b.sender_id = CASE a.sender_id WHEN @lid::text THEN @phone::text ELSE a.sender_id END
     WHERE a.session_id = @session_id AND (a.chat_id = @lid::text OR (a.sender_id = @lid::text AND a.sender_id LIKE '%@lid'))) twice
 WHERE m.id = twice.id;

-- name: MessageJoin :execrows
UPDATE messages SET chat_id = CASE chat_id WHEN @lid::text THEN @phone::text ELSE chat_id END,
       sender_id = CASE sender_id WHEN @lid::text THEN @phone::text ELSE sender_id END
 WHERE session_id = @session_id AND (chat_id = @lid::text OR (sender_id = @lid::text AND sender_id LIKE '%@lid'));

-- name: ReactionJoin :exec
WITH old AS (
    DELETE FROM reactions r USING messages m
     WHERE m.id = r.message_id AND m.session_id = @session_id AND r.sender_id = @lid::text AND r.sender_id LIKE '%@lid' RETURNING r.*)
INSERT INTO reactions (message_id, sender_id, emoji, timestamp) SELECT old.message_id, @phone::text, old.emoji, old.timestamp FROM old
    ON CONFLICT (message_id, sender_id) DO UPDATE SET emoji = excluded.emoji, timestamp = excluded.timestamp WHERE reactions.timestamp < excluded.timestamp;

-- name: VoteJoin :exec
WITH old AS (
    DELETE FROM votes v USING messages m
     WHERE m.id = v.message_id AND m.session_id = @session_id AND v.voter_id = @lid::text AND v.voter_id LIKE '%@lid' RETURNING v.*)
INSERT INTO votes (message_id, voter_id, choices, guests, timestamp) SELECT old.message_id, @phone::text, old.choices, old.guests, old.timestamp FROM old
    ON CONFLICT (message_id, voter_id) DO UPDATE SET choices = excluded.choices, guests = excluded.guests, timestamp = excluded.timestamp
 WHERE votes.timestamp < excluded.timestamp;

-- name: ReceiptJoin :exec
WITH old AS (
    DELETE FROM message_receipts r USING messages m
     WHERE m.id = r.message_id AND m.session_id = @session_id AND r.contact_id = @lid::text AND r.contact_id LIKE '%@lid' RETURNING r.*)
INSERT INTO message_receipts (message_id, contact_id, delivered_at, read_at, played_at)
SELECT old.message_id, @phone::text, old.delivered_at, old.read_at, old.played_at FROM old
    ON CONFLICT (message_id, contact_id) DO UPDATE
   SET delivered_at = least(message_receipts.delivered_at, excluded.delivered_at), read_at = least(message_receipts.read_at, excluded.read_at),
       played_at = least(message_receipts.played_at, excluded.played_at);

-- name: ChangeJoin :exec
UPDATE changes SET target = CASE target WHEN @lid::text THEN @phone::text ELSE target END, chat_id = CASE chat_id WHEN @lid::text THEN @phone::text ELSE chat_id END
 WHERE session_id = @session_id AND status = 'queued' AND (target = @lid::text OR chat_id = @lid::text);

-- name: MessageReaddress :execrows
-- The number that a message is for has another national form, which is the one with an account: the message goes to that chat. It follows the
-- fence in the same transaction.
UPDATE messages SET chat_id = @to_id::text, updated_at = clock_timestamp() WHERE id = @id AND session_id = @session_id AND status = 'sending';

-- name: ChatReaddress :exec
-- What accepting the message made for the number as it was written goes with it, unless something else is there.
WITH contact AS (
    DELETE FROM contacts c WHERE c.session_id = @session_id AND c.id = @from_id::text AND c.lid IS NULL AND c.name = '' AND c.saved_name = ''
       AND NOT EXISTS (SELECT FROM messages m WHERE m.session_id = @session_id AND m.chat_id = @from_id::text))
DELETE FROM chats c WHERE c.session_id = @session_id AND c.id = @from_id::text AND NOT c.archived AND c.pinned_at IS NULL
   AND NOT EXISTS (SELECT FROM messages m WHERE m.session_id = @session_id AND m.chat_id = @from_id::text)
   AND NOT EXISTS (SELECT FROM chat_labels l WHERE l.session_id = @session_id AND l.chat_id = @from_id::text);

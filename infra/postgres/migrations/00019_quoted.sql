-- +goose Up
-- The message of a session that another one quotes, by WhatsApp's id, in one of some chats, by one of some authors where there are any: the account
-- itself is one by its phone and its LID. A function, because few messages quote: inside the statement that writes each of them the look-up cost
-- every message 25 µs, although it was not made.
-- +goose StatementBegin
CREATE FUNCTION message_quoted(session text, quoted text, chats text[], authors text[]) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT m.id FROM messages m JOIN sessions s ON s.id = m.session_id
     WHERE m.session_id = session AND m.whatsapp_id = quoted AND m.chat_id = ANY (chats)
       AND (cardinality(authors) = 0 OR m.sender_id = ANY (authors)
            OR m.sender_id = '' AND (s.phone || '@s.whatsapp.net' = ANY (authors) OR s.lid || '@lid' = ANY (authors)))
     ORDER BY m.id DESC LIMIT 1
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION message_quoted;

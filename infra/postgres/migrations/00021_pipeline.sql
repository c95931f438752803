-- +goose Up
-- What is around a message on its way out. restrictions is until when WhatsApp lets an account write to no strangers, where it said so
-- (code 463): those who are refused are told.
CREATE TABLE restrictions (
    session_id text        PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    until      timestamptz NOT NULL
);

-- How long typing, or recording, is shown in the chat before the message is sent.
ALTER TABLE messages ADD COLUMN typing_seconds int NOT NULL DEFAULT 0;

-- message_words are the words of a message that a search finds, and, as a word that no text can hold (it begins with a space), its session: so
-- the index leads to the session's own messages, and not to everybody's who said the word. 16,384 characters are searched: a text of that length
-- stays far below the 1 MiB that a tsvector has room for, whatever it says, and no stranger's message can fail for its words.
-- +goose StatementBegin
CREATE FUNCTION message_words(session_id text, content jsonb) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('simple', left(coalesce(content ->> 'text', '') || ' ' || coalesce(content ->> 'caption', '') || ' ' ||
               coalesce(content -> 'media' ->> 'fileName', '') || ' ' || coalesce(content -> 'poll' ->> 'question', '') || ' ' ||
               coalesce(content -> 'event' ->> 'name', ''), 16384))
        || array_to_tsvector(ARRAY[' ' || session_id])
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION message_words(text, jsonb);
ALTER TABLE messages DROP COLUMN typing_seconds;
DROP TABLE restrictions;

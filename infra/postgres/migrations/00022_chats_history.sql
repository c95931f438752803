-- +goose Up
-- A chat with what its list shows, but for its last message.
CREATE VIEW chat_views AS
SELECT c.session_id, c.id, c.kind, c.last_message_at, c.archived, c.pinned_at, c.muted_until, c.unread, c.marked_unread, c.disappearing_seconds,
       coalesce(k.phone, '') AS phone, coalesce(k.lid, '') AS lid,
       coalesce(nullif(k.saved_name, ''), nullif(k.name, ''), k.business_name, '') AS name,
       ARRAY(SELECT l.label_id FROM chat_labels l WHERE l.session_id = c.session_id AND l.chat_id = c.id ORDER BY l.label_id)::text[] AS labels
  FROM chats c LEFT JOIN contacts k ON k.session_id = c.session_id AND k.id = c.id;

-- The newest id that a label of a session was given. Ids are not used again: WhatsApp's phones remember which chats had the label of an id.
CREATE TABLE label_ids (
    session_id text PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    last       int  NOT NULL
);

-- The parts of its history that a phone has offered. notification is WhatsApp's own protobuf, which says where the part is, until it is
-- stored; messages counts those that were new, batch by batch. A row stays for a while after its end, so that an offer that comes again is known.
CREATE TABLE history_parts (
    id           uuid        PRIMARY KEY,
    session_id   text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    whatsapp_id  text        NOT NULL,
    notification bytea,
    messages     int         NOT NULL DEFAULT 0,
    error        text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    UNIQUE (session_id, whatsapp_id)
);
CREATE INDEX history_parts_waiting ON history_parts (session_id) WHERE finished_at IS NULL;

-- Of a message that came with the history: its file is fetched when somebody wants it.
ALTER TABLE media ADD COLUMN on_demand boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE media DROP COLUMN on_demand;
DROP TABLE history_parts, label_ids;
DROP VIEW chat_views;

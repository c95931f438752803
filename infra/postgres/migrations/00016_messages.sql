-- +goose Up
-- context is what a message has beside its content, in the public form (quote, mentions, forwarding, timer); raw is WhatsApp's own protobuf
-- (waE2E.Message), which quotes and forwards are made of. history: it came with the history and not live.
ALTER TABLE messages
    ADD COLUMN context jsonb,
    ADD COLUMN raw bytea,
    ADD COLUMN send_at timestamptz,
    ADD COLUMN batch_id uuid,
    ADD COLUMN edited_at timestamptz,
    ADD COLUMN revoked_at timestamptz,
    ADD COLUMN pinned_until timestamptz,
    ADD COLUMN starred boolean NOT NULL DEFAULT false,
    ADD COLUMN history boolean NOT NULL DEFAULT false;

CREATE OR REPLACE VIEW message_views AS
SELECT m.id, m.session_id, m.chat_id, m.sender_id, m.whatsapp_id, m.direction, m.status, m.error_code, m.error_message, m.type, m.content,
       m.client_reference, m.expires_at, m.timestamp, m.created_at, m.updated_at, s.phone AS own_phone, s.lid AS own_lid, s.name AS own_name,
       coalesce(c.phone, '') AS chat_phone, coalesce(c.lid, '') AS chat_lid,
       coalesce(nullif(c.saved_name, ''), nullif(c.name, ''), c.business_name, '') AS chat_name,
       coalesce(p.phone, '') AS sender_phone, coalesce(p.lid, '') AS sender_lid,
       coalesce(nullif(p.saved_name, ''), nullif(p.name, ''), p.business_name, '') AS sender_name,
       m.context, m.send_at, m.batch_id, m.edited_at, m.revoked_at, m.pinned_until, m.starred, m.history
  FROM messages m
  JOIN sessions s ON s.id = m.session_id
  LEFT JOIN contacts c ON c.session_id = m.session_id AND c.id = m.chat_id
  LEFT JOIN contacts p ON p.session_id = m.session_id AND p.id = m.sender_id;

-- +goose Down
-- contract: the view of before has no columns of this file.
DROP VIEW message_views;
CREATE VIEW message_views AS
SELECT m.id, m.session_id, m.chat_id, m.sender_id, m.whatsapp_id, m.direction, m.status, m.error_code, m.error_message, m.type, m.content,
       m.client_reference, m.expires_at, m.timestamp, m.created_at, m.updated_at, s.phone AS own_phone, s.lid AS own_lid, s.name AS own_name,
       coalesce(c.phone, '') AS chat_phone, coalesce(c.lid, '') AS chat_lid, coalesce(c.name, '') AS chat_name,
       coalesce(p.phone, '') AS sender_phone, coalesce(p.lid, '') AS sender_lid, coalesce(p.name, '') AS sender_name
  FROM messages m
  JOIN sessions s ON s.id = m.session_id
  LEFT JOIN contacts c ON c.session_id = m.session_id AND c.id = m.chat_id
  LEFT JOIN contacts p ON p.session_id = m.session_id AND p.id = m.sender_id;
ALTER TABLE messages DROP COLUMN history, DROP COLUMN starred, DROP COLUMN pinned_until, DROP COLUMN revoked_at, DROP COLUMN edited_at, DROP COLUMN batch_id,
    DROP COLUMN send_at, DROP COLUMN raw, DROP COLUMN context;

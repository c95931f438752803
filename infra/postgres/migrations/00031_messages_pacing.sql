-- +goose Up
-- urgent: of priority high. held is what a queued message waits for that was set aside by its connector, or 'released': its command is on the queue
-- again, and it goes as soon as its turn comes.
ALTER TABLE messages ADD COLUMN urgent boolean NOT NULL DEFAULT false, ADD COLUMN held text;

CREATE OR REPLACE VIEW message_views AS
SELECT m.id, m.session_id, m.chat_id, m.sender_id, m.whatsapp_id, m.direction, m.status, m.error_code, m.error_message, m.type, m.content,
       m.client_reference, m.expires_at, m.timestamp, m.created_at, m.updated_at, s.phone AS own_phone, s.lid AS own_lid, s.name AS own_name,
       coalesce(c.phone, '') AS chat_phone, coalesce(c.lid, '') AS chat_lid,
       coalesce(nullif(c.saved_name, ''), nullif(c.name, ''), c.business_name, '') AS chat_name,
       coalesce(p.phone, '') AS sender_phone, coalesce(p.lid, '') AS sender_lid,
       coalesce(nullif(p.saved_name, ''), nullif(p.name, ''), p.business_name, '') AS sender_name,
       m.context, m.send_at, m.batch_id, m.edited_at, m.revoked_at, m.pinned_until, m.starred, m.history, m.urgent, m.held
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
       coalesce(c.phone, '') AS chat_phone, coalesce(c.lid, '') AS chat_lid,
       coalesce(nullif(c.saved_name, ''), nullif(c.name, ''), c.business_name, '') AS chat_name,
       coalesce(p.phone, '') AS sender_phone, coalesce(p.lid, '') AS sender_lid,
       coalesce(nullif(p.saved_name, ''), nullif(p.name, ''), p.business_name, '') AS sender_name,
       m.context, m.send_at, m.batch_id, m.edited_at, m.revoked_at, m.pinned_until, m.starred, m.history
  FROM messages m
  JOIN sessions s ON s.id = m.session_id
  LEFT JOIN contacts c ON c.session_id = m.session_id AND c.id = m.chat_id
  LEFT JOIN contacts p ON p.session_id = m.session_id AND p.id = m.sender_id;
ALTER TABLE messages DROP COLUMN held, DROP COLUMN urgent;

-- +goose Up
-- What WhatsApp last told of whether somebody is there, and of his typing to the account; one row a person. subscribed_at says since when the
-- session is told of him; of somebody without it only the typing is known, and his row goes soon after. heard_at is when state was last told.
CREATE TABLE presences (
    session_id    text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    contact_id    text        NOT NULL,
    subscribed_at timestamptz,
    state         text        NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'available', 'unavailable')),
    last_seen     timestamptz,
    heard_at      timestamptz,
    typing        text        NOT NULL DEFAULT '' CHECK (typing IN ('', 'typing', 'recording')),
    typing_at     timestamptz,
    PRIMARY KEY (session_id, contact_id),
    CHECK (subscribed_at IS NOT NULL OR typing_at IS NOT NULL)
);
CREATE INDEX presences_idle ON presences (typing_at) WHERE subscribed_at IS NULL;

-- Calls that came in. creator is the caller's JID as WhatsApp wrote it, to which a rejection goes; offered_at is by WhatsApp's clock and
-- created_at by ours. texted_at is when the caller was sent the text of settings.calls.
CREATE TABLE calls (
    id          uuid        PRIMARY KEY,
    session_id  text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    whatsapp_id text        NOT NULL,
    caller_id   text        NOT NULL,
    creator     text        NOT NULL,
    group_id    text        NOT NULL DEFAULT '',
    video       boolean     NOT NULL,
    state       text        NOT NULL DEFAULT 'ringing' CHECK (state IN ('ringing', 'accepted', 'ended')),
    reason      text        NOT NULL DEFAULT '' CHECK (reason IN ('', 'rejected', 'timeout', 'missed', 'completed', 'unknown')),
    offered_at  timestamptz NOT NULL,
    accepted_at timestamptz,
    ended_at    timestamptz,
    texted_at   timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (session_id, whatsapp_id),
    CHECK ((state = 'ended') = (reason <> '')),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL))
);
CREATE INDEX calls_session ON calls (session_id, id DESC);
CREATE INDEX calls_ringing ON calls (created_at) WHERE state = 'ringing';
CREATE INDEX calls_texted ON calls (session_id, caller_id, texted_at) WHERE texted_at IS NOT NULL;
CREATE INDEX calls_created ON calls (created_at);

-- A call with the address that its public form shows.
CREATE VIEW call_views AS
SELECT c.*, coalesce(k.phone, '') AS phone, coalesce(k.lid, '') AS lid,
       coalesce(nullif(k.saved_name, ''), nullif(k.name, ''), k.business_name, '')::text AS name
  FROM calls c LEFT JOIN contacts k ON k.session_id = c.session_id AND k.id = c.caller_id;

-- Messages that came in while settings.markRead was on, until their senders have been told that they were read.
CREATE TABLE messages_to_read (
    message_id uuid        PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    session_id text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX messages_to_read_session ON messages_to_read (session_id, message_id);

-- +goose Down
DROP TABLE messages_to_read;
DROP VIEW call_views;
DROP TABLE calls, presences;

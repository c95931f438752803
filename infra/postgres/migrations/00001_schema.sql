-- +goose Up
-- The state of chasqui. Closed sets are CHECKs, so that a wrong value fails where it is written. Ids are UUIDv7, made by the
-- program; the prefix of the public form (msg_, evt_, we_, dlv_) exists only at the edge.

-- One row a WhatsApp account. desired, restarts, logout_requested_at and delete_requested_at are what a client asked for (control is
-- desired state, never a queued command); state and reason are what the claim's owner last observed. restarts_done is the last value of
-- restarts that a connector acted on, so that a restart asked for while nobody held the claim is not lost, and a session that failed is
-- not tried again only because its connector died.
--
-- wanted says that a connector must hold the session: it is to run (and has not ended in a state that only a person's restart leaves), or
-- something is still to be done before it rests. A session that is not wanted has no owner and costs nothing.
CREATE TABLE sessions (
    id                  text        PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
    name                text        NOT NULL DEFAULT '',
    settings            jsonb       NOT NULL DEFAULT '{}',
    desired             text        NOT NULL DEFAULT 'started' CHECK (desired IN ('started', 'stopped')),
    restarts            bigint      NOT NULL DEFAULT 0,
    restarts_done       bigint      NOT NULL DEFAULT 0,
    logout_requested_at timestamptz,
    delete_requested_at timestamptz,
    state               text        NOT NULL DEFAULT 'stopped' CHECK (state IN ('stopped', 'starting', 'qr', 'pairing_code', 'passkey_required',
                                    'connected', 'reconnecting', 'logged_out', 'banned', 'restricted', 'replaced', 'failed')),
    reason              text        NOT NULL DEFAULT '',
    jid                 text,       -- the companion's own JID with its device (user:device@server), once linked
    phone               text,       -- digits
    lid                 text,       -- digits of the LID
    qr                  text,       -- the QR's text while state is qr
    qr_expires_at       timestamptz,
    last_event_at       timestamptz,
    connected_at        timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    wanted              boolean     NOT NULL GENERATED ALWAYS AS (
        logout_requested_at IS NOT NULL OR delete_requested_at IS NOT NULL
        OR CASE desired WHEN 'started' THEN restarts > restarts_done OR state NOT IN ('logged_out', 'banned', 'replaced', 'failed')
                        ELSE state NOT IN ('stopped', 'logged_out') END) STORED
);
CREATE INDEX sessions_wanted ON sessions (id) WHERE wanted;
CREATE INDEX sessions_created ON sessions (created_at DESC, id DESC);

-- Who runs a session. epoch grows with every change of owner and fences every write of the owner before.
CREATE TABLE claims (
    session    text        PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    owner      text        NOT NULL,
    epoch      bigint      NOT NULL DEFAULT 1,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX claims_owner ON claims (owner);

-- The connectors that are alive, so that each knows its fair share of the sessions.
CREATE TABLE connectors (
    id         text        PRIMARY KEY,
    capacity   int         NOT NULL CHECK (capacity > 0),
    draining   boolean     NOT NULL DEFAULT false,
    expires_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- A session as it is shown. One whose claim has run out is being taken over, whatever its row says.
CREATE VIEW session_views AS
SELECT s.*, CASE WHEN c.expires_at > now() THEN c.owner ELSE '' END::text AS connector,
       CASE WHEN s.desired = 'stopped' OR c.expires_at > now() THEN s.state
            WHEN s.state IN ('connected', 'restricted') THEN 'reconnecting'
            WHEN s.state IN ('qr', 'pairing_code', 'passkey_required') THEN 'starting'
            ELSE s.state END::text AS shown_state
  FROM sessions s LEFT JOIN claims c ON c.session = s.id;

-- People and groups a session has met. id is the canonical JID: the phone's where it is known, else the LID's.
CREATE TABLE contacts (
    session_id text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    id         text        NOT NULL,
    phone      text,
    lid        text,
    name       text        NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, id)
);
CREATE INDEX contacts_lid ON contacts (session_id, lid) WHERE lid IS NOT NULL;

CREATE TABLE chats (
    session_id      text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    id              text        NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('user', 'group', 'broadcast', 'status', 'channel')),
    last_message_at timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, id)
);

-- message_rank orders the statuses: a message only moves forward. The three ends (failed, cancelled, expired) rank above sending and
-- below sent, so that a receipt that proves a message arrived still wins over a timeout that declared it failed.
-- +goose StatementBegin
CREATE FUNCTION message_rank(status text) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE status WHEN 'scheduled' THEN 0 WHEN 'queued' THEN 1 WHEN 'sending' THEN 2 WHEN 'failed' THEN 3 WHEN 'cancelled' THEN 3
        WHEN 'expired' THEN 3 WHEN 'sent' THEN 4 WHEN 'delivered' THEN 5 WHEN 'read' THEN 6 WHEN 'played' THEN 7 END
$$;
-- +goose StatementEnd

-- sender_id is '' for the session's own messages: a send is accepted before the session knows its own number. whatsapp_id is chosen with
-- the row. The unique key is what makes a redelivered copy change nothing.
CREATE TABLE messages (
    id               uuid        PRIMARY KEY,
    session_id       text        NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    chat_id          text        NOT NULL,
    sender_id        text        NOT NULL DEFAULT '',
    whatsapp_id      text        NOT NULL,
    direction        text        NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    status           text        NOT NULL CHECK (message_rank(status) IS NOT NULL),
    error_code       text,
    error_message    text,
    type             text        NOT NULL,
    content          jsonb       NOT NULL,
    client_reference text,
    expires_at       timestamptz,
    timestamp        timestamptz NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (session_id, chat_id, sender_id, whatsapp_id)
) WITH (fillfactor = 80);
-- Lists are newest first by id (UUIDv7, so by arrival), for a session or one chat of it.
CREATE INDEX messages_session ON messages (session_id, id DESC);
CREATE INDEX messages_chat ON messages (session_id, chat_id, id DESC);
CREATE INDEX messages_whatsapp_id ON messages (session_id, whatsapp_id);
-- Messages that are not sent yet: few, whatever the table's size. The sweeper reads it.
CREATE INDEX messages_waiting ON messages (session_id) WHERE status IN ('scheduled', 'queued', 'sending');
CREATE INDEX messages_expiring ON messages (expires_at) WHERE expires_at IS NOT NULL AND status IN ('scheduled', 'queued', 'sending');

-- A message with the addresses that its public form shows.
CREATE VIEW message_views AS
SELECT m.*, s.phone AS own_phone, s.lid AS own_lid, s.name AS own_name,
       coalesce(c.phone, '') AS chat_phone, coalesce(c.lid, '') AS chat_lid, coalesce(c.name, '') AS chat_name,
       coalesce(p.phone, '') AS sender_phone, coalesce(p.lid, '') AS sender_lid, coalesce(p.name, '') AS sender_name
  FROM messages m
  JOIN sessions s ON s.id = m.session_id
  LEFT JOIN contacts c ON c.session_id = m.session_id AND c.id = m.chat_id
  LEFT JOIN contacts p ON p.session_id = m.session_id AND p.id = m.sender_id;

-- The event log. seq is given by the sequencer alone, under its lock, so a reader by seq can never skip an event that committed late.
-- body is the bytes that are sent (jsonb would reorder them). No foreign key points here: partitions are dropped by retention.
CREATE SEQUENCE events_seq CACHE 1;
CREATE TABLE events (
    seq         bigint      NOT NULL,
    id          uuid        NOT NULL,
    session_id  text        NOT NULL DEFAULT '',
    type        text        NOT NULL,
    order_key   text        NOT NULL DEFAULT '',
    occurred_at timestamptz NOT NULL,
    body        bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX events_by_seq ON events (seq);
CREATE INDEX events_by_session ON events (session_id, seq);
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- breaker_trips counts how often in a row the breaker opened; how long it stays open grows with it.
CREATE TABLE webhook_endpoints (
    id                   uuid        PRIMARY KEY,
    url                  text        NOT NULL,
    events               text[]      NOT NULL DEFAULT '{*}',
    sessions             text[]      NOT NULL DEFAULT '{}',
    format               text        NOT NULL DEFAULT 'standard' CHECK (format IN ('standard')),
    headers              jsonb       NOT NULL DEFAULT '{}',
    secret               text        NOT NULL,
    timeout_seconds      int         NOT NULL DEFAULT 15 CHECK (timeout_seconds BETWEEN 5 AND 60),
    max_in_flight        int         NOT NULL DEFAULT 16 CHECK (max_in_flight BETWEEN 1 AND 256),
    order_mode           text        NOT NULL DEFAULT 'none' CHECK (order_mode IN ('none', 'chat', 'session')),
    state                text        NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'disabled', 'deleted')),
    disabled_reason      text        NOT NULL DEFAULT '',
    failing_since        timestamptz,
    consecutive_failures int         NOT NULL DEFAULT 0,
    breaker_until        timestamptz,
    breaker_trips        int         NOT NULL DEFAULT 0,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now()
);

-- One row for each event and endpoint. Rows with leases of their own, never queue messages: a delivery is looked at, listed and resent.
-- claimed_by is the dispatcher that sends it. planned_at is when a delivery that was brought forward, because its endpoint answers again,
-- would have been tried otherwise: until then a failure costs no attempt and it is not brought forward again. Order keys compare by their
-- bytes, because claims go round them.
CREATE TABLE deliveries (
    id          uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    event_seq   bigint      NOT NULL,
    endpoint_id uuid        NOT NULL,
    state       text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sending', 'succeeded', 'exhausted', 'cancelled', 'held')),
    attempt     int         NOT NULL DEFAULT 0,
    run_at      timestamptz NOT NULL DEFAULT now(),
    planned_at  timestamptz,
    claim_id    uuid,
    claimed_by  text,
    lease_until timestamptz,
    order_key   text COLLATE "C", -- NULL when the endpoint's order is none
    last_status int,
    last_class  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (event_id, endpoint_id)
) PARTITION BY RANGE (event_id);
CREATE INDEX deliveries_id ON deliveries (id);
-- What a claim reads: deliveries without order by time; those with order by key, where held ones count too, lest a later event overtake
-- them; and what each endpoint has in flight, with its leases.
CREATE INDEX deliveries_due ON deliveries (endpoint_id, run_at) WHERE state = 'pending' AND order_key IS NULL;
CREATE INDEX deliveries_due_ordered ON deliveries (endpoint_id, run_at) WHERE state = 'pending' AND order_key IS NOT NULL;
CREATE INDEX deliveries_order ON deliveries (endpoint_id, order_key, event_seq)
    WHERE order_key IS NOT NULL AND state IN ('pending', 'sending', 'held');
CREATE INDEX deliveries_sending ON deliveries (endpoint_id, lease_until) WHERE state = 'sending';
CREATE INDEX deliveries_held ON deliveries (endpoint_id, event_id) WHERE state = 'held';
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT
    WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);

-- Every attempt, append-only.
CREATE TABLE attempts (
    delivery_id uuid        NOT NULL,
    attempt     int         NOT NULL,
    started_at  timestamptz NOT NULL,
    duration_ms int         NOT NULL,
    class       text        NOT NULL,
    status      int,
    headers     jsonb,
    body        bytea,
    error       text        NOT NULL DEFAULT ''
) PARTITION BY RANGE (started_at);
CREATE INDEX attempts_delivery ON attempts (delivery_id, started_at);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

-- Idempotency-Key: written in the transaction of what it protects, with the answer that a repeat gets.
CREATE TABLE idempotency_keys (
    key        text        NOT NULL,
    principal  bytea       NOT NULL,            -- SHA-256 of the API key
    route      text        NOT NULL,
    body_hash  bytea       NOT NULL,
    response   bytea       NOT NULL DEFAULT '', -- empty only inside that transaction
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- +goose Down
DROP VIEW message_views, session_views;
DROP TABLE idempotency_keys, attempts, deliveries, webhook_endpoints, events, messages, chats, contacts, connectors, claims, sessions;
DROP SEQUENCE events_seq;
DROP FUNCTION message_rank(text);

-- +goose Up
-- Media. Bytes are in S3, once for each content; rows say whose they are. What S3 holds is either an object or an upload, so that a crash
-- between the two stores leaves nothing that nobody knows of.

-- One row a content. key is where its bytes are in S3: fresh for each upload and never used again, so that a delete which comes late (of a
-- process that was stopped, say) cannot hit bytes that were stored anew. It is referenced by media rows; without any it is swept.
CREATE TABLE objects (
    sha256     bytea       PRIMARY KEY CHECK (octet_length(sha256) = 32),
    key        text        NOT NULL UNIQUE,
    size       bigint      NOT NULL CHECK (size >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Keys in S3 that nobody refers to: uploads under way, until they expire, and what is to be deleted. doomed: its deletion has begun, it can
-- become no object any more.
CREATE TABLE uploads (
    key        text        PRIMARY KEY,
    doomed     boolean     NOT NULL DEFAULT false,
    expires_at timestamptz NOT NULL
);
CREATE INDEX uploads_expiry ON uploads (expires_at);

-- One row for each media of a message, and each that a client uploaded (session_id and message_id are NULL then). While pending, sha256 and
-- size are what the sender says. direct_path to remote_at are WhatsApp's encrypted copy: where it is, its keys, and since when. asked_at is
-- when the phone was asked to upload it again. details are what was found out about the content: dimensions, duration, thumbnail.
CREATE TABLE media (
    id            uuid        PRIMARY KEY,
    session_id    text        REFERENCES sessions (id) ON DELETE CASCADE,
    message_id    uuid,
    status        text        NOT NULL CHECK (status IN ('pending', 'ready', 'failed', 'expired')),
    mimetype      text        NOT NULL,
    file_name     text        NOT NULL DEFAULT '',
    size          bigint      NOT NULL CHECK (size >= 0),
    sha256        bytea       NOT NULL,
    object        bytea       REFERENCES objects (sha256),
    details       jsonb       NOT NULL DEFAULT '{}',
    kind          text        CHECK (kind IN ('image', 'video', 'audio', 'document')),
    direct_path   text,
    media_key     bytea,
    enc_sha256    bytea,
    remote_at     timestamptz,
    asked_at      timestamptz,
    error_code    text,
    error_message text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (status <> 'ready' OR object IS NOT NULL)
);
CREATE INDEX media_object ON media (object) WHERE object IS NOT NULL;
CREATE INDEX media_message ON media (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX media_session ON media (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX media_age ON media (created_at) WHERE object IS NOT NULL;
CREATE INDEX media_emptied ON media (updated_at) WHERE session_id IS NULL AND object IS NULL;
CREATE INDEX media_pending ON media ((coalesce(asked_at, created_at))) WHERE status = 'pending';

-- The media that a message sends.
ALTER TABLE messages ADD COLUMN media_id uuid;
CREATE INDEX messages_media ON messages (media_id) WHERE media_id IS NOT NULL;

-- A delivery waits for its event's media until then, for 30 s at most: media_id is what it waits for.
ALTER TABLE deliveries ADD COLUMN media_id uuid;
CREATE INDEX deliveries_media ON deliveries (media_id) WHERE media_id IS NOT NULL;

-- configured_url is the value of WEBHOOK_URL that was applied last, on the endpoint of that setting alone.
ALTER TABLE webhook_endpoints DROP CONSTRAINT webhook_endpoints_format_check,
    ADD CONSTRAINT webhook_endpoints_format_check CHECK (format IN ('standard', 'legacy')),
    ADD COLUMN wait_for_media boolean NOT NULL DEFAULT true,
    ADD COLUMN configured_url text;

-- +goose Down
ALTER TABLE webhook_endpoints DROP CONSTRAINT webhook_endpoints_format_check, DROP COLUMN wait_for_media, DROP COLUMN configured_url;
UPDATE webhook_endpoints SET format = 'standard';
ALTER TABLE webhook_endpoints ADD CONSTRAINT webhook_endpoints_format_check CHECK (format IN ('standard'));
ALTER TABLE deliveries DROP COLUMN media_id;
ALTER TABLE messages DROP COLUMN media_id;
DROP TABLE media, uploads, objects;

-- Version 2: media. A blob is what a client uploaded, encrypted, in chunks of 256 KiB, so that neither an upload nor a download is ever held
-- whole. sha256 is null until all of it is there. stored_at is when it was last uploaded, from which its expiry counts.
CREATE TABLE sandbox.media_blobs (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256    bytea       CHECK (length(sha256) = 32),
    size      bigint      NOT NULL DEFAULT 0,
    stored_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX media_blobs_sha256 ON sandbox.media_blobs (sha256);
CREATE INDEX media_blobs_stored ON sandbox.media_blobs (stored_at);

CREATE TABLE sandbox.media_chunks (
    blob_id bigint NOT NULL REFERENCES sandbox.media_blobs (id) ON DELETE CASCADE,
    n       int    NOT NULL,
    data    bytea  NOT NULL,
    PRIMARY KEY (blob_id, n)
);
-- Encrypted bytes do not get smaller.
ALTER TABLE sandbox.media_chunks ALTER COLUMN data SET STORAGE EXTERNAL;

-- Where a blob can be fetched from: one path for each upload. A blob without a path is what WhatsApp no longer has and a phone still may.
CREATE TABLE sandbox.media_paths (
    path    text   PRIMARY KEY,
    blob_id bigint NOT NULL REFERENCES sandbox.media_blobs (id) ON DELETE CASCADE
);
CREATE INDEX media_paths_blob ON sandbox.media_paths (blob_id);

-- What a companion has asked its phone to upload again, until the phone has answered; request is the receipt that asks for it.
CREATE TABLE sandbox.media_retries (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES sandbox.accounts (id),
    device_id  bigint NOT NULL REFERENCES sandbox.devices (id) ON DELETE CASCADE,
    message_id text   NOT NULL,
    request    bytea  NOT NULL,
    UNIQUE (device_id, message_id)
);
CREATE INDEX media_retries_account ON sandbox.media_retries (account_id, id);

-- What an older program left cannot be read.
DROP SCHEMA IF EXISTS sandbox CASCADE;
CREATE SCHEMA sandbox;

CREATE TABLE sandbox.journal_version (version int NOT NULL);

-- What the sandbox has in memory and must not lose. The value is the kind's own: JSON where a person may look, else bytes.
CREATE TABLE sandbox.records (
    kind  text  NOT NULL,
    key   text  NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (kind, key)
);

-- A blob is what a client uploaded, encrypted, in chunks of 256 KiB, so that neither an upload nor a download is ever held whole. sha256 is
-- null until all of it is there. stored_at is when it was last completed, from which its expiry counts.
CREATE TABLE sandbox.blobs (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256    bytea       CHECK (length(sha256) = 32),
    size      bigint      NOT NULL DEFAULT 0,
    stored_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX blobs_sha256 ON sandbox.blobs (sha256);
CREATE INDEX blobs_stored ON sandbox.blobs (stored_at);

CREATE TABLE sandbox.chunks (
    blob_id bigint NOT NULL REFERENCES sandbox.blobs (id) ON DELETE CASCADE,
    n       int    NOT NULL,
    data    bytea  NOT NULL,
    PRIMARY KEY (blob_id, n)
);
-- Encrypted bytes do not get smaller.
ALTER TABLE sandbox.chunks ALTER COLUMN data SET STORAGE EXTERNAL;

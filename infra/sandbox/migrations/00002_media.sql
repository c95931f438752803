-- +goose Up
-- What a media message shows beside its text, as the control API answers it, and what the phone needs to open its copy of the file, which
-- is the server's blob of that hash: the file's key, the hash of its encrypted form, and what its keys are derived for. The last three are
-- null when the phone could not get the file.
ALTER TABLE sandbox.phone_seen
    ADD COLUMN media       jsonb,
    ADD COLUMN media_key   bytea,
    ADD COLUMN enc_sha256  bytea,
    ADD COLUMN media_class text;
CREATE INDEX phone_seen_media ON sandbox.phone_seen (number, id) WHERE media_key IS NOT NULL;

-- The message to send where it is more than a text: a waE2E.Message, whose file has a path once it was uploaded.
ALTER TABLE sandbox.phone_outbox ADD COLUMN message bytea;

-- +goose Down
ALTER TABLE sandbox.phone_outbox DROP COLUMN message;
DROP INDEX sandbox.phone_seen_media;
ALTER TABLE sandbox.phone_seen DROP COLUMN media, DROP COLUMN media_key, DROP COLUMN enc_sha256, DROP COLUMN media_class;

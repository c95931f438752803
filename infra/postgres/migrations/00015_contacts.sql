-- +goose Up
-- name is what somebody calls himself, or a group its subject. What is shown is saved_name before name before business_name.
ALTER TABLE contacts
    ADD COLUMN saved_name text NOT NULL DEFAULT '', -- in the owner's address book
    ADD COLUMN business_name text NOT NULL DEFAULT '', -- as WhatsApp verified it
    ADD COLUMN blocked boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE contacts DROP COLUMN blocked, DROP COLUMN business_name, DROP COLUMN saved_name;

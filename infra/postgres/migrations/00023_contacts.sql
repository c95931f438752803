-- +goose Up
-- What a contact told of himself last, and which picture he had.
ALTER TABLE contacts
    ADD COLUMN about text NOT NULL DEFAULT '',
    ADD COLUMN about_at timestamptz,
    ADD COLUMN picture_id text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE contacts DROP COLUMN picture_id, DROP COLUMN about_at, DROP COLUMN about;

-- +goose Up
-- Whether a deletion also unlinks the account from the phone. false: the session goes on elsewhere, with the same keys.
ALTER TABLE sessions ADD COLUMN delete_unlinks boolean NOT NULL DEFAULT true;

-- +goose Down
ALTER TABLE sessions DROP COLUMN delete_unlinks;

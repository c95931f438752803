-- +goose Up
-- cold: the account is the first to write, and nobody has answered. opened_at is when its first message there left, or was let go.
ALTER TABLE chats ADD COLUMN cold boolean NOT NULL DEFAULT false, ADD COLUMN opened_at timestamptz;

-- +goose Down
ALTER TABLE chats DROP COLUMN opened_at, DROP COLUMN cold;

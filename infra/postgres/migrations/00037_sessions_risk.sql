-- +goose Up
-- The level of the account's health that was last told.
ALTER TABLE sessions ADD COLUMN health text NOT NULL DEFAULT 'good';

-- +goose Down
ALTER TABLE sessions DROP COLUMN health;

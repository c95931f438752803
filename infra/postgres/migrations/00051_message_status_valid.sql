-- +goose Up
-- Reads all messages once, while they are read and written.
ALTER TABLE messages VALIDATE CONSTRAINT messages_status_check;

-- +goose Down
SELECT 1;

-- +goose Up
-- A connector that does not reach WhatsApp says so, and leaves its sessions to others.
ALTER TABLE connectors ADD COLUMN cut_off boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE connectors DROP COLUMN cut_off;

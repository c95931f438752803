-- +goose Up
-- What a chat's list shows beside its name. unread counts incoming messages since the chat was last read; marked_unread is a person's mark.
ALTER TABLE chats
    ADD COLUMN archived boolean NOT NULL DEFAULT false,
    ADD COLUMN pinned_at timestamptz,
    ADD COLUMN muted_until timestamptz, -- the last day of 9999: for good
    ADD COLUMN unread int NOT NULL DEFAULT 0,
    ADD COLUMN marked_unread boolean NOT NULL DEFAULT false,
    ADD COLUMN disappearing_seconds int NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE chats DROP COLUMN disappearing_seconds, DROP COLUMN marked_unread, DROP COLUMN unread, DROP COLUMN muted_until, DROP COLUMN pinned_at, DROP COLUMN archived;

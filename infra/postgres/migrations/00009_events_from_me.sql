-- +goose Up
-- Whether an event is about a message that the session's account sent; NULL for one that is about no message, and for what was logged before
-- this was noted. The kind of its chat is read from order_key, which is the chat's JID.
ALTER TABLE events ADD COLUMN from_me boolean;

-- +goose Down
ALTER TABLE events DROP COLUMN from_me;

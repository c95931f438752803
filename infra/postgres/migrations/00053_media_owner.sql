-- +goose Up
-- Whose upload a file is: the principal of the key. NULL is API_KEY's, or from before.
ALTER TABLE media ADD COLUMN uploaded_by bytea;

-- +goose Down
ALTER TABLE media DROP COLUMN uploaded_by;

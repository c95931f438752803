-- +goose Up
-- What the page of a link shows of whoever made it: {name, color, logo}, as the API takes and gives it. NULL: nothing.
ALTER TABLE api_keys ADD COLUMN brand jsonb;

-- +goose Down
ALTER TABLE api_keys DROP COLUMN brand;

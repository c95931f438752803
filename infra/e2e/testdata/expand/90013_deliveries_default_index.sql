-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = '10min';
DROP INDEX CONCURRENTLY IF EXISTS next_deliveries_default_note;
CREATE INDEX CONCURRENTLY next_deliveries_default_note ON deliveries_default (next_note);

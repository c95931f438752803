-- +goose Up
CREATE INDEX next_deliveries_note ON ONLY deliveries (next_note);

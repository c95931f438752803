-- contract: no release reads the table any more
-- +goose Up
DROP TABLE next_notes;

-- +goose Up
-- restarts_done is the last value of restarts that a connector acted on, so that a restart asked for while nobody held the claim is not
-- lost, and a session that failed is not tried again only because its connector died.
--
-- wanted says that a connector must hold the session: it is to run (and has not ended in a state that only a person's restart leaves), or
-- something is still to be done before it rests. A session that is not wanted has no owner and costs nothing.
ALTER TABLE sessions ADD COLUMN restarts_done bigint NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN wanted boolean NOT NULL GENERATED ALWAYS AS (
    logout_requested_at IS NOT NULL OR delete_requested_at IS NOT NULL
    OR CASE desired WHEN 'started' THEN restarts > restarts_done OR state NOT IN ('logged_out', 'banned', 'replaced', 'failed')
                    ELSE state NOT IN ('stopped', 'logged_out') END) STORED;
CREATE INDEX sessions_wanted ON sessions (id) WHERE wanted;

-- Messages that are not sent yet: few, whatever the table's size. The sweeper reads it.
CREATE INDEX messages_waiting ON messages (session_id) WHERE status IN ('scheduled', 'queued', 'sending');

-- +goose Down
DROP INDEX messages_waiting;
ALTER TABLE sessions DROP COLUMN wanted, DROP COLUMN restarts_done;

-- +goose Up
-- What is sent to a webhook endpoint again: its deliveries of a time that are in one of states, and events of which it has none ("missing").
-- Everything up to the event reached is dealt with; a batch moves it in the transaction that changes the deliveries. since and until are times,
-- reached is an event's id, or the least one of since at first. One replay of an endpoint runs at a time: two would go over the same rows.
CREATE TABLE webhook_replays (
    id          uuid        PRIMARY KEY,
    endpoint_id uuid        NOT NULL,
    state       text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled')),
    since       timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    states      text[]      NOT NULL CHECK (cardinality(states) > 0 AND states <@ '{exhausted,cancelled,succeeded,missing}'),
    types       text[]      NOT NULL DEFAULT '{}', -- none: all
    reached     uuid        NOT NULL,
    scanned     bigint      NOT NULL DEFAULT 0,    -- events that were looked at
    resent      bigint      NOT NULL DEFAULT 0,    -- deliveries that were made due
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CHECK (since < until),
    CHECK ((state = 'running') = (finished_at IS NULL))
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX webhook_replays_running ON webhook_replays (endpoint_id) WHERE state = 'running';
CREATE INDEX webhook_replays_endpoint ON webhook_replays (endpoint_id, id);
CREATE INDEX webhook_replays_finished ON webhook_replays (finished_at) WHERE finished_at IS NOT NULL;

-- A replay with what holds it up. most is how many deliveries of the endpoint it lets be due at once: what is live comes behind them, so it is
-- 25 times what the endpoint takes at once, 10 s of its rate, and 1000 at most. room is how many more there may be, none while the endpoint is
-- not active. flowing says that they go out, as far as the breaker is concerned. endpoint_state is NULL when the endpoint is gone, or the
-- replay over.
CREATE VIEW webhook_replay_views AS
SELECT r.*, w.state AS endpoint_state, b.most,
       CASE WHEN w.state = 'active' THEN b.most - c.due ELSE 0 END::int AS room,
       coalesce(w.state = 'active' AND w.breaker_until IS NULL, false)::boolean AS flowing
  FROM webhook_replays r
  LEFT JOIN webhook_endpoints w ON w.id = r.endpoint_id AND w.state <> 'deleted' AND r.state = 'running'
 CROSS JOIN LATERAL (SELECT least(1000, 25 * least(w.max_in_flight, w.concurrency), 10 * w.rate_per_second)::int AS most) b
 CROSS JOIN LATERAL (SELECT (
           (SELECT count(*) FROM (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NULL
                                     AND d.run_at <= statement_timestamp() LIMIT b.most) unordered)
         + (SELECT count(*) FROM (SELECT FROM deliveries d WHERE d.endpoint_id = w.id AND d.state = 'pending' AND d.order_key IS NOT NULL
                                     AND d.run_at <= statement_timestamp() LIMIT b.most) ordered))::int AS due) c;

-- +goose Down
DROP VIEW webhook_replay_views;
DROP TABLE webhook_replays;

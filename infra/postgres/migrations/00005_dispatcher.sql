-- +goose Up
-- breaker_trips counts how often in a row the breaker opened; how long it stays open grows with it.
ALTER TABLE webhook_endpoints ADD COLUMN breaker_trips int NOT NULL DEFAULT 0;

-- claimed_by is the dispatcher that sends the delivery. planned_at is when a delivery that was brought forward, because its endpoint answers
-- again, would have been tried otherwise: until then a failure costs no attempt and it is not brought forward again.
ALTER TABLE deliveries ADD COLUMN claimed_by text, ADD COLUMN planned_at timestamptz;

-- Claims go round the order keys and compare them by their bytes, which the database's own collation may not do.
DROP INDEX deliveries_due, deliveries_order, deliveries_leases;
ALTER TABLE deliveries ALTER COLUMN order_key TYPE text COLLATE "C";

-- What a claim reads: deliveries without order by time; those with order by key, where held ones count too, lest a later event overtake
-- them; and what each endpoint has in flight, with its leases.
CREATE INDEX deliveries_due ON deliveries (endpoint_id, run_at) WHERE state = 'pending' AND order_key IS NULL;
CREATE INDEX deliveries_due_ordered ON deliveries (endpoint_id, run_at) WHERE state = 'pending' AND order_key IS NOT NULL;
CREATE INDEX deliveries_order ON deliveries (endpoint_id, order_key, event_seq)
    WHERE order_key IS NOT NULL AND state IN ('pending', 'sending', 'held');
CREATE INDEX deliveries_sending ON deliveries (endpoint_id, lease_until) WHERE state = 'sending';

-- +goose Down
DROP INDEX deliveries_due, deliveries_due_ordered, deliveries_order, deliveries_sending;
ALTER TABLE deliveries DROP COLUMN claimed_by, DROP COLUMN planned_at, ALTER COLUMN order_key TYPE text COLLATE "default";
ALTER TABLE webhook_endpoints DROP COLUMN breaker_trips;
CREATE INDEX deliveries_due ON deliveries (endpoint_id, run_at) WHERE state = 'pending';
CREATE INDEX deliveries_order ON deliveries (endpoint_id, order_key, event_seq) WHERE order_key IS NOT NULL AND state IN ('pending', 'sending');
CREATE INDEX deliveries_leases ON deliveries (lease_until) WHERE state = 'sending';

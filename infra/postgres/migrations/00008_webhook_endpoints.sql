-- +goose Up
-- What an endpoint can say beside its URL, and what is known of how it does.
-- previous_secrets are those that sign until their time beside the present one: [{"secret": "whsec_...", "until": "2026-01-01T00:00:00Z"}].
-- chat_kinds and from_me leave out events; those that are about no chat, or no message, pass. retry_seconds takes the place of the standard
-- waits between attempts. rate_tokens were there at rate_at and grow by rate_per_second each second, up to one second's worth. concurrency is
-- how many deliveries at once the endpoint has been seen to bear, max_in_flight while it is NULL. failing_told says that webhook.failing was
-- published since the last success.
ALTER TABLE webhook_endpoints
    ADD COLUMN previous_secrets jsonb   NOT NULL DEFAULT '[]',
    ADD COLUMN chat_kinds       text[]  NOT NULL DEFAULT '{}',
    ADD COLUMN from_me          boolean,
    ADD COLUMN retry_seconds    int[],
    ADD COLUMN rate_per_second  int CHECK (rate_per_second BETWEEN 1 AND 1000),
    ADD COLUMN rate_tokens      float8  NOT NULL DEFAULT 0,
    ADD COLUMN rate_at          timestamptz,
    ADD COLUMN concurrency      int CHECK (concurrency >= 1),
    ADD COLUMN failing_told     boolean NOT NULL DEFAULT false;

-- How many tokens of its rate an endpoint has now; NULL without a rate. Where none was used yet, or the clock was set back since, they are all
-- there.
CREATE FUNCTION rate_tokens_now(rate int, tokens float8, since timestamptz) RETURNS float8 LANGUAGE sql STABLE AS $$
    SELECT least(rate, tokens + rate * CASE WHEN since <= statement_timestamp() THEN extract(epoch FROM statement_timestamp() - since) ELSE 1 END)
$$;

-- +goose Down
DROP FUNCTION rate_tokens_now(int, float8, timestamptz);
ALTER TABLE webhook_endpoints
    DROP COLUMN previous_secrets, DROP COLUMN chat_kinds, DROP COLUMN from_me, DROP COLUMN retry_seconds, DROP COLUMN rate_per_second,
    DROP COLUMN rate_tokens, DROP COLUMN rate_at, DROP COLUMN concurrency, DROP COLUMN failing_told;

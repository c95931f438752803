-- name: RateLimitTake :one
-- Takes a block of a key's requests of this minute, by the server's clock, and says how many were taken with it and how long the minute lasts.
-- What is taken beyond the limit is nobody's: the caller compares.
INSERT INTO rate_limits AS r (principal, minute, taken)
VALUES (@principal, floor(extract(epoch FROM statement_timestamp()) / 60)::bigint, @block)
ON CONFLICT (principal, minute) DO UPDATE SET taken = r.taken + excluded.taken
RETURNING r.taken, (60 - extract(epoch FROM statement_timestamp()) + 60 * r.minute)::float8 AS seconds_left;

-- name: RateLimitSweep :execrows
DELETE FROM rate_limits WHERE minute < floor(extract(epoch FROM statement_timestamp()) / 60)::bigint - 1;

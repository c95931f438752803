-- name: TicketAdd :one
INSERT INTO stream_tickets (hash, principal, purpose, expires_at)
VALUES (sqlc.arg(hash), sqlc.arg(principal), sqlc.arg(purpose), now() + sqlc.arg(seconds)::float8 * interval '1 second')
RETURNING expires_at;

-- name: TicketRedeem :one
-- Of any number of processes that redeem a ticket at once, one gets the row.
DELETE FROM stream_tickets WHERE hash = $1 AND purpose = $2 AND expires_at > now() RETURNING principal;

-- name: TicketCheck :one
SELECT principal FROM stream_tickets WHERE hash = $1 AND purpose = $2 AND expires_at > now();

-- name: TicketSweep :execrows
DELETE FROM stream_tickets WHERE hash IN (
    SELECT t.hash FROM stream_tickets t WHERE t.expires_at < now() ORDER BY t.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED);

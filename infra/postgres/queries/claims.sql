-- Ownership of sessions. Times come from the clock of the server, by clock_timestamp() and not now(), because a transaction may have waited.

-- name: ConnectorBeat :exec
INSERT INTO connectors (id, capacity, draining, cut_off, expires_at)
VALUES (@id, @capacity, @draining, @cut_off, clock_timestamp() + make_interval(secs => @lease_seconds))
ON CONFLICT (id) DO UPDATE SET capacity = excluded.capacity, draining = excluded.draining, cut_off = excluded.cut_off, expires_at = excluded.expires_at;

-- name: ConnectorListLive :many
SELECT id, capacity, cut_off FROM connectors WHERE expires_at > clock_timestamp() AND NOT draining ORDER BY id;

-- name: ConnectorDelete :exec
-- Removes a connector that stopped, and those that have been dead for an hour.
DELETE FROM connectors WHERE id = @id OR expires_at < clock_timestamp() - interval '1 hour';

-- name: SessionCountWanted :one
SELECT count(*)::int FROM sessions WHERE wanted;

-- name: ClaimRenew :many
-- Renews what is still held; what does not come back is lost. It touches no key column, so it never waits for a fence (FOR KEY SHARE).
UPDATE claims c SET expires_at = clock_timestamp() + make_interval(secs => @lease_seconds)
  FROM (SELECT unnest(@sessions::text[]) AS session, unnest(@epochs::bigint[]) AS epoch) AS h
 WHERE c.session = h.session AND c.epoch = h.epoch AND c.owner = @owner AND c.expires_at > clock_timestamp()
RETURNING c.session;

-- name: ClaimEnsure :exec
-- Rows are made once and kept, so that an epoch never comes again.
INSERT INTO claims (session, owner, epoch, expires_at)
SELECT s.id, '', 0, to_timestamp(0) FROM sessions s
 WHERE s.wanted AND NOT EXISTS (SELECT FROM claims c WHERE c.session = s.id)
 ORDER BY s.id
    ON CONFLICT DO NOTHING;

-- name: ClaimTake :many
-- Takes wanted sessions whose claim has ended. FOR UPDATE waits out every fenced transaction of the owner before (it conflicts with their
-- FOR KEY SHARE, which the update alone would not); SKIP LOCKED, so that one stopped in the middle of a transaction does not hold up the
-- others. take_over takes the claims of a dead predecessor with the same name too. abandoned: the owner before did not give it back.
WITH free AS MATERIALIZED (
    SELECT c.session, c.owner FROM claims c JOIN sessions s ON s.id = c.session
     WHERE s.wanted AND (c.expires_at <= clock_timestamp() OR (@take_over::boolean AND c.owner = @owner))
     ORDER BY c.session LIMIT @max_rows FOR UPDATE OF c SKIP LOCKED)
UPDATE claims c SET owner = @owner, epoch = c.epoch + 1, expires_at = clock_timestamp() + make_interval(secs => @lease_seconds)
  FROM free WHERE c.session = free.session
RETURNING c.session, c.epoch, (free.owner <> '')::boolean AS abandoned;

-- name: ClaimHold :one
-- The fence: it fails when the claim is with another owner or has ended, and else keeps it from being taken until the transaction ends.
SELECT true AS held FROM claims WHERE session = @session AND owner = @owner AND epoch = @epoch AND expires_at > clock_timestamp() FOR KEY SHARE;

-- name: ClaimRelease :execrows
UPDATE claims SET owner = '', expires_at = clock_timestamp() WHERE session = @session AND owner = @owner AND epoch = @epoch;

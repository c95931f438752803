-- What came with the account's state and is not handled yet. See connector/appstatekeep.go, which writes the rows with the signal store's.

-- name: AppStateUnhandled :many
SELECT part, version, initial FROM unhandled_states WHERE session_id = @session_id ORDER BY part;

-- name: AppStateHandled :exec
-- Forgets parts that are handled as far as these versions.
DELETE FROM unhandled_states u USING (SELECT unnest(@parts::text[]) AS part, unnest(@versions::bigint[]) AS version) AS h
 WHERE u.session_id = @session_id AND u.part = h.part AND u.version <= h.version;

-- name: EncryptionKeyList :many
SELECT id, check_value FROM encryption_keys ORDER BY created_at, id;

-- name: EncryptionKeyInsert :exec
INSERT INTO encryption_keys (id, check_value) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING;

-- name: EncryptionKeyDeleteOthers :many
-- The keys that nothing is sealed under any more.
DELETE FROM encryption_keys WHERE id <> @id RETURNING id;

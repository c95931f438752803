// Package keyring looks after the keys of ENCRYPTION_KEY in a database: which ones values are sealed under, whether a process has them, and how all
// values come under another one.
package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
)

// place is where the check values of keys stand.
var place = seal.Place{Table: "encryption_keys", Column: "check_value", Identity: []string{"id"}}

// checkText is what every check value opens to.
const checkText = "chasqui"

// lock is the key of the advisory lock under which keys are added, so that two processes with different keys do not both begin: ASCII "keyring".
const lock int64 = 0x6b657972696e67

// Check says whether a process may run on a database: it must have every key that values there may be sealed under. The key that it seals with is
// noted, the first time it is used. Its errors say what is to be done.
func Check(ctx context.Context, pool *pgxpool.Pool, keys *seal.Keys) error {
	q := db.New()
	known, err := verify(ctx, q, pool, keys)
	if err != nil || known {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return CheckIn(ctx, tx, keys) })
}

// CheckIn is Check as a part of a transaction.
func CheckIn(ctx context.Context, tx pgx.Tx, keys *seal.Keys) error {
	q := db.New()
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lock); err != nil {
		return fmt.Errorf("lock encryption keys: %w", err)
	}
	known, err := verify(ctx, q, tx, keys)
	if err != nil || known {
		return err
	}
	id := keys.ID()
	if err := q.EncryptionKeyInsert(ctx, tx, id, keys.Seal([]byte(checkText), place.At(id))); err != nil {
		return fmt.Errorf("note encryption key: %w", err)
	}
	return nil
}

// Verify is Check for who only reads: it notes nothing.
func Verify(ctx context.Context, from db.DBTX, keys *seal.Keys) error {
	_, err := verify(ctx, db.New(), from, keys)
	return err
}

// verify opens every check value. known: the key that seals is there, or none seals.
func verify(ctx context.Context, q *db.Queries, from db.DBTX, keys *seal.Keys) (known bool, err error) {
	rows, err := q.EncryptionKeyList(ctx, from)
	if err != nil {
		return false, fmt.Errorf("list encryption keys: %w", err)
	}
	known = keys.ID() == ""
	for _, row := range rows {
		known = known || row.ID == keys.ID()
		text, err := keys.Open(row.CheckValue, place.At(row.ID))
		var unknown *seal.UnknownKeyError
		switch {
		case errors.Is(err, seal.ErrNoKey):
			return false, fmt.Errorf("ENCRYPTION_KEY is not set, and values in this database are sealed under the key %s: set the key that they were sealed with", row.ID)
		case errors.As(err, &unknown):
			return false, fmt.Errorf("ENCRYPTION_KEY is not the key of this database, in which values are sealed under the key %s (there is %v): "+
				"set that key, or add it behind the new one, separated by a comma", unknown.ID, keys)
		case err != nil || string(text) != checkText:
			return false, fmt.Errorf("the check value of the encryption key %s is damaged: restore the table encryption_keys", row.ID)
		}
	}
	return known, nil
}

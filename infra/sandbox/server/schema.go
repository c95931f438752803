package server

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed schema.sql
var schemaV1 string

//go:embed schema_media.sql
var schemaV2 string

// migrations are the steps of the schema in order; the number of those that ran is kept in sandbox.server_version. A step that was
// released is never changed.
var migrations = []string{schemaV1, schemaV2}

// migrate brings the schema to the newest version in one transaction, alone: two processes that start together run it one after the other.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('sandbox server schema', 0))`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS sandbox`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS sandbox.server_version (version int NOT NULL)`); err != nil {
			return err
		}
		var version int
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM sandbox.server_version`).Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("schema is version %d, this program knows %d", version, len(migrations))
		}
		for i, step := range migrations[version:] {
			if _, err := tx.Exec(ctx, step); err != nil {
				return fmt.Errorf("step %d: %w", version+i+1, err)
			}
		}
		_, err := tx.Exec(ctx, `WITH gone AS (DELETE FROM sandbox.server_version) INSERT INTO sandbox.server_version VALUES ($1)`, len(migrations))
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate schema: %w", err)
	}
	return nil
}

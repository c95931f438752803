package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/chasqui/chasqui/infra/postgres"
)

// WithDatabase gives use the database of the setting or, without one, that of the data directory: the one which a running dev or up has
// there, else its own. Only with create it makes one where there is none.
func WithDatabase(ctx context.Context, dsn, dir string, create bool, use func(dsn string) error) error {
	if dsn != "" {
		if err := postgres.Await(ctx, dsn); err != nil {
			return err
		}
		return use(dsn)
	}
	if !create && !HasPostgres(dir) {
		return fmt.Errorf("there is no database in the data directory %q: set DATABASE_URL, or say with --data where dev or up keep theirs", dir)
	}
	data, err := OpenData(dir)
	if errors.Is(err, ErrLocked) {
		if dsn, err = RunningDSN(dir); err != nil {
			return err
		}
		if err := postgres.Await(ctx, dsn); err != nil {
			return fmt.Errorf("another chasqui uses the data directory %q, and its database does not answer: if it has one of its own, set the same "+
				"DATABASE_URL: %w", dir, err)
		}
		return use(dsn)
	}
	if err != nil {
		return err
	}
	defer data.Close()
	database, err := StartPostgres(ctx, PostgresConfig{Dir: data.PostgresDir(), Logger: slog.Default()})
	if err != nil {
		return err
	}
	defer database.Stop()
	return use(database.DSN())
}

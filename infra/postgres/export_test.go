package postgres

import (
	"context"
	"io/fs"
	"time"
)

// MigrateWithin is MigrateFrom with a patience of its own.
func MigrateWithin(ctx context.Context, dsn string, files fs.FS, patience time.Duration) error {
	return migrate(ctx, dsn, files, patience)
}

// Migrations are the program's own files.
func Migrations() fs.FS {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // it names a folder that is compiled in
	}
	return files
}

package postgres

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Await waits for a server that is not there yet, as when a whole machine
// starts or a server recovers.
//
// Failure policy: tries every 250 ms for a minute. A server that answers and
// refuses (SQLSTATE classes 28, wrong user or password, and 3D, no such database)
// is an error at once.
func Await(ctx context.Context, dsn string) error {
	for deadline := time.Now().Add(time.Minute); ; {
		pool, err := Open(ctx, dsn, Options{MaxConns: 1, Name: "start"})
		if err == nil {
			pool.Close()
			return nil
		}
		code := ErrorCode(err)
		final := slices.ContainsFunc([]string{"28", "3D"}, func(class string) bool { return strings.HasPrefix(code, class) })
		if final || time.Now().After(deadline) {
			return err
		}
		slog.WarnContext(ctx, "PostgreSQL cannot be reached yet", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

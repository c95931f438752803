// Package readiness says how the parts are that a role needs, in words that anybody may read: what went wrong stands in the log.
package readiness

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/infra/postgres"
)

// Timeout bounds a look: a load balancer should hear "no" rather than wait.
const Timeout = 3 * time.Second

// The states of a part.
const (
	OK      = "ok"
	Down    = "down"
	Old     = "old"     // of the schema: `chasqui migrate` has to run
	Unknown = "unknown" // it cannot be seen while another is down
)

// The words for the whole.
const (
	Degraded    = "degraded"    // something is missing that most of the work does without
	Unavailable = "unavailable" // the work should go elsewhere
)

// A Report is what /readyz answers.
type Report struct {
	Status string            `json:"status" enum:"ok,degraded" doc:"degraded: S3 is missing, so that files wait; all else works." example:"ok"`
	Checks map[string]string `json:"checks" doc:"Each part that is needed: ok, or what is wrong with it."`
}

// A Check looks at parts and says how they are; err is for the log.
type Check func(ctx context.Context) (parts map[string]string, err error)

// dispensable are the parts without which most of the work goes on.
var dispensable = []string{"s3"}

// Look makes all checks at once.
func Look(ctx context.Context, log *slog.Logger, checks ...Check) Report {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r := Report{Status: OK, Checks: map[string]string{}}
	var mu sync.Mutex
	var looking sync.WaitGroup
	var problems []error
	for _, check := range checks {
		looking.Go(func() {
			parts, err := check(ctx)
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, err)
			for name, state := range parts {
				r.Checks[name] = state
				switch {
				case state == OK:
				case !slices.Contains(dispensable, name):
					r.Status = Unavailable
				case r.Status == OK:
					r.Status = Degraded
				}
			}
		})
	}
	looking.Wait()
	if r.Status != OK {
		log.WarnContext(ctx, "not ready", "status", r.Status, "checks", r.Checks, "error", errors.Join(problems...))
	}
	return r
}

// Wrong lists what is not as it should be, for a sentence.
func (r Report) Wrong() string {
	var wrong []string
	for name, state := range r.Checks {
		if state != OK {
			wrong = append(wrong, name+": "+state)
		}
	}
	slices.Sort(wrong)
	return strings.Join(wrong, ", ")
}

// Database looks whether the database answers and has this version's schema.
func Database(pool *pgxpool.Pool) Check {
	return func(ctx context.Context) (map[string]string, error) {
		err := postgres.CheckSchema(ctx, pool)
		switch {
		case err == nil:
			return map[string]string{"database": OK, "schema": OK}, nil
		case errors.Is(err, postgres.ErrSchemaOld):
			return map[string]string{"database": OK, "schema": Old}, err
		}
		return map[string]string{"database": Down, "schema": Unknown}, err
	}
}

// Part looks at one part.
func Part(name string, look func(context.Context) error) Check {
	return func(ctx context.Context) (map[string]string, error) {
		if err := look(ctx); err != nil {
			return map[string]string{name: Down}, err
		}
		return map[string]string{name: OK}, nil
	}
}

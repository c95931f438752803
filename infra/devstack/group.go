package devstack

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// partTimeout bounds the stop of each part. Parts hand over within one to two
// seconds; what takes longer is cut off, which costs no message, only the time
// of a takeover.
const partTimeout = 10 * time.Second

// A Part is something long-lived that one process runs.
type Part interface {
	Start(context.Context) error
	Stop(context.Context) error
}

// A Group is the parts that one process runs. They are stopped in the reverse
// order of their start: each while all that it needs still runs. The zero value
// is empty and ready to use.
type Group struct {
	stops []func()
}

// Start starts a part and takes charge of stopping it. A part that fails to start
// is left as it is.
func (g *Group) Start(ctx context.Context, name string, part Part) error {
	if err := part.Start(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	g.OnStop(func() {
		ctx, cancel := context.WithTimeout(context.Background(), partTimeout)
		defer cancel()
		if err := part.Stop(ctx); err != nil {
			slog.Error("stop", "part", name, "error", err)
		}
	})
	return nil
}

// OnStop takes charge of something that runs already.
func (g *Group) OnStop(stop func()) { g.stops = append(g.stops, stop) }

// Stop stops everything, last started first, and waits for it. A second call does
// nothing.
func (g *Group) Stop() {
	for len(g.stops) > 0 {
		last := len(g.stops) - 1
		g.stops[last]()
		g.stops = g.stops[:last]
	}
}

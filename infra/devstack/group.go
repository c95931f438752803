package devstack

import (
	"context"
	"log/slog"
	"time"
)

// partTimeout bounds the stop of each part. Parts hand over within one to two
// seconds; what takes longer is cut off, which costs no message, only the time
// of a takeover.
const partTimeout = 10 * time.Second

// A Group is the long-lived parts that one process runs. They are stopped in the
// reverse order of their start: each while all that it needs still runs. The zero
// value is empty and ready to use.
type Group struct {
	stops []func()
}

// OnStop takes charge of stopping a part that has started. The context that stop
// gets ends after partTimeout.
func (g *Group) OnStop(name string, stop func(context.Context) error) {
	g.stops = append(g.stops, func() {
		ctx, cancel := context.WithTimeout(context.Background(), partTimeout)
		defer cancel()
		if err := stop(ctx); err != nil {
			slog.Error("a part did not stop cleanly", "part", name, "error", err)
		}
	})
}

// Stop stops everything, last started first, and waits for it. A second call does
// nothing.
func (g *Group) Stop() {
	for len(g.stops) > 0 {
		last := len(g.stops) - 1
		g.stops[last]()
		g.stops = g.stops[:last]
	}
}

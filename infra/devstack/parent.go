package devstack

import (
	"context"
	"os"
	"time"
)

// WithGoRun returns a context that ends with ctx or, when this process is run by
// `go run`, with that: it hands Ctrl-C on but not SIGTERM, and when it is killed
// nobody else would stop us. Under any other parent, such as a shell that ends
// while its background jobs go on, only ctx counts. The returned function ends
// the watch.
func WithGoRun(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	if !isGo(parent) {
		return ctx, cancel
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		poll := time.NewTicker(200 * time.Millisecond)
		defer poll.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-poll.C:
				if os.Getppid() != parent {
					cancel()
				}
			}
		}
	}()
	return ctx, func() {
		cancel()
		<-watched
	}
}

package devstack

import (
	"context"
	"log/slog"
	"runtime"
	"time"
)

// supervised is a server that runs as a child of this process.
type supervised struct {
	name  string // in the log
	log   *slog.Logger
	once  bool // it is not started again
	stop  <-chan struct{}
	serve func(ctx context.Context, ready func()) error // runs the server once, and calls ready when it accepts connections
}

// run serves until stop is closed, in the one goroutine and on the one thread
// that all the server's processes are forked from: the kernel sends a child its
// death signal when the forking *thread* ends, so the thread has to live exactly
// as long as this process. started gets the outcome of the first start; served is
// false when that failed. err says why it ended for good, nil when it was stopped.
//
// Failure policy: a server that dies after it was ready is started again at once,
// however often; after maxFailures starts in a row without getting ready it has
// ended for good.
func (s supervised) run(ctx context.Context, started chan<- error) (served bool, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	failures := 0
	for {
		wasReady := false
		err := s.serve(ctx, func() {
			wasReady = true
			if !served {
				started <- nil
			}
			served, failures = true, 0
			ctx = context.Background() // it bounds the first start only
		})
		if !served {
			started <- err
			return false, err
		}
		if !wasReady {
			failures++
		}
		select {
		case <-s.stop:
			return true, nil
		default:
		}
		if s.once || failures == maxFailures {
			s.log.ErrorContext(ctx, s.name+" has ended for good", "error", err)
			return true, err
		}
		s.log.ErrorContext(ctx, s.name+" died and is started again", "error", err)
		if !wasReady {
			select {
			case <-s.stop:
			case <-time.After(failurePause):
			}
		}
	}
}

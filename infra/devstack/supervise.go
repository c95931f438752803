package devstack

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
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

// child is what is kept of a supervised server over all its starts.
type child struct {
	stop     chan struct{} // closed by Stop
	stopOnce sync.Once
	done     chan struct{} // closed when the server has ended for good

	mu  sync.Mutex
	pid int
	err error // why it ended, when that was not Stop
}

// PID is the process id of the running server, 0 while there is none.
func (c *child) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

func (c *child) setPID(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid = pid
}

// Done is closed when the server has ended for good: stopped, or dead too often
// to be started again. Err tells which.
func (c *child) Done() <-chan struct{} { return c.done }

// Err says why the server ended, nil when it still runs or was stopped.
func (c *child) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Stop shuts the server down, waits until it is gone (15 s at most), and with a
// temporary folder removes that too. Connected clients are cut off. Stop may be
// called any number of times, from any goroutine.
func (c *child) Stop() {
	c.stopOnce.Do(func() { close(c.stop) })
	<-c.done
}

func (c *child) stopping() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// supervise runs the server until it is stopped or has ended for good, and then
// releases what it held. After a first start that failed that is the caller's.
func (c *child) supervise(ctx context.Context, s supervised, started chan<- error, release func()) {
	defer close(c.done)
	s.stop = c.stop
	served, err := s.run(ctx, started)
	if !served {
		return
	}
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	release()
}

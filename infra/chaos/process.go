//go:build linux && !release

package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// stopMost is how long a process may take to end after SIGTERM.
const stopMost = 30 * time.Second

// process is one role in a process of its own, which is killed, stopped and started again.
type process struct {
	name string
	argv []string
	env  []string
	log  *os.File

	mu   sync.Mutex
	busy bool // a fault has it
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// forker starts processes on one thread that lives as long as this process: the kernel kills a child when the thread that forked it ends.
type forker struct{ jobs chan func() }

func newForker() *forker {
	f := &forker{make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range f.jobs {
			job()
		}
	}()
	return f
}

func (f *forker) start(cmd *exec.Cmd) error {
	failed := make(chan error)
	f.jobs <- func() { failed <- cmd.Start() }
	return <-failed
}

// start runs the process, which must not run.
func (p *process) start(f *forker) error {
	cmd := exec.CommandContext(context.Background(), p.argv[0], p.argv[1:]...) //nolint:gosec // G204: this program; it is ended by signals
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := f.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.done = cmd, done
	return nil
}

// signal sends a signal; a process that has ended takes none.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(sig)
}

// ended is closed when the process has ended.
func (p *process) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended()
}

// drain asks the process to end, and says how that went.
func (p *process) drain() error {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(stopMost)
	defer timer.Stop()
	select {
	case <-p.ended():
		return nil
	case <-timer.C:
		p.kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.name, stopMost)
	}
}

// take reserves the process for a fault.
func (p *process) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy {
		return false
	}
	p.busy = true
	return true
}

func (p *process) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = false
}

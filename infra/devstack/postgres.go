package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// database and superuser are the names every embedded server uses.
	database  = "chasqui"
	superuser = "chasqui"

	// socketPort is the number in the socket's file name. No TCP port is opened,
	// so it clashes with nothing.
	socketPort = "5432"

	// A start is ready in 20-110 ms, one that recovers from kill -9 in 0.4 s. The
	// limit is far above both because replaying 1 GB of WAL, the most that
	// max_wal_size lets pile up, takes tens of seconds on a slow disk.
	readyTimeout = 2 * time.Minute
	readyPoll    = 10 * time.Millisecond

	// A fast shutdown (SIGINT) takes 20-95 ms; what is still there after
	// stopTimeout gets an immediate shutdown (SIGQUIT), then SIGKILL. All three
	// keep every committed transaction.
	stopTimeout = 10 * time.Second
	quitTimeout = 5 * time.Second

	// After maxFailures starts in a row that did not get ready, the cause is none
	// that a further start cures.
	maxFailures  = 5
	failurePause = 200 * time.Millisecond
)

// PostgresConfig says where an embedded PostgreSQL keeps its data and what for.
type PostgresConfig struct {
	// Dir is the folder of the cluster, its socket and its lock file. It is
	// created when it is missing. As root, when the unprivileged user who runs
	// the server cannot enter it, Dir becomes a symbolic link to a folder that
	// user can enter. With Test, an empty Dir means a fresh temporary folder
	// that Stop removes.
	Dir string

	// Test gives up durability for speed: no fsync, data in memory where there
	// is room. A server for tests is not restarted when it dies.
	Test bool

	// Logger gets the server's own complaints (debug level) and its unexpected
	// ends (error level). nil discards them.
	Logger *slog.Logger
}

// Postgres is a running PostgreSQL server: a child process that never outlives
// this one. When it dies without having been told to, it is started again at
// the same address; pools that were connected to it reconnect by themselves.
type Postgres struct {
	child
	config   PostgresConfig
	log      *slog.Logger
	binaries string
	owner    owner
	home     string // config.Dir without symbolic links
	cluster  string // home/cluster, the server's data directory
	socket   string // the folder of the server's unix socket
	lock     *Lock
}

// StartPostgres starts a server on config.Dir, making a new cluster there when
// there is none, and returns when it accepts connections and the database
// exists. A server that a killed predecessor left behind on the same folder is
// stopped first. It fails when another live process holds the folder
// (ErrLocked), when no PostgreSQL can be found or downloaded, or when ctx ends.
func StartPostgres(ctx context.Context, config PostgresConfig) (_ *Postgres, err error) {
	if config.Dir == "" && !config.Test {
		return nil, errors.New("the embedded PostgreSQL needs a folder")
	}
	p := &Postgres{
		config: config,
		log:    config.Logger,
		child:  child{stop: make(chan struct{}), done: make(chan struct{})},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.binaries, err = findBinaries(ctx, p.log); err != nil {
		return nil, err
	}
	if p.owner, err = serverOwner(); err != nil {
		return nil, err
	}
	if config.Test && config.Dir == "" {
		p.home, err = p.temporaryHome()
	} else {
		p.home, err = p.persistentHome()
	}
	if err != nil {
		return nil, err
	}
	p.cluster, p.socket = filepath.Join(p.home, clusterFolder), socketFolder(p.home)
	if p.lock, err = TakeLock(filepath.Join(p.home, "lock")); err != nil {
		return nil, fmt.Errorf("lock the embedded PostgreSQL's folder: %w", err)
	}
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	if err := p.createCluster(ctx); err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	go p.supervise(ctx, supervised{name: "PostgreSQL", log: p.log, once: p.config.Test, serve: p.serve}, started, p.release)
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	if err := p.createDatabase(ctx); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// DSN is the address of the server's database, good for any process on this
// machine that runs as the same user (or as root). It holds no secret: the
// socket's folder is what keeps others out.
func (p *Postgres) DSN() string { return p.dsn(database) }

func (p *Postgres) dsn(name string) string {
	query := url.Values{"host": {p.socket}, "port": {socketPort}}
	address := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + name, RawQuery: query.Encode()}
	return address.String()
}

// release gives the folder back; nothing may run on it any more.
func (p *Postgres) release() {
	if p.config.Test && p.config.Dir == "" {
		if err := os.RemoveAll(p.home); err != nil {
			p.log.Error("remove temporary PostgreSQL", "error", err)
		}
	}
	p.lock.Release()
}

// serve runs the server once: it evicts what is left of an earlier one, starts
// it, calls ready when connections are accepted, and returns when it has ended,
// with the reason unless it was stopped.
func (p *Postgres) serve(ctx context.Context, ready func()) error {
	if err := p.evict(); err != nil {
		return err
	}
	if err := p.makeSocketFolder(); err != nil {
		return err
	}
	output := &tail{log: p.log, says: "PostgreSQL says"}
	cmd := p.command(context.Background(), "postgres", p.settings()...)
	cmd.Stdout, cmd.Stderr = output, output
	// Backends of a killed server hold its output open for the moments until
	// they notice.
	cmd.WaitDelay = quitTimeout
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	p.setPID(cmd.Process.Pid)
	defer p.setPID(0)

	// The watcher tells ready and stops the server when asked to, so that this
	// thread can wait for the process.
	exited, watched := make(chan struct{}), make(chan error, 1)
	go func() { watched <- p.watch(ctx, cmd.Process, exited, ready) }()
	ended := cmd.Wait()
	close(exited)
	if err := <-watched; err != nil {
		return err
	}
	if p.stopping() {
		return nil
	}
	if ended == nil {
		ended = errors.New("exit status 0")
	}
	return fmt.Errorf("PostgreSQL ended (%w); its last words: %s", ended, output)
}

// watch waits until the process is ready and then until it is to stop.
func (p *Postgres) watch(ctx context.Context, process *os.Process, exited <-chan struct{}, ready func()) error {
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	limit := time.NewTimer(readyTimeout)
	defer limit.Stop()
	var failure error
	for waiting := true; waiting && failure == nil; {
		select {
		case <-exited:
			return nil
		case <-p.stop:
			waiting = false
		case <-ctx.Done():
			failure = fmt.Errorf("start PostgreSQL: %w", context.Cause(ctx))
		case <-limit.C:
			failure = fmt.Errorf("PostgreSQL was not ready after %v", readyTimeout)
		case <-poll.C:
			if p.isReady(process.Pid) {
				ready()
				waiting = false
			}
		}
	}
	if failure == nil {
		select {
		case <-exited:
			return nil
		case <-p.stop:
		}
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, stopTimeout}, {syscall.SIGQUIT, quitTimeout}, {syscall.SIGKILL, 0}} {
		// An error means that the process is gone already, which exited tells.
		_ = process.Signal(step.signal)
		select {
		case <-exited:
			return failure
		case <-time.After(step.wait):
		}
	}
	<-exited
	return failure
}

// isReady reports whether the server has written "ready" as the eighth line of
// its postmaster.pid, which is what pg_ctl --wait looks for too
// (src/bin/pg_ctl/pg_ctl.c, wait_for_postmaster_start). A connection attempt
// would tell the same, at the price of a process and a logged error each.
func (p *Postgres) isReady(pid int) bool {
	lines := p.pidFile()
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && lines[7] == "ready"
}

// pidFile is postmaster.pid's trimmed lines: process id, data directory, start
// time, port, socket folder, listen address, shared memory (key and id), status.
// It is nil when the file is not there.
func (p *Postgres) pidFile() []string {
	content, err := os.ReadFile(filepath.Join(p.cluster, "postmaster.pid"))
	if err != nil {
		return nil
	}
	lines := strings.Split(string(content), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// evict makes way for a new server where one was killed, or was orphaned by our
// predecessor's death and is still shutting down. The lock on the folder says
// that no live chasqui wants it.
//
// PostgreSQL itself refuses to start when the process id in postmaster.pid is
// alive, even when that is a zombie nobody reaps or, after a container's
// restart, a stranger with the same number. So the file is removed, but only
// once no server and none of its backends works on the cluster.
//
// Failure policy: waits stopTimeout + quitTimeout for the old server, then gives
// up; nothing is ever killed with SIGKILL or removed while it runs.
func (p *Postgres) evict() error {
	lines := p.pidFile()
	if lines == nil {
		return nil
	}
	pid, err := strconv.Atoi(lines[0])
	if err != nil || pid <= 1 {
		// The file is written in one piece right after its creation: an empty one
		// is from a server killed in between, which had not started its work.
		pid = 0
	}
	if pid != 0 && isServer(pid, p.cluster) {
		p.log.Warn("a PostgreSQL of an earlier run is still there; stopping it", "pid", pid)
		for _, step := range []struct {
			signal syscall.Signal
			wait   time.Duration
		}{{syscall.SIGINT, stopTimeout}, {syscall.SIGQUIT, quitTimeout}} {
			_ = syscall.Kill(pid, step.signal)
			if waitUntil(step.wait, func() bool { return !isServer(pid, p.cluster) }) {
				break
			}
		}
		if isServer(pid, p.cluster) {
			return fmt.Errorf("PostgreSQL of an earlier run (process %d) does not stop; end it and start again", pid)
		}
	}
	if len(lines) >= 7 {
		if fields := strings.Fields(lines[6]); len(fields) == 2 {
			id, err := strconv.Atoi(fields[1])
			if err == nil && !waitUntil(stopTimeout, func() bool { return !sharedMemoryInUse(id) }) {
				return fmt.Errorf("backends of an earlier PostgreSQL still work in %s; end them and start again", p.cluster)
			}
		}
	}
	if err := os.Remove(filepath.Join(p.cluster, "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale postmaster.pid: %w", err)
	}
	return nil
}

// waitUntil polls done and reports whether it became true in time.
func waitUntil(limit time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(limit); !done(); time.Sleep(readyPoll) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// tail passes a process's output on, line by line at debug level, and keeps the
// last 2 KB for an error message.
type tail struct {
	log  *slog.Logger
	says string // the log entry's text
	mu   sync.Mutex
	kept []byte
}

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(output []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range bytes.Lines(output) {
		t.log.Debug(t.says, "line", string(bytes.TrimSpace(line)))
	}
	t.kept = append(t.kept, output...)
	if extra := len(t.kept) - 2048; extra > 0 {
		t.kept = t.kept[extra:]
	}
	return len(output), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.kept))
}

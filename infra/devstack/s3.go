package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// s3Command is the hidden command, and the word in os.Args, that makes this
	// program the S3 server.
	s3Command = "s3dev"

	// s3Listens is the line that the server prints when it accepts connections.
	s3Listens = "chasqui s3dev listens"

	// A start takes 0.2 s, nearly all of it the program's own; the limit is for
	// machines that swap.
	s3ReadyTimeout = 30 * time.Second

	// The server waits s3DrainTimeout for running requests when it is to end. What
	// it had not answered yet is as if never sent.
	s3DrainTimeout = 3 * time.Second
	s3StopTimeout  = 5 * time.Second
)

// S3Config says where an embedded S3 server keeps its data.
type S3Config struct {
	// Dir is the folder of the objects, the server's keys and its lock file. It is
	// created when it is missing. With Test, an empty Dir means a fresh temporary
	// folder that Stop removes.
	Dir string

	// Test allows an empty Dir. The server is the same.
	Test bool

	// Logger gets the server's own complaints (debug level) and its unexpected
	// ends (error level). nil discards them.
	Logger *slog.Logger
}

// S3 is a running S3 server on a loopback port: this program again, as a child
// process that never outlives this one. When it dies without having been told to,
// it is started again at the same address.
//
// It does not sync what it writes: whoever needs objects to outlive a power cut
// syncs Dir's filesystem.
type S3 struct {
	child
	config         S3Config
	log            *slog.Logger
	home           string // config.Dir, absolute
	access, secret string
	port           *port
	lock           *Lock
}

// StartS3 starts a server on config.Dir and returns when it accepts connections.
// It fails when another live process holds the folder (ErrLocked), when this
// program was built without the server, or when ctx ends.
func StartS3(ctx context.Context, config S3Config) (_ *S3, err error) {
	if !embedsS3 {
		return nil, errors.New("this build of chasqui has no S3 server of its own: set S3_ENDPOINT, and with it S3_BUCKET, S3_ACCESS_KEY and S3_SECRET_KEY")
	}
	if config.Dir == "" && !config.Test {
		return nil, errors.New("the embedded S3 server needs a folder")
	}
	s := &S3{config: config, log: config.Logger, child: child{stop: make(chan struct{}), done: make(chan struct{})}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if config.Dir == "" {
		// Not in memory: what tests store would be on top of what they test.
		sweep(s.log, os.TempDir())
		s.home, err = os.MkdirTemp("", testPrefix)
	} else if s.home, err = filepath.Abs(config.Dir); err == nil {
		err = os.MkdirAll(s.home, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("make the S3 server's folder: %w", err)
	}
	if s.lock, err = TakeLock(filepath.Join(s.home, "lock")); err != nil {
		return nil, fmt.Errorf("lock the embedded S3 server's folder: %w", err)
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if s.access, err = keep(s.home, "access-key", 8); err != nil {
		return nil, err
	}
	if s.secret, err = keep(s.home, "secret-key", 32); err != nil {
		return nil, err
	}
	if s.port, err = reservePort(); err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	go s.supervise(ctx, supervised{name: "the S3 server", log: s.log, serve: s.serve}, started, s.release)
	if err := <-started; err != nil {
		<-s.done
		return nil, err
	}
	return s, nil
}

// Endpoint is the server's URL, the same for as long as this S3 lives.
func (s *S3) Endpoint() string { return "http://" + s.address() }

func (s *S3) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port.number)) }

// AccessKey and SecretKey are the server's only credentials, random and the same
// from start to start.
func (s *S3) AccessKey() string { return s.access }

// SecretKey belongs to AccessKey.
func (s *S3) SecretKey() string { return s.secret }

// Dir is the folder that holds the data.
func (s *S3) Dir() string { return s.home }

// release gives the folder and the port back; no server runs any more.
func (s *S3) release() {
	if s.port != nil {
		s.port.release()
	}
	if s.config.Dir == "" {
		if err := os.RemoveAll(s.home); err != nil {
			s.log.Error("remove temporary S3 server", "error", err)
		}
	}
	s.lock.Release()
}

// serve runs the server once: it calls ready when connections are accepted, and
// returns when it has ended, with the reason unless it was stopped.
func (s *S3) serve(ctx context.Context, ready func()) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	output := &announced{tail: tail{log: s.log, says: "S3 server says"}, ready: make(chan struct{})}
	cmd := exec.CommandContext(context.Background(), program, s3Command) //nolint:gosec // this program itself
	cmd.Dir = s.home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	// The settings go where other users of the machine cannot see them, unlike
	// arguments. The pipe then stays open: its end tells the server of ours, also
	// where the kernel has no death signal.
	input, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the S3 server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the S3 server: %w", err)
	}
	s.setPID(cmd.Process.Pid)
	defer s.setPID(0)
	// What a server cannot read that has died is told by its end.
	_ = json.NewEncoder(input).Encode(s3Settings{Dir: s.home, Address: s.address(), AccessKey: s.access, SecretKey: s.secret})

	exited, watched := make(chan struct{}), make(chan error, 1)
	go func() { watched <- s.watch(ctx, cmd.Process, exited, output.ready, ready) }()
	ended := cmd.Wait()
	close(exited)
	if err := <-watched; err != nil {
		return err
	}
	select {
	case <-s.stop:
		return nil
	default:
	}
	if ended == nil {
		ended = errors.New("exit status 0")
	}
	return fmt.Errorf("the S3 server ended (%w); its last words: %s", ended, output)
}

// watch waits until the process is ready and then until it is to stop.
func (s *S3) watch(ctx context.Context, process *os.Process, exited, listens <-chan struct{}, ready func()) error {
	limit := time.NewTimer(s3ReadyTimeout)
	defer limit.Stop()
	var failure error
	select {
	case <-exited:
		return nil
	case <-s.stop:
	case <-ctx.Done():
		failure = fmt.Errorf("start the S3 server: %w", context.Cause(ctx))
	case <-limit.C:
		failure = fmt.Errorf("the S3 server was not ready after %v", s3ReadyTimeout)
	case <-listens:
		ready()
		select {
		case <-exited:
			return nil
		case <-s.stop:
		}
	}
	// An error means that the process is gone already, which exited tells.
	_ = process.Signal(syscall.SIGINT)
	select {
	case <-exited:
		return failure
	case <-time.After(s3StopTimeout):
	}
	_ = process.Kill()
	<-exited
	return failure
}

// announced is output in which the server says that it listens.
type announced struct {
	tail
	once  sync.Once
	ready chan struct{}
}

func (a *announced) Write(output []byte) (int, error) {
	n, err := a.tail.Write(output)
	if bytes.Contains([]byte(a.String()), []byte(s3Listens)) {
		a.once.Do(func() { close(a.ready) })
	}
	return n, err
}

// s3Settings is what the parent writes to the server's standard input.
type s3Settings struct{ Dir, Address, AccessKey, SecretKey string }

// MaybeS3Child returns at once, unless this process was started to be the S3
// server of another: then it is that, and the process ends with it. main calls it
// first of all, and so does TestMain where a test binary starts an S3 server.
func MaybeS3Child() {
	if len(os.Args) != 2 || os.Args[1] != s3Command {
		return
	}
	if err := s3Child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// s3Child runs the server until it is interrupted or its parent has ended.
func s3Child() error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	var settings s3Settings
	if err := json.NewDecoder(os.Stdin).Decode(&settings); err != nil {
		return errors.New("this command is started by chasqui dev and chasqui up, not by hand")
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone, however that ended
		cancel()
	}()
	return serveS3(ctx, settings, func() { fmt.Fprintln(os.Stdout, s3Listens) })
}

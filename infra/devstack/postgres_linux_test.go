package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// childVariable makes this test binary run a server on the folder it names, say
// the server's process id, and wait to be killed. s3Variable has that be S3.
const (
	childVariable = "CHASQUI_DEVSTACK_CHILD"
	s3Variable    = "CHASQUI_DEVSTACK_S3"
)

func TestMain(m *testing.M) {
	MaybeS3Child()
	if dir := os.Getenv(s3Variable); dir != "" {
		s, err := StartS3(context.Background(), S3Config{Dir: dir})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(s.PID())
		<-s.Done()
		os.Exit(1)
	}
	if dir := os.Getenv(childVariable); dir != "" {
		p, err := StartPostgres(context.Background(), PostgresConfig{Dir: dir, Test: true})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(p.PID())
		<-p.Done()
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait; nothing of what is waited for takes a tenth of it on
// an idle machine.
const patience = 90 * time.Second

// folder is a fresh folder that any user may pass through, unlike t.TempDir's.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chasqui-devstack-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, config PostgresConfig) *Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := StartPostgres(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// execute runs a statement over a fresh connection.
func execute(ctx context.Context, p *Postgres, statement string) error {
	conn, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

func mustExecute(t *testing.T, p *Postgres, statement string) {
	t.Helper()
	if err := execute(t.Context(), p, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// eventually fails the test unless the condition becomes true in time.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if !waitUntil(patience, condition) {
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// gone reports whether no process of that id is left, or only a zombie of
// somebody who does not wait.
func gone(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return errors.Is(err, os.ErrNotExist)
}

func TestStartsStopsAndFindsItsDataAgain(t *testing.T) {
	t.Parallel()
	config := PostgresConfig{Dir: filepath.Join(folder(t), "postgres")}
	first := start(t, config)
	pid := first.PID()
	mustExecute(t, first, "CREATE TABLE kept AS SELECT 42 AS answer")
	first.Stop()
	first.Stop() // again, to no effect
	if !gone(pid) {
		t.Fatal("the server still runs after Stop")
	}
	if err := first.Err(); err != nil {
		t.Fatalf("Err after Stop: %v", err)
	}
	second := start(t, config)
	mustExecute(t, second, "SELECT 1/(answer-41) FROM kept")
	if first.DSN() != second.DSN() {
		t.Fatalf("the address changed: %s, then %s", first.DSN(), second.DSN())
	}
}

func TestOtherProgramsCanConnect(t *testing.T) {
	t.Parallel()
	p := start(t, PostgresConfig{Test: true})
	psql := filepath.Join(p.binaries, "psql")
	if _, err := os.Stat(psql); err != nil {
		// The downloaded build has no psql; what it would show, pgx has shown.
		psql, err = exec.LookPath("psql")
		if err != nil {
			mustExecute(t, p, "SELECT 1")
			return
		}
	}
	output, err := exec.CommandContext(t.Context(), psql, p.DSN(), "-Atc", "SELECT current_database()").CombinedOutput()
	if err != nil || strings.TrimSpace(string(output)) != database {
		t.Fatalf("psql: %v: %s", err, output)
	}
}

func TestRestartsItsServerAfterKill(t *testing.T) {
	t.Parallel()
	p := start(t, PostgresConfig{Dir: filepath.Join(folder(t), "postgres")})
	mustExecute(t, p, "CREATE TABLE kept AS SELECT 42 AS answer")
	pid := p.PID()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the table can be read again", func() bool {
		return execute(t.Context(), p, "SELECT * FROM kept") == nil && p.PID() != pid
	})
	p.Stop()
	if err := p.Err(); err != nil {
		t.Fatalf("Err after Stop: %v", err)
	}
}

func TestGivesUpOnAServerThatCannotStart(t *testing.T) {
	t.Parallel()
	p := start(t, PostgresConfig{Dir: filepath.Join(folder(t), "postgres")})
	control := filepath.Join(p.cluster, "global", "pg_control")
	if err := os.Rename(control, control+".away"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatal("it does not give up")
	}
	if p.Err() == nil {
		t.Fatal("Err is nil although nobody stopped the server")
	}
	p.Stop() // returns
	// The folder is free again, and whole once its file is back.
	if err := os.Rename(control+".away", control); err != nil {
		t.Fatal(err)
	}
	mustExecute(t, start(t, p.config), "SELECT 1")
}

func TestAServerForTestsStaysDead(t *testing.T) {
	t.Parallel()
	p := start(t, PostgresConfig{Test: true})
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Err() == nil {
		t.Fatal("Err is nil although nobody stopped the server")
	}
	if _, err := os.Stat(p.home); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("its temporary folder is still there: %v", err)
	}
}

func TestRefusesAFolderInUse(t *testing.T) {
	t.Parallel()
	config := PostgresConfig{Dir: filepath.Join(folder(t), "postgres"), Test: true}
	p := start(t, config)
	if _, err := StartPostgres(t.Context(), config); !errors.Is(err, ErrLocked) {
		t.Fatalf("second start: %v, want ErrLocked", err)
	}
	mustExecute(t, p, "SELECT 1") // undisturbed
}

func TestStartStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(folder(t), "postgres")
	if _, err := StartPostgres(ctx, PostgresConfig{Dir: dir, Test: true}); !errors.Is(err, context.Canceled) {
		t.Fatalf("start with an ended context: %v", err)
	}
	start(t, PostgresConfig{Dir: dir, Test: true}) // what is left is no hindrance
}

// startChild runs a server in another process and returns that process and the
// server's process id.
func startChild(t *testing.T, dir string) (*exec.Cmd, int) {
	t.Helper()
	return startChildOf(t, childVariable, dir)
}

func startChildOf(t *testing.T, variable, dir string) (*exec.Cmd, int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), variable+"="+dir)
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("child says %q", line)
	}
	return child, pid
}

func TestNoServerOutlivesItsKilledParent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), "postgres")
	child, pid := startChild(t, dir)
	if gone(pid) {
		t.Fatal("the child's server does not run")
	}
	// A backend in the middle of a query must not keep the server alive.
	p := &Postgres{socket: socketFolder(dir)}
	conn, err := pgx.Connect(t.Context(), p.DSN())
	if err != nil {
		t.Fatal(err)
	}
	busy := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "SELECT pg_sleep(600)")
		busy <- err
	}()
	if err := syscall.Kill(-child.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	// The next start need not wait for the old server: it does so itself.
	start(t, PostgresConfig{Dir: dir, Test: true})
	if !gone(pid) {
		t.Fatal("the dead parent's server still runs")
	}
	if err := <-busy; err == nil {
		t.Fatal("the query survived its server")
	}
	conn.Close(t.Context())
}

func TestTheDeathSignalAloneStopsTheServer(t *testing.T) {
	t.Parallel()
	child, pid := startChild(t, filepath.Join(folder(t), "postgres"))
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	eventually(t, "the server has ended", func() bool { return gone(pid) })
}

func TestStartsWhereParentAndServerWereKilledTogether(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), "postgres")
	child, pid := startChild(t, dir)
	if err := errors.Join(child.Process.Kill(), syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	p := start(t, PostgresConfig{Dir: dir, Test: true})
	mustExecute(t, p, "SELECT 1")
}

// TestStopsAnOrphanedServer starts a server that no death signal reaches.
func TestStopsAnOrphanedServer(t *testing.T) {
	t.Parallel()
	config := PostgresConfig{Dir: filepath.Join(folder(t), "postgres"), Test: true}
	p := start(t, config)
	p.Stop()
	if err := p.makeSocketFolder(); err != nil {
		t.Fatal(err)
	}
	orphan := p.command(t.Context(), "postgres", p.settings()...)
	orphan.SysProcAttr.Pdeathsig = 0
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	eventually(t, "the orphan is ready", func() bool { return p.isReady(orphan.Process.Pid) })
	second := start(t, config)
	if err := <-ended; err != nil {
		t.Fatalf("the orphan was not stopped cleanly: %v", err)
	}
	mustExecute(t, second, "SELECT 1")
}

// TestIgnoresStrangersInPostmasterPid covers process ids that came to mean
// somebody else, and zombies nobody waits for: PostgreSQL refuses to start over
// both.
func TestIgnoresStrangersInPostmasterPid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"stranger", "zombie"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := PostgresConfig{Dir: filepath.Join(folder(t), "postgres"), Test: true}
			p := start(t, config)
			pidFile := filepath.Join(p.cluster, "postmaster.pid")
			content, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatal(err)
			}
			p.Stop()

			arguments := []string{"600"}
			if name == "zombie" {
				arguments = []string{"0"}
			}
			other := p.command(t.Context(), "sleep", arguments...)
			if other.Path, err = exec.LookPath("sleep"); err != nil {
				t.Fatal(err)
			}
			other.Err = nil
			if err := other.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = other.Process.Kill(), other.Wait() }()
			if name == "zombie" {
				eventually(t, "the child is a zombie", func() bool { return gone(other.Process.Pid) })
			}
			_, rest, _ := strings.Cut(string(content), "\n")
			stale := strconv.Itoa(other.Process.Pid) + "\n" + rest
			if err := os.WriteFile(pidFile, []byte(stale), 0o600); err != nil {
				t.Fatal(err)
			}
			second := start(t, config)
			mustExecute(t, second, "SELECT 1")
			if err := other.Process.Signal(syscall.Signal(0)); err != nil {
				t.Fatalf("the stranger was harmed: %v", err)
			}
		})
	}
}

func TestMakesAHalfMadeClusterAnew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), "postgres")
	if err := os.MkdirAll(filepath.Join(dir, "cluster.new", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	mustExecute(t, start(t, PostgresConfig{Dir: dir, Test: true}), "SELECT 1")
}

func TestRefusesAnotherVersionsCluster(t *testing.T) {
	t.Parallel()
	config := PostgresConfig{Dir: filepath.Join(folder(t), "postgres"), Test: true}
	p := start(t, config)
	p.Stop()
	if err := os.WriteFile(filepath.Join(p.cluster, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := StartPostgres(t.Context(), config)
	if err == nil || !strings.Contains(err.Error(), "PG_BIN") {
		t.Fatalf("start on another version's data: %v", err)
	}
}

func TestALongPathHasItsSocketElsewhere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), strings.Repeat("long/", 30))
	p := start(t, PostgresConfig{Dir: dir, Test: true})
	t.Cleanup(func() { os.RemoveAll(p.socket) })
	mustExecute(t, p, "SELECT 1")
	if strings.HasPrefix(p.socket, dir) {
		t.Fatalf("the socket is in %s", p.socket)
	}
}

// TestWorksBelowAClosedFolder is root's case: the server's user cannot enter
// root's home. Others own what they start and stay in place.
func TestWorksBelowAClosedFolder(t *testing.T) {
	t.Parallel()
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	config := PostgresConfig{Dir: filepath.Join(closed, "data", "postgres"), Test: true}
	p := start(t, config)
	t.Cleanup(func() { os.RemoveAll(p.home) })
	mustExecute(t, p, "CREATE TABLE kept AS SELECT 42 AS answer")
	p.Stop()
	info, err := os.Lstat(config.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if moved := info.Mode().Type() == os.ModeSymlink; moved != (os.Geteuid() == 0) {
		t.Fatalf("moved elsewhere: %v, as user %d", moved, os.Geteuid())
	}
	mustExecute(t, start(t, config), "SELECT 1/(answer-41) FROM kept")
}

func TestSweepsWhatDeadTestRunsLeft(t *testing.T) {
	t.Parallel()
	parent, long := folder(t), time.Now().Add(-time.Hour)
	dead, held, young := filepath.Join(parent, testPrefix+"1"), filepath.Join(parent, testPrefix+"2"), filepath.Join(parent, testPrefix+"3")
	for _, home := range []string{dead, held, young} {
		lock, err := TakeLock(filepath.Join(home, "lock"))
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Release()
		if home != held {
			lock.Release()
		}
		if home != young {
			if err := os.Chtimes(home, long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := &Postgres{}
	sweep(p.log, parent)
	for home, want := range map[string]bool{dead: false, held: true, young: true} {
		if _, err := os.Stat(home); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", filepath.Base(home), err == nil, want)
		}
	}
}

// TestTheDownloadedBuildRuns is part of the long suite: it fetches 23 MB.
func TestTheDownloadedBuildRuns(t *testing.T) {
	if os.Getenv("CHASQUI_LONG") == "" {
		t.Skip("CHASQUI_LONG is not set")
	}
	defer http.DefaultClient.CloseIdleConnections()
	bin, err := download(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PG_BIN", bin)
	mustExecute(t, start(t, PostgresConfig{Test: true}), "SELECT 1")
}

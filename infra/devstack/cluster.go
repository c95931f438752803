package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// createCluster runs initdb where there is no cluster yet. It works beside and
// renames at the end, so that a kill in the middle leaves no half cluster.
func (p *Postgres) createCluster(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(p.cluster, "PG_VERSION")); err == nil {
		return p.checkVersion(ctx)
	}
	fresh := p.cluster + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove half-made cluster: %w", err)
	}
	if err := p.owner.mkdir(fresh); err != nil {
		return err
	}
	// Access to the socket's folder is what authenticates; TCP is refused should
	// anybody ever open it. The C locale exists everywhere and sorts bytes.
	arguments := []string{"-D", fresh, "-U", superuser, "-E", "UTF8", "--no-locale",
		"--auth-local=trust", "--auth-host=reject"}
	if p.config.Test {
		arguments = append(arguments, "--no-sync")
	}
	runtime.LockOSThread() // see supervise
	defer runtime.UnlockOSThread()
	if output, err := p.command(ctx, "initdb", arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("create PostgreSQL cluster: %w: %s", errors.Join(err, context.Cause(ctx)), bytes.TrimSpace(output))
	}
	if err := os.Rename(fresh, p.cluster); err != nil {
		return fmt.Errorf("create PostgreSQL cluster: %w", err)
	}
	return nil
}

// checkVersion refuses binaries of another major version than the cluster's,
// with words that say more than the server's own.
func (p *Postgres) checkVersion(ctx context.Context) error {
	content, err := os.ReadFile(filepath.Join(p.cluster, "PG_VERSION"))
	if err != nil {
		return fmt.Errorf("read cluster's version: %w", err)
	}
	output, err := p.command(ctx, "postgres", "--version").Output()
	if err != nil {
		return fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
	fields := strings.Fields(string(output))
	if len(fields) < 3 {
		return fmt.Errorf("ask PostgreSQL for its version: unexpected answer %q", output)
	}
	have, _, _ := strings.Cut(fields[2], ".")
	if want := strings.TrimSpace(string(content)); have != want {
		return fmt.Errorf("the data in %s were made by PostgreSQL %s, but %s is version %s: set PG_BIN to the bin folder of a PostgreSQL %s, or move the data away",
			p.cluster, want, p.binaries, have, want)
	}
	return nil
}

func (p *Postgres) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.dsn("postgres"))
	if err != nil {
		return fmt.Errorf("connect to embedded PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&exists); err != nil {
		return fmt.Errorf("look for database: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}

// settings are the server's arguments. All of them stand here and none in the
// cluster's own files, so that a new version of chasqui changes them at once.
func (p *Postgres) settings() []string {
	values := []string{
		"listen_addresses=",
		"port=" + socketPort,
		"unix_socket_directories=" + p.socket,
		// Enough for one of each role beside `dev`'s own (16 connections a pool),
		// and for the parallel tests of a machine with many cores.
		"max_connections=300",
		"timezone=UTC",
		// Shared memory as files of the cluster: a container's /dev/shm is small, and
		// what a killed server left there would stay when its cluster is removed.
		"dynamic_shared_memory_type=mmap",
		// Just-in-time compilation costs more than it gives for queries that take
		// a millisecond.
		"jit=off",
		// Errors go to the client that caused them. LOG lines rank below FATAL.
		"log_min_messages=fatal",
		"log_min_error_statement=panic",
	}
	if p.config.Test {
		values = append(values,
			"fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off",
			"max_wal_size=4GB", "checkpoint_timeout=1h")
	}
	arguments := []string{"-D", p.cluster}
	for _, value := range values {
		arguments = append(arguments, "-c", value)
	}
	return arguments
}

// command prepares one of PostgreSQL's programs to run as the server's owner, in
// its folder, apart from our process group (Ctrl-C is ours to order) and to die
// with us. Environment variables such as PGOPTIONS are not passed on.
func (p *Postgres) command(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.binaries, name), arguments...) //nolint:gosec // PostgreSQL's own programs, from where the operator keeps them
	cmd.Dir = p.home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.owner.credential}
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

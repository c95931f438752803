package devstack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// relocated is where root keeps clusters that their server's user cannot
	// reach in place. Not the temporary folder: systemd-tmpfiles deletes from
	// /var/tmp what nobody touched for 30 days.
	relocated = "/var/lib/chasqui"

	// testPrefix begins the names of test servers' folders, whichever process
	// they are of; sweep removes those whose process is dead.
	testPrefix = "chasqui-test-"

	// memory is where Linux has files in memory.
	memory = "/dev/shm"

	// A test cluster starts at 40 MB and grows with its databases and WAL.
	testSpace = 512 << 20

	// maxSocketPath is what fits into sockaddr_un, without the final zero, on the
	// systems chasqui runs on: 107 on Linux, 103 on the BSDs and macOS.
	maxSocketPath = 103
)

// owner is the user who runs the server: PostgreSQL refuses to run as root.
type owner struct {
	name       string
	credential *syscall.Credential // nil: ourselves
}

// serverOwner is ourselves or, as root, the user postgres if there is one, else
// nobody.
func serverOwner() (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			continue
		}
		return owner{name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return owner{}, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it: create one, run as another user, or set DATABASE_URL")
}

// mkdir makes a folder that only the owner may enter.
func (o owner) mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	if o.credential == nil {
		return nil
	}
	if err := os.Chown(path, int(o.credential.Uid), int(o.credential.Gid)); err != nil {
		return fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	return nil
}

// persistentHome makes config.Dir and returns it without symbolic links, which
// is how the kernel tells a process's working folder.
func (p *Postgres) persistentHome() (string, error) {
	dir, err := filepath.Abs(p.config.Dir)
	if err != nil {
		return "", fmt.Errorf("find PostgreSQL's folder: %w", err)
	}
	mode := os.FileMode(0o700)
	if p.owner.credential != nil {
		mode = 0o711 // the server's user passes through
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return "", fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	home, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("find PostgreSQL's folder: %w", err)
	}
	if p.canEnter(home) {
		return home, nil
	}
	// A folder with something in it stays where it is: what it holds is
	// somebody's messages.
	if err := os.Remove(dir); err != nil {
		return "", fmt.Errorf("the user %s, who runs PostgreSQL, cannot enter %s: give others the x right on every folder above it, or use another --data folder", p.owner.name, home)
	}
	parent := relocated
	if strings.HasPrefix(dir, os.TempDir()+string(filepath.Separator)) {
		parent = os.TempDir() // what was to be temporary stays so
	}
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return "", fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	home, err = os.MkdirTemp(parent, "chasqui-data-")
	if err != nil {
		return "", fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	if err := os.Chmod(home, mode); err != nil {
		return "", fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	if !p.canEnter(home) {
		os.Remove(home)
		return "", fmt.Errorf("the user %s, who runs PostgreSQL, can enter neither %s nor %s: use another --data folder", p.owner.name, dir, parent)
	}
	if err := os.Symlink(home, dir); err != nil {
		return "", fmt.Errorf("link PostgreSQL's folder: %w", err)
	}
	p.log.Info("PostgreSQL's data are kept elsewhere, because its user cannot enter the data folder",
		"user", p.owner.name, "folder", home)
	return home, nil
}

// canEnter tries as the server's owner; file modes alone do not tell (ACLs,
// network and FUSE mounts). Go changes the user before the folder when it
// starts a process.
func (p *Postgres) canEnter(dir string) bool {
	if p.owner.credential == nil {
		return true
	}
	cmd := p.command(context.Background(), "postgres", "--version")
	cmd.Dir = dir
	return cmd.Run() == nil
}

// temporaryHome makes a fresh folder for a test server, in memory if there is
// room, and clears away those of dead processes.
func (p *Postgres) temporaryHome() (string, error) {
	for _, parent := range []string{memory, os.TempDir()} {
		sweep(p.log, parent)
	}
	home, err := TestFolder(testSpace)
	if err != nil {
		return "", fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	if err := os.Chmod(home, 0o711); err != nil {
		return "", fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	return filepath.EvalSymlinks(home)
}

// TestFolder makes a folder for what a test server stores, in memory where that
// has so many bytes free. Who holds the lock in it (TakeLock) keeps it; the start of
// a later test server removes it once that is free.
func TestFolder(space uint64) (string, error) {
	parent := os.TempDir()
	if freeBytes(memory) >= space {
		parent = memory
	}
	return os.MkdirTemp(parent, testPrefix)
}

// sweep removes test servers' folders that a killed process left: those whose
// lock is free. Folders younger than ten seconds may not have their lock yet.
//
// Failure policy: what cannot be removed is left for the next sweep.
func sweep(log *slog.Logger, parent string) {
	homes, _ := filepath.Glob(filepath.Join(parent, testPrefix+"*"))
	for _, home := range homes {
		info, err := os.Lstat(home)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < 10*time.Second {
			continue
		}
		lock, err := TakeLock(filepath.Join(home, "lock"))
		if err != nil {
			continue
		}
		old := &Postgres{log: log, cluster: filepath.Join(home, "cluster")}
		if old.evict() == nil {
			os.RemoveAll(home)
		}
		lock.Release()
	}
}

// socketFolder is where the server's unix socket goes: beside the cluster, or,
// where that path is longer than a socket's may be (or has a comma, which the
// server takes for a list), in the temporary folder, under a name that stays the
// same from start to start.
func socketFolder(home string) string {
	socket := filepath.Join(home, "socket")
	if len(socket)+len("/.s.PGSQL."+socketPort) > maxSocketPath || strings.Contains(socket, ",") {
		sum := sha256.Sum256([]byte(home))
		socket = filepath.Join(os.TempDir(), "chasqui-"+hex.EncodeToString(sum[:8]))
	}
	return socket
}

// makeSocketFolder makes the socket's folder anew: a stale lock file beside the
// socket would hinder the start like a stale postmaster.pid, and in the temporary
// folder anybody could have made a folder of that name.
func (p *Postgres) makeSocketFolder() error {
	if err := os.RemoveAll(p.socket); err != nil {
		return fmt.Errorf("make PostgreSQL's socket folder: %w", err)
	}
	return p.owner.mkdir(p.socket)
}

package devstack

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The embedded PostgreSQL's folder in a data directory, and the server's data in
// that.
const postgresFolder, clusterFolder = "postgres", "cluster"

// Data is an opened data directory: everything that dev and up keep between two
// runs. One live process at a time has it open.
type Data struct {
	dir  string
	lock *Lock
}

// OpenData opens the data directory, creating it when it is missing. When
// another live process has it open, the error is ErrLocked.
func OpenData(dir string) (*Data, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	// Others may pass through but not look around: PostgreSQL's user may be
	// another. The files inside are closed to them.
	if err := os.MkdirAll(absolute, 0o711); err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	lock, err := TakeLock(filepath.Join(absolute, "lock"))
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("data directory %s: %w: stop the other chasqui, or choose another directory with --data", absolute, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	return &Data{dir: absolute, lock: lock}, nil
}

// Close lets another process open the directory.
func (d *Data) Close() { d.lock.Release() }

// HasPostgres tells whether there is an embedded PostgreSQL's data in a data
// directory.
func HasPostgres(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, postgresFolder, clusterFolder))
	return err == nil || errors.Is(err, os.ErrPermission)
}

// RunningDSN is the address of the embedded PostgreSQL that another process runs
// in a data directory.
func RunningDSN(dir string) (string, error) {
	absolute, err := filepath.Abs(filepath.Join(dir, postgresFolder))
	if err != nil {
		return "", fmt.Errorf("find PostgreSQL's folder: %w", err)
	}
	home, err := filepath.EvalSymlinks(absolute)
	if err != nil {
		return "", fmt.Errorf("find PostgreSQL's folder: %w", err)
	}
	return (&Postgres{socket: socketFolder(home)}).DSN(), nil
}

// PostgresDir is where the embedded PostgreSQL belongs.
func (d *Data) PostgresDir() string { return filepath.Join(d.dir, postgresFolder) }

// APIKey is the key that was generated when it was first asked for: 256 random
// bits in hex.
func (d *Data) APIKey() (string, error) { return d.keep("api-key", 32) }

// encryptionFile holds the key that was generated for a data directory.
const encryptionFile = "encryption-key"

// EncryptionKey is the key that was generated when it was first asked for: 256
// random bits in hex.
func (d *Data) EncryptionKey() (string, error) { return d.keep(encryptionFile, 32) }

// KeptEncryptionKey is the key that dev has generated in a data directory; "" where
// it has not.
func KeptEncryptionKey(dir string) (string, error) {
	content, err := os.ReadFile(filepath.Join(dir, encryptionFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", encryptionFile, err)
	}
	return strings.TrimSpace(string(content)), nil
}

// Owner names whoever runs on this directory, the same from start to start: 64
// random bits in hex. Since the directory's lock is held, whatever a process of
// that name still claims is a dead predecessor's.
func (d *Data) Owner() (string, error) { return d.keep("owner", 8) }

// S3Dir is where the embedded S3 server belongs.
func (d *Data) S3Dir() string { return filepath.Join(d.dir, "s3") }

func (d *Data) keep(name string, size int) (string, error) { return keep(d.dir, name, size) }

// keep returns the content of the folder's file of that name, which is random hex
// (of size bytes) from its creation on.
func keep(dir, name string, size int) (string, error) {
	path := filepath.Join(dir, name)
	content, err := os.ReadFile(path)
	if value := strings.TrimSpace(string(content)); err == nil && value != "" {
		return value, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	random := make([]byte, size)
	_, _ = rand.Read(random) // never fails
	value := hex.EncodeToString(random)
	return value, writeFile(path, []byte(value+"\n"))
}

// writeFile puts a file in place by rename, synced, readable by its owner alone:
// after a crash it is there whole or not at all.
func writeFile(path string, content []byte) error {
	// CreateTemp makes it 0600.
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

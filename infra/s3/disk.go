package s3

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// disk syncs the filesystem that a directory is on.
type disk struct {
	// The file stays open: the kernel reports failed writes since its opening.
	dir *os.File

	begun atomic.Uint64 // how many syncs have begun

	mu  sync.Mutex // held by the one sync that runs
	err error      // of the latest sync
}

func openDisk(path string) (*disk, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the directory to sync: %w", err)
	}
	return &disk{dir: dir}, nil
}

// sync returns when what was written before the call is on the disk. Callers that
// wait while one sync runs share the next.
func (d *disk) sync() error {
	before := d.begun.Load()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.begun.Load() > before {
		return d.err // it began after our call, and is over
	}
	d.begun.Add(1)
	if d.err = syncFilesystem(d.dir); d.err != nil {
		d.err = fmt.Errorf("sync the filesystem: %w", d.err)
	}
	return d.err
}

func (d *disk) close() { d.dir.Close() }

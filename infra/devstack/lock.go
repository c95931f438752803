package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// ErrLocked says that another live process works in the folder.
var ErrLocked = errors.New("another process is using it")

// Lock is an exclusive hold on a folder, for as long as this process lives: the
// kernel drops it with the process, however that ends.
type Lock struct {
	file *os.File
	once sync.Once
}

// TakeLock takes the lock that the file at path stands for, creating file and
// folder where they are missing. It does not wait: a lock held by another
// process, or by this one, is ErrLocked.
func TakeLock(path string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("lock %s: %w", filepath.Dir(path), err)
	}
	return &Lock{file: file}, nil
}

// Release gives the lock up. The file stays: removing it would let two processes
// lock two files of the same name. Release may be called more than once.
func (l *Lock) Release() {
	l.once.Do(func() { l.file.Close() })
}

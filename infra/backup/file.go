package backup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Create makes a file of what write writes: whole, synced and readable by its owner alone, or not at all. It replaces nothing: an older
// backup may be the only good one. While it is written it has a hidden name beside its own.
func Create(path string, write func(io.Writer) error) (err error) {
	if err := vacant(path); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return fmt.Errorf("create backup: %w", err)
	}
	defer os.Remove(file.Name()) // unless it has got its name
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	if err := vacant(path); err != nil { // it took a while
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("write backup: %w", err)
	}
	return syncFolder(folder)
}

// syncFolder makes the file's name last through a loss of power.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

func vacant(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return fmt.Errorf("%s exists already: choose another --file, or move it away; a backup is never overwritten", path)
	case errors.Is(err, os.ErrNotExist):
		return nil
	}
	return fmt.Errorf("create backup: %w", err)
}

// OpenSource opens a file for Open, which reads it twice; what comes through a pipe is kept, encrypted as it is, in a temporary file that
// has no name any more.
func OpenSource(path string, stdin io.Reader) (*os.File, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open backup: %w", err)
		}
		return file, nil
	}
	file, err := os.CreateTemp("", "chasqui-restore-*")
	if err != nil {
		return nil, fmt.Errorf("keep standard input: %w", err)
	}
	_ = os.Remove(file.Name())
	_, err = io.Copy(file, stdin)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keep standard input: %w", err), file.Close())
	}
	return file, nil
}

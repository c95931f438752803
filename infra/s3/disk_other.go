//go:build unix && !linux

package s3

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFilesystem syncs every filesystem, for want of syncfs.
func syncFilesystem(*os.File) error { return unix.Sync() }

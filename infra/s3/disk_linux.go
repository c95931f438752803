package s3

import (
	"os"

	"golang.org/x/sys/unix"
)

func syncFilesystem(dir *os.File) error { return unix.Syncfs(int(dir.Fd())) }

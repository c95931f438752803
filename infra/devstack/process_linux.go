package devstack

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithParent has the kernel interrupt the process when the thread that forked
// it ends. For PostgreSQL, SIGINT is a fast shutdown.
func dieWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGINT }

// isServer reports whether process pid is a live PostgreSQL server on the
// cluster, which it works in. A zombie has no working folder any more.
func isServer(pid int, cluster string) bool {
	folder, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil || folder != cluster {
		return false
	}
	return commandName(pid) == "postgres"
}

// isGo reports whether process pid is the go command.
func isGo(pid int) bool { return commandName(pid) == "go" }

// commandName is the file name of the program that process pid runs, "" when
// there is no such process.
func commandName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

// sharedMemoryInUse reports whether any process is attached to the System V
// segment. PostgreSQL's backends stay attached until they end, and a new server
// refuses to start before.
func sharedMemoryInUse(id int) bool {
	var segment unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &segment); err != nil {
		return false
	}
	return segment.Nattch > 0
}

// freeBytes is the space an unprivileged user may still take at path, 0 when
// there is no such folder.
func freeBytes(path string) uint64 {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return 0
	}
	return stat.Bavail * uint64(stat.Bsize)
}

//go:build unix && !linux

package devstack

import (
	"os"
	"strings"
	"syscall"
)

// Outside Linux the kernel has no death signal: a server orphaned by kill -9
// lives on until the next start on its folder stops it.
func dieWithParent(*syscall.SysProcAttr) {}

// isServer goes by the process id alone, for want of /proc.
func isServer(pid int, _ string) bool { return syscall.Kill(pid, 0) == nil }

// sharedMemoryInUse leaves the check to PostgreSQL, which makes it as well.
func sharedMemoryInUse(int) bool { return false }

// freeBytes is asked for memory only, which is Linux's.
func freeBytes(string) uint64 { return 0 }

// isGo goes by where `go run` puts the programs that it runs.
func isGo(int) bool {
	program, err := os.Executable()
	return err == nil && strings.Contains(program, "go-build")
}

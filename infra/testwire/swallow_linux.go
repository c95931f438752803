package testwire

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// swallow makes the kernel drop all that comes in on a socket before TCP sees it, so that nothing is acknowledged, or ends that.
func swallow(socket syscall.Conn, on bool) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return // closed
	}
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	_ = raw.Control(func(fd uintptr) {
		if on {
			_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
		} else {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) // an error where there is none
		}
	})
}

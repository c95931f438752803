package devstack

import (
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// port is a TCP port of 127.0.0.1 that is kept free for a child to listen on, so
// that the child can be started again at the same address.
type port struct {
	number int
	socket int // -1: none
}

// reservePort finds a free port and, on Linux, binds a socket to it that never
// listens. The kernel then gives the port to nobody who asks for any free one,
// while a socket with SO_REUSEADDR, as Go's listeners are, can be bound and listen
// there. Other systems would refuse that, so there the port is only known to have
// been free.
func reservePort() (*port, error) {
	syscall.ForkLock.RLock() // no child inherits the socket
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(socket)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	p := &port{socket: socket}
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		p.release()
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		p.release()
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	bound, err := unix.Getsockname(socket)
	if err != nil {
		p.release()
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	p.number = bound.(*unix.SockaddrInet4).Port
	if runtime.GOOS != "linux" {
		p.release()
	}
	return p, nil
}

func (p *port) release() {
	if p.socket >= 0 {
		_ = unix.Close(p.socket)
		p.socket = -1
	}
}

// Package tcp notices that the other side of a connection has vanished.
package tcp

import (
	"context"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// UserTimeout makes the connections of a net.Dialer, as its ControlContext, end when what was sent has not been acknowledged for d (TCP_USER_TIMEOUT,
// tcp(7)); else that takes the system a quarter of an hour. It does nothing where the system is not Linux.
func UserTimeout(d time.Duration) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, network, _ string, raw syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		var err error
		if refused := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		}); refused != nil {
			return refused
		}
		return err
	}
}

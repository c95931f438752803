package connector

import (
	"context"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// control sets how long a connection waits for what was sent to be acknowledged, a quarter of an hour else.
func control(_ context.Context, network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	if refused := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanishTimeout.Milliseconds()))
	}); refused != nil {
		return refused
	}
	return err
}

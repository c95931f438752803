//go:build !linux

// Package tcp notices that the other side of a connection has vanished.
package tcp

import (
	"context"
	"syscall"
	"time"
)

// UserTimeout does nothing: the system is not Linux.
func UserTimeout(time.Duration) func(context.Context, string, string, syscall.RawConn) error {
	return func(context.Context, string, string, syscall.RawConn) error { return nil }
}

//go:build !linux

package connector

import (
	"context"
	"syscall"
)

func control(context.Context, string, string, syscall.RawConn) error { return nil }

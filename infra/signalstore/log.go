package signalstore

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	libsignal "go.mau.fi/libsignal/logger"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	waLog "go.mau.fi/whatsmeow/util/log"
)

// libsignal makes its logger with its first line, without a lock: a data race between the first two clients of a process; and that logger
// prints to the standard output.
func init() {
	var log libsignal.Loggable = cipherLog{}
	libsignal.Setup(&log)
}

// cipherLog takes what libsignal logs. Its errors, why a ciphertext or a session is of no use, come up whenever an older session is tried
// first, and whatsmeow logs those that matter: here they are debug. Its debug lines print keys and MACs as they are, and are dropped.
type cipherLog struct{ log *slog.Logger } // nil: slog.Default at the time

func (cipherLog) Debug(_, _ string)            {}
func (l cipherLog) Info(caller, msg string)    { l.write(caller, msg) }
func (l cipherLog) Warning(caller, msg string) { l.write(caller, msg) }
func (l cipherLog) Error(caller, msg string)   { l.write(caller, msg) }
func (cipherLog) Configure(string)             {}

func (l cipherLog) write(caller, msg string) {
	log := l.log
	if log == nil {
		log = slog.Default()
	}
	if len(msg) > longest {
		msg = msg[:longest] + "..."
	}
	log.Debug(msg, "module", "libsignal", "at", caller)
}

// SlogLogger adapts a logger for whatsmeow. Contents of messages and keys do not pass: a stanza is logged as its tag, id and type, bytes
// and long strings as their length, structures as their type; the modules that log every stanza (Recv and Send) are silent. What whatsmeow
// calls information ("Successfully authenticated", "Uploading 50 new prekeys") is debug here: who runs many sessions reads their states. So
// are the errors of its module Socket, which only say that a connection broke: whoever connects logs why it does so again.
func SlogLogger(log *slog.Logger) waLog.Logger { return logger{log: log, errors: slog.LevelError} }

type logger struct {
	log    *slog.Logger
	errors slog.Level
}

func (l logger) Errorf(msg string, args ...any) { l.write(l.errors, msg, args) }
func (l logger) Warnf(msg string, args ...any)  { l.write(slog.LevelWarn, msg, args) }
func (l logger) Infof(msg string, args ...any)  { l.write(slog.LevelDebug, msg, args) }
func (l logger) Debugf(msg string, args ...any) { l.write(slog.LevelDebug, msg, args) }

// Sub implements waLog.Logger.
func (l logger) Sub(module string) waLog.Logger {
	if module == "Recv" || module == "Send" {
		return waLog.Noop
	}
	errors := l.errors
	if module == "Socket" {
		errors = slog.LevelDebug
	}
	return logger{l.log.With("module", module), errors}
}

// longest is what a string or an error may have: JIDs, ids and most errors are shorter, while a frame with a message in it, which whatsmeow
// logs in hexadecimal when it cannot be read, is longer.
const longest = 200

func (l logger) write(level slog.Level, msg string, args []any) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	safe := make([]any, len(args))
	for i, arg := range args {
		safe[i] = redact(arg)
	}
	l.log.Log(ctx, level, fmt.Sprintf(msg, safe...))
}

func redact(arg any) any {
	switch v := arg.(type) {
	case waBinary.Node:
		return redact(&v)
	case *waBinary.Node:
		if v == nil {
			return "no stanza"
		}
		return fmt.Sprintf("<%s id=%v type=%v>", v.Tag, v.Attrs["id"], v.Attrs["type"])
	case []byte:
		if bytes.HasPrefix(v, []byte("goroutine ")) {
			return v // the stack of a panic
		}
		return fmt.Sprintf("%d bytes", len(v))
	case error:
		if s := v.Error(); len(s) > longest {
			return s[:longest] + "..."
		}
		return v
	case nil, types.JID, *types.JID, []types.JID, time.Time:
		return v
	}
	switch value := reflect.ValueOf(arg); value.Kind() {
	case reflect.String:
		if value.Len() > longest {
			return fmt.Sprintf("%d bytes", value.Len())
		}
	case reflect.Struct, reflect.Pointer, reflect.Map, reflect.Slice, reflect.Array, reflect.Interface, reflect.Func, reflect.Chan:
		return fmt.Sprintf("%T", arg)
	}
	return arg
}

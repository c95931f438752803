// Chasqui is a self-hosted WhatsApp gateway: REST in, signed webhooks out, and a
// durable pipeline on PostgreSQL between them. This file is the command line; it
// reads the settings; roles.go wires the parts together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/chasqui/chasqui/infra/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// A command is one word after `chasqui`, with its settings.
type command struct {
	name, summary string
	run           func(ctx context.Context, arguments []string, getenv func(string) string, out, errOut io.Writer) error
}

// errUsage marks mistakes of the caller's, which end with status 2.
var errUsage = errors.New("usage")

func commands() []command {
	return []command{
		define("dev", "everything at once, with a simulated WhatsApp and no phone", runDev),
		define("up", "everything at once, with the real WhatsApp", runUp),
		define("api", "the HTTP API alone", runAPI),
		define("connector", "the WhatsApp sessions alone; run as many as you like", runConnector),
		define("dispatcher", "the event log and the webhooks alone; run as many as you like", runDispatcher),
		define("sandbox", "the simulated WhatsApp alone", runSandbox),
		define("migrate", "bring the database's schema up to date", runMigrate),
		define("healthcheck", "ask a role on this machine whether it works; the exit status tells", runHealthcheck),
		define("openapi", "print the API's description as YAML", runOpenAPI),
	}
}

// define makes a command of a function that takes its settings.
func define[C any](name, summary string, start func(context.Context, *C, io.Writer) error) command {
	return command{name, summary, func(ctx context.Context, arguments []string, getenv func(string) string, out, errOut io.Writer) error {
		settings := new(C)
		err := config.Load(settings, arguments, getenv)
		if errors.Is(err, config.ErrHelp) {
			_, err = fmt.Fprintf(out, "chasqui %s: %s.\n\nSettings, as flags or environment variables:\n\n%s", name, summary, config.Usage(settings))
			return err
		}
		if err != nil {
			return fmt.Errorf("%w: chasqui %s cannot start:\n%w", errUsage, name, err)
		}
		slog.SetDefault(newLogger(settings, name, errOut))
		return start(ctx, settings, out)
	}}
}

// newLogger logs text for a person in dev and up, JSON lines elsewhere.
func newLogger(settings any, name string, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{}
	if s, ok := settings.(interface{ Level() slog.Level }); ok {
		options.Level = s.Level()
	}
	if name == "dev" || name == "up" {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options)).With("role", name)
}

// run is main without the process: it returns the exit status.
func run(ctx context.Context, arguments []string, getenv func(string) string, out, errOut io.Writer) int {
	name := "help"
	if len(arguments) > 0 {
		name, arguments = arguments[0], arguments[1:]
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		asked := slices.Contains([]string{"help", "-h", "-help", "--help"}, name)
		if !asked {
			fmt.Fprintf(errOut, "chasqui: there is no command %q.\n\n", name)
			out = errOut
		}
		fmt.Fprint(out, "Usage: chasqui <command> [flags]\n\n")
		for _, c := range all {
			fmt.Fprintf(out, "  %-12s %s\n", c.name, c.summary)
		}
		fmt.Fprint(out, "\nchasqui <command> --help lists its settings.\n")
		if !asked {
			return 2
		}
		return 0
	}
	err := all[i].run(ctx, arguments, getenv, out, errOut)
	switch {
	case err == nil, ctx.Err() != nil && errors.Is(err, context.Canceled):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(errOut, strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
		return 2
	}
	fmt.Fprintf(errOut, "chasqui %s: %v\n", name, err)
	return 1
}

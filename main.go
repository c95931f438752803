// Chasqui is a self-hosted WhatsApp gateway: REST in, signed webhooks out, and a
// durable pipeline on PostgreSQL between them. This file is the command line; it
// only reads settings and wires the parts together.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/chasqui/chasqui/api"
	"github.com/chasqui/chasqui/connector"
	"github.com/chasqui/chasqui/dispatcher"
	"github.com/chasqui/chasqui/infra/config"
	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/telemetry"
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
		define("dev", "everything at once, with a simulated WhatsApp and no phone", dev),
		define("up", "everything at once, with the real WhatsApp", up),
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

// dev is the whole stack with a simulated WhatsApp, unless it is to use another.
func dev(ctx context.Context, c *config.Dev, out io.Writer) error {
	// On this machine, the receiver under development is what webhooks are for.
	c.WebhookAllowCIDRs = append(c.WebhookAllowCIDRs, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	var simulated *sandbox.Config
	if c.WhatsAppURL == "" {
		simulated = &sandbox.Config{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.SandboxPort))}
	}
	return runStack(ctx, c.Stack, simulated, out)
}

// up is the whole stack with the real WhatsApp.
func up(ctx context.Context, c *config.Up, out io.Writer) error {
	return runStack(ctx, c.Stack, nil, out)
}

// runStack runs every role in this process, PostgreSQL as its child, and the
// sandbox when there is a configuration for it.
func runStack(ctx context.Context, c config.Stack, simulated *sandbox.Config, out io.Writer) error {
	ctx, cancel := devstack.WithGoRun(ctx)
	defer cancel()
	data, err := devstack.OpenData(c.Data)
	if err != nil {
		return err
	}
	defer data.Close()
	if err := devstack.RemoveReady(c.ReadyFile); err != nil {
		return err
	}
	if c.APIKey == "" {
		if c.APIKey, err = data.APIKey(); err != nil {
			return err
		}
	}
	owner, err := data.Owner()
	if err != nil {
		return err
	}
	var group devstack.Group
	defer group.Stop()
	var databaseEnded <-chan struct{} // never, when it is not ours
	if c.DatabaseURL == "" {
		database, err := devstack.StartPostgres(ctx, devstack.PostgresConfig{Dir: data.PostgresDir(), Logger: slog.Default()})
		if err != nil {
			return err
		}
		group.OnStop(database.Stop)
		c.DatabaseURL, databaseEnded = database.DSN(), database.Done()
	}
	if err := migrate(ctx, c.DatabaseURL); err != nil {
		return err
	}
	ready := devstack.Ready{APIKey: c.APIKey, DatabaseURL: c.DatabaseURL, WhatsAppURL: c.WhatsAppURL, WhatsAppRootKey: hex.EncodeToString(c.WhatsAppRootKey)}
	if simulated != nil {
		simulated.DSN = c.DatabaseURL
		if err := startSandbox(ctx, &group, *simulated, &ready); err != nil {
			return err
		}
		root, _ := hex.DecodeString(ready.WhatsAppRootKey)
		c.WhatsAppURL, c.WhatsAppRootKey = ready.WhatsAppURL, root
	}
	metrics := newMetrics()
	// The data directory's lock is ours: whoever had our name before is dead.
	sessions := connector.New(connector.Config{
		DSN: c.DatabaseURL, Owner: owner, TakeOver: true, Capacity: c.Capacity,
		WhatsAppURL: c.WhatsAppURL, WhatsAppRootKey: c.WhatsAppRootKey, Metrics: metrics,
	})
	if err := group.Start(ctx, "connector", sessions); err != nil {
		return err
	}
	deliveries := dispatcher.New(dispatcher.Config{
		DSN: c.DatabaseURL, Owner: owner, TakeOver: true, Guard: newGuard(c.Webhooks), RetentionDays: c.EventDays, Metrics: metrics,
	})
	if err := group.Start(ctx, "dispatcher", deliveries); err != nil {
		return err
	}
	if err := startHealth(ctx, &group, c.Health, metrics, sessions.Healthy, deliveries.Healthy); err != nil {
		return err
	}
	if err := startAPI(ctx, &group, c.DatabaseURL, c.HTTP, c.Listener, c.Webhooks, metrics, &ready); err != nil {
		return err
	}
	if err := devstack.Answers(ctx, ready.URL+"/readyz"); err != nil {
		return fmt.Errorf("wait for the API: %w", err)
	}
	if simulated != nil {
		if err := data.Demo(ctx, ready); err != nil {
			return err
		}
	}
	if err := ready.Write(c.ReadyFile); err != nil {
		return err
	}
	ready.Announce(out, simulated != nil)
	select {
	case <-ctx.Done():
		return nil
	case <-databaseEnded:
		return errors.New("the embedded PostgreSQL has ended and cannot be started again; the log says why")
	}
}

func runAPI(ctx context.Context, c *config.API, _ io.Writer) error {
	if err := devstack.RemoveReady(c.ReadyFile); err != nil {
		return err
	}
	if err := postgresAnswers(ctx, c.DatabaseURL); err != nil {
		return err
	}
	var group devstack.Group
	defer group.Stop()
	ready := devstack.Ready{APIKey: c.APIKey, DatabaseURL: c.DatabaseURL}
	if err := startAPI(ctx, &group, c.DatabaseURL, c.HTTP, c.Listener, c.Webhooks, newMetrics(), &ready); err != nil {
		return err
	}
	return wait(ctx, c.Listener, ready)
}

func runConnector(ctx context.Context, c *config.Connector, _ io.Writer) error {
	if err := postgresAnswers(ctx, c.DatabaseURL); err != nil {
		return err
	}
	var group devstack.Group
	defer group.Stop()
	metrics := newMetrics()
	sessions := connector.New(connector.Config{
		DSN: c.DatabaseURL, Capacity: c.Capacity, WhatsAppURL: c.WhatsAppURL, WhatsAppRootKey: c.WhatsAppRootKey, Metrics: metrics,
	})
	if err := group.Start(ctx, "connector", sessions); err != nil {
		return err
	}
	if err := startHealth(ctx, &group, c.Health, metrics, sessions.Healthy); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func runDispatcher(ctx context.Context, c *config.Dispatcher, _ io.Writer) error {
	if err := postgresAnswers(ctx, c.DatabaseURL); err != nil {
		return err
	}
	var group devstack.Group
	defer group.Stop()
	metrics := newMetrics()
	deliveries := dispatcher.New(dispatcher.Config{DSN: c.DatabaseURL, Guard: newGuard(c.Webhooks), RetentionDays: c.EventDays, Metrics: metrics})
	if err := group.Start(ctx, "dispatcher", deliveries); err != nil {
		return err
	}
	if err := startHealth(ctx, &group, c.Health, metrics, deliveries.Healthy); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func runSandbox(ctx context.Context, c *config.Sandbox, _ io.Writer) error {
	if err := devstack.RemoveReady(c.ReadyFile); err != nil {
		return err
	}
	if err := postgresAnswers(ctx, c.DatabaseURL); err != nil {
		return err
	}
	var group devstack.Group
	defer group.Stop()
	ready := devstack.Ready{DatabaseURL: c.DatabaseURL}
	address := net.JoinHostPort(cmp.Or(c.Host, "127.0.0.1"), strconv.Itoa(c.SandboxPort))
	if err := startSandbox(ctx, &group, sandbox.Config{DSN: c.DatabaseURL, Addr: address}, &ready); err != nil {
		return err
	}
	return wait(ctx, c.Listener, ready)
}

func runMigrate(ctx context.Context, c *config.Migrate, _ io.Writer) error {
	if err := postgresAnswers(ctx, c.DatabaseURL); err != nil {
		return err
	}
	return migrate(ctx, c.DatabaseURL)
}

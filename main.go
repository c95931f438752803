// Chasqui is a self-hosted WhatsApp gateway: REST in, signed webhooks out, and a
// durable pipeline on PostgreSQL between them. This file is the command line:
// it reads the settings and wires the roles together.
package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // for windows of sessions: the image has no time zones

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/chasqui/chasqui/api"
	"github.com/chasqui/chasqui/api/mcp"
	"github.com/chasqui/chasqui/connector"
	"github.com/chasqui/chasqui/dispatcher"
	"github.com/chasqui/chasqui/infra/backup"
	"github.com/chasqui/chasqui/infra/chaos"
	"github.com/chasqui/chasqui/infra/config"
	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/keyring"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/readiness"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/telemetry"
	"github.com/chasqui/chasqui/infra/trace"
)

func main() {
	devstack.MaybeS3Child() // the embedded S3 server is this program again
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
	all := []command{
		define("dev", "everything at once, with a simulated WhatsApp and no phone", runDev),
		define("up", "everything at once, with the real WhatsApp", runUp),
		define("api", "the HTTP API alone", runAPI),
		define("connector", "the WhatsApp sessions alone; run as many as you like", runConnector),
		define("dispatcher", "the event log and the webhooks alone; run as many as you like", runDispatcher),
		define("sandbox", "the simulated WhatsApp alone", runSandbox),
		define("migrate", "bring the database's schema up to date", runMigrate),
		define("rekey", "bring all that is sealed under the first key of ENCRYPTION_KEY", runRekey),
		define("backup", "write all sessions with their keys into one encrypted file", runBackup),
		define("restore", "bring the sessions of a backup back; they reconnect without a QR code", runRestore),
		define("healthcheck", "ask a role on this machine whether it works; the exit status tells", runHealthcheck),
		define("mcp", "tools for assistants, by the Model Context Protocol over standard input and output", runMCP),
		define("openapi", "print the API's description as YAML", runOpenAPI),
	}
	if chaos.Included {
		all = append(all, define("chaos", "break everything in turn under a load, and count what was lost", chaos.Run))
	}
	return all
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

// newLogger logs text where a person watches, JSON lines elsewhere.
func newLogger(settings any, name string, out io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{}
	if s, ok := settings.(interface{ Level() slog.Level }); ok {
		options.Level = s.Level()
	}
	traces := func(h slog.Handler) slog.Handler { return h }
	if s, ok := settings.(interface{ Traced() bool }); ok && s.Traced() {
		traces = telemetry.LogTraces
	}
	if slices.Contains([]string{"dev", "up", "rekey", "backup", "restore", "chaos"}, name) {
		return slog.New(traces(slog.NewTextHandler(out, options)))
	}
	return slog.New(traces(slog.NewJSONHandler(out, options))).With("role", name)
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

// A process is what runs in this one: one role, or all of them.
type process struct {
	devstack.Group
	dsn     string
	keys    *seal.Keys // nil: nothing is sealed
	s3      *s3.Store
	owner   string // what is in the names of this process's claims and leases; "": fresh random names
	metrics *prometheus.Registry
	tracer  *trace.Tracer     // nil: no traces are made
	checks  []readiness.Check // of the roles that have no HTTP service of their own
	ready   devstack.Ready
}

// newProcess is given the role, or "all".
func newProcess(dsn string, keys *seal.Keys, role string) *process {
	p := &process{dsn: dsn, keys: keys, metrics: prometheus.NewRegistry(), ready: devstack.Ready{DatabaseURL: dsn}}
	p.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chasqui_build_info", Help: "1: which version runs.", ConstLabels: prometheus.Labels{"role": role, "version": version()},
	}, func() float64 { return 1 }))
	return p
}

// name is the owner that a role gives for itself.
func (p *process) name(role string) string {
	if p.owner == "" {
		return ""
	}
	return role + "-" + p.owner
}

// startTracing comes first, so that it stops last.
func (p *process) startTracing(ctx context.Context, c config.Tracing, role string) error {
	if !c.Traced() {
		return nil
	}
	t, err := telemetry.StartTracing(ctx, telemetry.TracingConfig{
		Endpoint: c.OTLPEndpoint, Headers: c.OTLPHeaders, Ratio: c.TraceRatio, Role: role, Version: version(),
	})
	if err != nil {
		return err
	}
	p.tracer = t.Tracer
	p.OnStop("tracing", t.Stop)
	return nil
}

func (p *process) startSandbox(ctx context.Context, host string, c config.Simulation) error {
	cfg := sandbox.Config{
		DSN: p.dsn, Addr: net.JoinHostPort(cmp.Or(host, "127.0.0.1"), strconv.Itoa(c.SandboxPort)), ProxyAddr: c.SandboxProxyAddr, Transcript: 1000,
	}
	if c.SandboxTranscript != "" {
		// Who talked to whom is nobody else's business.
		file, err := os.OpenFile(c.SandboxTranscript, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("open the sandbox's transcript: %w", err)
		}
		p.OnStop("transcript", func(context.Context) error { return file.Close() })
		cfg.TranscriptTo = file
	}
	s := sandbox.New(cfg)
	if err := s.Start(ctx); err != nil {
		return err
	}
	p.OnStop("sandbox", func(context.Context) error { s.Stop(); return nil })
	if c.SandboxCAFile != "" {
		// A certificate is no secret; whoever is to trust it has to read it.
		if err := os.WriteFile(c.SandboxCAFile, s.CA(), 0o644); err != nil { //nolint:gosec // G306: see above
			return fmt.Errorf("write the sandbox's certificate: %w", err)
		}
	}
	root := s.RootKey()
	p.ready.SandboxProxyURL = s.ProxyURL()
	p.ready.SandboxURL, p.ready.WhatsAppURL, p.ready.WhatsAppRootKey = s.URL(), s.WhatsAppURL(), hex.EncodeToString(root[:])
	return nil
}

// openS3 opens the store of media; syncDir is where the embedded server keeps its data, "" for any other.
func (p *process) openS3(ctx context.Context, c config.ObjectStore, syncDir string) (err error) {
	p.s3, err = s3.Open(ctx, s3.Config{
		Endpoint: c.S3Endpoint, Bucket: c.S3Bucket, AccessKey: c.S3AccessKey, SecretKey: c.S3SecretKey, Region: c.S3Region, PublicURL: c.S3PublicURL,
		SyncDir: syncDir, Logger: slog.Default(),
	})
	if err != nil {
		return err
	}
	p.OnStop("object store", func(context.Context) error { p.s3.Close(); return nil })
	p.ready.S3Endpoint, p.ready.S3Bucket = c.S3Endpoint, c.S3Bucket
	return nil
}

func (p *process) startConnector(ctx context.Context, w config.WhatsApp, c config.Connecting, n config.Networks, public config.Public) error {
	s := connector.New(connector.Config{
		DSN: p.dsn, Owner: p.name("connector"), TakeOver: p.owner != "", Capacity: c.Capacity,
		WhatsAppURL: w.WhatsAppURL, WhatsAppRootKey: w.WhatsAppRootKey, PublicURL: public.Base(), Guard: guard(n), S3: p.s3, Keys: p.keys, Metrics: p.metrics,
		Tracer: p.tracer,
	})
	if err := s.Start(ctx); err != nil {
		return err
	}
	p.OnStop("connector", s.Stop)
	p.checks = append(p.checks, s.Checks()...)
	return nil
}

func (p *process) startDispatcher(ctx context.Context, c config.Dispatching) error {
	s := dispatcher.New(dispatcher.Config{
		DSN: p.dsn, Owner: p.name("dispatcher"), TakeOver: p.owner != "", Guard: guard(c.Networks), S3: p.s3, Keys: p.keys,
		WhatsAppURL: c.WhatsAppURL, PublicURL: c.Base(), MediaMaxBytes: c.MaxBytes(), MediaRetention: time.Duration(c.MediaDays) * 24 * time.Hour,
		Retention: time.Duration(c.EventDays) * 24 * time.Hour, Version: version(), Metrics: p.metrics,
		Tracer: p.tracer,
	})
	if err := s.Start(ctx); err != nil {
		return err
	}
	p.OnStop("dispatcher", func(ctx context.Context) error { s.Stop(ctx); return nil })
	p.checks = append(p.checks, s.Checks()...)
	return nil
}

// startAPI starts the API; role is the configuration of the whole process, which it shows.
func (p *process) startAPI(ctx context.Context, c config.Serving, role any, listener net.Listener) error {
	if len(c.APIKey) < 16 {
		slog.Warn("API_KEY is short enough to be guessed; make one with: openssl rand -hex 32")
	}
	s, err := api.New(api.Config{
		DSN: p.dsn, Addr: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), Listener: listener, APIKey: c.APIKey, PublicURL: c.PublicURL,
		WebhookURL: c.WebhookURL, RateLimit: c.RateLimit, SessionRateLimit: c.SessionRateLimit, Guard: guard(c.Networks), S3: p.s3, Keys: p.keys, MediaMaxBytes: c.MaxBytes(), Metrics: p.metrics, Version: version(),
		MessageExpiry: c.Expiry(), SignalSchema: connector.SignalSchema, MCPMaySend: c.MCPMaySend, SandboxURL: c.SandboxURL, Settings: settingsInForce(role), Tracer: p.tracer,
	})
	if err != nil {
		return fmt.Errorf("start api: %w", err)
	}
	if err := s.Start(ctx); err != nil {
		return fmt.Errorf("start api: %w", err)
	}
	p.OnStop("api", s.Stop)
	p.ready.URL, p.ready.APIKey = devstack.LocalURL(s.Addr().String()), c.APIKey
	return nil
}

// startHealth answers for the roles that have no HTTP service of their own.
func (p *process) startHealth(ctx context.Context, c config.Health) error {
	if c.MetricsAddr == "" {
		return nil
	}
	s := telemetry.New(telemetry.Config{Addr: c.MetricsAddr, Checks: p.checks, Profiles: c.Profiles, Metrics: p.metrics})
	if err := s.Start(ctx); err != nil {
		return err
	}
	p.OnStop("health", s.Stop)
	slog.Info("health and metrics", "address", s.Addr().String())
	return nil
}

// warnPlain says that nothing is sealed.
func warnPlain(keys *seal.Keys) {
	if keys == nil {
		slog.Warn("ENCRYPTION_KEY is not set: webhook secrets and WhatsApp's credentials are stored as they are; make one with: openssl rand -hex 32")
	}
}

// alone runs what start starts until ctx ends.
func alone(ctx context.Context, role, dsn string, keys *seal.Keys, readyFile string, start func(*process) error) error {
	if err := devstack.RemoveReady(readyFile); err != nil {
		return err
	}
	if dsn != "" { // the sandbox needs none
		if err := postgres.Await(ctx, dsn); err != nil {
			return err
		}
	}
	p := newProcess(dsn, keys, role)
	defer p.Stop()
	if err := start(p); err != nil {
		return err
	}
	if err := p.ready.Write(readyFile); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func runAPI(ctx context.Context, c *config.API, _ io.Writer) error {
	warnPlain(c.EncryptionKey)
	return alone(ctx, "api", c.DatabaseURL, c.EncryptionKey, c.ReadyFile, func(p *process) error {
		if err := p.startTracing(ctx, c.Tracing, "api"); err != nil {
			return err
		}
		if err := p.openS3(ctx, c.ObjectStore, ""); err != nil {
			return err
		}
		return p.startAPI(ctx, c.Serving, c, nil)
	})
}

func runConnector(ctx context.Context, c *config.Connector, _ io.Writer) error {
	warnPlain(c.EncryptionKey)
	return alone(ctx, "connector", c.DatabaseURL, c.EncryptionKey, "", func(p *process) error {
		if err := p.startTracing(ctx, c.Tracing, "connector"); err != nil {
			return err
		}
		if err := p.openS3(ctx, c.ObjectStore, ""); err != nil {
			return err
		}
		if err := p.startConnector(ctx, c.WhatsApp, c.Connecting, c.Networks, c.Public); err != nil {
			return err
		}
		return p.startHealth(ctx, c.Health)
	})
}

func runDispatcher(ctx context.Context, c *config.Dispatcher, _ io.Writer) error {
	warnPlain(c.EncryptionKey)
	return alone(ctx, "dispatcher", c.DatabaseURL, c.EncryptionKey, "", func(p *process) error {
		if err := p.startTracing(ctx, c.Tracing, "dispatcher"); err != nil {
			return err
		}
		if err := p.openS3(ctx, c.ObjectStore, ""); err != nil {
			return err
		}
		if err := p.startDispatcher(ctx, c.Dispatching); err != nil {
			return err
		}
		return p.startHealth(ctx, c.Health)
	})
}

func runSandbox(ctx context.Context, c *config.Sandbox, out io.Writer) error {
	return alone(ctx, "sandbox", c.DatabaseURL, nil, c.ReadyFile, func(p *process) error {
		if err := p.startSandbox(ctx, c.Host, c.Simulation); err != nil {
			return err
		}
		kept := "in PostgreSQL"
		if c.DatabaseURL == "" {
			kept = "in memory: it ends with this process"
		}
		fmt.Fprintf(out, "\nSandbox    %s (control API, and the phone page in a browser)\nWhatsApp   %s\nRoot key   %s\n", p.ready.SandboxURL,
			p.ready.WhatsAppURL, p.ready.WhatsAppRootKey)
		if p.ready.SandboxProxyURL != "" {
			fmt.Fprintf(out, "Proxy      %s\n", p.ready.SandboxProxyURL)
		}
		fmt.Fprintf(out, "State      %s\n\n", kept)
		return nil
	})
}

// runDev is the whole stack with a simulated WhatsApp, unless it is to use another.
func runDev(ctx context.Context, c *config.Dev, out io.Writer) error {
	// On this machine, the receiver under development is what webhooks are for.
	c.WebhookAllowCIDRs = append(c.WebhookAllowCIDRs, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	c.Host = cmp.Or(c.Host, "127.0.0.1")
	if c.WhatsAppURL != "" {
		return stack(ctx, c.Stack, nil, true, out)
	}
	return stack(ctx, c.Stack, &c.Simulation, true, out)
}

// runUp is the whole stack with the real WhatsApp.
func runUp(ctx context.Context, c *config.Up, out io.Writer) error {
	return stack(ctx, c.Stack, nil, false, out)
}

// stack runs every role in this process, with PostgreSQL as its child, and the sandbox where there are settings for it. Where there is no encryption
// key, makesKey makes one, which is kept in the data directory.
func stack(ctx context.Context, c config.Stack, simulation *config.Simulation, makesKey bool, out io.Writer) error {
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
	dir := ""
	if makesKey {
		if _, err := data.EncryptionKey(); err != nil {
			return err
		}
	}
	if makesKey || c.DatabaseURL == "" {
		dir = c.Data
	}
	if c.EncryptionKey, err = keptKey(c.EncryptionKey, dir); err != nil {
		return err
	}
	warnPlain(c.EncryptionKey)
	owner, err := data.Owner()
	if err != nil {
		return err
	}
	var databaseEnded <-chan struct{} // nil, hence never, when it is not ours
	if c.DatabaseURL == "" {
		database, err := devstack.StartPostgres(ctx, devstack.PostgresConfig{Dir: data.PostgresDir(), Logger: slog.Default()})
		if err != nil {
			return err
		}
		defer database.Stop()
		c.DatabaseURL, databaseEnded = database.DSN(), database.Done()
	}
	if err := runMigrate(ctx, &config.Migrate{Database: c.Database}, out); err != nil {
		return err
	}
	var objectsEnded <-chan struct{} // likewise
	syncDir := ""
	if c.S3Endpoint == "" {
		objects, err := devstack.StartS3(ctx, devstack.S3Config{Dir: data.S3Dir(), Logger: slog.Default()})
		if err != nil {
			return err
		}
		defer objects.Stop()
		c.S3Endpoint, c.S3AccessKey, c.S3SecretKey, objectsEnded = objects.Endpoint(), objects.AccessKey(), objects.SecretKey(), objects.Done()
		if simulation == nil {
			syncDir = objects.Dir()
		}
	}
	// The API's address stands in what the others write, so it is settled before they start.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = listener.Close() }() // the API has closed it, unless the start failed before
	c.Port = listener.Addr().(*net.TCPAddr).Port
	p := newProcess(c.DatabaseURL, c.EncryptionKey, "all")
	defer p.Stop()
	// The data directory's lock is ours, so whoever had these names before is dead.
	p.owner = owner
	if objectsEnded != nil { // a key to what nobody else has, for whoever looks with another client
		p.ready.S3AccessKey, p.ready.S3SecretKey = c.S3AccessKey, c.S3SecretKey
	}
	p.ready.WhatsAppURL, p.ready.WhatsAppRootKey = c.WhatsAppURL, hex.EncodeToString(c.WhatsAppRootKey)
	if simulation != nil {
		if err := p.startSandbox(ctx, "", *simulation); err != nil {
			return err
		}
		c.WhatsAppURL, c.SandboxURL = p.ready.WhatsAppURL, p.ready.SandboxURL
		if c.WhatsAppRootKey, err = hex.DecodeString(p.ready.WhatsAppRootKey); err != nil {
			return err
		}
	}
	for _, start := range []func() error{
		func() error { return p.startTracing(ctx, c.Tracing, "all") },
		func() error { return p.openS3(ctx, c.ObjectStore, syncDir) },
		func() error { return p.startConnector(ctx, c.WhatsApp, c.Connecting, c.Networks, c.Public) },
		func() error {
			return p.startDispatcher(ctx, config.Dispatching{
				Public: c.Public, WhatsApp: c.WhatsApp, Media: c.Media, MediaKeeping: c.MediaKeeping, Networks: c.Networks, Retention: c.Retention,
			})
		},
		func() error { return p.startHealth(ctx, c.Health) },
		func() error { return p.startAPI(ctx, c.Serving, &c, listener) },
		func() error { return devstack.Answers(ctx, p.ready.URL+"/readyz") },
	} {
		if err := start(); err != nil {
			return err
		}
	}
	if simulation != nil {
		if err := data.Demo(ctx, p.ready); err != nil {
			return err
		}
	}
	if err := p.ready.Write(c.ReadyFile); err != nil {
		return err
	}
	p.ready.Announce(out, simulation != nil)
	select {
	case <-ctx.Done():
		slog.Info("stopping")
		return nil
	case <-databaseEnded:
		return errors.New("the embedded PostgreSQL has ended and cannot be started again; the log says why")
	case <-objectsEnded:
		return errors.New("the embedded S3 server has ended and cannot be started again; the log says why")
	}
}

// runMigrate brings every part of the schema up to date; the sandbox sees to its own.
func runMigrate(ctx context.Context, c *config.Migrate, _ io.Writer) error {
	if err := postgres.Await(ctx, c.DatabaseURL); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, c.DatabaseURL); err != nil {
		return err
	}
	devices, err := signalstore.Open(ctx, signalstore.Config{DSN: c.DatabaseURL, Schema: connector.SignalSchema, Logger: slog.Default()})
	if err != nil {
		return err
	}
	return errors.Join(devices.Upgrade(ctx), devices.Close())
}

// keptKey is the setting's key, or the one that dev has made in a data directory, if it has; "": there is none to look in.
func keptKey(set *seal.Keys, dir string) (*seal.Keys, error) {
	if set != nil || dir == "" {
		return set, nil
	}
	text, err := devstack.KeptEncryptionKey(dir)
	if err != nil || text == "" {
		return nil, err
	}
	keys, err := seal.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the encryption key in the data directory: %w", err)
	}
	return keys, nil
}

// keyOf is keptKey for a command that uses the database of the setting, or that of the data directory.
func keyOf(set *seal.Keys, dsn, dir string) (*seal.Keys, error) {
	if dsn != "" {
		dir = ""
	}
	return keptKey(set, dir)
}

// runRekey may run beside all roles.
func runRekey(ctx context.Context, c *config.Rekey, out io.Writer) error {
	keys, err := keyOf(c.EncryptionKey, c.DatabaseURL, c.Data)
	if err != nil {
		return err
	}
	return devstack.WithDatabase(ctx, c.DatabaseURL, c.Data, false, func(dsn string) error {
		report, err := keyring.Rekey(ctx, keyring.Config{DSN: dsn, SignalSchema: connector.SignalSchema, Keys: keys})
		report.Print(out)
		return err
	})
}

func runBackup(ctx context.Context, c *config.Backup, out io.Writer) error {
	keys, err := keyOf(c.EncryptionKey, c.DatabaseURL, c.Data)
	if err != nil {
		return err
	}
	return devstack.WithDatabase(ctx, c.DatabaseURL, c.Data, false, func(dsn string) error {
		var s backup.Summary
		write := func(to io.Writer) (err error) {
			s, err = backup.Write(ctx, archive(dsn, c.Archive, keys), to)
			return err
		}
		var err error
		if c.File == "-" {
			err = write(out)
		} else {
			err = backup.Create(c.File, write)
		}
		if err != nil {
			return err
		}
		slog.Info("the backup is complete", "file", c.File, "sessions", len(s.Sessions), "devices", s.Tables["whatsmeow_device"],
			"webhookEndpoints", s.Endpoints, "rows", s.Rows)
		slog.Warn("never run these sessions from here and from a restored backup at the same time: WhatsApp would replace one with the other, " +
			"and messages of both would get lost")
		return nil
	})
}

// runRestore reads the whole file before it touches a database.
func runRestore(ctx context.Context, c *config.Restore, out io.Writer) error {
	source, err := backup.OpenSource(c.File, os.Stdin)
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := backup.Open(archive("", c.Archive, nil), source)
	if err != nil {
		return err
	}
	keys, err := keyOf(c.EncryptionKey, c.DatabaseURL, c.Data)
	if err != nil {
		return err
	}
	return devstack.WithDatabase(ctx, c.DatabaseURL, c.Data, true, func(dsn string) error {
		if err := runMigrate(ctx, &config.Migrate{Database: config.Database{DatabaseURL: dsn}}, out); err != nil {
			return err
		}
		s, err := file.Restore(ctx, archive(dsn, c.Archive, keys), c.Only)
		if err != nil {
			return err
		}
		slog.Info("the backup is restored; connectors take its sessions now, or when they start", "madeAt", file.Header.CreatedAt,
			"sessions", len(s.Sessions), "devices", s.Tables["whatsmeow_device"], "webhookEndpoints", s.Endpoints, "rows", s.Rows)
		slog.Warn("make sure that the original does not run any more: WhatsApp would replace one with the other, and messages of both would get lost")
		return nil
	})
}

func archive(dsn string, a config.Archive, keys *seal.Keys) backup.Config {
	return backup.Config{DSN: dsn, SignalSchema: connector.SignalSchema, Keys: keys, Passphrase: a.Passphrase, Version: version()}
}

// runMCP ends with its client, or with the process.
func runMCP(ctx context.Context, c *config.MCP, _ io.Writer) error {
	return mcp.Serve(ctx, mcp.Config{URL: c.URL, Key: c.APIKey, MaySend: c.MCPMaySend, Version: version()})
}

func runHealthcheck(ctx context.Context, c *config.Healthcheck, _ io.Writer) error {
	address := c.URL
	switch {
	case address != "":
	case c.MetricsAddr != "":
		address = devstack.LocalURL(c.MetricsAddr) + "/readyz"
	default:
		address = devstack.LocalURL(":"+strconv.Itoa(c.Port)) + "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, response.Status)
	}
	return nil
}

func runOpenAPI(_ context.Context, _ *config.None, out io.Writer) error {
	document, err := api.Spec()
	if err != nil {
		return err
	}
	_, err = out.Write(document)
	return err
}

// settingsInForce is the configuration as GET /v1/settings shows it.
func settingsInForce(role any) (shown []api.Setting) {
	for _, v := range config.Values(role) {
		shown = append(shown, api.Setting{Name: v.Name, Value: v.Value, Default: v.Default, Secret: v.Secret, Description: v.Doc})
	}
	return shown
}

func guard(n config.Networks) *netguard.Guard {
	return netguard.New(netguard.Config{Allow: n.WebhookAllowCIDRs})
}

// release is what the image's build sets with -ldflags "-X main.release=v1.2.3".
var release string

// version is the release's, else the module's, or the commit's where it was built from a checkout.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/tests3"
)

// A stack is chasqui as it runs in production: each role a process of its own, on one PostgreSQL; the sandbox stands for WhatsApp.
type stack struct {
	t        *testing.T // the test whose end stops the processes, however deep the subtest that starts one
	dir      string
	pg       *devstack.Postgres
	s3       *tests3.Server
	env      []string
	api      client
	sandbox  client
	receiver *receiver
	apiPort  int
	procs    map[string]*process
}

const apiKey = "e2e-key-which-is-long-enough"

func newStack(t *testing.T) *stack {
	t.Helper()
	return newStackOn(t, tests3.Start(t))
}

// newStackOn is newStack with its media on a given server.
func newStackOn(t *testing.T, objects *tests3.Server) *stack {
	t.Helper()
	dir := openDir(t)
	// fsync stays on: the test stops PostgreSQL at once, and what it had committed has to be there.
	pg, err := devstack.StartPostgres(context.Background(), devstack.PostgresConfig{Dir: filepath.Join(dir, "pg"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	s := &stack{t: t, dir: dir, pg: pg, s3: objects, apiPort: freePort(t), procs: map[string]*process{}, receiver: newReceiver(t)}
	sandboxPort := freePort(t)
	s.api = client{base: fmt.Sprintf("http://127.0.0.1:%d", s.apiPort), key: apiKey}
	s.sandbox = client{base: fmt.Sprintf("http://127.0.0.1:%d", sandboxPort)}
	s.env = []string{
		"DATABASE_URL=" + pg.DSN(), "API_KEY=" + apiKey, fmt.Sprintf("PORT=%d", s.apiPort), fmt.Sprintf("SANDBOX_PORT=%d", sandboxPort),
		"WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", "LOG_LEVEL=info", "METRICS_ADDR=127.0.0.1:0",
		"S3_ENDPOINT=" + objects.Config.Endpoint, "S3_BUCKET=" + objects.Config.Bucket, "S3_ACCESS_KEY=" + objects.Config.AccessKey,
		"S3_SECRET_KEY=" + objects.Config.SecretKey,
	}
	migrate := spawn(t, "migrate", dir, s.env, binary, "migrate")
	migrate.wait(t, time.Minute)
	if code := migrate.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("migrate ended with %d: %s", code, migrate.log.tail(4000))
	}
	readyFile := filepath.Join(dir, "sandbox.json")
	r := spawn(t, "sandbox", dir, s.env, binary, "sandbox", "--ready-file", readyFile)
	s.procs["sandbox"] = r
	info := r.awaitReady(t, readyFile, 30*time.Second)
	s.env = append(s.env, "WHATSAPP_URL="+info.WhatsAppURL, "WHATSAPP_ROOT_KEY="+info.WhatsAppRootKey)
	return s
}

// start runs a role under a name, with more environment than the others have.
func (s *stack) start(name, role string, env ...string) {
	s.procs[name] = spawn(s.t, name, s.dir, slices.Concat(s.env, env), binary, role)
}

// secondAPI starts another api process on a port of its own, and returns the address of both and what starts the second again.
func (s *stack) secondAPI(t *testing.T) (both []client, start func()) {
	t.Helper()
	port := freePort(t)
	start = func() { s.start("api-2", "api", fmt.Sprintf("PORT=%d", port)) }
	start()
	second := client{base: fmt.Sprintf("http://127.0.0.1:%d", port), key: apiKey}
	eventually(t, 30*time.Second, "the second API", func() error { return answers(second.base + "/readyz") })
	return []client{s.api, second}, start
}

// startAll runs one of each role and waits until the API answers.
func (s *stack) startAll(t *testing.T) {
	t.Helper()
	for _, role := range []string{"api", "connector", "dispatcher"} {
		s.start(role, role)
	}
	s.awaitAPI(t)
}

func (s *stack) awaitAPI(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "the API", func() error { return answers(s.api.base + "/readyz") })
}

// subscribe makes the receiver an endpoint with the given order mode.
func (s *stack) subscribe(t *testing.T, order string) {
	t.Helper()
	var e struct{ ID, Secret string }
	s.api.must(t, "POST", "/v1/webhook-endpoints", map[string]any{"url": s.receiver.url(), "order": order}, &e)
	s.receiver.trust(t, e.Secret)
}

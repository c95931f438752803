//go:build linux && !release

package chaos

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chasqui/chasqui/infra/config"
	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testwire"
)

// apiKey opens an API that only this machine reaches, for as long as the run takes.
const apiKey = "chaos-of-a-few-minutes" //nolint:gosec // G101: see above

// stack is chasqui in many processes, and what it needs.
type stack struct {
	cfg        *config.Chaos
	program    string
	dir        string
	forker     *forker
	postgres   *devstack.Postgres
	s3         *devstack.S3
	sandbox    *sandbox.Sandbox
	receiver   *receiver
	api        *client
	processes  []*process
	connectors []*joined
	logs       []*os.File
	stopped    sync.Once
}

// joined is a connector with the networks that lead from it.
type joined struct {
	*process
	whatsApp, database *testwire.Wire
}

// start brings everything up, with its sessions linked and connected.
func start(ctx context.Context, program string, c *config.Chaos) (*stack, error) {
	if c.Data != "" {
		if err := os.MkdirAll(c.Data, 0o755); err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
	}
	dir, err := os.MkdirTemp(c.Data, "chasqui-chaos-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	// The unprivileged user who runs PostgreSQL for root has to enter it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	s := &stack{cfg: c, program: program, dir: dir, forker: newForker()}
	if err := s.bringUp(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w; the logs are in %s", err, dir)
	}
	return s, nil
}

func (s *stack) bringUp(ctx context.Context) (err error) {
	quiet := slog.New(slog.DiscardHandler)
	if s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresConfig{Dir: filepath.Join(s.dir, "postgres"), Logger: quiet}); err != nil {
		return err
	}
	if s.s3, err = devstack.StartS3(ctx, devstack.S3Config{Dir: filepath.Join(s.dir, "s3"), Logger: quiet}); err != nil {
		return err
	}
	s.sandbox = sandbox.New(sandbox.Config{Addr: "127.0.0.1:0", Logger: quiet})
	if err := s.sandbox.Start(ctx); err != nil {
		return err
	}
	if s.receiver, err = newReceiver(); err != nil {
		return err
	}
	if err := s.startRoles(); err != nil {
		return err
	}
	if err := s.api.ready(ctx); err != nil {
		return err
	}
	if err := s.receiver.subscribe(ctx, s.api); err != nil {
		return err
	}
	return s.link(ctx)
}

func (s *stack) startRoles() error {
	ports, err := freePorts(apis)
	if err != nil {
		return err
	}
	s.api = newClient(ports)
	root := s.sandbox.RootKey()
	common := []string{
		"API_KEY=" + apiKey, "RATE_LIMIT=0", "LOG_LEVEL=info", "WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", "PUBLIC_URL=" + s.api.bases[0], "LISTEN_HOST=127.0.0.1",
		"S3_ENDPOINT=" + s.s3.Endpoint(), "S3_ACCESS_KEY=" + s.s3.AccessKey(), "S3_SECRET_KEY=" + s.s3.SecretKey(),
		"WHATSAPP_ROOT_KEY=" + hex.EncodeToString(root[:]), "ENCRYPTION_KEY=" + strings.Repeat("5c", 32),
	}
	direct := append(common, "DATABASE_URL="+s.postgres.DSN(), "WHATSAPP_URL="+s.sandbox.WhatsAppURL())
	migrate, err := s.add("migrate", "migrate", direct)
	if err != nil {
		return err
	}
	<-migrate.ended()
	if !migrate.cmd.ProcessState.Success() {
		return errors.New("migrate failed")
	}
	s.processes = nil
	for i := range connectors {
		j := &joined{}
		s.connectors = append(s.connectors, j)
		var database, whatsApp string
		if j.database, database, err = testwire.OpenDatabase(s.postgres.DSN()); err != nil {
			return err
		}
		if j.whatsApp, whatsApp, err = testwire.OpenServer(s.sandbox.WhatsAppURL()); err != nil {
			return err
		}
		env := append(append([]string(nil), common...), "DATABASE_URL="+database, "WHATSAPP_URL="+whatsApp)
		if j.process, err = s.add(fmt.Sprintf("connector-%d", i+1), "connector", env); err != nil {
			return err
		}
	}
	for i := range dispatchers {
		if _, err := s.add(fmt.Sprintf("dispatcher-%d", i+1), "dispatcher", direct); err != nil {
			return err
		}
	}
	for i, port := range ports {
		env := append(append([]string(nil), direct...), "PORT="+strconv.Itoa(port))
		if _, err := s.add(fmt.Sprintf("api-%d", i+1), "api", env); err != nil {
			return err
		}
	}
	return nil
}

// add starts a process under a name.
func (s *stack) add(name, role string, env []string) (*process, error) {
	log, err := s.logFile(name)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	s.logs = append(s.logs, log)
	p := &process{name: name, argv: []string{s.program, role}, env: env, log: log}
	if err := p.start(s.forker); err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	return p, nil
}

// business is the number of a session's own phone, customer that of one that writes to it; session is its id.
func business(i int) string { return fmt.Sprintf("54911500%05d", i) }
func customer(i int) string { return fmt.Sprintf("54911600%05d", i) }
func session(i int) string  { return fmt.Sprintf("s%03d", i) }

// link makes the phones and the sessions, eight at a time.
func (s *stack) link(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	failed := make([]error, s.cfg.Sessions)
	var work sync.WaitGroup
	turns := make(chan struct{}, 8)
	for i := range s.cfg.Sessions {
		work.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			failed[i] = s.linkOne(ctx, i)
		})
	}
	work.Wait()
	return errors.Join(failed...)
}

func (s *stack) linkOne(ctx context.Context, i int) error {
	for _, n := range []sandbox.NewPhone{{Number: business(i), Name: "Business"}, {Number: customer(i), Name: "Customer"}} {
		if _, _, err := s.sandbox.CreatePhone(ctx, n); err != nil {
			return fmt.Errorf("make phone: %w", err)
		}
	}
	if err := s.api.insist(ctx, http.MethodPost, "/v1/sessions", map[string]string{"id": session(i)}, nil, ""); err != nil {
		return err
	}
	var code struct{ QR string }
	if err := s.api.insist(ctx, http.MethodGet, "/v1/sessions/"+session(i)+"/qr?wait=5", nil, &code, ""); err != nil {
		return err
	}
	if _, err := s.sandbox.Scan(ctx, business(i), code.QR); err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	return poll(ctx, 100*time.Millisecond, func() (bool, error) {
		var now struct{ State string }
		err := s.api.insist(ctx, http.MethodGet, "/v1/sessions/"+session(i), nil, &now, "")
		return now.State == "connected", err
	})
}

// panics counts the panics and data races that the processes have logged.
func (s *stack) panics() (n int) {
	for _, log := range s.logs {
		body, err := os.ReadFile(log.Name())
		if err != nil {
			continue
		}
		for _, sign := range []string{"\npanic: ", "fatal error: ", "DATA RACE", "panicked"} {
			n += bytes.Count(body, []byte(sign))
		}
	}
	return n
}

// stop ends everything that start began.
func (s *stack) stop() {
	s.stopped.Do(func() {
		for _, p := range s.processes {
			if err := p.drain(); err != nil {
				slog.Warn("not stopped in time", "error", err)
			}
		}
		for _, j := range s.connectors {
			for _, w := range []*testwire.Wire{j.whatsApp, j.database} {
				if w != nil {
					w.Close()
				}
			}
		}
		if s.receiver != nil {
			s.receiver.close()
		}
		if s.sandbox != nil {
			s.sandbox.Stop()
		}
		if s.s3 != nil {
			s.s3.Stop()
		}
		if s.postgres != nil {
			s.postgres.Stop()
		}
		for _, log := range s.logs {
			_ = log.Close()
		}
	})
}

// poll asks again and again until it is told true, an error, or ctx ends.
func poll(ctx context.Context, every time.Duration, ask func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// freePorts returns ports that were free a moment ago, for servers that come back on the same ones.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// shortened is the end of an answer, for an error.
func shortened(body []byte) string {
	text := strings.TrimSpace(string(body))
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return text
}

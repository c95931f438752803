// Package sandbox is a local WhatsApp: the protocol server of package server, virtual phones that are linked, written to and looked at
// through an HTTP API, and nothing of it simulated above the wire. A client that is pointed at it by WhatsAppURL and RootKey pairs, logs
// in and exchanges end-to-end encrypted messages exactly as it does with the real service.
//
// A sandbox works in memory. With a database, everything that was answered for is in it (schema sandbox) before the answer leaves: a process
// killed at any line loses nothing. Without one, everything ends with the process.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.mau.fi/whatsmeow"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/sandbox/proxy"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// Schema is the PostgreSQL schema that holds all of the sandbox's state; dropping it is a factory reset.
const Schema = "sandbox"

// socketPath is where WhatsApp's own clients open their WebSocket (whatsmeow socket/constants.go).
const socketPath = "/ws/chat"

// Config says where a sandbox keeps its state and listens.
type Config struct {
	// DSN is the PostgreSQL connection string. One process at a time may run a sandbox on one database. "" keeps everything in memory.
	DSN string
	// Addr is host:port of the one listener for the control API, the WebSocket and media; "" means 127.0.0.1:3001, port 0 picks a free one.
	Addr string
	// ProxyAddr is host:port of the proxy for programs whose addresses of WhatsApp are fixed (package proxy); "" means none, port 0 picks a
	// free one. Like Addr's, it is open to whoever reaches it.
	ProxyAddr string
	// Seed makes the certificate root: the same seed gives the same RootKey, so that clients can be built for it. "" means "chasqui".
	Seed string
	// Transcript is how many of the last stanzas GET /transcript shows, 0 for no transcript; TranscriptTo takes all of them as JSON lines.
	Transcript   int
	TranscriptTo io.Writer
	// Logger takes what happens; nil means slog.Default. Message texts and keys are never logged.
	Logger *slog.Logger
	// QRLife is how long the QR codes of a client that waits to be linked can be scanned; zero fields are whatsmeow's times.
	QRLife server.QRLife
	// RingTime is how long a call rings before it counts as missed; 0 means 60 s.
	RingTime time.Duration
}

// Sandbox is a running local WhatsApp. Make one with New; all methods but Start and Stop want it started.
type Sandbox struct {
	cfg Config
	log *slog.Logger

	startStop sync.Mutex // held by Start and Stop
	started   bool
	stopped   bool

	pool      *pgxpool.Pool // nil without a database
	journal   journal.Journal
	store     *keystore.Container // the phones' Signal state
	server    *server.Server
	listener  net.Listener
	http      *http.Server
	proxy     *proxy.Proxy    // nil without ProxyAddr
	transport *http.Transport // of HTTPClient
	ctx       context.Context // ends with Stop; every phone and long poll lives in it
	cancel    context.CancelFunc
	work      sync.WaitGroup // the HTTP server

	creating sync.Mutex // held while phones are made, over the commit

	mu      sync.Mutex // guards phones
	phones  map[string]*phone
	running sync.WaitGroup // every phone
}

// New returns a sandbox that does nothing until Start.
func New(cfg Config) *Sandbox {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:3001"
	}
	if cfg.Seed == "" {
		cfg.Seed = "chasqui"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Sandbox{cfg: cfg, log: cfg.Logger.With("component", "sandbox"), phones: make(map[string]*phone), transport: &http.Transport{}}
}

// Start prepares the database, listens, and brings back every phone; phones connect in the background. ctx bounds the start alone. A
// second call does nothing; a sandbox that was stopped, or failed to start, cannot be started again.
func (s *Sandbox) Start(ctx context.Context) error {
	s.startStop.Lock()
	defer s.startStop.Unlock()
	if s.stopped {
		return errors.New("the sandbox has been stopped")
	}
	if s.started {
		return nil
	}
	s.started = true
	if err := s.start(ctx); err != nil {
		s.stop()
		return fmt.Errorf("start sandbox: %w", err)
	}
	return nil
}

func (s *Sandbox) start(ctx context.Context) (err error) {
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.journal, err = s.openJournal(ctx); err != nil {
		return err
	}
	s.store = keystore.New(s.journal)
	s.server, err = server.New(ctx, server.Config{
		Journal: s.journal, Loader: s.loadRecord, Seed: s.cfg.Seed, Logger: s.cfg.Logger, MediaRetry: s.mediaRetry, Linked: s.linked,
		Transcript: s.cfg.Transcript, TranscriptTo: s.cfg.TranscriptTo, Notify: s.notify, QRLife: s.cfg.QRLife, RingTime: s.cfg.RingTime,
	})
	if err != nil {
		return err
	}
	if err := trust(s.server.RootKey()); err != nil {
		return err
	}
	if s.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Addr); err != nil {
		return err
	}
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 16,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	for number, p := range s.phones {
		if _, err := s.server.CreateAccount(ctx, number, p.row.Name); err != nil && !errors.Is(err, server.ErrAccountExists) {
			return fmt.Errorf("create account: %w", err)
		}
	}
	s.work.Go(func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.ErrorContext(s.ctx, "sandbox: listener ended", "error", err)
		}
	})
	if err := s.startProxy(ctx); err != nil {
		return err
	}
	for _, p := range s.phones {
		s.running.Go(func() { p.run(s.ctx) })
	}
	return nil
}

func (s *Sandbox) openJournal(ctx context.Context) (journal.Journal, error) {
	if s.cfg.DSN == "" {
		return journal.NewMemory(), nil
	}
	var err error
	if s.pool, err = postgres.Open(ctx, s.cfg.DSN, postgres.Options{Name: "sandbox", MaxConns: 12}); err != nil {
		return nil, err
	}
	return journal.OpenPostgres(ctx, s.pool)
}

// Stop ends every connection, long poll and phone, and waits for them. What was accepted and not yet sent stays in the database for the
// next start. It may be called more than once, and before Start.
func (s *Sandbox) Stop() {
	s.startStop.Lock()
	defer s.startStop.Unlock()
	if !s.stopped {
		s.stop()
	}
}

func (s *Sandbox) stop() {
	s.stopped = true
	if !s.started {
		return
	}
	s.cancel()
	s.transport.CloseIdleConnections()
	s.running.Wait() // first, so that they close their connections by themselves
	if s.http != nil {
		_ = s.http.Close() // cuts what is open; there is nothing to be lost
	} else if s.listener != nil {
		_ = s.listener.Close()
	}
	if s.proxy != nil {
		s.proxy.Close()
	}
	if s.server != nil {
		s.server.Close()
	}
	s.work.Wait()
	if s.journal != nil {
		if err := s.journal.Close(); err != nil {
			s.log.Warn("sandbox: close journal", "error", err)
		}
	}
	if s.pool != nil {
		s.pool.Close()
	}
}

// URL is the base of the control API, http://host:port.
func (s *Sandbox) URL() string { return "http://" + s.dialAddr() }

// WhatsAppURL is what a client is given as WHATSAPP_URL, ws://host:port/ws/chat.
func (s *Sandbox) WhatsAppURL() string { return "ws://" + s.dialAddr() + socketPath }

// RootKey is the public key of the certificate root that a client has to trust in place of WhatsApp's own.
func (s *Sandbox) RootKey() [32]byte { return s.server.RootKey() }

func (s *Sandbox) dialAddr() string { return dialAddr(s.listener.Addr().(*net.TCPAddr)) }

var trusting sync.Mutex

// realRoot is WhatsApp's own certificate root, as whatsmeow ships it.
var realRoot = whatsmeow.WACertPubKey

// trust makes this process's whatsmeow clients accept servers of the given root. whatsmeow keeps the root in one variable of the process,
// read without a lock at every handshake: it is written once, and a second sandbox with another seed is refused.
func trust(root [32]byte) error {
	trusting.Lock()
	defer trusting.Unlock()
	switch whatsmeow.WACertPubKey {
	case root:
		return nil
	case realRoot:
		whatsmeow.WACertPubKey = root
		return nil
	}
	return errors.New("this process already trusts the certificate root of another seed")
}

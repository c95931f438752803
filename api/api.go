// Package api is the HTTP service: sessions, messages, webhook endpoints and the event log, over PostgreSQL alone. It never speaks to WhatsApp
// or to a connector: what a client wants is written into rows and onto the queue, and what came of it is read from rows.
package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/keyring"
	"github.com/chasqui/chasqui/infra/mediainfo"
	"github.com/chasqui/chasqui/infra/mediastore"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/profiling"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/trace"
)

const (
	// databaseBudget bounds the database work of one step of a request, the wait for a connection included. Every transaction here takes
	// milliseconds; one that takes longer means that the database is in trouble, and its client should hear that.
	databaseBudget = 15 * time.Second
	// pollEvery is how often a waiting request looks without having been woken: what a lost wake-up costs.
	pollEvery = time.Second
	// stopTimeout is how long Stop lets requests finish. Those that only wait end at once.
	stopTimeout = 10 * time.Second
)

// Config is what the API needs to know.
type Config struct {
	DSN        string // PostgreSQL, migrated
	Addr       string // host:port to listen on; port 0 picks a free one
	APIKey     string // the one key that opens everything
	PublicURL  string // the API as its clients reach it; empty: as it listens
	WebhookURL string // an endpoint in the original's format that is there from the start; empty: none
	RateLimit  int    // requests a minute and key, over all processes; 0: no limit
	// SessionRateLimit is how many requests a minute one session may be asked for, by all keys together; 0: no limit.
	SessionRateLimit int
	Guard            *netguard.Guard      // judges the URLs of webhook endpoints; nil: one that allows no private network
	S3               *s3.Store            // where the bytes of media are; its owner closes it, after Stop
	Keys             *seal.Keys           // seal secrets in the database and open what is sealed there; nil: they are stored as they are
	Logger           *slog.Logger         // nil: slog's default
	Tracer           *trace.Tracer        // nil: no spans are made
	Metrics          *prometheus.Registry // what /metrics shows, where the API's own are added; nil: a new one
	Version          string               // the program's, for /v1/version
	// MediaMaxBytes bounds a file; 0 means 256 MiB.
	MediaMaxBytes int64
	// MessageExpiry is how long a message without an expiresAt of its own may wait to be sent; 0 means 24 hours.
	MessageExpiry time.Duration
	// Settings is what GET /v1/settings shows. Nothing in it is secret.
	Settings []Setting
	// MCPMaySend lets assistants that use /mcp write, and not only read.
	MCPMaySend bool
	// SignalSchema is the schema of the linked devices' own stores, of which erasing a contact takes what is about him; empty: there are none.
	SignalSchema string
	// SandboxURL is the control interface of the sandbox that stands for WhatsApp; empty: there is none.
	SandboxURL string
	// Listener is listened on instead of Addr, where it is there already.
	Listener net.Listener

	limits limits // of streams; zero: the default
}

// Server is the HTTP service. Make it with New.
type Server struct {
	config    Config
	log       *slog.Logger
	principal [sha256.Size]byte
	guard     *netguard.Guard
	q         *db.Queries

	router    *chi.Mux
	huma      huma.API
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	inFlight  prometheus.Gauge

	large      chan struct{} // holds one for each large body in memory
	saving     chan struct{} // holds one for each file on its way to S3
	looking    chan struct{} // holds one while a file is looked at
	previewing chan struct{} // holds one for each preview of a link that is being made
	carrying   chan struct{} // holds one while a session is exported or imported
	transcoder *mediainfo.Transcoder
	fetcher    *http.Client
	sandbox    *sandboxClient // nil: there is none
	limits     limits
	tail       *tail
	board      statsBoard
	backlog    chan struct{} // one token for each stream that reads the log itself
	streams    *prometheus.GaugeVec
	streamsCut *prometheus.CounterVec

	mu       sync.Mutex
	http     *http.Server // nil: not started
	listener net.Listener
	stopping chan struct{} // closed: whoever waits for news gives up
	address  string        // URL while it runs; requests read it without mu, which Stop holds until they are over
	kick     chan struct{} // capacity 1: there is something to sweep
	running  sync.WaitGroup

	allowances allowances
	failures   failures
	keys       keyCache
	began      time.Time // of the last Start

	pool  *pgxpool.Pool
	queue *queue.DB
	waker *queue.Waker
	store *mediastore.Store
}

// New checks the configuration and lays out the routes. Nothing runs before Start.
func New(config Config) (*Server, error) {
	if config.APIKey == "" {
		return nil, errors.New("the API needs an API key: set API_KEY")
	}
	s := newRoutes()
	s.config = config
	s.principal = sha256.Sum256([]byte(config.APIKey))
	if s.log = config.Logger; s.log == nil {
		s.log = slog.Default()
	}
	if s.guard = config.Guard; s.guard == nil {
		s.guard = netguard.New(netguard.Config{})
	}
	s.config.MessageExpiry = cmp.Or(config.MessageExpiry, 24*time.Hour)
	s.config.MediaMaxBytes = cmp.Or(config.MediaMaxBytes, 256<<20)
	s.fetcher = s.newFetcher()
	s.sandbox = newSandboxClient(config.SandboxURL)
	metrics := config.Metrics
	if metrics == nil {
		metrics = prometheus.NewRegistry()
	}
	if s.limits = config.limits; s.limits == (limits{}) {
		s.limits = defaultLimits
	}
	s.board.init()
	s.tail, s.backlog = newTail(s.limits.tail), make(chan struct{}, backlogReaders)
	for _, c := range []prometheus.Collector{s.requests, s.durations, s.inFlight, s.streams, s.streamsCut} {
		if err := metrics.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	s.router.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	s.router.Handle("/debug/pprof/*", s.withKey(scopeAdmin, profiling.Handler()))
	document, err := s.document()
	if err != nil {
		return nil, err
	}
	asYAML, err := toYAML(document)
	if err != nil {
		return nil, err
	}
	older, err := document30(document)
	if err != nil {
		return nil, err
	}
	s.addAssistants()
	s.router.Method(http.MethodGet, "/openapi.json", documentAsset("application/openapi+json", document))
	s.router.Method(http.MethodGet, "/openapi.yaml", documentAsset("application/openapi+yaml", asYAML))
	s.router.Method(http.MethodGet, "/openapi-3.0.json", documentAsset("application/openapi+json", older))
	return s, nil
}

// newRoutes returns a Server that has its routes and the document of them, and nothing else.
func newRoutes() *Server {
	s := &Server{
		q: db.New(), router: chi.NewRouter(), log: slog.Default(),
		large: make(chan struct{}, largeBodies), saving: make(chan struct{}, savings), looking: make(chan struct{}, 1), previewing: make(chan struct{}, previews), carrying: make(chan struct{}, 1), transcoder: mediainfo.NewTranscoder(""),
	}
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chasqui_http_requests_total", Help: "Requests answered."}, []string{"method", "route", "status"})
	s.durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "chasqui_http_request_duration_seconds", Help: "Time to answer, waiting included.", Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"method", "route"})
	s.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "chasqui_http_requests_in_flight", Help: "Requests being answered."})
	s.streams = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "chasqui_event_streams", Help: "Streams of events that are open."}, []string{"kind"})
	s.streamsCut = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chasqui_event_streams_cut_total", Help: "Streams of events that were cut off because their consumer was too slow."}, []string{"kind"})
	for _, kind := range []string{"sse", "websocket"} {
		s.streams.WithLabelValues(kind)
		s.streamsCut.WithLabelValues(kind)
	}

	r := s.router
	r.Use(identify, s.observe, s.recoverPanics, s.refuseOddURLs, middleware.GetHead)
	r.NotFound(s.notFound)
	r.MethodNotAllowed(s.methodNotAllowed)
	addDashboard(r)
	r.Method(http.MethodGet, "/docs", docsPage)
	r.Method(http.MethodGet, "/docs/", http.RedirectHandler("/docs", http.StatusPermanentRedirect))
	r.Get("/problems/{code}", s.showProblem)
	s.huma = humachi.New(r, humaConfig())
	s.huma.UseMiddleware(s.deprecate, s.authenticate, s.takeBody)
	s.addSystem()
	s.addStats()
	s.addSessions()
	s.addQR()
	s.addLinking()
	s.addSimulated()
	s.addSessionLog()
	s.addMessages()
	s.addReactions()
	s.addMessageActions()
	s.addMessageResults()
	s.addSchedule()
	s.addBatches()
	s.addReceipts()
	s.addMessageMedia()
	s.addTyping()
	s.addHealth()
	s.addChanges()
	s.addContacts()
	s.addChats()
	s.addGroups()
	s.addParticipants()
	s.addGroupInvites()
	s.addGroupPicture()
	s.addProfile()
	s.addPresence()
	s.addCalls()
	s.addStatus()
	s.addChannels()
	s.addMedia()
	s.addMediaList()
	s.addEndpoints()
	s.addDeliveries()
	s.addReplays()
	s.addEvents()
	s.addStreams()
	s.addTickets()
	s.addKeys()
	s.addAudit()
	s.addLinks()
	s.addExport()
	s.addSettings()
	s.addLegacy()
	return s
}

// Start connects to the database, listens and serves until Stop. On a Server that runs it does nothing. A database without this version's
// migrations is an error.
func (s *Server) Start(ctx context.Context) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	pool, err := postgres.Open(ctx, s.config.DSN, postgres.Options{Name: "api", MaxConns: 24})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	if err := postgres.CheckSchema(ctx, pool); err != nil {
		return err
	}
	if err := keyring.Check(ctx, pool, s.config.Keys); err != nil {
		return err
	}
	notifier := queue.NewNotifier(pool)
	defer func() {
		if err != nil {
			notifier.Close()
		}
	}()
	s.pool, s.queue, s.waker = pool, &queue.DB{Pool: pool, Notifier: notifier}, queue.NewWaker(pool.Config().ConnConfig)
	s.store = mediastore.New(mediastore.Config{S3: s.config.S3, Pool: pool, Logger: s.log})
	if err := s.configureEndpoint(ctx); err != nil {
		return err
	}
	listener := s.config.Listener
	if listener == nil {
		if listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.config.Addr); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	s.listener, s.stopping, s.kick = listener, make(chan struct{}), make(chan struct{}, 1)
	s.began, s.address = time.Now(), s.urlLocked()
	s.waker.Start()
	s.http = &http.Server{
		Handler: s.router, ReadHeaderTimeout: s.limits.header, WriteTimeout: s.limits.request, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // broken connections, which are their clients' business
	}
	s.running.Go(func() {
		if err := s.http.Serve(netutil.LimitListener(listener, s.limits.conns)); !errors.Is(err, http.ErrServerClosed) {
			s.log.ErrorContext(ctx, "the API no longer listens", "error", err)
		}
	})
	s.running.Go(s.sweep)
	s.running.Go(s.followLog)
	s.running.Go(s.followKeys)
	s.running.Go(s.followStats)
	s.log.InfoContext(ctx, "api ready", "url", s.urlLocked())
	return nil
}

// Stop ends the service: no new requests, those that wait answer and streams end at once, the others have 10 s (or until ctx ends). It waits for all of it,
// and may be called again.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return nil
	}
	close(s.stopping)
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("end requests: %w", err), s.http.Close())
	}
	s.running.Wait()
	s.fetcher.CloseIdleConnections()
	s.waker.Stop()
	s.queue.Notifier.Close()
	s.pool.Close()
	s.http = nil
	return err
}

// Addr returns the address that the Server listens on, nil before its first Start.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// URL returns the API's base URL without a slash at its end: the public one, or else one by which this machine reaches it.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.urlLocked()
}

func (s *Server) urlLocked() string {
	if s.config.PublicURL != "" {
		return strings.TrimRight(s.config.PublicURL, "/")
	}
	if s.listener == nil {
		return ""
	}
	host, port, _ := net.SplitHostPort(s.listener.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// inTx runs a transaction within the database's budget. With the first that a request commits goes its entry of the audit log.
func (s *Server) inTx(ctx context.Context, fn func(context.Context, *queue.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(callOf(ctx).budget, databaseBudget))
	defer cancel()
	return s.queue.InTx(ctx, func(tx *queue.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		s.audit(ctx, tx)
		return nil
	})
}

// await calls look until it says that it is done, or wait is over, the client has left, or the server stops; each of these is no error, but
// for look's own. It looks at once, when listener is woken, and every second: a wake-up that is lost costs no more than that.
func (s *Server) await(ctx context.Context, listener *queue.Listener, wait time.Duration, look func(context.Context) (done bool, err error)) error {
	over := time.NewTimer(wait)
	defer over.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		step, cancel := context.WithTimeout(ctx, databaseBudget)
		done, err := look(step)
		cancel()
		if done || err != nil {
			return err
		}
		select {
		case <-listener.C():
		case <-poll.C:
		case <-over.C:
			return nil
		case <-s.stopping:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

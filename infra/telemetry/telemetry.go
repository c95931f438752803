// Package telemetry tells the outside how a process is: whether it lives, whether
// it works, and its metrics.
package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chasqui/chasqui/infra/profiling"
	"github.com/chasqui/chasqui/infra/readiness"
)

// Config says where to answer and what.
type Config struct {
	// Addr is host:port; port 0 picks a free one.
	Addr string
	// Checks are what /readyz looks at.
	Checks []readiness.Check
	// Profiles says whether /debug/pprof/ is answered, to anybody who reaches Addr.
	Profiles bool
	// Metrics are what /metrics shows.
	Metrics prometheus.Gatherer
	// Logger takes what goes wrong; nil means slog.Default.
	Logger *slog.Logger
}

// Server answers GET /healthz (200 while the process lives), /readyz (200 while
// the checks say so, else 503) and /metrics (Prometheus's text form). Make one with
// New.
type Server struct {
	config Config
	log    *slog.Logger
	server *http.Server

	mu       sync.Mutex
	listener net.Listener
	serving  sync.WaitGroup
}

// New returns a server that does nothing until Start.
func New(config Config) *Server {
	s := &Server{config: config, log: config.Logger}
	if s.log == nil {
		s.log = slog.Default()
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	routes.HandleFunc("GET /readyz", s.ready)
	routes.Handle("GET /metrics", promhttp.HandlerFor(config.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	write := 30 * time.Second
	if config.Profiles {
		routes.Handle("/debug/pprof/", profiling.Handler())
		write += profiling.Longest
	}
	s.server = &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      write,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 16,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s
}

// Start listens. A second call does nothing.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Addr)
	if err != nil {
		return fmt.Errorf("listen for health and metrics: %w", err)
	}
	s.listener = listener
	s.serving.Go(func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.ErrorContext(ctx, "health and metrics are no longer served", "error", err)
		}
	})
	return nil
}

// Addr is the address it listens on, nil before Start.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Stop lets running requests end, until ctx does, and cuts the others off. It may
// be called more than once, and before Start.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.server.Shutdown(ctx); err != nil {
		s.server.Close()
	}
	s.serving.Wait()
	return nil
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	report := readiness.Look(r.Context(), s.log, s.config.Checks...)
	w.Header().Set("Content-Type", "application/json")
	if report.Status == readiness.Unavailable {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if err := json.NewEncoder(w).Encode(report); err != nil {
		s.log.DebugContext(r.Context(), "answer not written", "error", err)
	}
}

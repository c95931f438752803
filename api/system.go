package api

import (
	"context"
	"time"

	"github.com/chasqui/chasqui/infra/postgres"
)

// readyTimeout bounds /readyz: a load balancer should hear "no" rather than wait.
const readyTimeout = 3 * time.Second

// Health is the answer of the probes.
type Health struct {
	Status string `json:"status" enum:"ok" example:"ok"`
}

// Version is what runs here.
type Version struct {
	Name    string `json:"name" example:"chasqui"`
	Version string `json:"version" doc:"The program's version." example:"0.1.0"`
	API     string `json:"api" doc:"The version of this document." example:"1.0.0"`
}

type healthOutput struct{ Body Health }

func (s *Server) addSystem() {
	register(s, operation{
		method: "GET", path: "/healthz", id: "get-health", tag: "System", status: 200, public: true,
		summary: "Is the process alive?", description: "Answers as long as the process serves requests. Restart it when this fails.",
		response: Health{"ok"},
	}, func(context.Context, *struct{}) (*healthOutput, error) { return &healthOutput{Health{"ok"}}, nil })
	register(s, operation{
		method: "GET", path: "/readyz", id: "get-readiness", tag: "System", status: 200, public: true,
		summary: "Can it work?", description: "Answers 200 when the database is there and has this version's schema, else 503. Send requests elsewhere when this fails.",
		response: Health{"ok"},
	}, s.getReady)
	register(s, operation{
		method: "GET", path: "/v1/version", id: "get-version", tag: "System", status: 200, public: true,
		summary: "Which version runs?", description: "The program's version and the API's.",
		response: Version{"chasqui", "0.1.0", documentVersion},
	}, func(context.Context, *struct{}) (*struct{ Body Version }, error) {
		return &struct{ Body Version }{Version{"chasqui", s.config.Version, documentVersion}}, nil
	})
}

func (s *Server) getReady(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := postgres.CheckSchema(ctx, s.pool); err != nil {
		s.log.WarnContext(ctx, "not ready", "error", err)
		return nil, problem(Unavailable, "the database is not there, or its schema is older than this program")
	}
	return &healthOutput{Health{"ok"}}, nil
}

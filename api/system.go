package api

import (
	"context"

	"github.com/chasqui/chasqui/infra/readiness"
)

// Health is the answer of the probes.
type Health struct {
	Status string `json:"status" enum:"ok" example:"ok"`
}

// Version is what runs here.
type Version struct {
	Name    string `json:"name" example:"chasqui"`
	Version string `json:"version" doc:"The program's version." example:"0.1.0"`
	API     string `json:"api" doc:"The version of this document." example:"1.0.0"`
	Sandbox bool   `json:"sandbox" doc:"Whether there are simulated phones, for POST /v1/sessions/{sessionId}/simulated-scan and simulated-message." example:"false"`
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
		summary: "Can it work?", description: "Answers 200 when the database is there and has this version's schema, else 503 with what is wrong. Send requests elsewhere when this fails. " +
			"Without S3 it is degraded, and still 200: files wait, all else works.",
		response: readiness.Report{Status: readiness.OK, Checks: map[string]string{"database": readiness.OK, "schema": readiness.OK, "s3": readiness.OK}},
	}, s.getReady)
	register(s, operation{
		method: "GET", path: "/v1/version", id: "get-version", tag: "System", status: 200, public: true,
		summary: "Which version runs?", description: "The program's version and the API's.",
		response: Version{"chasqui", "0.1.0", documentVersion, false},
	}, func(context.Context, *struct{}) (*struct{ Body Version }, error) {
		return &struct{ Body Version }{Version{"chasqui", s.config.Version, documentVersion, s.sandbox != nil}}, nil
	})
}

func (s *Server) getReady(ctx context.Context, _ *struct{}) (*struct{ Body readiness.Report }, error) {
	r := readiness.Look(ctx, s.log, readiness.Database(s.pool), readiness.Part("s3", s.config.S3.Ping))
	if r.Status == readiness.Unavailable {
		return nil, problem(Unavailable, "not ready: "+r.Wrong())
	}
	return &struct{ Body readiness.Report }{r}, nil
}

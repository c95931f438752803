package api

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
)

var exampleHealth = events.AccountHealth{
	Level: events.HealthCaution, Sent: 120, Failed: map[string]int{"recipient_not_on_whatsapp": 2}, Waiting: map[string]int{events.WaitsForNewContacts: 12},
	Reasons:     []events.HealthReason{{Code: "unanswered", Message: "Of 150 people that the account wrote to first, 4 answered. Write to people who expect it, and bound it with settings.sending.newContacts."}},
	NewContacts: events.NewContactRate{Today: 12, PerDay: 40, Week: 150, Answered: 4},
}

func (s *Server) addHealth() {
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/health", id: "get-session-health", tag: "Sessions", status: 200,
		summary: "Read how an account fares",
		description: "What WhatsApp restricts and bans accounts for, as far as it can be known from outside: how many people the account writes to first, how many of them answer, what was refused. " +
			"And what messages wait for because settings.sending says so. session.risk tells when the level changes. WhatsApp publishes no limits: the levels are chasqui's own judgement.",
		response: exampleHealth, codes: []Code{SessionNotFound},
	}, s.getHealth)
}

func (s *Server) getHealth(ctx context.Context, in *struct{ SessionPath }) (*struct{ Body events.AccountHealth }, error) {
	health, _, err := postgres.Health(ctx, s.pool, s.q, in.SessionID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem(SessionNotFound, "there is no session "+in.SessionID)
	}
	if err != nil {
		return nil, err
	}
	return &struct{ Body events.AccountHealth }{health}, nil
}

package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
)

const (
	// legacyQRWait is how long the original's QR route waits for a code: one that was just started has it after a second or two, and its
	// clients ask again and again.
	legacyQRWait = 5 * time.Second
	// legacySessions bounds the list of sessions, which has no pages: some 2 MB.
	legacySessions = 10_000
)

// LegacyStarted is the answer of POST /api/start-session.
type LegacyStarted struct {
	Success   bool                `json:"success" example:"true"`
	SessionID string              `json:"sessionId" example:"mi-sesion-01"`
	Status    events.SessionState `json:"status" doc:"The session's state, as under /v1." example:"starting"`
	Message   string              `json:"message" doc:"What comes next, for a person." example:"The session is starting; get its QR code from /api/qr/mi-sesion-01"`
}

// LegacyQR is the code to scan.
type LegacyQR struct {
	Success   bool      `json:"success" example:"true"`
	SessionID string    `json:"sessionId" example:"mi-sesion-01"`
	QR        string    `json:"qr" doc:"The picture, PNG as a data URL." example:"data:image/png;base64,iVBORw0KGgo="`
	QRText    string    `json:"qrText" doc:"The text that the picture holds."`
	ExpiresAt time.Time `json:"expiresAt"`
}

// LegacySession is a session as the original shows it.
type LegacySession struct {
	SessionID string              `json:"sessionId" example:"mi-sesion-01"`
	Status    events.SessionState `json:"status" doc:"The session's state, as under /v1." example:"connected"`
	Connected bool                `json:"connected" example:"true"`
	Phone     string              `json:"phone" doc:"The account's number, digits only; empty until it is linked." example:"5491100000000"`
	Name      string              `json:"name" doc:"The session's name, as it was given under /v1." example:"Sales team"`
}

// LegacyStatus is the answer of GET /api/status.
type LegacyStatus struct {
	Success bool `json:"success" example:"true"`
	LegacySession
}

// LegacySessions is the answer of GET /api/sessions.
type LegacySessions struct {
	Success  bool            `json:"success" example:"true"`
	Sessions []LegacySession `json:"sessions"`
}

// LegacyDone is an answer that only says so.
type LegacyDone struct {
	Success bool   `json:"success" example:"true"`
	Message string `json:"message" example:"The session mi-sesion-01 is being logged out"`
}

var exampleLegacySession = LegacySession{"mi-sesion-01", events.StateConnected, true, "5491100000000", "Sales team"}

func (s *Server) addLegacySessions() {
	const session = "mi-sesion-01"
	register(s, operation{
		method: "POST", path: "/api/start-session", id: "legacy-start-session", scope: scopeManage, tag: legacyTag, status: 200, successor: "/v1/sessions",
		summary: "Start a session", description: "Creates the session if it is new, and starts it. On one that runs it does nothing, and says how it is.",
		request:  map[string]any{"sessionId": session},
		response: LegacyStarted{true, session, events.StateStarting, legacyStartMessage(events.Session{ID: session, State: events.StateStarting})}, codes: []Code{SessionAlreadyExists},
	}, s.legacyStart)
	register(s, operation{
		method: "GET", path: "/api/qr/{sessionId}", id: "legacy-get-qr", scope: scopePair, tag: legacyTag, status: 200, wait: legacyQRWait, successor: "/v1/sessions/{sessionId}/qr",
		summary: "Read the QR code", description: "The code to scan with the phone; it waits up to 5 s for one. A session that is linked has none: session_already_linked.",
		response: LegacyQR{true, session, "data:image/png;base64,iVBORw0KGgo=", exampleQRText, exampleTime},
		codes:    []Code{SessionNotFound, SessionAlreadyLinked, SessionNotConnected, SessionLoggedOut, PairingExpired},
	}, s.legacyQR)
	register(s, operation{
		method: "GET", path: "/api/status/{sessionId}", id: "legacy-get-status", tag: legacyTag, status: 200, successor: "/v1/sessions/{sessionId}",
		summary: "Read a session", description: "Whether the session is connected, and with which account.",
		response: LegacyStatus{true, exampleLegacySession}, codes: []Code{SessionNotFound},
	}, s.legacyStatus)
	register(s, operation{
		method: "GET", path: "/api/sessions", id: "legacy-list-sessions", tag: legacyTag, status: 200, successor: "/v1/sessions",
		summary: "List sessions", description: "All sessions, newest first, at most 10,000.",
		response: LegacySessions{true, []LegacySession{exampleLegacySession}},
	}, s.legacyList)
	register(s, operation{
		method: "POST", path: "/api/logout/{sessionId}", id: "legacy-logout", scope: scopeManage, tag: legacyTag, status: 200, successor: "/v1/sessions/{sessionId}/logout",
		summary: "Log a session out", description: "Unlinks the account from the phone. The session and its messages stay; start it to link it anew.",
		response: LegacyDone{true, "The session mi-sesion-01 is being logged out"}, codes: []Code{SessionNotFound},
	}, s.legacyLogout)
}

func legacySession(session events.Session) LegacySession {
	return LegacySession{session.ID, session.State, session.State == events.StateConnected, session.Phone, session.Name}
}

// legacyStartMessage says what comes next.
func legacyStartMessage(session events.Session) string {
	switch session.State {
	case events.StateConnected:
		return "The session is connected"
	case events.StateReconnecting:
		return "The session is connecting again"
	case events.StateRestricted:
		return "The session is connected, and WhatsApp restricts its account for now"
	}
	if session.Phone != "" && session.State != events.StateLoggedOut && session.State != events.StateBanned {
		return "The session is starting"
	}
	return "The session is starting; get its QR code from /api/qr/" + session.ID
}

// Bodies of the original's routes may hold members that nobody knows.
type startLegacySession struct {
	_         struct{} `additionalProperties:"true"`
	SessionID string   `json:"sessionId" pattern:"^[A-Za-z0-9_-]{1,64}$" doc:"Your own name for it." example:"mi-sesion-01"`
}

func (s *Server) legacyStart(ctx context.Context, in *struct {
	Idempotent
	Body startLegacySession
}) (*struct{ Body LegacyStarted }, error) {
	id := in.Body.SessionID
	if !callerOf(ctx).sees(id) {
		return nil, problem(InsufficientScope, "this key is for certain sessions alone, whose ids GET /v1/me lists")
	}
	session, _, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (events.Session, error) {
		created, err := s.q.SessionInsert(ctx, tx, id, "", []byte("{}"), events.DesiredStarted)
		if err != nil {
			return events.Session{}, fmt.Errorf("insert session: %w", err)
		}
		if created == 0 {
			started, err := s.q.SessionStart(ctx, tx, id)
			if err != nil {
				return events.Session{}, fmt.Errorf("start session: %w", err)
			}
			if started == 0 {
				return events.Session{}, problem(SessionAlreadyExists, "the session "+id+" is just being deleted; try again in a moment")
			}
		}
		tx.Notify(events.WakeControl, id)
		return s.readSession(ctx, tx, id)
	})
	if err != nil {
		return nil, err
	}
	if session.State == events.StateStopped { // until a connector has it
		session.State = events.StateStarting
	}
	return &struct{ Body LegacyStarted }{LegacyStarted{true, id, session.State, legacyStartMessage(session)}}, nil
}

func (s *Server) legacyQR(ctx context.Context, in *struct{ SessionPath }) (*struct{ Body LegacyQR }, error) {
	code, err := s.awaitQR(ctx, in.SessionID, "", legacyQRWait)
	if err != nil {
		return nil, err
	}
	picture, err := renderQR(*code, "image/png")
	if err != nil {
		return nil, err
	}
	return &struct{ Body LegacyQR }{LegacyQR{true, in.SessionID, "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture.Body), code.Text, code.ExpiresAt}}, nil
}

func (s *Server) legacyStatus(ctx context.Context, in *struct{ SessionPath }) (*struct{ Body LegacyStatus }, error) {
	session, err := s.readSession(ctx, s.pool, in.SessionID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body LegacyStatus }{LegacyStatus{true, legacySession(session)}}, nil
}

func (s *Server) legacyList(ctx context.Context, _ *struct{}) (*struct{ Body LegacySessions }, error) {
	rows, err := s.q.SessionList(ctx, s.pool, callerOf(ctx).sessions, nil, "", legacySessions)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	list := make([]LegacySession, len(rows))
	for i, row := range rows {
		session, err := postgres.Session(row)
		if err != nil {
			return nil, err
		}
		list[i] = legacySession(session)
	}
	return &struct{ Body LegacySessions }{LegacySessions{true, list}}, nil
}

func (s *Server) legacyLogout(ctx context.Context, in *struct {
	SessionPath
	Idempotent
}) (*struct{ Body LegacyDone }, error) {
	session, _, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (events.Session, error) {
		if _, err := s.q.SessionLogout(ctx, tx, in.SessionID); err != nil {
			return events.Session{}, fmt.Errorf("log session out: %w", err)
		}
		tx.Notify(events.WakeControl, in.SessionID)
		return s.readSession(ctx, tx, in.SessionID)
	})
	if err != nil {
		return nil, err
	}
	answer := LegacyDone{true, "The session " + session.ID + " is being logged out"}
	if session.Phone == "" || session.State == events.StateLoggedOut {
		answer.Message = "The session " + session.ID + " is not linked"
	}
	return &struct{ Body LegacyDone }{answer}, nil
}

package api

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// callsKept is how long calls are listed.
const callsKept = 30 * 24 * time.Hour

// setCalls is what a client may set about calls that come in.
type setCalls struct {
	Reject bool   `json:"reject" doc:"Rejects every call at once, on all devices of the account." example:"true"`
	Text   string `json:"text,omitempty" maxLength:"4096" doc:"Sent to a caller who was rejected, once an hour at most; not in group calls." example:"We do not take calls. Please write to us."`
}

func (s *Server) addCalls() {
	ringing := events.Call{
		ID: "call_01932f0c5d6b7a10b1f4d0c4a8e2f001", WhatsAppID: "3B2CF1D6E0A94F6B8F0D1A2B3C4D5E6F", SessionID: "sales", From: exampleMessage.To,
		State: events.CallRinging, OfferedAt: exampleTime,
	}
	rejected := ringing
	rejected.State, rejected.Reason, rejected.EndedAt = events.CallEnded, events.CallRejected, &exampleTime
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/calls", id: "list-calls", tag: "Calls", status: 200,
		summary: "List calls", description: "The calls that came in during the last 30 days, newest first. Those that the owner makes on the phone are not told to linked devices.",
		response: List[events.Call]{Data: []events.Call{rejected}}, codes: []Code{SessionNotFound},
	}, s.listCalls)
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/calls/{callId}/reject", id: "reject-call", tag: "Calls", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Reject a call",
		description: "Rejects a call that rings, on all devices of the account. It does not wait behind other changes. call_over: it rings no more; so fails, too, what was accepted while the " +
			"session was not connected and came too late. The session's setting calls rejects every call by itself.",
		response: rejected, codes: append(changeCodes, CallNotFound, CallOver),
	}, s.rejectCall)
}

func (s *Server) listCalls(ctx context.Context, in *struct {
	SessionPath
	Page
}) (*listed[events.Call], error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	before, err := parseCursor(events.CallPrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.CallList(ctx, s.pool, in.SessionID, before, in.rows())
	if err != nil {
		return nil, fmt.Errorf("list calls: %w", err)
	}
	return paged(rows, in.Limit, "/v1/sessions/"+in.SessionID+"/calls", url.Values{},
		func(row db.CallView) (events.Call, error) { return postgres.Call(row), nil },
		func(row db.CallView) string { return events.CallPrefix.Format(row.ID) })
}

func (s *Server) rejectCall(ctx context.Context, in *struct {
	SessionPath
	CallID string `path:"callId" maxLength:"255" doc:"The call, by our id or WhatsApp's." example:"call_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Idempotent
	Changing
}) (*changed[events.Call], error) {
	return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.RejectCall, func(ctx context.Context, tx *queue.Tx) (w wish[events.CallRejection], err error) {
		id, err := events.CallPrefix.Parse(in.CallID)
		var row db.CallView
		if err == nil {
			row, err = s.q.CallGet(ctx, tx, in.SessionID, id)
		} else {
			row, err = s.q.CallGetByWhatsAppID(ctx, tx, in.SessionID, in.CallID)
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return w, problem(CallNotFound, "the session has no such call; calls are kept for 30 days")
		}
		if err != nil {
			return w, fmt.Errorf("read call: %w", err)
		}
		if row.State != events.CallRinging {
			return w, problem(CallOver, "the call is "+row.State+"; it rings no more")
		}
		w.target, w.chat = events.CallPrefix.Format(row.ID), row.CallerID
		if row.GroupID != "" {
			w.chat = row.GroupID
		}
		return w, nil
	})
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// changeKept is how long a change is shown after it ended: as long as an Idempotency-Key leads to it.
	changeKept = idempotencyKept
	// changesOpen bounds the changes of one session that wait: one that is offline for a day must not gather an army.
	changesOpen = 1000
)

// changeCodes are the problems of every operation that changes something at WhatsApp.
var changeCodes = []Code{SessionNotFound, SessionLoggedOut, Forbidden, NotFound, AccountRestricted, RateLimited, WhatsAppRejected, WhatsAppTimeout}

// Changing is the header of every operation that changes something at WhatsApp.
type Changing struct {
	Prefer string `header:"Prefer" maxLength:"256" doc:"wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected." example:"wait=20"`
}

// changed is the answer of such an operation: its result with 200, or the change that is still to be made with 202.
type changed[R any] struct {
	Status            int
	Location          string `header:"Location" doc:"With 202: the change."`
	PreferenceApplied string `header:"Preference-Applied" doc:"wait=N, when Prefer asked for it."`
	Replayed          string `header:"Idempotency-Replayed" doc:"true when this repeats an earlier request, whose change it tells of."`
	Body              changeBody[R]
}

// changeBody is the result as the connector made it, or the change.
type changeBody[R any] struct{ json.RawMessage }

// Schema is that of the result; register documents the change beside it.
func (changeBody[R]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[R](), true, "")
}

var exampleChange = events.Change{
	ID: "chg_01932f0c5d6b7a10b1f4d0c4a8e2f001", SessionID: "sales", Kind: events.React.Kind, Target: exampleMessageID, Status: events.ChangeQueued,
	ExpiresAt: exampleTime.Add(24 * time.Hour), CreatedAt: exampleTime,
}

// queuedToo documents the 202 of an operation that changes something.
var queuedToo = map[int]any{http.StatusAccepted: exampleChange}

// A wish is what a client wants changed: what it is about, the chat whose events tell of it ("" for none), and how.
type wish[P any] struct {
	target, chat string
	parameters   P
}

// change accepts a change at WhatsApp, which then survives every crash, and waits for it as long as its client wants and stays. With key, an
// Idempotency-Key, a repeat waits for the same change. prepare looks at what is to be changed, in the transaction that accepts it; its error
// refuses it.
func change[P, R any](ctx context.Context, s *Server, sessionID, key string, in Changing, kind events.ChangeKind[P, R], prepare func(context.Context, *queue.Tx) (wish[P], error)) (*changed[R], error) {
	accepted, replayed, err := once(ctx, s, key, func(ctx context.Context, tx *queue.Tx) (events.Change, error) {
		if err := s.sendingAllowed(ctx, tx, sessionID); err != nil {
			return events.Change{}, err
		}
		w, err := prepare(ctx, tx)
		if err != nil {
			return events.Change{}, err
		}
		if w.chat == events.StatusChat && !ofStatus[kind.Kind] {
			return events.Change{}, invalid("path.messageId", "this cannot be done to a status update")
		}
		parameters, err := json.Marshal(w.parameters)
		if err != nil {
			return events.Change{}, fmt.Errorf("encode parameters: %w", err)
		}
		return s.queueChange(ctx, tx, sessionID, kind.Kind, kind.InOrder, w.target, w.chat, parameters)
	})
	if err != nil {
		return nil, err
	}
	out := &changed[R]{Replayed: replayedHeader(replayed)}
	wait, asked := preferredWait(in.Prefer)
	if asked {
		out.PreferenceApplied = "wait=" + strconv.Itoa(wait)
	}
	final, err := s.awaitChange(ctx, accepted, time.Duration(wait)*time.Second, !asked)
	if err != nil {
		return nil, err
	}
	location := "/v1/sessions/" + sessionID + "/changes/" + final.ID
	switch final.Status {
	case events.ChangeDone:
		out.Status, out.Body.RawMessage = http.StatusOK, final.Result
		return out, nil
	case events.ChangeQueued:
		out.Status, out.Location = http.StatusAccepted, location
		out.Body.RawMessage, err = json.Marshal(final)
		return out, err
	}
	p := problem(WhatsAppTimeout, "it could not be done in time")
	if final.Error != nil {
		p = s.refused(ctx, sessionID, final.Error.Code, final.Error.Message)
	}
	p.headers.Set("Location", location)
	return nil, p
}

// queueChange writes a change and its command.
func (s *Server) queueChange(ctx context.Context, tx *queue.Tx, sessionID, kind string, inOrder bool, target, chat string, parameters []byte) (c events.Change, err error) {
	if len(parameters) > events.MaxChange {
		return c, problem(PayloadTooLarge, fmt.Sprintf("the change has more than %d bytes", events.MaxChange))
	}
	id := events.NewID()
	row, err := s.q.ChangeQueue(ctx, tx, db.ChangeQueueParams{
		ID: id, SessionID: sessionID, Kind: kind, Target: target, ChatID: chat, Parameters: parameters, ExpiresAt: time.Now().Add(s.config.MessageExpiry),
		MaxOpen: changesOpen,
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return c, rateLimited(fmt.Sprintf("%d changes wait for this session already", changesOpen), queryRetry)
	case postgres.ErrorCode(err) == "23503": // foreign_key_violation: deleted a moment ago
		return c, problem(SessionNotFound, "there is no session "+sessionID)
	case err != nil:
		return c, fmt.Errorf("insert change: %w", err)
	}
	command, err := json.Marshal(events.ChangeCommand{ChangeID: id, SessionID: sessionID})
	if err != nil {
		return c, fmt.Errorf("encode command: %w", err)
	}
	lane := events.ChangeLane(sessionID)
	if inOrder {
		lane = events.SendLane(sessionID)
	}
	if kind == events.RejectCall.Kind {
		lane = events.CallLane(sessionID)
	}
	tx.Publish(events.TopicCommands, queue.Message{
		ID: id, Lane: lane, Session: sessionID, Payload: command, Metadata: map[string]string{events.MetaCommand: events.CommandChange},
	})
	return postgres.Change(row), nil
}

// awaitChange waits until a change has ended. By default, where its client says nothing, that is 10 s, and nothing while the session is not
// connected. Failure policy: what is accepted is; where it cannot be looked at any more, it is shown as it was.
func (s *Server) awaitChange(ctx context.Context, c events.Change, wait time.Duration, byDefault bool) (events.Change, error) {
	id, err := events.ChangePrefix.Parse(c.ID)
	if err != nil {
		return c, err
	}
	listener := s.waker.ListenKey(events.WakeChanges, id.String())
	defer listener.Close()
	if byDefault {
		wait = queryWait
	}
	err = s.await(ctx, listener, wait, func(ctx context.Context) (bool, error) {
		row, err := s.q.ChangeLook(ctx, s.pool, c.SessionID, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return true, problem(SessionNotFound, "the session was deleted")
		}
		if err != nil {
			return true, fmt.Errorf("read change: %w", err)
		}
		c = postgres.Change(row.Change)
		offline := byDefault && unconnected(events.SessionState(row.ShownState)) != nil
		return c.Status != events.ChangeQueued || offline, nil
	})
	var p *Problem
	if err != nil && !errors.As(err, &p) {
		s.log.WarnContext(ctx, "wait for change given up", "change", c.ID, "error", err)
		return c, nil
	}
	return c, err
}

func (s *Server) addChanges() {
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/changes", id: "list-changes", tag: "Changes", status: 200,
		summary: "List changes",
		description: "What is to be changed at WhatsApp for this session, and what was in the last 24 hours, newest first: edits, reactions, settings of chats, changes of groups. An " +
			"operation that changes something answers 200 with its result when WhatsApp has done it, or 202 with the change: while the session is not connected it waits, " +
			"for 24 hours unless the operator chose otherwise, and survives every crash. One that fails later is told by the event change.failed.",
		response: List[events.Change]{Data: []events.Change{exampleChange}}, codes: []Code{SessionNotFound},
	}, s.listChanges)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/changes/{changeId}", id: "get-change", tag: "Changes", status: 200,
		summary: "Read a change", description: "A change that was accepted: what has become of it, and its result.",
		response: exampleChange, codes: []Code{SessionNotFound, NotFound},
	}, s.getChange)
}

func (s *Server) listChanges(ctx context.Context, in *struct {
	SessionPath
	Page
	Status string `query:"status" enum:"queued,done,failed,expired" doc:"Only those." example:"queued"`
}) (*listed[events.Change], error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	before, err := parseCursor(events.ChangePrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.ChangeList(ctx, s.pool, in.SessionID, before, in.Status, in.rows())
	if err != nil {
		return nil, fmt.Errorf("list changes: %w", err)
	}
	query := url.Values{}
	if in.Status != "" {
		query.Set("status", in.Status)
	}
	return paged(rows, in.Limit, "/v1/sessions/"+in.SessionID+"/changes", query,
		func(row db.Change) (events.Change, error) { return postgres.Change(row), nil },
		func(row db.Change) string { return events.ChangePrefix.Format(row.ID) })
}

func (s *Server) getChange(ctx context.Context, in *struct {
	SessionPath
	ChangeID string `path:"changeId" maxLength:"64" doc:"The change that was answered when it was asked for." example:"chg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}) (*struct{ Body events.Change }, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	id, err := events.ChangePrefix.Parse(in.ChangeID)
	var row db.Change
	if err == nil {
		row, err = s.q.ChangeGet(ctx, s.pool, in.SessionID, id)
	}
	if id == (uuid.UUID{}) || errors.Is(err, pgx.ErrNoRows) {
		return nil, problem(NotFound, "the session has no such change; it is shown for 24 hours after it ended")
	}
	if err != nil {
		return nil, fmt.Errorf("read change: %w", err)
	}
	return &struct{ Body events.Change }{postgres.Change(row)}, nil
}

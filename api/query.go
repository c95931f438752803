package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// queryWait is how long a client waits for WhatsApp's answer unless it says otherwise: an answer takes some 100 ms, a move of the
	// session to another connector a second.
	queryWait = 10 * time.Second
	// queriesOpen bounds the questions of one session that somebody waits for. 8 of them are asked at once, so that more would only
	// wait until nobody does.
	queriesOpen = 100
	// queryRetry is the Retry-After of a session that has as many open.
	queryRetry = time.Second
	// whatsappRetry is the Retry-After where WhatsApp takes no more; it does not say for how long.
	whatsappRetry = 30 * time.Second
	// queryKept is how long after its deadline a row stays that a dead process left, for whoever wants to see it.
	queryKept = 5 * time.Minute
)

// queryCodes are the problems of every operation that asks WhatsApp something.
var queryCodes = []Code{
	SessionNotFound, SessionNotConnected, SessionLoggedOut, Forbidden, NotFound, AccountRestricted, RateLimited, WhatsAppRejected, WhatsAppTimeout,
}

// Asking is the header of every operation that asks WhatsApp something.
type Asking struct {
	Prefer string `header:"Prefer" maxLength:"256" doc:"wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10." example:"wait=20"`
}

// asked is WhatsApp's answer.
type asked[A any] struct {
	PreferenceApplied string `header:"Preference-Applied" doc:"wait=N, when Prefer asked for it."`
	Body              A
}

// ask asks WhatsApp something over a session, and waits for the answer as long as its client wants and stays. A session without a connection is a
// problem at once. Failure policy: nothing is tried twice here; what failed is the client's to ask again, and does no harm.
func ask[Q, A any](ctx context.Context, s *Server, sessionID string, in Asking, query events.Query[Q, A], question Q) (*asked[A], error) {
	return askOver(ctx, s, sessionID, in, query, question, s.connected())
}

// A way is what a session must be like to be asked something.
type way struct {
	// open is called in the transaction that opens a question, and returns the problem of a session that cannot be asked.
	open func(ctx context.Context, tx *queue.Tx, sessionID string) error
	// lost returns the problem of a session that cannot be asked any more while somebody waits, or nil.
	lost func(ctx context.Context, sessionID string, shown events.SessionState) (*Problem, error)
}

// connected is the way of all that is asked over an account's connection.
func (s *Server) connected() way {
	return way{
		open: func(ctx context.Context, tx *queue.Tx, sessionID string) error {
			session, err := s.sessionRow(ctx, tx, sessionID)
			if err != nil {
				return err
			}
			if p := unconnected(events.SessionState(session.ShownState)); p != nil {
				return p
			}
			return nil
		},
		lost: func(_ context.Context, _ string, shown events.SessionState) (*Problem, error) {
			if shown == events.StateReconnecting { // a session that moves to another connector is asked there
				return nil, nil
			}
			return unconnected(shown), nil
		},
	}
}

// askOver is ask over a way of its own.
func askOver[Q, A any](ctx context.Context, s *Server, sessionID string, in Asking, query events.Query[Q, A], question Q, over way) (*asked[A], error) {
	out, wait := &asked[A]{}, queryWait
	if n, ok := preferredWait(in.Prefer); ok {
		n = max(n, 1)
		wait, out.PreferenceApplied = time.Duration(n)*time.Second, "wait="+strconv.Itoa(n)
	}
	parameters, err := json.Marshal(question)
	if err != nil {
		return nil, fmt.Errorf("encode question: %w", err)
	}
	if len(parameters) > events.MaxQuestion {
		return nil, problem(PayloadTooLarge, fmt.Sprintf("the question has more than %d bytes", events.MaxQuestion))
	}
	answer, err := s.ask(ctx, sessionID, query.Kind, parameters, wait, over)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(answer, &out.Body); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	return out, nil
}

// ask is ask in JSON. The row of the question is there as long as somebody waits: however the wait ends, its row goes, and a connector that
// has not asked by then does not.
func (s *Server) ask(ctx context.Context, sessionID, kind string, parameters []byte, wait time.Duration, over way) ([]byte, error) {
	id := events.NewID()
	listener := s.waker.ListenKey(events.WakeQueries, id.String())
	defer listener.Close()
	err := s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		if err := over.open(ctx, tx, sessionID); err != nil {
			return err
		}
		return s.openQuery(ctx, tx, id, sessionID, kind, parameters, wait)
	})
	if err != nil {
		return nil, err
	}
	var offline *Problem
	waited := s.await(ctx, listener, wait, func(ctx context.Context) (bool, error) {
		row, err := s.q.QueryLook(ctx, s.pool, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return true, problem(SessionNotFound, "the session was deleted")
		}
		if err != nil {
			return true, fmt.Errorf("look for answer: %w", err)
		}
		if !row.Answered {
			if offline, err = over.lost(ctx, sessionID, events.SessionState(row.ShownState)); err != nil {
				return true, err
			}
		}
		return row.Answered || offline != nil, nil
	})
	left := ctx.Err()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), databaseBudget)
	defer cancel()
	row, err := s.q.QueryTake(ctx, s.pool, id)
	switch {
	case left != nil:
		return nil, left
	case waited != nil:
		return nil, waited
	case errors.Is(err, pgx.ErrNoRows):
		return nil, problem(SessionNotFound, "the session was deleted")
	case err != nil:
		return nil, fmt.Errorf("take answer: %w", err)
	case row.ErrorCode != nil:
		return nil, s.refused(ctx, sessionID, *row.ErrorCode, *row.ErrorMessage)
	case row.AnsweredAt != nil:
		return row.Result, nil
	case offline != nil:
		return nil, offline
	}
	select {
	case <-s.stopping:
		return nil, problem(Unavailable, "this server stops; ask again")
	default:
		return nil, problem(WhatsAppTimeout, "WhatsApp did not answer within "+wait.String())
	}
}

// openQuery writes a question and its command, unless the session has too many open.
func (s *Server) openQuery(ctx context.Context, tx *queue.Tx, id uuid.UUID, sessionID, kind string, parameters []byte, wait time.Duration) error {
	if err := s.q.QueryLock(ctx, tx, sessionID); err != nil {
		return fmt.Errorf("lock questions: %w", err)
	}
	n, err := s.q.QueryOpen(ctx, tx, db.QueryOpenParams{
		ID: id, SessionID: sessionID, Kind: kind, Parameters: parameters, WaitSeconds: wait.Seconds(), MaxOpen: queriesOpen,
	})
	switch {
	case postgres.ErrorCode(err) == "23503": // foreign_key_violation: deleted a moment ago
		return problem(SessionNotFound, "there is no session "+sessionID)
	case err != nil:
		return fmt.Errorf("insert question: %w", err)
	case n == 0:
		return rateLimited(fmt.Sprintf("%d questions to WhatsApp wait for this session already", queriesOpen), queryRetry)
	}
	command, err := json.Marshal(events.QueryCommand{QueryID: id, SessionID: sessionID, Kind: kind, Deadline: time.Now().Add(wait).UTC()})
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	tx.Publish(events.TopicCommands, queue.Message{
		ID: id, Session: sessionID, Payload: command, Metadata: map[string]string{events.MetaCommand: events.CommandQuery},
	})
	return nil
}

// unconnected is the problem of a session, in the state that is shown, that cannot be asked anything, or nil.
func unconnected(state events.SessionState) *Problem {
	switch state {
	case events.StateConnected, events.StateRestricted:
		return nil
	case events.StateLoggedOut, events.StateBanned:
		return problem(SessionLoggedOut, "the session is "+strings.ReplaceAll(string(state), "_", " ")+"; nothing can be asked until it is linked again")
	}
	return problem(SessionNotConnected, "the session is "+strings.ReplaceAll(string(state), "_", " ")+"; it must be connected to be asked")
}

// refused is the problem for which a question has no answer, a change was not made, or a message was not sent.
func (s *Server) refused(ctx context.Context, sessionID, code, message string) *Problem {
	switch c := Code(code); {
	case c == RateLimited:
		return rateLimited(message, whatsappRetry)
	case c == AccountRestricted:
		p := problem(c, message)
		s.restrictedFor(ctx, sessionID, p)
		return p
	case explanations[c].status == 0: // a connector newer than this program
		return problem(WhatsAppRejected, message)
	default:
		return problem(c, message)
	}
}

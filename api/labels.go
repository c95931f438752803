package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// labelsMost bounds the labels of a session; WhatsApp itself allows 20.
const labelsMost = 100

// LabelPath names a label of a session.
type LabelPath struct {
	SessionPath
	LabelID string `path:"labelId" maxLength:"64" doc:"The label's id." example:"1"`
}

type createLabel struct {
	Name  string `json:"name" minLength:"1" maxLength:"100" doc:"What it is called." example:"New customer"`
	Color int    `json:"color,omitempty" minimum:"0" maximum:"19" doc:"One of WhatsApp's colours." example:"3"`
}

type changeLabel struct {
	Name  *string `json:"name,omitempty" minLength:"1" maxLength:"100" doc:"What it is called." example:"Regular customer"`
	Color *int    `json:"color,omitempty" minimum:"0" maximum:"19" doc:"One of WhatsApp's colours." example:"4"`
}

func (s *Server) addLabels() {
	renamed := exampleLabel
	renamed.Name = "Regular customer"
	codes := append(changeCodes, LabelNotFound) //nolint:gocritic // appendAssign: a list of its own
	codes = codes[:len(codes):len(codes)]
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/labels", id: "list-labels", tag: "Labels", status: 200,
		summary: "List labels", description: "The labels of a business account, all of them in one answer.",
		response: Labels{Data: []events.Label{exampleLabel}}, codes: []Code{SessionNotFound},
	}, s.listLabels)
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/labels", id: "create-label", tag: "Labels", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Make a label", description: "Makes a label on all devices of the account. Only the apps of business accounts show labels.",
		request: createLabel{Name: "New customer", Color: 3}, response: exampleLabel, codes: changeCodes,
	}, s.createLabel)
	register(s, operation{
		method: "PATCH", path: "/v1/sessions/{sessionId}/labels/{labelId}", id: "change-label", tag: "Labels", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Change a label", description: "Changes a label's name or colour.",
		request: map[string]any{"name": "Regular customer"}, response: renamed, codes: codes,
	}, func(ctx context.Context, in *struct {
		LabelPath
		Changing
		Body changeLabel
	}) (*changed[events.Label], error) {
		if in.Body.Name == nil && in.Body.Color == nil {
			return nil, invalid("body", "expected something to change")
		}
		return s.editLabel(ctx, in.LabelPath, in.Changing, events.LabelEdit{ID: in.LabelID, Name: in.Body.Name, Color: in.Body.Color})
	})
	register(s, operation{
		method: "DELETE", path: "/v1/sessions/{sessionId}/labels/{labelId}", id: "delete-label", tag: "Labels", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Delete a label", description: "Deletes a label, which takes it from every chat. The answer is the label as it was.", response: exampleLabel, codes: codes,
	}, func(ctx context.Context, in *struct {
		LabelPath
		Changing
	}) (*changed[events.Label], error) {
		return s.editLabel(ctx, in.LabelPath, in.Changing, events.LabelEdit{ID: in.LabelID, Deleted: true})
	})
	for method, what := range map[string]struct {
		id, summary, description string
		labeled                  bool
	}{
		"PUT":    {"label-chat", "Label a chat", "Gives a chat a label.", true},
		"DELETE": {"unlabel-chat", "Take a label from a chat", "Takes a label from a chat.", false},
	} {
		register(s, operation{
			method: method, path: "/v1/sessions/{sessionId}/chats/{chatId}/labels/{labelId}", id: what.id, tag: "Labels", status: 200, also: queuedToo,
			wait: maxPreferredWait * time.Second, summary: what.summary, description: what.description, response: exampleChat, codes: append(codes, ChatNotFound),
		}, func(ctx context.Context, in *struct {
			ChatPath
			LabelID string `path:"labelId" maxLength:"64" doc:"The label's id." example:"1"`
			Changing
		}) (*changed[events.Chat], error) {
			return s.labelChat(ctx, in.ChatPath, in.LabelID, in.Changing, what.labeled)
		})
	}
}

// Labels are all labels of a session.
type Labels struct {
	Data []events.Label `json:"data" doc:"The labels, by id."`
}

func (s *Server) listLabels(ctx context.Context, in *struct{ SessionPath }) (*struct{ Body Labels }, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	rows, err := s.q.LabelList(ctx, s.pool, in.SessionID)
	if err != nil {
		return nil, fmt.Errorf("list labels: %w", err)
	}
	out := &struct{ Body Labels }{Labels{Data: make([]events.Label, len(rows))}}
	for i, row := range rows {
		out.Body.Data[i] = events.Label{ID: row.ID, Name: row.Name, Color: int(row.Color)}
	}
	return out, nil
}

// createLabel takes an id for the label in the transaction that accepts it, so that a repeat after a crash makes the same one.
func (s *Server) createLabel(ctx context.Context, in *struct {
	SessionPath
	Idempotent
	Changing
	Body createLabel
}) (*changed[events.Label], error) {
	return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.EditLabel, func(ctx context.Context, tx *queue.Tx) (w wish[events.LabelEdit], err error) {
		n, err := s.q.LabelCount(ctx, tx, in.SessionID)
		if err != nil {
			return w, fmt.Errorf("count labels: %w", err)
		}
		if n >= labelsMost {
			return w, invalid("body", fmt.Sprintf("the session has %d labels already", n))
		}
		number, err := s.q.LabelReserve(ctx, tx, in.SessionID)
		if postgres.ErrorCode(err) == "23503" { // foreign_key_violation: deleted a moment ago
			return w, problem(SessionNotFound, "there is no session "+in.SessionID)
		}
		if err != nil {
			return w, fmt.Errorf("take id for label: %w", err)
		}
		id := strconv.Itoa(int(number))
		return wish[events.LabelEdit]{id, "", events.LabelEdit{ID: id, Name: &in.Body.Name, Color: &in.Body.Color}}, nil
	})
}

// labelKnown is the problem of a label that a session does not have, or nil.
func (s *Server) labelKnown(ctx context.Context, from db.DBTX, sessionID, id string) error {
	_, err := s.q.LabelGet(ctx, from, sessionID, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return problem(LabelNotFound, "the session has no such label")
	}
	if err != nil {
		return fmt.Errorf("read label: %w", err)
	}
	return nil
}

func (s *Server) editLabel(ctx context.Context, path LabelPath, in Changing, p events.LabelEdit) (*changed[events.Label], error) {
	return change(ctx, s, path.SessionID, "", in, events.EditLabel, func(ctx context.Context, tx *queue.Tx) (w wish[events.LabelEdit], err error) {
		return wish[events.LabelEdit]{p.ID, "", p}, s.labelKnown(ctx, tx, path.SessionID, p.ID)
	})
}

func (s *Server) labelChat(ctx context.Context, path ChatPath, labelID string, in Changing, labeled bool) (*changed[events.Chat], error) {
	return change(ctx, s, path.SessionID, "", in, events.LabelChat, func(ctx context.Context, tx *queue.Tx) (w wish[events.ChatLabel], err error) {
		row, err := s.chatRow(ctx, tx, path)
		if err != nil {
			return w, err
		}
		return wish[events.ChatLabel]{row.ID, row.ID, events.ChatLabel{LabelID: labelID, Labeled: labeled}}, s.labelKnown(ctx, tx, path.SessionID, labelID)
	})
}

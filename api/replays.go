package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// replayState is what a replay sends again.
type replayState string

// Schema lists the states of deliveries that are over, and missing.
func (replayState) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Enum: []any{"exhausted", "cancelled", "succeeded", "missing"}, Examples: []any{"exhausted"},
		Description: "exhausted, cancelled and succeeded are deliveries in that state. missing are events that the endpoint's filters let pass today and that it has no delivery of, because it is " +
			"younger or its filters were narrower; events about webhook endpoints are never among them.",
	}
}

// createReplay is the body of POST .../replay.
type createReplay struct {
	Since  time.Time     `json:"since" doc:"Events that were made then or later. Of what is no longer kept (after 30 days, unless the operator chose otherwise) nothing is sent." example:"2026-01-01T00:00:00Z"`
	Until  *time.Time    `json:"until,omitempty" doc:"Events that were made before then; default, and at most, now."`
	States []replayState `json:"states,omitempty" minItems:"1" maxItems:"4" doc:"What to send again; default: exhausted alone."`
	Types  []typePattern `json:"types,omitempty" maxItems:"50" doc:"Only events of these types; default and empty: all."`
}

// A Replay sends an endpoint's deliveries of a time again.
type Replay struct {
	ID         string        `json:"id" example:"rpl_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	EndpointID string        `json:"endpointId" example:"we_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	State      string        `json:"state" enum:"running,waiting,done,cancelled" doc:"waiting goes on by itself: when its endpoint is active again, or has taken more of what is due. done: all of it is due or has gone out; what comes of each delivery is its own. cancelled also when the endpoint was deleted." example:"running"`
	Since      time.Time     `json:"since"`
	Until      time.Time     `json:"until"`
	States     []replayState `json:"states"`
	Types      []typePattern `json:"types" doc:"Empty: all."`
	Progress   float64       `json:"progress" minimum:"0" maximum:"1" doc:"How much of the time from since to until is dealt with." example:"0.42"`
	Scanned    int64         `json:"scanned" doc:"Events that were looked at." example:"18000"`
	Resent     int64         `json:"resent" doc:"Deliveries that were made due." example:"1250"`
	CreatedAt  time.Time     `json:"createdAt"`
	FinishedAt *time.Time    `json:"finishedAt,omitempty" doc:"When it was done or cancelled."`
}

// ReplayPath is the path parameter of everything below a replay.
type ReplayPath struct {
	ReplayID string `path:"replayId" maxLength:"64" doc:"A replay of the list, or of the answer that began it." example:"rpl_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

type replayAccepted struct {
	Location string `header:"Location" doc:"The replay, with its progress."`
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     Replay
}

type replayChanged struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     Replay
}

var exampleReplay = Replay{
	ID: "rpl_01932f0c5d6b7a10b1f4d0c4a8e2f001", EndpointID: exampleEndpoint.ID, State: "running", Since: exampleTime.Add(-24 * time.Hour), Until: exampleTime,
	States: []replayState{"exhausted"}, Types: []typePattern{}, Progress: 0.42, Scanned: 18000, Resent: 1250, CreatedAt: exampleTime,
}

func (s *Server) addReplays() {
	begun, cancelled := exampleReplay, exampleReplay
	begun.Progress, begun.Scanned, begun.Resent = 0, 0, 0
	cancelled.State, cancelled.FinishedAt = "cancelled", &exampleTime
	register(s, operation{
		method: "POST", path: "/v1/webhook-endpoints/{endpointId}/replay", id: "replay-webhook-endpoint", tag: "Webhooks", status: 202,
		summary: "Send an endpoint's deliveries of a time again",
		description: "Makes due again what an endpoint has not got, by the time of the events and what became of them: after an outage of the receiver, since=when it began. Each goes out under the same " +
			"webhook-id, with all its attempts before it, oldest first, and in the endpoint's order among what is sent again. It is done little by little, so that what happens meanwhile is hardly " +
			"delayed: an endpoint never has more than 1000 deliveries due because of it. An endpoint has one replay at a time: webhook_replay_running names the one that runs, which can be cancelled.",
		request: map[string]any{"since": exampleReplay.Since, "states": []string{"exhausted", "missing"}}, response: begun, codes: []Code{NotFound, WebhookReplayRunning},
	}, s.createReplay)
	register(s, operation{
		method: "GET", path: "/v1/webhook-endpoints/{endpointId}/replays", id: "list-replays", tag: "Webhooks", status: 200,
		summary: "List an endpoint's replays", description: "The replays of an endpoint, newest first, for as long as events are kept.",
		response: List[Replay]{Data: []Replay{exampleReplay}}, codes: []Code{NotFound},
	}, s.listReplays)
	register(s, operation{
		method: "GET", path: "/v1/webhook-replays/{replayId}", id: "get-replay", tag: "Webhooks", status: 200,
		summary: "Read a replay", description: "A replay and how far it is.",
		response: exampleReplay, codes: []Code{NotFound},
	}, s.getReplay)
	register(s, operation{
		method: "POST", path: "/v1/webhook-replays/{replayId}/cancel", id: "cancel-replay", tag: "Webhooks", status: 200,
		summary: "Cancel a replay", description: "Nothing more is made due by it; what is due already goes out. One that is over stays as it is.",
		response: cancelled, codes: []Code{NotFound},
	}, s.cancelReplay)
}

// publicReplay returns the public form of a replay.
func publicReplay(v db.WebhookReplayView) (Replay, error) {
	r := Replay{
		ID: events.ReplayPrefix.Format(v.ID), EndpointID: events.EndpointPrefix.Format(v.EndpointID), State: v.State, Since: v.Since, Until: v.Until,
		States: make([]replayState, len(v.States)), Types: make([]typePattern, len(v.Types)), Scanned: v.Scanned, Resent: v.Resent,
		CreatedAt: v.CreatedAt, FinishedAt: v.FinishedAt,
	}
	for i, state := range v.States {
		r.States[i] = replayState(state)
	}
	for i, t := range v.Types {
		r.Types[i] = typePattern(t)
	}
	if v.State == "running" && v.Room <= 0 {
		r.State = "waiting"
	}
	part := events.MadeAt(v.Reached).Sub(v.Since).Seconds() / v.Until.Sub(v.Since).Seconds()
	r.Progress = math.Floor(min(max(part, 0), 1)*10000) / 10000
	if v.State == "done" {
		r.Progress = 1
	}
	return r, nil
}

func (s *Server) createReplay(ctx context.Context, in *struct {
	EndpointPath
	Idempotent
	Body createReplay
}) (*replayAccepted, error) {
	endpoint, err := parseEndpointID(in.EndpointID)
	if err != nil {
		return nil, err
	}
	// To the end of this millisecond, since ids of events are no finer.
	until := time.Now().Truncate(time.Millisecond).Add(time.Millisecond)
	if in.Body.Until != nil && in.Body.Until.Before(until) {
		until = *in.Body.Until
	}
	if !in.Body.Since.Before(until) {
		return nil, invalid("body.since", "expected a time before until, and in the past")
	}
	states := texts(in.Body.States)
	if len(states) == 0 {
		states = []string{"exhausted"}
	}
	slices.Sort(states)
	replay, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (r Replay, err error) {
		if _, err := s.endpointByID(ctx, tx, endpoint); err != nil {
			return r, err
		}
		id, err := s.q.ReplayInsert(ctx, tx, db.ReplayInsertParams{
			ID: events.NewID(), EndpointID: endpoint, Since: in.Body.Since, Until: until, States: slices.Compact(states), Types: texts(in.Body.Types),
			Reached: events.FirstID(in.Body.Since),
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return r, s.replayRuns(ctx, tx, endpoint)
		}
		if err != nil {
			return r, fmt.Errorf("insert replay: %w", err)
		}
		tx.Notify(events.WakeReplays)
		return s.readReplay(ctx, tx, id)
	})
	if err != nil {
		return nil, err
	}
	return &replayAccepted{Location: "/v1/webhook-replays/" + replay.ID, Replayed: replayedHeader(replayed), Body: replay}, nil
}

// replayRuns is the problem of an endpoint that has a replay already.
func (s *Server) replayRuns(ctx context.Context, tx *queue.Tx, endpoint uuid.UUID) error {
	id, err := s.q.ReplayRunningID(ctx, tx, endpoint)
	if errors.Is(err, pgx.ErrNoRows) {
		return problem(Unavailable, "another replay of this endpoint ended just now; send the request again")
	}
	if err != nil {
		return fmt.Errorf("read running replay: %w", err)
	}
	return problem(WebhookReplayRunning, events.ReplayPrefix.Format(id)+" is running; wait until it is done, or cancel it")
}

func (s *Server) readReplay(ctx context.Context, from db.DBTX, id uuid.UUID) (Replay, error) {
	row, err := s.q.ReplayGet(ctx, from, id)
	if err == nil && callerOf(ctx).sessions != nil {
		if _, err := s.endpointByID(ctx, from, row.EndpointID); err != nil {
			return Replay{}, problem(NotFound, "there is no such replay, or it is no longer kept")
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return Replay{}, problem(NotFound, "there is no such replay, or it is no longer kept")
	}
	if err != nil {
		return Replay{}, fmt.Errorf("read replay: %w", err)
	}
	return publicReplay(row)
}

func parseReplayID(s string) (uuid.UUID, error) {
	id, err := events.ReplayPrefix.Parse(s)
	if err != nil {
		return id, problem(NotFound, "there is no such replay")
	}
	return id, nil
}

func (s *Server) listReplays(ctx context.Context, in *struct {
	EndpointPath
	Page
}) (*listed[Replay], error) {
	id, err := parseEndpointID(in.EndpointID)
	if err != nil {
		return nil, err
	}
	before, err := parseCursor(events.ReplayPrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	if _, err := s.endpointByID(ctx, s.pool, id); err != nil {
		return nil, err
	}
	rows, err := s.q.ReplayList(ctx, s.pool, id, before, in.rows())
	if err != nil {
		return nil, fmt.Errorf("list replays: %w", err)
	}
	return paged(rows, in.Limit, "/v1/webhook-endpoints/"+in.EndpointID+"/replays", url.Values{}, publicReplay, func(v db.WebhookReplayView) string {
		return events.ReplayPrefix.Format(v.ID)
	})
}

func (s *Server) getReplay(ctx context.Context, in *struct{ ReplayPath }) (*struct{ Body Replay }, error) {
	id, err := parseReplayID(in.ReplayID)
	if err != nil {
		return nil, err
	}
	replay, err := s.readReplay(ctx, s.pool, id)
	return &struct{ Body Replay }{replay}, err
}

func (s *Server) cancelReplay(ctx context.Context, in *struct {
	ReplayPath
	Idempotent
}) (*replayChanged, error) {
	id, err := parseReplayID(in.ReplayID)
	if err != nil {
		return nil, err
	}
	replay, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (Replay, error) {
		if _, err := s.q.ReplayCancel(ctx, tx, id); err != nil {
			return Replay{}, fmt.Errorf("cancel replay: %w", err)
		}
		return s.readReplay(ctx, tx, id)
	})
	if err != nil {
		return nil, err
	}
	return &replayChanged{replayedHeader(replayed), replay}, nil
}

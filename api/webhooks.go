package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/seal"
)

// configuredEndpoint is the id of the endpoint that WEBHOOK_URL describes: always the same, so that every process and every start means the
// same row. As a UUIDv7 of the year 1970 it is the oldest of a list.
var configuredEndpoint = uuid.MustParse("00000000-0000-7000-8000-000000000001")

// An Endpoint is the public form of a webhook endpoint.
type Endpoint struct {
	ID              string            `json:"id" example:"we_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	URL             string            `json:"url" example:"https://example.com/hook"`
	Events          []string          `json:"events" doc:"The types of event it gets; * is all, those to come included, and message.* are those that begin so."`
	Sessions        []string          `json:"sessions" doc:"Only these sessions; empty is all."`
	ChatKinds       []string          `json:"chatKinds" enum:"user,group,broadcast,status,channel" doc:"Of what happens in a chat, only that in chats of these kinds; empty is all."`
	FromMe          *bool             `json:"fromMe,omitempty" doc:"true: of messages, only those of the session's own account; false: only those of others; absent: both."`
	Format          string            `json:"format" enum:"standard,legacy" doc:"The form of the body: standard is the event as /v1/events has it; legacy is the message alone, in the form of the original (see the webhook legacy.message)."`
	Headers         map[string]string `json:"headers" doc:"Headers of your own, sent with every delivery."`
	TimeoutSeconds  int               `json:"timeoutSeconds" example:"15"`
	MaxInFlight     int               `json:"maxInFlight" example:"16"`
	RatePerSecond   *int32            `json:"ratePerSecond,omitempty" doc:"The most attempts a second; absent: no limit." example:"50"`
	RetrySeconds    []int32           `json:"retrySeconds,omitempty" doc:"The waits between attempts; absent is the standard schedule: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, which are 12 attempts in about 76 h."`
	Order           string            `json:"order" enum:"none,chat,session" example:"none"`
	WaitForMedia    bool              `json:"waitForMedia" doc:"Whether the event of a message with a file waits for it to be there, 30 s at most." example:"true"`
	State           string            `json:"state" enum:"active,paused,disabled" doc:"disabled: chasqui gave up on it; disabledReason says why. Set it to active again when it is mended: what was held is then delivered."`
	DisabledReason  string            `json:"disabledReason,omitempty"`
	FailingSince    *time.Time        `json:"failingSince,omitempty" doc:"The first failure since the last success."`
	ConsecutiveFail int               `json:"consecutiveFailures" doc:"Failures since the last success." example:"0"`
	Breaker         string            `json:"breaker" enum:"closed,open,half_open" doc:"closed: deliveries go out. open: it failed too often in a row, so nothing goes out until breakerUntil, and no attempt is used up. half_open: one delivery at a time tries whether it answers again."`
	BreakerUntil    *time.Time        `json:"breakerUntil,omitempty" doc:"Until when the breaker is open."`
	Concurrency     int               `json:"concurrency" doc:"How many deliveries at once it bears, as far as its answers have shown: at most maxInFlight." example:"16"`
	PreviousSecrets []time.Time       `json:"previousSecretsUntil" doc:"Until when earlier secrets sign beside the present one, the latest first."`
	Backlog         *EndpointBacklog  `json:"backlog,omitempty" doc:"What waits for it; only where one endpoint is read."`
	CreatedAt       time.Time         `json:"createdAt"`
	UpdatedAt       time.Time         `json:"updatedAt"`
}

// EndpointBacklog is what waits for an endpoint.
type EndpointBacklog struct {
	Pending int `json:"pending" doc:"Deliveries that are due or wait for their time. 10000 means that many or more." example:"3"`
	Held    int `json:"held" doc:"Deliveries that wait for the endpoint to be active. 10000 means that many or more." example:"0"`
}

// mostCounted bounds what a backlog counts: some 10 ms of work for each number.
const mostCounted = 10000

// CreatedEndpoint is what its creation answers.
type CreatedEndpoint struct {
	Endpoint
	Secret string `json:"secret" doc:"What deliveries are signed with, as Standard Webhooks 1.0 has it. Also at .../secret." example:"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
}

// sessionFilter is a session's id.
type sessionFilter string

// Schema is that of a session's id; a session need not exist yet.
func (sessionFilter) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: sessionIDPattern, Examples: []any{"sales"}}
}

// createEndpoint has defaults in the document; only url is required.
type createEndpoint struct {
	URL            string                 `json:"url" minLength:"1" maxLength:"2048" doc:"http or https; or nats or nats+tls for NATS JetStream, whose path is the subject, with {type} and {session} in it: nats://user:password@host:4222/chasqui.{session}.{type}. Private, loopback and metadata addresses are refused, unless WEBHOOK_ALLOW_CIDRS allows the network. user:password@ becomes Basic auth." example:"https://example.com/hook"`
	Events         []typePattern          `json:"events,omitempty" minItems:"1" maxItems:"100" doc:"The types of event to get, also as message.* and the like; default *, which is all of them. GET /v1/event-types lists them."`
	Sessions       []sessionFilter        `json:"sessions,omitempty" maxItems:"1000" doc:"Only these sessions; default and empty: all."`
	ChatKinds      []string               `json:"chatKinds,omitempty" enum:"user,group,broadcast,status,channel" maxItems:"5" doc:"Of what happens in a chat, only that in chats of these kinds; default and empty: all. Events that are about no chat come all the same."`
	FromMe         *bool                  `json:"fromMe,omitempty" nullable:"true" doc:"true: of messages, only those of the session's own account; false: only those of others; null or absent: both. Events that are about no message come all the same."`
	Format         string                 `json:"format,omitempty" enum:"standard,legacy" default:"standard" doc:"legacy sends the message alone, in the form of the original; events is then message.received, which is also its default."`
	Headers        map[string]headerValue `json:"headers,omitempty" maxProperties:"20" doc:"Headers of your own, sent with every delivery."`
	Secret         string                 `json:"secret,omitempty" minLength:"38" maxLength:"94" pattern:"^whsec_[A-Za-z0-9+/]+=*$" doc:"A secret of your own: whsec_ and 24 to 64 random bytes in padded base64, as Standard Webhooks has it. Without it one of 32 bytes is made." example:"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
	TimeoutSeconds int                    `json:"timeoutSeconds,omitempty" minimum:"5" maximum:"60" default:"15" doc:"How long a delivery may take."`
	MaxInFlight    int                    `json:"maxInFlight,omitempty" minimum:"1" maximum:"256" default:"16" doc:"The most deliveries at once."`
	RatePerSecond  *int32                 `json:"ratePerSecond,omitempty" nullable:"true" minimum:"1" maximum:"1000" doc:"The most attempts a second; null or absent: no limit. What is beyond it waits, and uses up no attempt." example:"50"`
	RetrySeconds   []int32                `json:"retrySeconds,omitempty" nullable:"true" minItems:"1" maxItems:"20" minimum:"1" maximum:"86400" doc:"The waits between attempts, in seconds, each spread by 20 %: n of them make n+1 attempts. null or absent: 5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400."`
	Order          string                 `json:"order,omitempty" enum:"none,chat,session" default:"none" doc:"chat or session: the next event of the same chat or session is sent only when the one before is dealt with."`
	WaitForMedia   *bool                  `json:"waitForMedia,omitempty" default:"true" doc:"Whether the event of a message with a file waits for it to be there, 30 s at most."`
	State          string                 `json:"state,omitempty" enum:"active,paused" default:"active" doc:"paused: events are held until it is active."`
}

// changeEndpoint changes what is there and leaves the rest.
type changeEndpoint struct {
	URL            *string                 `json:"url,omitempty" minLength:"1" maxLength:"2048" example:"https://example.com/hook"`
	Events         *[]typePattern          `json:"events,omitempty" minItems:"1" maxItems:"100"`
	Sessions       *[]sessionFilter        `json:"sessions,omitempty" maxItems:"1000"`
	ChatKinds      *[]string               `json:"chatKinds,omitempty" enum:"user,group,broadcast,status,channel" maxItems:"5" doc:"Empty: all."`
	FromMe         nullable[bool]          `json:"fromMe,omitzero" doc:"null: those of the account and those of others."`
	Headers        *map[string]headerValue `json:"headers,omitempty" maxProperties:"20"`
	TimeoutSeconds *int                    `json:"timeoutSeconds,omitempty" minimum:"5" maximum:"60" example:"15"`
	MaxInFlight    *int                    `json:"maxInFlight,omitempty" minimum:"1" maximum:"256" example:"16"`
	RatePerSecond  nullable[int32]         `json:"ratePerSecond,omitzero" minimum:"1" maximum:"1000" doc:"null: no limit." example:"50"`
	RetrySeconds   nullable[[]int32]       `json:"retrySeconds,omitzero" minItems:"1" maxItems:"20" minimum:"1" maximum:"86400" doc:"null: the standard schedule. Deliveries that have failed before go by it from their next failure on."`
	Order          *string                 `json:"order,omitempty" enum:"none,chat,session"`
	WaitForMedia   *bool                   `json:"waitForMedia,omitempty" example:"true"`
	State          *string                 `json:"state,omitempty" enum:"active,paused" example:"active"`
}

// EndpointPath is the path parameter of everything below an endpoint.
type EndpointPath struct {
	EndpointID string `path:"endpointId" maxLength:"64" doc:"A webhook endpoint." example:"we_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

type endpointShown struct{ Body Endpoint }

type endpointCreated struct {
	Location string `header:"Location" doc:"The endpoint."`
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     CreatedEndpoint
}

var exampleEndpoint = Endpoint{
	ID: "we_01932f0c5d6b7a10b1f4d0c4a8e2f001", URL: "https://example.com/hook", Events: []string{"*"}, Sessions: []string{}, ChatKinds: []string{}, Format: "standard",
	Headers: map[string]string{}, TimeoutSeconds: 15, MaxInFlight: 16, Order: "chat", WaitForMedia: true, State: "active", Breaker: breakerClosed, Concurrency: 16,
	PreviousSecrets: []time.Time{}, CreatedAt: exampleTime, UpdatedAt: exampleTime,
}

// Where endpoints are, and one of them.
const (
	endpointsPath = "/v1/webhook-endpoints"
	endpointPath  = endpointsPath + "/{endpointId}"
)

func (s *Server) addEndpoints() {
	read := exampleEndpoint
	read.Backlog = &EndpointBacklog{Pending: 3}
	register(s, operation{
		method: "GET", path: endpointsPath, id: "list-webhook-endpoints", tag: "Webhooks", status: 200,
		summary: "List webhook endpoints", description: "All endpoints, newest first, without their secrets. The one of WEBHOOK_URL is the last.",
		response: List[Endpoint]{Data: []Endpoint{exampleEndpoint}},
	}, s.listEndpoints)
	register(s, operation{
		method: "POST", path: endpointsPath, id: "create-webhook-endpoint", tag: "Webhooks", status: 201,
		summary: "Create a webhook endpoint", description: "Events from now on are delivered to it, signed with the secret in the answer.",
		request: map[string]any{"url": "https://example.com/hook", "order": "chat"}, response: CreatedEndpoint{exampleEndpoint, exampleSecret},
	}, s.createEndpoint)
	register(s, operation{
		method: "GET", path: endpointPath, id: "get-webhook-endpoint", tag: "Webhooks", status: 200,
		summary: "Read a webhook endpoint", description: "An endpoint with its state and what waits for it, without its secret.",
		response: read, codes: []Code{NotFound},
	}, s.getEndpoint)
	register(s, operation{
		method: "PATCH", path: endpointPath, id: "change-webhook-endpoint", tag: "Webhooks", status: 200,
		summary: "Change a webhook endpoint",
		description: "Changes what is given and leaves the rest; each event falls wholly before or after the change. state paused holds events back; active delivers what was held, " +
			"and forgives the failures before.",
		request: map[string]any{"state": "active"}, response: exampleEndpoint, codes: []Code{NotFound},
	}, s.changeEndpoint)
	register(s, operation{
		method: "DELETE", path: endpointPath, id: "delete-webhook-endpoint", tag: "Webhooks", status: 204,
		summary: "Delete a webhook endpoint", description: "Nothing more is delivered to it, but for what is being sent at this moment. That of WEBHOOK_URL comes back when the setting changes.",
		codes: []Code{NotFound},
	}, s.deleteEndpoint)
	s.addEndpointSecrets()
	s.addEndpointTests()
	s.addEventTypes()
}

// The states of a breaker, as a client sees them.
const (
	breakerClosed   = "closed"
	breakerOpen     = "open"
	breakerHalfOpen = "half_open"
)

// publicEndpoint returns the public form of an endpoint, without its backlog.
func publicEndpoint(v db.WebhookEndpoint) (Endpoint, error) {
	now := time.Now()
	e := Endpoint{
		ID: events.EndpointPrefix.Format(v.ID), URL: v.Url, Events: v.Events, Sessions: v.Sessions, ChatKinds: v.ChatKinds, FromMe: v.FromMe, Format: v.Format,
		TimeoutSeconds: int(v.TimeoutSeconds), MaxInFlight: int(v.MaxInFlight), RatePerSecond: v.RatePerSecond, RetrySeconds: v.RetrySeconds, Order: v.OrderMode,
		WaitForMedia: v.WaitForMedia, State: v.State, DisabledReason: v.DisabledReason, FailingSince: v.FailingSince, ConsecutiveFail: int(v.ConsecutiveFailures),
		Breaker: breakerClosed, Concurrency: int(v.MaxInFlight), PreviousSecrets: []time.Time{}, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
	}
	if until := v.BreakerUntil; until != nil && until.After(now) {
		e.Breaker, e.BreakerUntil = breakerOpen, until
	} else if until != nil {
		e.Breaker = breakerHalfOpen
	}
	if v.Concurrency != nil {
		e.Concurrency = min(e.Concurrency, int(*v.Concurrency))
	}
	if err := json.Unmarshal(v.Headers, &e.Headers); err != nil {
		return e, fmt.Errorf("decode headers of endpoint %s: %w", e.ID, err)
	}
	previous, err := postgres.PreviousSecrets(v.PreviousSecrets, now)
	for _, p := range previous {
		e.PreviousSecrets = append(e.PreviousSecrets, p.Until)
	}
	return e, err
}

func (s *Server) listEndpoints(ctx context.Context, in *struct{ Page }) (*listed[Endpoint], error) {
	before, err := parseCursor(events.EndpointPrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.EndpointList(ctx, s.pool, callerOf(ctx).sessions, before, in.rows())
	if err != nil {
		return nil, fmt.Errorf("list endpoints: %w", err)
	}
	for i := range rows {
		if err := s.open(&rows[i]); err != nil {
			return nil, err
		}
	}
	return paged(rows, in.Limit, endpointsPath, url.Values{}, publicEndpoint, func(v db.WebhookEndpoint) string { return events.EndpointPrefix.Format(v.ID) })
}

func (s *Server) createEndpoint(ctx context.Context, in *struct {
	Idempotent
	Body createEndpoint
}) (*endpointCreated, error) {
	if err := s.checkTarget(ctx, in.Body.URL); err != nil {
		return nil, invalid("body.url", err.Error())
	}
	headers, err := headersJSON(in.Body.Headers)
	if err != nil {
		return nil, err
	}
	types := texts(in.Body.Events)
	secret := cmp.Or(in.Body.Secret, newSecret())
	if err := checkSecret(secret); err != nil {
		return nil, err
	}
	switch {
	case in.Body.Format == formatLegacy && len(types) == 0:
		types = legacyEvents
	case in.Body.Format == formatLegacy && !slices.Equal(types, legacyEvents):
		return nil, invalid("body.events", "expected message.received alone, which is all that the format legacy has a form for")
	case len(types) == 0:
		types = []string{"*"}
	}
	sessions, err := callerOf(ctx).endpointSessions(in.Body.Sessions)
	if err != nil {
		return nil, err
	}
	endpoint, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (created CreatedEndpoint, err error) {
		if err := lockSequencer(ctx, tx); err != nil {
			return created, err
		}
		id := events.NewID()
		sealed, err := s.config.Keys.SealJSON(seal.EndpointHeaders, headers, id.String())
		if err != nil {
			return created, err
		}
		row, err := s.q.EndpointInsert(ctx, tx, db.EndpointInsertParams{
			ID: id, Url: in.Body.URL, Events: types, Sessions: sessions, ChatKinds: texts(in.Body.ChatKinds), FromMe: in.Body.FromMe,
			Format: in.Body.Format, Headers: sealed, Secret: s.config.Keys.SealText(secret, seal.EndpointSecret.At(id.String())), TimeoutSeconds: int32(in.Body.TimeoutSeconds), MaxInFlight: int32(in.Body.MaxInFlight),
			RatePerSecond: in.Body.RatePerSecond, RetrySeconds: in.Body.RetrySeconds, OrderMode: in.Body.Order,
			WaitForMedia: in.Body.WaitForMedia == nil || *in.Body.WaitForMedia, State: in.Body.State,
		})
		if row, err = s.endpointRow(ctx, row, err); err != nil {
			return created, err
		}
		created.Secret = row.Secret
		created.Endpoint, err = publicEndpoint(row)
		return created, err
	})
	if err != nil {
		return nil, err
	}
	return &endpointCreated{Location: endpointsPath + "/" + endpoint.ID, Replayed: replayedHeader(replayed), Body: endpoint}, nil
}

// lockSequencer takes the sequencer's lock for the rest of the transaction, so that each event falls before or after what it changes.
func lockSequencer(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", events.SequencerLock); err != nil {
		return fmt.Errorf("take the sequencer's lock: %w", err)
	}
	return nil
}

// texts returns list as plain strings, never nil.
func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, item := range list {
		out[i] = string(item)
	}
	return out
}

func parseEndpointID(s string) (uuid.UUID, error) {
	id, err := events.EndpointPrefix.Parse(s)
	if err != nil {
		return id, problem(NotFound, "there is no such webhook endpoint")
	}
	return id, nil
}

// seesEndpoint says whether an endpoint gets events of the caller's sessions alone.
func (c *caller) seesEndpoint(sessions []string) bool {
	return c.sessions == nil || len(sessions) > 0 && !slices.ContainsFunc(sessions, func(session string) bool { return !c.sees(session) })
}

// endpointSessions are the sessions of an endpoint that the caller makes: those asked for, or all that there are for it.
func (c *caller) endpointSessions(asked []sessionFilter) ([]string, error) {
	sessions := texts(asked)
	if len(sessions) == 0 {
		sessions = texts(c.sessions)
	}
	if c.sessions == nil || c.seesEndpoint(sessions) {
		return sessions, nil
	}
	return nil, invalid("body.sessions", "expected sessions of this key: GET /v1/me lists them")
}

// open opens what is sealed in an endpoint's row.
func (s *Server) open(row *db.WebhookEndpoint) error {
	return postgres.OpenEndpoint(s.config.Keys, row.ID, &row.Secret, &row.Headers, &row.PreviousSecrets)
}

// endpointRow turns the outcome of a query for one endpoint into not_found where there is none, or none for the caller, and opens what is sealed in it.
func (s *Server) endpointRow(ctx context.Context, row db.WebhookEndpoint, err error) (db.WebhookEndpoint, error) {
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !callerOf(ctx).seesEndpoint(row.Sessions) {
		return row, problem(NotFound, "there is no such webhook endpoint")
	}
	if err != nil {
		return row, fmt.Errorf("read endpoint: %w", err)
	}
	return row, s.open(&row)
}

// lockedEndpoint is an endpoint that nobody else changes until the transaction ends.
func (s *Server) lockedEndpoint(ctx context.Context, tx *queue.Tx, id uuid.UUID) (db.WebhookEndpoint, error) {
	row, err := s.q.EndpointLock(ctx, tx, id)
	return s.endpointRow(ctx, row, err)
}

// endpoint finds an endpoint by its public id.
func (s *Server) endpoint(ctx context.Context, publicID string) (row db.WebhookEndpoint, err error) {
	id, err := parseEndpointID(publicID)
	if err != nil {
		return row, err
	}
	return s.endpointByID(ctx, s.pool, id)
}

func (s *Server) endpointByID(ctx context.Context, from db.DBTX, id uuid.UUID) (db.WebhookEndpoint, error) {
	row, err := s.q.EndpointGet(ctx, from, id)
	return s.endpointRow(ctx, row, err)
}

func (s *Server) getEndpoint(ctx context.Context, in *struct{ EndpointPath }) (*endpointShown, error) {
	row, err := s.endpoint(ctx, in.EndpointID)
	if err != nil {
		return nil, err
	}
	endpoint, err := publicEndpoint(row)
	if err != nil {
		return nil, err
	}
	waiting, err := s.q.EndpointBacklog(ctx, s.pool, mostCounted, row.ID)
	if err != nil {
		return nil, fmt.Errorf("count what waits for endpoint: %w", err)
	}
	endpoint.Backlog = &EndpointBacklog{Pending: int(waiting.Pending), Held: int(waiting.Held)}
	return &endpointShown{endpoint}, nil
}

func (s *Server) changeEndpoint(ctx context.Context, in *struct {
	EndpointPath
	Body changeEndpoint
}) (*endpointShown, error) {
	id, err := parseEndpointID(in.EndpointID)
	if err != nil {
		return nil, err
	}
	if in.Body.URL != nil {
		if err := s.checkTarget(ctx, *in.Body.URL); err != nil {
			return nil, invalid("body.url", err.Error())
		}
	}
	var headers json.RawMessage
	if in.Body.Headers != nil {
		if headers, err = headersJSON(*in.Body.Headers); err != nil {
			return nil, err
		}
	}
	var out endpointShown
	err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		if err := lockSequencer(ctx, tx); err != nil {
			return err
		}
		row, err := s.lockedEndpoint(ctx, tx, id)
		if err != nil {
			return err
		}
		if row.Format == formatLegacy && in.Body.Events != nil && !slices.Equal(texts(*in.Body.Events), legacyEvents) {
			return invalid("body.events", "expected message.received alone, which is all that the format legacy has a form for")
		}
		change := in.Body.onto(row)
		if !callerOf(ctx).seesEndpoint(change.Sessions) {
			return invalid("body.sessions", "expected sessions of this key: GET /v1/me lists them")
		}
		if headers != nil {
			change.Headers = headers
		}
		if change.Headers, err = s.config.Keys.SealJSON(seal.EndpointHeaders, change.Headers, id.String()); err != nil {
			return err
		}
		row, err = s.q.EndpointChange(ctx, tx, change)
		if row, err = s.endpointRow(ctx, row, err); err != nil {
			return err
		}
		tx.Notify(events.WakeDeliveries)
		out.Body, err = publicEndpoint(row)
		return err
	})
	return &out, err
}

// onto returns row with the change. Another URL, or a state that is asked for, gives the endpoint a clean record.
func (c changeEndpoint) onto(row db.WebhookEndpoint) db.EndpointChangeParams {
	p := db.EndpointChangeParams{
		ID: row.ID, Url: row.Url, Events: row.Events, Sessions: row.Sessions, ChatKinds: row.ChatKinds, FromMe: c.FromMe.onto(row.FromMe), Headers: row.Headers,
		TimeoutSeconds: row.TimeoutSeconds, MaxInFlight: row.MaxInFlight, RatePerSecond: c.RatePerSecond.onto(row.RatePerSecond), RetrySeconds: row.RetrySeconds,
		OrderMode: row.OrderMode, WaitForMedia: row.WaitForMedia, State: row.State,
		Fresh: c.State != nil || c.URL != nil && *c.URL != row.Url,
	}
	if c.URL != nil {
		p.Url = *c.URL
	}
	if c.Events != nil {
		p.Events = texts(*c.Events)
	}
	if c.Sessions != nil {
		p.Sessions = texts(*c.Sessions)
	}
	if c.ChatKinds != nil {
		p.ChatKinds = texts(*c.ChatKinds)
	}
	if waits := c.RetrySeconds.onto(&row.RetrySeconds); waits == nil {
		p.RetrySeconds = nil
	} else {
		p.RetrySeconds = *waits
	}
	if c.TimeoutSeconds != nil {
		p.TimeoutSeconds = int32(*c.TimeoutSeconds)
	}
	if c.MaxInFlight != nil {
		p.MaxInFlight = int32(*c.MaxInFlight)
	}
	if c.Order != nil {
		p.OrderMode = *c.Order
	}
	if c.WaitForMedia != nil {
		p.WaitForMedia = *c.WaitForMedia
	}
	if c.State != nil {
		p.State = *c.State
	}
	return p
}

func (s *Server) deleteEndpoint(ctx context.Context, in *struct{ EndpointPath }) (*struct{}, error) {
	id, err := parseEndpointID(in.EndpointID)
	if err != nil {
		return nil, err
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		if err := lockSequencer(ctx, tx); err != nil {
			return err
		}
		if _, err := s.lockedEndpoint(ctx, tx, id); err != nil {
			return err
		}
		if _, err := s.q.EndpointDelete(ctx, tx, id); err != nil {
			return fmt.Errorf("delete endpoint: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.kickSweep()
	return nil, nil
}

// kickSweep has the sweep come now.
func (s *Server) kickSweep() {
	select {
	case s.kick <- struct{}{}:
	default: // it is coming
	}
}

// The format of the original's webhook, and the one type of event that it has a form for.
const formatLegacy = "legacy"

var legacyEvents = []string{string(events.MessageReceived)}

// configuredSecret is a new secret for the endpoint of WEBHOOK_URL, as it is stored.
func (s *Server) configuredSecret() string {
	return s.config.Keys.SealText(newSecret(), seal.EndpointSecret.At(configuredEndpoint.String()))
}

// configureEndpoint makes the endpoint of WEBHOOK_URL what the setting says when it has changed, or removes it when there is none any more.
func (s *Server) configureEndpoint(ctx context.Context) error {
	raw := s.config.WebhookURL
	if raw != "" {
		if err := s.guard.CheckURL(ctx, raw); err != nil {
			return fmt.Errorf("WEBHOOK_URL: %w", err)
		}
	}
	return s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		if err := lockSequencer(ctx, tx); err != nil {
			return err
		}
		if raw == "" {
			if err := s.q.EndpointUnconfigure(ctx, tx, configuredEndpoint); err != nil {
				return fmt.Errorf("remove the endpoint of WEBHOOK_URL: %w", err)
			}
			return nil
		}
		if err := s.q.EndpointConfigure(ctx, tx, configuredEndpoint, raw, s.configuredSecret()); err != nil {
			return fmt.Errorf("set the endpoint of WEBHOOK_URL: %w", err)
		}
		tx.Notify(events.WakeDeliveries)
		return nil
	})
}

package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// configuredEndpoint is the id of the endpoint that WEBHOOK_URL describes: always the same, so that every process and every start means the
// same row. As a UUIDv7 of the year 1970 it is the oldest of a list.
var configuredEndpoint = uuid.MustParse("00000000-0000-7000-8000-000000000001")

// An Endpoint is the public form of a webhook endpoint.
type Endpoint struct {
	ID              string            `json:"id" example:"we_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	URL             string            `json:"url" example:"https://example.com/hook"`
	Events          []string          `json:"events" doc:"The types of event it gets; * is all, those to come included."`
	Sessions        []string          `json:"sessions" doc:"Only these sessions; empty is all."`
	Format          string            `json:"format" enum:"standard,legacy" doc:"The form of the body: standard is the event as /v1/events has it; legacy is the message alone, in the form of the original (see the webhook legacy.message)."`
	Headers         map[string]string `json:"headers" doc:"Headers of your own, sent with every delivery."`
	TimeoutSeconds  int               `json:"timeoutSeconds" example:"15"`
	MaxInFlight     int               `json:"maxInFlight" example:"16"`
	Order           string            `json:"order" enum:"none,chat,session" example:"none"`
	WaitForMedia    bool              `json:"waitForMedia" doc:"Whether the event of a message with a file waits for it to be there, 30 s at most." example:"true"`
	State           string            `json:"state" enum:"active,paused,disabled" doc:"disabled: chasqui gave up on it; disabledReason says why. Set it to active again when it is mended: what was held is then delivered."`
	DisabledReason  string            `json:"disabledReason,omitempty"`
	FailingSince    *time.Time        `json:"failingSince,omitempty" doc:"The first failure since the last success."`
	ConsecutiveFail int               `json:"consecutiveFailures" doc:"Failures since the last success." example:"0"`
	CreatedAt       time.Time         `json:"createdAt"`
	UpdatedAt       time.Time         `json:"updatedAt"`
}

// CreatedEndpoint is what its creation answers.
type CreatedEndpoint struct {
	Endpoint
	Secret string `json:"secret" doc:"What deliveries are signed with, as Standard Webhooks 1.0 has it. Also at .../secret." example:"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
}

// eventFilter is * or a type of event.
type eventFilter string

// Schema lists the types that exist: a typing error in a filter would be a webhook that never comes.
func (eventFilter) Schema(huma.Registry) *huma.Schema {
	names := []any{"*"}
	for _, t := range events.Types {
		names = append(names, string(t))
	}
	return &huma.Schema{Type: huma.TypeString, Enum: names, Examples: []any{"message.received"}}
}

// sessionFilter is a session's id.
type sessionFilter string

// Schema is that of a session's id; a session need not exist yet.
func (sessionFilter) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: sessionIDPattern, Examples: []any{"sales"}}
}

// headerValue is the value of a header of the client's own.
type headerValue string

// Schema bounds the value and keeps line breaks out of it.
func (headerValue) Schema(huma.Registry) *huma.Schema {
	longest := 1024
	return &huma.Schema{Type: huma.TypeString, MaxLength: &longest, Pattern: `^[\x20-\x7e]*$`}
}

// createEndpoint has defaults in the document; only url is required.
type createEndpoint struct {
	URL            string                 `json:"url" minLength:"1" maxLength:"2048" doc:"http or https; or nats or nats+tls for NATS JetStream, whose path is the subject, with {type} and {session} in it: nats://user:password@host:4222/chasqui.{session}.{type}. Private, loopback and metadata addresses are refused, unless WEBHOOK_ALLOW_CIDRS allows the network. user:password@ becomes Basic auth." example:"https://example.com/hook"`
	Events         []eventFilter          `json:"events,omitempty" minItems:"1" maxItems:"100" doc:"The types of event to get; default *, which is all of them."`
	Sessions       []sessionFilter        `json:"sessions,omitempty" maxItems:"1000" doc:"Only these sessions; default and empty: all."`
	Format         string                 `json:"format,omitempty" enum:"standard,legacy" default:"standard" doc:"legacy sends the message alone, in the form of the original; events is then message.received, which is also its default."`
	Headers        map[string]headerValue `json:"headers,omitempty" maxProperties:"20" doc:"Headers of your own, sent with every delivery."`
	TimeoutSeconds int                    `json:"timeoutSeconds,omitempty" minimum:"5" maximum:"60" default:"15" doc:"How long a delivery may take."`
	MaxInFlight    int                    `json:"maxInFlight,omitempty" minimum:"1" maximum:"256" default:"16" doc:"The most deliveries at once."`
	Order          string                 `json:"order,omitempty" enum:"none,chat,session" default:"none" doc:"chat or session: the next event of the same chat or session is sent only when the one before is dealt with."`
	WaitForMedia   *bool                  `json:"waitForMedia,omitempty" default:"true" doc:"Whether the event of a message with a file waits for it to be there, 30 s at most."`
	State          string                 `json:"state,omitempty" enum:"active,paused" default:"active" doc:"paused: events are held until it is active."`
}

// changeEndpoint changes what is there and leaves the rest.
type changeEndpoint struct {
	URL            *string                 `json:"url,omitempty" minLength:"1" maxLength:"2048" example:"https://example.com/hook"`
	Events         *[]eventFilter          `json:"events,omitempty" minItems:"1" maxItems:"100"`
	Sessions       *[]sessionFilter        `json:"sessions,omitempty" maxItems:"1000"`
	Headers        *map[string]headerValue `json:"headers,omitempty" maxProperties:"20"`
	TimeoutSeconds *int                    `json:"timeoutSeconds,omitempty" minimum:"5" maximum:"60" example:"15"`
	MaxInFlight    *int                    `json:"maxInFlight,omitempty" minimum:"1" maximum:"256" example:"16"`
	Order          *string                 `json:"order,omitempty" enum:"none,chat,session"`
	WaitForMedia   *bool                   `json:"waitForMedia,omitempty" example:"true"`
	State          *string                 `json:"state,omitempty" enum:"active,paused" example:"active"`
}

// EndpointPath is the path parameter of everything below an endpoint.
type EndpointPath struct {
	EndpointID string `path:"endpointId" maxLength:"64" example:"we_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

type endpointShown struct{ Body Endpoint }

type endpointCreated struct {
	Location string `header:"Location" doc:"The endpoint."`
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     CreatedEndpoint
}

// EndpointSecret is an endpoint's secret alone.
type EndpointSecret struct {
	Secret string `json:"secret" example:"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
}

var exampleEndpoint = Endpoint{
	ID: "we_01932f0c5d6b7a10b1f4d0c4a8e2f001", URL: "https://example.com/hook", Events: []string{"*"}, Sessions: []string{}, Format: "standard", Headers: map[string]string{},
	TimeoutSeconds: 15, MaxInFlight: 16, Order: "chat", WaitForMedia: true, State: "active", CreatedAt: exampleTime, UpdatedAt: exampleTime,
}

const exampleSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func (s *Server) addEndpoints() {
	const path = "/v1/webhook-endpoints"
	register(s, operation{
		method: "GET", path: path, id: "list-webhook-endpoints", tag: "Webhooks", status: 200,
		summary: "List webhook endpoints", description: "All endpoints, newest first, without their secrets. The one of WEBHOOK_URL is the last.",
		response: List[Endpoint]{Data: []Endpoint{exampleEndpoint}},
	}, s.listEndpoints)
	register(s, operation{
		method: "POST", path: path, id: "create-webhook-endpoint", tag: "Webhooks", status: 201,
		summary: "Create a webhook endpoint", description: "Events from now on are delivered to it, signed with the secret in the answer.",
		request: map[string]any{"url": "https://example.com/hook", "order": "chat"}, response: CreatedEndpoint{exampleEndpoint, exampleSecret},
	}, s.createEndpoint)
	register(s, operation{
		method: "GET", path: path + "/{endpointId}", id: "get-webhook-endpoint", tag: "Webhooks", status: 200,
		summary: "Read a webhook endpoint", description: "An endpoint with its state, without its secret.",
		response: exampleEndpoint, codes: []Code{NotFound},
	}, s.getEndpoint)
	register(s, operation{
		method: "PATCH", path: path + "/{endpointId}", id: "change-webhook-endpoint", tag: "Webhooks", status: 200,
		summary: "Change a webhook endpoint",
		description: "Changes what is given and leaves the rest; each event falls wholly before or after the change. state paused holds events back; active delivers what was held, " +
			"and forgives the failures before.",
		request: map[string]any{"state": "active"}, response: exampleEndpoint, codes: []Code{NotFound},
	}, s.changeEndpoint)
	register(s, operation{
		method: "DELETE", path: path + "/{endpointId}", id: "delete-webhook-endpoint", tag: "Webhooks", status: 204,
		summary: "Delete a webhook endpoint", description: "Nothing more is delivered to it, but for what is being sent at this moment. That of WEBHOOK_URL comes back when the setting changes.",
		codes: []Code{NotFound},
	}, s.deleteEndpoint)
	register(s, operation{
		method: "GET", path: path + "/{endpointId}/secret", id: "get-webhook-secret", tag: "Webhooks", status: 200,
		summary: "Read a webhook endpoint's secret", description: "whsec_ and 32 bytes in base64, as the libraries of Standard Webhooks take it.",
		response: EndpointSecret{exampleSecret}, codes: []Code{NotFound},
	}, s.getEndpointSecret)
}

// publicEndpoint returns the public form of an endpoint.
func publicEndpoint(v db.WebhookEndpoint) (Endpoint, error) {
	e := Endpoint{
		ID: events.EndpointPrefix.Format(v.ID), URL: v.Url, Events: v.Events, Sessions: v.Sessions, Format: v.Format, TimeoutSeconds: int(v.TimeoutSeconds),
		MaxInFlight: int(v.MaxInFlight), Order: v.OrderMode, WaitForMedia: v.WaitForMedia, State: v.State, DisabledReason: v.DisabledReason, FailingSince: v.FailingSince,
		ConsecutiveFail: int(v.ConsecutiveFailures), CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
	}
	if err := json.Unmarshal(v.Headers, &e.Headers); err != nil {
		return e, fmt.Errorf("decode headers of endpoint %s: %w", e.ID, err)
	}
	return e, nil
}

func (s *Server) listEndpoints(ctx context.Context, in *struct{ Page }) (*listed[Endpoint], error) {
	before, err := parseCursor(events.EndpointPrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.EndpointList(ctx, s.pool, before, in.rows())
	if err != nil {
		return nil, fmt.Errorf("list endpoints: %w", err)
	}
	return paged(rows, in.Limit, "/v1/webhook-endpoints", url.Values{}, publicEndpoint, func(v db.WebhookEndpoint) string { return events.EndpointPrefix.Format(v.ID) })
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
	switch {
	case in.Body.Format == formatLegacy && len(types) == 0:
		types = legacyEvents
	case in.Body.Format == formatLegacy && !slices.Equal(types, legacyEvents):
		return nil, invalid("body.events", "expected message.received alone, which is all that the format legacy has a form for")
	case len(types) == 0:
		types = []string{"*"}
	}
	endpoint, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (created CreatedEndpoint, err error) {
		if err := lockSequencer(ctx, tx); err != nil {
			return created, err
		}
		row, err := s.q.EndpointInsert(ctx, tx, db.EndpointInsertParams{
			ID: events.NewID(), Url: in.Body.URL, Events: types, Sessions: texts(in.Body.Sessions), Format: in.Body.Format, Headers: headers, Secret: newSecret(),
			TimeoutSeconds: int32(in.Body.TimeoutSeconds), MaxInFlight: int32(in.Body.MaxInFlight), OrderMode: in.Body.Order, WaitForMedia: in.Body.WaitForMedia == nil || *in.Body.WaitForMedia, State: in.Body.State,
		})
		if err != nil {
			return created, fmt.Errorf("insert endpoint: %w", err)
		}
		created.Secret = row.Secret
		created.Endpoint, err = publicEndpoint(row)
		return created, err
	})
	if err != nil {
		return nil, err
	}
	return &endpointCreated{Location: "/v1/webhook-endpoints/" + endpoint.ID, Replayed: replayedHeader(replayed), Body: endpoint}, nil
}

// lockSequencer takes the sequencer's lock for the rest of the transaction, so that each event falls before or after what it changes.
func lockSequencer(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", events.SequencerLock); err != nil {
		return fmt.Errorf("take the sequencer's lock: %w", err)
	}
	return nil
}

// newSecret returns a secret in the form of Standard Webhooks 1.0: whsec_ and 32 random bytes in padded standard base64.
func newSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime ends the program when the system has no randomness
	return "whsec_" + base64.StdEncoding.EncodeToString(random[:])
}

// texts returns list as plain strings, never nil.
func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, item := range list {
		out[i] = string(item)
	}
	return out
}

// goodHeaderName is a token of RFC 9110.
var goodHeaderName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")

// reservedHeaders are set by the delivery itself or belong to the connection.
var reservedHeaders = []string{"Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade",
	"Expect", "User-Agent", "Proxy-Connection", "Proxy-Authorization", "Accept-Encoding"}

// headersJSON checks a client's own headers and returns them as they are stored.
func headersJSON(headers map[string]headerValue) (json.RawMessage, error) {
	seen := map[string]bool{}
	for name := range headers {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !goodHeaderName.MatchString(name):
			return nil, invalid("body.headers", "expected header names of up to 64 letters, digits and hyphens")
		case slices.Contains(reservedHeaders, canonical), strings.HasPrefix(canonical, "Webhook-"):
			return nil, invalid("body.headers", canonical+" is set by chasqui")
		case seen[canonical]:
			return nil, invalid("body.headers", canonical+" stands there twice")
		}
		seen[canonical] = true
	}
	if headers == nil {
		headers = map[string]headerValue{}
	}
	return json.Marshal(headers)
}

func parseEndpointID(s string) (uuid.UUID, error) {
	id, err := events.EndpointPrefix.Parse(s)
	if err != nil {
		return id, problem(NotFound, "there is no such webhook endpoint")
	}
	return id, nil
}

// endpointRow turns the outcome of a query for one endpoint into not_found where there is none.
func endpointRow(row db.WebhookEndpoint, err error) (db.WebhookEndpoint, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return row, problem(NotFound, "there is no such webhook endpoint")
	}
	if err != nil {
		return row, fmt.Errorf("read endpoint: %w", err)
	}
	return row, nil
}

func (s *Server) getEndpoint(ctx context.Context, in *struct{ EndpointPath }) (*endpointShown, error) {
	id, err := parseEndpointID(in.EndpointID)
	if err != nil {
		return nil, err
	}
	row, err := endpointRow(s.q.EndpointGet(ctx, s.pool, id))
	if err != nil {
		return nil, err
	}
	endpoint, err := publicEndpoint(row)
	return &endpointShown{endpoint}, err
}

func (s *Server) getEndpointSecret(ctx context.Context, in *struct{ EndpointPath }) (*struct{ Body EndpointSecret }, error) {
	id, err := parseEndpointID(in.EndpointID)
	if err != nil {
		return nil, err
	}
	row, err := endpointRow(s.q.EndpointGet(ctx, s.pool, id))
	if err != nil {
		return nil, err
	}
	return &struct{ Body EndpointSecret }{EndpointSecret{row.Secret}}, nil
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
		row, err := endpointRow(s.q.EndpointLock(ctx, tx, id))
		if err != nil {
			return err
		}
		if row.Format == formatLegacy && in.Body.Events != nil && !slices.Equal(texts(*in.Body.Events), legacyEvents) {
			return invalid("body.events", "expected message.received alone, which is all that the format legacy has a form for")
		}
		change := in.Body.onto(row)
		if headers != nil {
			change.Headers = headers
		}
		if row, err = s.q.EndpointChange(ctx, tx, change); err != nil {
			return fmt.Errorf("change endpoint: %w", err)
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
		ID: row.ID, Url: row.Url, Events: row.Events, Sessions: row.Sessions, Headers: row.Headers, TimeoutSeconds: row.TimeoutSeconds,
		MaxInFlight: row.MaxInFlight, OrderMode: row.OrderMode, WaitForMedia: row.WaitForMedia, State: row.State,
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
		n, err := s.q.EndpointDelete(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("delete endpoint: %w", err)
		}
		if n == 0 {
			return problem(NotFound, "there is no such webhook endpoint")
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
		if err := s.q.EndpointConfigure(ctx, tx, configuredEndpoint, raw, newSecret()); err != nil {
			return fmt.Errorf("set the endpoint of WEBHOOK_URL: %w", err)
		}
		tx.Notify(events.WakeDeliveries)
		return nil
	})
}

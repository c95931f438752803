package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// The routes of the original program, for clients that were written for it. They are thin: each says in the original's words what an operation
// under /v1 does, and all of them take what they do not know without complaint.

// LegacyProblem is a Problem in the form in which the original's clients look for an error.
type LegacyProblem struct {
	Success  bool   `json:"success" enum:"false" example:"false"`
	Sentence string `json:"error" doc:"What is wrong, for a person." example:"there is no session mi-sesion-01"`
	Problem
}

// isLegacy says whether errors at a path are LegacyProblems, unknown paths among them.
func isLegacy(path string) bool {
	return strings.HasPrefix(path, "/api/") || path == "/api" || path == "/webhook/config" || path == "/info"
}

// legacySentence says what is wrong in one sentence: the original's clients show nothing else.
func legacySentence(p *Problem) string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	first := p.Errors[0]
	if place := strings.TrimPrefix(strings.TrimPrefix(first.Location, "body."), "body"); place != "" {
		return place + ": " + first.Message
	}
	return first.Message
}

// deprecate gives every answer of the original's routes its headers, and takes query parameters away that the route does not know.
func (s *Server) deprecate(ctx huma.Context, next func(huma.Context)) {
	o, _ := ctx.Operation().Metadata[metaOperation].(operation)
	if o.successor == "" {
		next(ctx)
		return
	}
	r, w := humachi.Unwrap(ctx)
	w.Header().Set("Deprecation", "true")
	w.Header().Set("Link", "<"+strings.ReplaceAll(o.successor, "{sessionId}", url.PathEscape(ctx.Param("sessionId")))+`>; rel="successor-version"`)
	if r.URL.RawQuery != "" {
		known, sent := url.Values{}, r.URL.Query()
		for _, p := range ctx.Operation().Parameters {
			if p.In == "query" && sent.Has(p.Name) {
				known[p.Name] = sent[p.Name]
			}
		}
		r.URL.RawQuery = known.Encode()
	}
	next(ctx)
}

// legacyForm turns the body of a simple HTML form into the JSON that the route takes; other bodies stay as they are.
func legacyForm(ctx huma.Context, r *http.Request, body []byte) ([]byte, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if o, _ := ctx.Operation().Metadata[metaOperation].(operation); o.successor == "" || kind != "application/x-www-form-urlencoded" {
		return body, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fmt.Errorf("read form: %w", err)
	}
	fields := make(map[string]string, len(form))
	for name := range form {
		fields[name] = form.Get(name)
	}
	r.Header.Set("Content-Type", "application/json")
	return json.Marshal(fields)
}

// A legacyNumber is a phone number that may also be a JSON number, as some clients have it.
type legacyNumber string

// UnmarshalJSON takes a text or an integer.
func (n *legacyNumber) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(n))
	}
	*n = legacyNumber(b)
	return nil
}

// Schema is a text or an integer.
func (legacyNumber) Schema(huma.Registry) *huma.Schema {
	longest := 64
	return &huma.Schema{
		AnyOf:       []*huma.Schema{{Type: huma.TypeString, MaxLength: &longest}, {Type: huma.TypeInteger}},
		Description: "Whom to send it to: a number with its country code, written with or without +, spaces, hyphens and brackets, digits@c.us, or what from of a message says, as for groups.",
		Examples:    []any{"5491123456789"},
	}
}

// address is the JID that is meant.
func (n legacyNumber) address() (string, error) {
	to, err := events.ParseLegacyAddress(string(n))
	if err != nil {
		return "", invalid("body.number", err.Error())
	}
	if kind := events.KindOf(to); kind != events.KindUser && kind != events.KindGroup {
		return "", invalid("body.number", "expected a person or a group")
	}
	return to, nil
}

// LegacyWebhook is the answer of POST /webhook/config.
type LegacyWebhook struct {
	Success    bool    `json:"success" example:"true"`
	WebhookURL *string `json:"webhookUrl" nullable:"true" doc:"Where messages are sent now; null: nowhere." example:"https://tu-servidor.com/webhook"`
}

// LegacyInfo is what runs here.
type LegacyInfo struct {
	Success  bool               `json:"success" example:"true"`
	Name     string             `json:"name" example:"chasqui"`
	Version  string             `json:"version" example:"0.1.0"`
	Uptime   int64              `json:"uptime" doc:"Seconds since the start of this process." example:"3600"`
	Sessions LegacySessionCount `json:"sessions"`
}

// LegacySessionCount counts the sessions.
type LegacySessionCount struct {
	Total     int `json:"total" example:"3"`
	Connected int `json:"connected" example:"2"`
}

// LegacyHealth says that the process serves requests.
type LegacyHealth struct {
	Success   bool      `json:"success" example:"true"`
	Status    string    `json:"status" enum:"ok" example:"ok"`
	Uptime    int64     `json:"uptime" doc:"Seconds since the start of this process." example:"3600"`
	Timestamp time.Time `json:"timestamp"`
}

const legacyTag = "Compatibility"

func (s *Server) addLegacy() {
	s.addLegacySessions()
	s.addLegacyMessages()
	s.addLegacyMedia()
	target := "https://tu-servidor.com/webhook"
	register(s, operation{
		method: "POST", path: "/webhook/config", id: "legacy-configure-webhook", scope: scopeManage, everywhere: true, tag: legacyTag, status: 200, successor: "/v1/webhook-endpoints",
		summary: "Set the webhook",
		description: "Sends every message that comes in to this URL, in the original's form (see the webhook legacy.message), signed as any other delivery; null or an empty text ends that. It is the " +
			"endpoint that the setting WEBHOOK_URL describes: what is set here lasts until that setting is changed to another value.",
		request: map[string]any{"webhookUrl": target}, response: LegacyWebhook{true, &target},
	}, s.legacyConfigureWebhook)
	register(s, operation{
		method: "GET", path: "/info", id: "legacy-info", tag: legacyTag, status: 200, public: true, successor: "/v1/version",
		summary: "What runs here?", description: "The program, its version, and how many sessions there are.",
		response: LegacyInfo{true, "chasqui", "0.1.0", 3600, LegacySessionCount{3, 2}},
	}, s.legacyInfo)
	register(s, operation{
		method: "GET", path: "/api/health", id: "legacy-health", tag: legacyTag, status: 200, public: true, successor: "/healthz",
		summary: "Is the process alive?", description: "Answers as long as the process serves requests.",
		response: LegacyHealth{true, "ok", 3600, exampleTime},
	}, func(context.Context, *struct{}) (*struct{ Body LegacyHealth }, error) {
		return &struct{ Body LegacyHealth }{LegacyHealth{true, "ok", int64(time.Since(s.began).Seconds()), time.Now().UTC()}}, nil
	})
}

type configureLegacyWebhook struct {
	_          struct{} `additionalProperties:"true"`
	WebhookURL *string  `json:"webhookUrl" nullable:"true" maxLength:"2048" doc:"http or https; null or empty: no webhook. Private addresses are refused, as for every endpoint." example:"https://tu-servidor.com/webhook"`
}

func (s *Server) legacyConfigureWebhook(ctx context.Context, in *struct {
	Idempotent
	Body configureLegacyWebhook
}) (*struct{ Body LegacyWebhook }, error) {
	target := in.Body.WebhookURL
	if target != nil && *target == "" {
		target = nil
	}
	if target != nil {
		if err := s.guard.CheckURL(ctx, *target); err != nil {
			return nil, invalid("body.webhookUrl", err.Error())
		}
	}
	answer, _, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (LegacyWebhook, error) {
		if err := lockSequencer(ctx, tx); err != nil {
			return LegacyWebhook{}, err
		}
		if target == nil {
			if _, err := s.q.EndpointDelete(ctx, tx, configuredEndpoint); err != nil {
				return LegacyWebhook{}, fmt.Errorf("remove endpoint: %w", err)
			}
			return LegacyWebhook{Success: true}, nil
		}
		if err := s.q.EndpointAssign(ctx, tx, configuredEndpoint, *target, s.configuredSecret()); err != nil {
			return LegacyWebhook{}, fmt.Errorf("set endpoint: %w", err)
		}
		tx.Notify(events.WakeDeliveries)
		return LegacyWebhook{true, target}, nil
	})
	if err != nil {
		return nil, err
	}
	s.kickSweep()
	return &struct{ Body LegacyWebhook }{answer}, nil
}

func (s *Server) legacyInfo(ctx context.Context, _ *struct{}) (*struct{ Body LegacyInfo }, error) {
	n, err := s.q.SessionCounts(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("count sessions: %w", err)
	}
	return &struct{ Body LegacyInfo }{LegacyInfo{
		true, "chasqui", s.config.Version, int64(time.Since(s.began).Seconds()), LegacySessionCount{int(n.Total), int(n.Connected)},
	}}, nil
}

// exampleLegacyMessage is the message of the original's documentation.
var exampleLegacyMessage = events.LegacyMessage{
	ID: "3EB0C767D097B7A0F1D2E3", SessionID: "mi-sesion-01", From: "5491123456789@c.us", Body: "Texto del mensaje", Type: "chat", Timestamp: 1640995200,
	Contact: events.LegacyContact{Name: "Juan Pérez", Number: "5491123456789"},
}

// describeLegacyWebhook adds the original's webhook to the document.
func (s *Server) describeLegacyWebhook(item *huma.PathItem) *huma.PathItem {
	op := *item.Post
	shape := s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[events.LegacyMessage](), true, "")
	example := exampleLegacyMessage
	example.Media = &events.LegacyMedia{Mimetype: "image/jpeg", Data: "/9j/4AAQSkZJRg==", Filename: "imagen.jpg"}
	op.OperationID, op.Summary, op.Deprecated = "on-legacy-message", "A message has come in, in the original's form", true
	op.Description = "What endpoints of the format legacy get, for each message.received: those of WEBHOOK_URL and POST /webhook/config, and any that is created with it. A file of up to 5 MiB stands in " +
		"media.data; a larger one, and one that is not there 30 s after its message, is named by media.url. Answers and repeats are as for every webhook."
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: shape, Example: example}}}
	return &huma.PathItem{Post: &op}
}

// malformed is the problem of a body that is no JSON.
func malformed(err error) error {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return problem(MalformedJSON, "the body is not valid JSON")
}

// decodeLegacy reads JSON that may hold members nobody knows.
func decodeLegacy(body []byte, into any) error {
	var all any
	if err := decodeJSON(body, &all); err != nil {
		return malformed(err)
	}
	if _, ok := all.(map[string]any); !ok {
		return invalid("body", "expected object")
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return invalid("body."+wrong.Field, "expected string")
		}
		return malformed(err)
	}
	return nil
}

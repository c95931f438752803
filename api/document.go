package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/yaml"

	"github.com/chasqui/chasqui/events"
)

// documentVersion is the version of the API's contract, not of the program: it only changes with what clients can rely on.
const documentVersion = "1.0.0"

const introduction = `chasqui runs WhatsApp accounts: requests in, signed webhooks out, and nothing lost in between.

**Keys.** Every operation under /v1 except /v1/version needs the API key, as ` + "`X-API-Key`" + ` or ` + "`Authorization: Bearer`" + `.

**Errors** are ` + "`application/problem+json`" + ` (RFC 9457). Decide by ` + "`code`" + `; ` + "`type`" + ` leads to a page that explains it.

**Repeating.** A POST that changes something takes an ` + "`Idempotency-Key`" + `. The same key with the same path and body within 24 h answers what the first one did, with
` + "`Idempotency-Replayed: true`" + `, and does nothing again; so repeat a POST whose answer was lost, or was 5xx, with the same key.

**Lists** are newest first, in pages: pass ` + "`nextCursor`" + ` as ` + "`cursor`" + ` while ` + "`hasMore`" + ` is true, or follow the Link header.

**Limits.** A key may make as many requests a minute as the operator allows (12,000 unless set otherwise), over all of them together. ` + "`RateLimit`" + ` says what is left, and
` + "`rate_limited`" + ` when there is nothing.

**Growing.** /v1 only ever grows. Accept fields, event types, enum values and problem codes that you do not know. In requests, on the other hand, unknown fields and query
parameters are refused, so that a typing error is not silently ignored. A query parameter without a value is as one that is not there.`

// Idempotent is the header of every POST that changes something.
type Idempotent struct {
	IdempotencyKey string `header:"Idempotency-Key" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" patternDescription:"printable ASCII without spaces" doc:"Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again." example:"order-4711"`
}

// operation describes one operation for people and programs; register turns it into a route.
type operation struct {
	method, path, id, tag string
	summary, description  string
	status                int           // of a success
	also                  map[int]any   // other successes, with the same body or a Change, and their examples
	request, response     any           // examples
	codes                 []Code        // the problems of its own; those that every operation can have are added
	wait                  time.Duration // the longest that it waits for news
	public                bool          // needs no API key
	scope                 scope         // what a key must be allowed; "": what needs says
	everywhere            bool          // it concerns all sessions, so that a key for some of them may not do it
	asks                  bool          // a POST that changes nothing
	maxBody               int64         // bytes of JSON that it takes; 0 means maxBody
	multipart             *huma.Schema  // of a body that it reads by itself, as it comes
	ticket                ticketPurpose // what a ticket that stands in for the key must be for; "": none does
	successor             string        // of a route of the original's: what takes its place today, for the headers; "": not deprecated
	responses             map[string]*huma.Response
}

// register adds an operation. Errors that are not Problems yet become one on the way out.
func register[I, O any](s *Server, o operation, handle func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		Method: o.method, Path: o.path, OperationID: o.id, Tags: []string{o.tag}, Summary: o.summary, Description: o.description,
		DefaultStatus: o.status, Responses: o.responses, MaxBodyBytes: -1, BodyReadTimeout: -1, // takeBody bounds both
	}
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Metadata = map[string]any{metaOperation: o}
	problemShape, examples := reflect.TypeFor[Problem](), ""
	if o.successor != "" {
		op.Deprecated, problemShape, examples = true, reflect.TypeFor[LegacyProblem](), "legacy_"
	}
	codes := append([]Code{InternalError, Unavailable, BadRequest, ValidationFailed}, o.codes...) // a parameter too many is refused everywhere
	if o.public {
		op.Security = []map[string][]string{}
	} else {
		codes = append(codes, Unauthorized, InsufficientScope, AddressNotAllowed, RateLimited)
		op.Extensions = map[string]any{"x-scope": string(o.needs())}
		if o.needs() == scopePair {
			codes = append(codes, LinkUsed)
		}
	}
	if o.ticket != "" {
		op.Security = append(slices.Clone(s.huma.OpenAPI().Security), map[string][]string{"ticket": {}})
	}
	input := reflect.TypeFor[I]()
	if _, ok := input.FieldByName("IdempotencyKey"); ok {
		codes = append(codes, IdempotencyInProgress, IdempotencyKeyReused)
	}
	if _, ok := input.FieldByName("Body"); ok {
		codes = append(codes, MalformedJSON, PayloadTooLarge, RequestTimeout, UnsupportedMediaType)
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Example: o.request}}}
	}
	success := strconv.Itoa(o.status)
	if o.response != nil && op.Responses[success] == nil {
		op.Responses[success] = &huma.Response{Content: map[string]*huma.MediaType{"application/json": {Example: o.response}}}
	}
	problems := s.huma.OpenAPI().Components.Schemas.Schema(problemShape, true, "")
	slices.Sort(codes)
	for _, code := range slices.Compact(codes) {
		status := strconv.Itoa(explanations[code].status)
		r := op.Responses[status]
		if r == nil {
			r = &huma.Response{Content: map[string]*huma.MediaType{"application/problem+json": {Schema: problems, Examples: map[string]*huma.Example{}}}}
			op.Responses[status] = r
		}
		r.Description = strings.TrimPrefix(r.Description+" or "+string(code), " or ")
		example := exampleProblem(code)
		if o.successor != "" {
			example["success"], example["error"] = false, explanations[code].text
		}
		r.Content["application/problem+json"].Examples[string(code)] = &huma.Example{Ref: "#/components/examples/" + examples + string(code)}
		s.huma.OpenAPI().Components.Examples[examples+string(code)] = &huma.Example{Summary: explanations[code].title, Value: example}
	}
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*databaseBudget+o.wait) // also where a query waits for a connection
		defer cancel()
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return out, nil
	})
	registered := operationAt(s.huma.OpenAPI().Paths[o.path], o.method)
	if o.multipart != nil {
		registered.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: o.multipart, Example: o.request}}}
	}
	if len(o.also) > 0 {
		for status, example := range o.also {
			other := *registered.Responses[success]
			other.Description = http.StatusText(status)
			if example != nil {
				schema := other.Content["application/json"].Schema
				if _, ok := example.(events.Change); ok {
					schema = s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[events.Change](), true, "")
				}
				other.Content = map[string]*huma.MediaType{"application/json": {Schema: schema, Example: example}}
			}
			registered.Responses[strconv.Itoa(status)] = &other
		}
	}
	s.describeHeaders(o)
}

// describeHeaders adds the headers that the layers around an operation set to its successes and its 429. They are on the other answers too,
// where they would only make the document longer.
func (s *Server) describeHeaders(o operation) {
	var names []string
	if !o.public {
		names = append(names, "RateLimit", "RateLimit-Policy")
	}
	if o.successor != "" {
		names = append(names, "Deprecation", "Link")
	}
	for status, r := range operationAt(s.huma.OpenAPI().Paths[o.path], o.method).Responses {
		if status[0] != '2' && status != "429" {
			continue
		}
		for _, name := range names {
			if r.Headers == nil {
				r.Headers = map[string]*huma.Header{}
			}
			if r.Headers[name] == nil {
				r.Headers[name] = &huma.Header{Ref: "#/components/headers/" + name}
			}
		}
	}
}

// sharedHeaders are those that describeHeaders refers to.
var sharedHeaders = map[string]*huma.Header{
	"RateLimit":        {Description: "What is left of this key's requests: r of them in the next t seconds. Absent where the operator set no limit.", Schema: &huma.Schema{Type: huma.TypeString}, Example: `"default";r=11999;t=42`},
	"RateLimit-Policy": {Description: "The limit: q requests in w seconds.", Schema: &huma.Schema{Type: huma.TypeString}, Example: `"default";q=12000;w=60`},
	"Deprecation":      {Description: "This is a route of the original program, kept for its clients.", Schema: &huma.Schema{Type: huma.TypeString}, Example: "true"},
	"Link":             {Description: "What takes its place.", Schema: &huma.Schema{Type: huma.TypeString}, Example: `</v1/sessions>; rel="successor-version"`},
}

func operationAt(item *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodPost:
		return item.Post
	case http.MethodPut:
		return item.Put
	case http.MethodPatch:
		return item.Patch
	case http.MethodDelete:
		return item.Delete
	default:
		return item.Get
	}
}

func exampleProblem(code Code) map[string]any {
	e := explanations[code]
	return map[string]any{"type": "/problems/" + code, "title": e.title, "status": e.status, "code": code, "detail": e.text, "requestId": "req_5f2b9c0e7a1d4f63"}
}

// humaConfig is Huma without its own document, pages and links, and with JSON alone.
func humaConfig() huma.Config {
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: decodeJSON}
	config := huma.DefaultConfig("chasqui", documentVersion)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	config.Formats = map[string]huma.Format{"application/json": format, "json": format} // "json" is what Huma looks up for +json
	config.RejectUnknownQueryParameters = true
	config.Info.Description = introduction
	config.Info.License = &huma.License{Name: "MIT", Identifier: "MIT"}
	config.Servers = []*huma.Server{{URL: "/", Description: "The server that this document came from."}}
	config.Security = []map[string][]string{{"apiKey": {}}, {"bearer": {}}}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"apiKey": {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "The setting API_KEY, or a key of POST /v1/api-keys."},
		"bearer": {Type: "http", Scheme: "bearer", Description: "The same key as a bearer token."},
		"ticket": {Type: "apiKey", In: "query", Name: "ticket", Description: "A ticket of POST /v1/stream-tickets, where a browser cannot send a header."},
	}
	config.Components.Examples = map[string]*huma.Example{}
	config.Components.Headers = sharedHeaders
	config.Tags = []*huma.Tag{
		{Name: "Sessions", Description: "A session is one WhatsApp account, linked by a QR code like WhatsApp Web."},
		{Name: "Messages", Description: "What goes out and what came in."},
		{Name: "Chats", Description: "Conversations and their settings, and the history that the phone keeps."},
		{Name: "Labels", Description: "A business account's own marks for chats."},
		{Name: "Contacts", Description: "People on WhatsApp."},
		{Name: "Groups", Description: "Groups, their participants, and communities. What has changed is told by events, also where it was changed here."},
		{Name: "Profile", Description: "What the account shows of itself, and to whom."},
		{Name: "Presence", Description: "Who is online: the account itself, and those the session is subscribed to."},
		{Name: "Calls", Description: "Calls that come in. A session sees and rejects them; it carries no voice."},
		{Name: "Status", Description: "Status updates: what everybody in the account's status audience sees for 24 hours, and what its contacts show. Each is a message, in the chat status@broadcast, and is told by the events of messages."},
		{Name: "Channels", Description: "Channels and their posts. A post is a message whose chat is the channel; it stands in no list of chats."},
		{Name: "Changes", Description: "What was asked of WhatsApp and is on its way: a request that does not wait for it, or waits in vain, answers with a change, which ends here."},
		{Name: "Media", Description: "Files, sent and received."},
		{Name: "Webhooks", Description: "Where events are sent, signed as Standard Webhooks 1.0 has it."},
		{Name: "Events", Description: "The log of everything that happened, which webhooks are sent from."},
		{Name: "Keys", Description: "Keys that may do less than API_KEY, and who did what. x-scope of each operation says what a key needs for it."},
		{Name: "System", Description: "For load balancers and monitoring."},
		{Name: "Compatibility", Description: "The routes of the original program, for its clients. Each has a successor under /v1, which its header Link names."},
	}
	config.Transformers = []huma.Transformer{func(ctx huma.Context, _ string, v any) (any, error) {
		if p, ok := v.(*Problem); ok {
			return located(ctx.Context(), p, ctx.URL().Path), nil
		}
		return v, nil
	}}
	return config
}

var errNUL = errors.New("strings cannot hold the character U+0000")

// decodeJSON refuses U+0000, which PostgreSQL stores in neither text nor jsonb. Huma decodes each body into an any first.
func decodeJSON(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if parsed, ok := v.(*any); ok && bytes.Contains(data, []byte(`\u0000`)) && holdsNUL(*parsed) {
		return errNUL
	}
	return nil
}

func holdsNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, holdsNUL)
	case map[string]any:
		for key, member := range v {
			if strings.ContainsRune(key, 0) || holdsNUL(member) {
				return true
			}
		}
	}
	return false
}

// Spec returns the OpenAPI document of this version as YAML: what openapi/openapi.yaml holds.
func Spec() ([]byte, error) {
	document, err := newRoutes().document()
	if err != nil {
		return nil, err
	}
	return toYAML(document)
}

// Spec30 returns the same in OpenAPI 3.0.3, for tools that know no 3.1: what openapi/openapi-3.0.yaml holds.
func Spec30() ([]byte, error) {
	document, err := newRoutes().document()
	if err != nil {
		return nil, err
	}
	if document, err = document30(document); err != nil {
		return nil, err
	}
	return toYAML(document)
}

func toYAML(document []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := yaml.Convert(&out, bytes.NewReader(document)); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return out.Bytes(), nil
}

// document returns Huma's document as JSON, made fit for clients:
//   - answers are open (no additionalProperties: false), since they grow; requests stay closed, as the server checks them
//   - a union is its oneOf alone; what stands beside it is for the server's error messages
//   - unused components are left out, and what is Huma's own
func (s *Server) document() ([]byte, error) {
	s.describeEvents()
	raw, err := json.Marshal(s.huma.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("write document: %w", err)
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	components := all["components"].(map[string]any)
	schemas := components["schemas"].(map[string]any)
	sent, answered := map[string]bool{}, map[string]bool{}
	for _, group := range []string{"paths", "webhooks"} {
		for _, item := range all[group].(map[string]any) {
			for _, op := range item.(map[string]any) {
				body, responses := op.(map[string]any)["requestBody"], op.(map[string]any)["responses"]
				if group == "webhooks" { // what we send is what its receiver must accept to grow
					body, responses = nil, []any{body, responses}
				}
				reach(schemas, body, sent)
				reach(schemas, responses, answered)
			}
		}
	}
	strip(all)
	for name, schema := range schemas {
		if !sent[name] && !answered[name] {
			delete(schemas, name)
			continue
		}
		if sent[name] && answered[name] {
			return nil, fmt.Errorf("schema %s is both sent and answered: it cannot be closed and open", name)
		}
		if answered[name] {
			open(schema)
		}
		if union := schema.(map[string]any); union["discriminator"] != nil {
			for _, beside := range []string{"type", "required", "properties"} {
				delete(union, beside)
			}
		}
	}
	return inOrder(all, "openapi", "info", "servers", "tags", "security", "paths", "webhooks", "components")
}

// inOrder writes an object with its members in the order in which people read; encoding/json sorts what is inside.
func inOrder(object map[string]any, members ...string) ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, name := range members {
		value, err := json.Marshal(object[name])
		if err != nil {
			return nil, fmt.Errorf("write document: %w", err)
		}
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "%q:%s", name, value)
	}
	out.WriteByte('}')
	if len(object) != len(members) {
		return nil, fmt.Errorf("write document: there is a place for %v alone of %v", members, slices.Sorted(maps.Keys(object)))
	}
	return out.Bytes(), nil
}

// reach marks the components that v leads to.
func reach(schemas map[string]any, v any, marked map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			name := ref[strings.LastIndexByte(ref, '/')+1:]
			if !marked[name] {
				marked[name] = true
				reach(schemas, schemas[name], marked)
			}
		}
		for _, member := range v {
			reach(schemas, member, marked)
		}
	case []any:
		for _, item := range v {
			reach(schemas, item, marked)
		}
	}
}

// strip removes what is no keyword of OpenAPI but Huma's, for its own messages.
func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "patternDescription")
		for _, member := range v {
			strip(member)
		}
	case []any:
		for _, item := range v {
			strip(item)
		}
	}
}

// open removes additionalProperties: false everywhere in schema.
func open(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		if closed, ok := schema["additionalProperties"].(bool); ok && !closed {
			delete(schema, "additionalProperties")
		}
		for _, member := range schema {
			open(member)
		}
	case []any:
		for _, item := range schema {
			open(item)
		}
	}
}

// describeEvents adds the webhooks section: every type of event, with what its data holds.
func (s *Server) describeEvents() {
	document := s.huma.OpenAPI()
	if document.Webhooks != nil {
		return
	}
	document.Webhooks = map[string]*huma.PathItem{}
	for _, t := range events.Types {
		shape := eventShapes[t]
		name := strings.Join(strings.FieldsFunc(string(t), func(r rune) bool { return r == '.' || r == '-' }), " ")
		component := strings.ReplaceAll(strings.Title(name), " ", "") + "Event" //nolint:staticcheck // ASCII words only
		document.Components.Schemas.Map()[component] = eventSchema(document.Components.Schemas, t, shape.data)
		header := func(name, doc, example string) *huma.Param {
			return &huma.Param{Name: name, In: "header", Required: true, Description: doc, Schema: &huma.Schema{Type: huma.TypeString}, Example: example}
		}
		document.Webhooks[string(t)] = &huma.PathItem{Post: &huma.Operation{
			OperationID: "on-" + strings.ReplaceAll(string(t), ".", "-"), Tags: []string{"Webhooks"}, Summary: shape.summary,
			Description: shape.summary + ". Answer 2xx within the endpoint's timeoutSeconds. Anything else is tried again, always with the same webhook-id, 12 times in about 76 h " +
				"unless its retrySeconds say otherwise; so an event can come twice, and webhook-id tells. An event of more than 256 KiB comes without its data, as ThinEvent.",
			Security: []map[string][]string{},
			Parameters: []*huma.Param{
				header("webhook-id", "The event's id, the same in every attempt.", exampleEventID),
				header("webhook-timestamp", "When this attempt was signed, in seconds since 1970.", "1767225600"),
				header("webhook-signature", "v1, and the HMAC-SHA256 of id.timestamp.body in base64, as Standard Webhooks 1.0 has it; several while a secret is being changed.", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
			},
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {
				Schema: s.thinOr(component), Example: shape.example,
			}}},
			Responses: map[string]*huma.Response{"2XX": {Description: "It is taken."}},
		}}
	}
	document.Webhooks["legacy.message"] = s.describeLegacyWebhook(document.Webhooks[string(events.MessageReceived)])
}

// documentAsset is the document in one of its forms. It is asked for anew each time (and answered 304): the page at /docs shows what this
// server does, and not what it did before an upgrade.
func documentAsset(contentType string, document []byte) *asset {
	return newAsset(document, map[string]string{"Content-Type": contentType, "Cache-Control": "no-cache"})
}

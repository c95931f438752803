package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// deliveryScan is how many deliveries of each state one request looks at for the types it wants: 3 ms of work in memory. A page that ends there
	// may be empty and still have more behind it.
	deliveryScan = 1000
	// attemptsShown bounds the attempts of one answer: with 16 KiB of body each they are 2 MiB. An endpoint has 12 attempts, unless chasqui itself
	// was short of something, which costs none.
	attemptsShown = 100
	// attemptBodyKept is how much of an answer's body the dispatcher records.
	attemptBodyKept = 16 << 10
)

// attemptClasses are the classes of attempts, and what each means.
var attemptClasses = [][2]string{
	{"ok", "answered with 2xx"},
	{"status", "answered with another status; redirects are not followed"},
	{"dns", "the URL's name has no address"},
	{"connect", "nobody accepts connections there"},
	{"tls", "no TLS handshake, or a certificate that is not valid for the name"},
	{"timeout", "no status within the endpoint's timeoutSeconds"},
	{"blocked", "the address is one that webhooks may not reach, such as that of a private network"},
	{"broken", "the connection ended before a status, or what came was not HTTP"},
	{"refused", "the broker does not take the message: no stream for its subject, no permission, a wrong password, a stream that is full"},
	{"oversize", "the message is larger than the broker takes"},
	{"local", "a failure of chasqui itself, such as no DNS server; it costs no attempt"},
	{"storage", "the file of the message could not be read; it costs no attempt"},
	{"aborted", "not sent to its end because chasqui was stopped; it is in no list of attempts, costs none, and is made up for at once"},
	{"expired", "not sent: the event is no longer kept, and the delivery is cancelled"},
	{"unfit", "not sent: the endpoint's format has no form for this event, and the delivery is cancelled"},
}

// attemptClass is one of attemptClasses.
type attemptClass string

// Schema is a component with the meaning of each class.
func (attemptClass) Schema(r huma.Registry) *huma.Schema {
	if r.Map()["AttemptClass"] == nil {
		s := &huma.Schema{Type: huma.TypeString, Description: "What came of an attempt; the list only grows.", Examples: []any{"status"}}
		for _, c := range attemptClasses {
			s.Enum = append(s.Enum, c[0])
			s.Description += "\n- " + c[0] + ": " + c[1]
		}
		r.Map()["AttemptClass"] = s
	}
	return &huma.Schema{Ref: "#/components/schemas/AttemptClass"}
}

// deliveryState is a state of a delivery.
type deliveryState string

// deliveryStates are all of them.
var deliveryStates = []deliveryState{"pending", "sending", "succeeded", "exhausted", "cancelled", "held"}

// Schema lists the states.
func (deliveryState) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{
		Type: huma.TypeString, Examples: []any{"exhausted"},
		Description: "pending waits for its time, sending is on its way, succeeded was taken with 2xx; exhausted failed in all its attempts and can be sent again; " +
			"cancelled will not be sent, because its endpoint was deleted or its event is no longer kept; held waits for its endpoint, which is paused or disabled.",
	}
	for _, state := range deliveryStates {
		s.Enum = append(s.Enum, string(state))
	}
	return s
}

// A Delivery is an event on its way to a webhook endpoint.
type Delivery struct {
	ID            string        `json:"id" example:"dlv_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	EndpointID    string        `json:"endpointId" example:"we_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	EventID       string        `json:"eventId" doc:"The event, and the webhook-id of every attempt." example:"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	EventType     string        `json:"eventType,omitempty" doc:"Absent when the event is no longer kept." example:"message.received"`
	SessionID     string        `json:"sessionId,omitempty" doc:"The session that the event happened to." example:"sales"`
	State         deliveryState `json:"state"`
	AttemptCount  int           `json:"attemptCount" doc:"Attempts that count, since it was made or last sent again." example:"12"`
	NextAttemptAt *time.Time    `json:"nextAttemptAt,omitempty" doc:"While it is pending: when it is due. It goes out later where its endpoint fails, is busy, or asks for order."`
	LastStatus    *int32        `json:"lastStatus,omitempty" doc:"The HTTP status of its last attempt, where there was one." example:"503"`
	LastClass     attemptClass  `json:"lastClass,omitempty" doc:"What came of its last attempt."`
	CreatedAt     time.Time     `json:"createdAt"`
	FinishedAt    *time.Time    `json:"finishedAt,omitempty" doc:"When it was succeeded, exhausted or cancelled."`
}

// DeliveryDetail is a delivery with all that is known of it.
type DeliveryDetail struct {
	Delivery
	Event    storedEvent `json:"event,omitempty" doc:"The event as webhooks carry it; absent when it is no longer kept."`
	Attempts []Attempt   `json:"attempts" doc:"Its attempts, oldest first, those before it was sent again included: the latest 100."`
}

// An Attempt is one request to a receiver.
type Attempt struct {
	Attempt              int               `json:"attempt" doc:"Which it is of its series. What costs no attempt has the number of the one that comes after it; a series begins anew when the delivery is sent again." example:"1"`
	StartedAt            time.Time         `json:"startedAt"`
	DurationMs           int               `json:"durationMs" doc:"Milliseconds from the beginning to the end of the answer, or to the failure." example:"187"`
	Class                attemptClass      `json:"class"`
	Status               *int32            `json:"status,omitempty" doc:"The HTTP status, where there was one." example:"503"`
	Error                string            `json:"error,omitempty" doc:"What went wrong, for a person. It may change."`
	ResponseHeaders      map[string]string `json:"responseHeaders" doc:"The answer's header, without cookies, up to 8 KiB."`
	ResponseBody         string            `json:"responseBody,omitempty" doc:"The answer's body, its first 16 KiB." example:"try again later"`
	ResponseBodyEncoding string            `json:"responseBodyEncoding,omitempty" enum:"text,base64" doc:"How responseBody is written: base64 where the body is not UTF-8. Absent where there was none." example:"text"`
}

// DeliveryPath is the path parameter of everything below a delivery.
type DeliveryPath struct {
	DeliveryID string `path:"deliveryId" maxLength:"64" doc:"A delivery, as the lists of them name it." example:"dlv_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

// A DeliveryFilter chooses deliveries.
type DeliveryFilter struct {
	State   []deliveryState `query:"state" maxItems:"6" doc:"Only in these states, separated by commas."`
	EventID string          `query:"eventId" maxLength:"64" doc:"Only of this event." example:"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Since   time.Time       `query:"since" doc:"Only of events that were made then or later, to the millisecond." example:"2026-01-01T00:00:00Z"`
	Until   time.Time       `query:"until" doc:"Only of events that were made before then." example:"2026-01-02T00:00:00Z"`
	Page
}

type deliveryAccepted struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     Delivery
}

var exampleDelivery = func() Delivery {
	status := int32(503)
	return Delivery{
		ID: "dlv_01932f0c5d6b7a10b1f4d0c4a8e2f001", EndpointID: exampleEndpoint.ID, EventID: exampleEventID, EventType: string(events.MessageReceived), SessionID: "sales",
		State: "exhausted", AttemptCount: 12, LastStatus: &status, LastClass: "status", CreatedAt: exampleTime, FinishedAt: &exampleTime,
	}
}()

func (s *Server) addDeliveries() {
	register(s, operation{
		method: "GET", path: "/v1/webhook-endpoints/{endpointId}/deliveries", id: "list-endpoint-deliveries", tag: "Webhooks", status: 200,
		summary: "List an endpoint's deliveries",
		description: "An endpoint's deliveries, those of the newest events first, for as long as events are kept (30 days unless the operator chose otherwise). A page can be empty and have " +
			"more behind it, when type leaves out much.",
		response: List[Delivery]{Data: []Delivery{exampleDelivery}}, codes: []Code{NotFound},
	}, s.listEndpointDeliveries)
	register(s, operation{
		method: "GET", path: "/v1/webhook-deliveries", id: "list-deliveries", tag: "Webhooks", status: 200,
		summary:     "List the deliveries of all endpoints",
		description: "The deliveries of all endpoints together, those of the newest events first. state=exhausted lists what nobody took: the dead letters. Those of deleted endpoints are left out.",
		response:    List[Delivery]{Data: []Delivery{exampleDelivery}},
	}, s.listDeliveries)
	failed := int32(503)
	detail := map[string]any{}
	for _, part := range []any{exampleDelivery, map[string]any{
		"event": eventShapes[events.MessageReceived].example,
		"attempts": []Attempt{
			{1, exampleTime, 15000, "timeout", nil, "no answer in time", map[string]string{}, "", ""},
			{2, exampleTime.Add(6 * time.Second), 187, "status", &failed, "", map[string]string{"Content-Type": "text/plain"}, "try again later", "text"},
		},
	}} {
		raw, _ := json.Marshal(part) // an example always encodes
		_ = json.Unmarshal(raw, &detail)
	}
	register(s, operation{
		method: "GET", path: "/v1/webhook-deliveries/{deliveryId}", id: "get-delivery", tag: "Webhooks", status: 200,
		summary: "Read a delivery", description: "A delivery with its event and every attempt: when, how long, what came of it, and what the receiver answered.",
		response: detail, codes: []Code{NotFound},
	}, s.getDelivery)
	again := exampleDelivery
	again.State, again.AttemptCount, again.NextAttemptAt, again.FinishedAt = "pending", 0, &exampleTime, nil
	register(s, operation{
		method: "POST", path: "/v1/webhook-deliveries/{deliveryId}/retry", id: "retry-delivery", tag: "Webhooks", status: 202,
		summary: "Send a delivery again",
		description: "Whatever its state, also one that succeeded: it is due now, with all its attempts before it, under the same webhook-id. It goes out at once and out of its order, since " +
			"later events have gone already. One that is on its way at this moment is answered as it is. While its endpoint is paused or disabled it is held. delivery_expired: its event " +
			"is no longer kept, or its endpoint was deleted. To send many again, see POST /v1/webhook-endpoints/{endpointId}/replay.",
		response: again, codes: []Code{NotFound, DeliveryExpired},
	}, s.retryDelivery)
}

// publicDelivery returns the public form of a delivery. sessionID and eventType are empty when the event is gone.
func publicDelivery(v db.DeliveryPageRow) Delivery {
	d := Delivery{
		ID: events.DeliveryPrefix.Format(v.ID), EndpointID: events.EndpointPrefix.Format(v.EndpointID), EventID: events.EventPrefix.Format(v.EventID),
		EventType: v.Type, SessionID: v.SessionID, State: deliveryState(v.State), AttemptCount: int(v.Attempt), LastStatus: v.LastStatus,
		CreatedAt: v.CreatedAt, FinishedAt: v.FinishedAt,
	}
	if v.LastClass != nil {
		d.LastClass = attemptClass(*v.LastClass)
	}
	if v.State == "pending" {
		d.NextAttemptAt = &v.RunAt
	}
	return d
}

func (s *Server) listEndpointDeliveries(ctx context.Context, in *struct {
	EndpointPath
	Type []typePattern `query:"type" maxItems:"50" doc:"Only of events of these types, separated by commas; message.* and the like too."`
	DeliveryFilter
}) (*listed[Delivery], error) {
	row, err := s.endpoint(ctx, in.EndpointID)
	if err != nil {
		return nil, err
	}
	return s.deliveryPage(ctx, &row.ID, in.DeliveryFilter, texts(in.Type), "/v1/webhook-endpoints/"+in.EndpointID+"/deliveries")
}

func (s *Server) listDeliveries(ctx context.Context, in *struct{ DeliveryFilter }) (*listed[Delivery], error) {
	return s.deliveryPage(ctx, nil, in.DeliveryFilter, []string{}, "/v1/webhook-deliveries")
}

// deliveryPage answers a list. Its cursor is the event of the last delivery that was looked at, and its endpoint in the list of all.
func (s *Server) deliveryPage(ctx context.Context, endpoint *uuid.UUID, f DeliveryFilter, types []string, path string) (*listed[Delivery], error) {
	p, err := f.params(endpoint)
	if err != nil {
		return nil, err
	}
	wanted := events.Filter{Types: types}
	p.Types, p.Prefixes = wanted.Patterns()
	p.Scan, p.MaxRows = f.rows(), f.rows()
	if len(types) > 0 {
		p.Scan, p.MaxRows = max(deliveryScan, f.rows()), f.rows()
	}
	p.Sessions = callerOf(ctx).sessions
	rows, err := s.q.DeliveryPage(ctx, s.pool, p)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	out := &listed[Delivery]{Body: List[Delivery]{Data: []Delivery{}}}
	for _, row := range rows {
		full := len(out.Body.Data) == f.Limit
		if !full && wanted.Wants(events.Facts{Type: row.Type}) {
			out.Body.Data = append(out.Body.Data, publicDelivery(row))
		}
		if out.Body.HasMore = full || row.N == int64(p.Scan); out.Body.HasMore && !full {
			out.Body.NextCursor = deliveryCursor(endpoint, row.EventID, row.EndpointID)
		}
	}
	if n := len(out.Body.Data); out.Body.HasMore && n == f.Limit {
		last := rows[n-1]
		out.Body.NextCursor = deliveryCursor(endpoint, last.EventID, last.EndpointID)
	}
	// What the endpoint got of other sessions, before it was for the caller's alone.
	out.Body.Data = slices.DeleteFunc(out.Body.Data, func(d Delivery) bool { return d.SessionID != "" && !callerOf(ctx).sees(d.SessionID) })
	if !out.Body.HasMore {
		return out, nil
	}
	out.Link = nextLink(path, f.query(types), "cursor", out.Body.NextCursor, f.Limit)
	return out, nil
}

func deliveryCursor(endpoint *uuid.UUID, event, of uuid.UUID) string {
	if endpoint != nil {
		return events.EventPrefix.Format(event)
	}
	return events.EventPrefix.Format(event) + "." + events.EndpointPrefix.Format(of)
}

// params are the query's, but for what bounds the page.
func (f DeliveryFilter) params(endpoint *uuid.UUID) (p db.DeliveryPageParams, err error) {
	p.EndpointID, p.States, p.ToID, p.BeforeEndpoint = endpoint, texts(f.State), uuid.Max, uuid.Max
	if len(p.States) == 0 {
		p.States = texts(deliveryStates)
	}
	slices.Sort(p.States)
	p.States = slices.Compact(p.States) // one named twice would be listed twice
	if !f.Since.IsZero() {
		p.FromID = events.FirstID(f.Since)
	}
	if !f.Until.IsZero() {
		p.ToID = events.FirstID(f.Until)
	}
	if f.EventID != "" {
		id, err := events.EventPrefix.Parse(f.EventID)
		if err != nil {
			return p, invalid("query.eventId", "expected an event's id")
		}
		if after(p.FromID, id) || after(id, p.ToID) {
			p.FromID, p.ToID = uuid.Max, uuid.Nil // not of that time: nothing
		} else {
			p.FromID, p.ToID = id, id
		}
	}
	if f.Cursor == "" {
		return p, nil
	}
	eventPart, endpointPart, all := strings.Cut(f.Cursor, ".")
	before, err := parseCursor(events.EventPrefix, eventPart)
	of := &uuid.Nil
	if err == nil && all {
		of, err = parseCursor(events.EndpointPrefix, endpointPart)
	}
	if err != nil || before == nil || of == nil || all != (endpoint == nil) {
		return p, invalid("query.cursor", "this is no nextCursor of this list")
	}
	if !after(*before, p.ToID) {
		p.ToID, p.BeforeEndpoint = *before, *of
	}
	return p, nil
}

// after says whether an id is greater than another, which for those of events means younger.
func after(a, b uuid.UUID) bool { return bytes.Compare(a[:], b[:]) > 0 }

// query is the filter as a query, for the Link.
func (f DeliveryFilter) query(types []string) url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("state", strings.Join(texts(f.State), ","))
	set("type", strings.Join(types, ","))
	set("eventId", f.EventID)
	if !f.Since.IsZero() {
		set("since", f.Since.Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		set("until", f.Until.Format(time.RFC3339Nano))
	}
	return q
}

// readDelivery returns a delivery with its event, or not_found.
func (s *Server) readDelivery(ctx context.Context, from db.DBTX, publicID string) (d Delivery, row db.DeliveryGetRow, err error) {
	id, err := events.DeliveryPrefix.Parse(publicID)
	if err != nil {
		return d, row, problem(NotFound, "there is no such delivery")
	}
	row, err = s.q.DeliveryGet(ctx, from, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, row, problem(NotFound, "there is no such delivery, or it is no longer kept")
	}
	if err != nil {
		return d, row, fmt.Errorf("read delivery: %w", err)
	}
	v := db.DeliveryPageRow{
		ID: row.ID, EventID: row.EventID, EndpointID: row.EndpointID, State: row.State, Attempt: row.Attempt, RunAt: row.RunAt,
		LastStatus: row.LastStatus, LastClass: row.LastClass, CreatedAt: row.CreatedAt, FinishedAt: row.FinishedAt,
	}
	if row.Type != nil {
		v.Type, v.SessionID = *row.Type, *row.SessionID
	}
	if c := callerOf(ctx); c.sessions != nil {
		if _, err := s.endpointByID(ctx, from, row.EndpointID); err != nil || v.SessionID != "" && !c.sees(v.SessionID) {
			return d, row, problem(NotFound, "there is no such delivery, or it is no longer kept")
		}
	}
	return publicDelivery(v), row, nil
}

func (s *Server) getDelivery(ctx context.Context, in *struct{ DeliveryPath }) (*struct{ Body DeliveryDetail }, error) {
	d, row, err := s.readDelivery(ctx, s.pool, in.DeliveryID)
	if err != nil {
		return nil, err
	}
	attempts, err := s.q.AttemptList(ctx, s.pool, row.ID, attemptsShown)
	if err != nil {
		return nil, fmt.Errorf("list attempts: %w", err)
	}
	out := &struct{ Body DeliveryDetail }{DeliveryDetail{Delivery: d, Event: row.Body, Attempts: make([]Attempt, len(attempts))}}
	for i, a := range attempts {
		if out.Body.Attempts[len(attempts)-1-i], err = publicAttempt(a); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// publicAttempt returns the public form of an attempt. The end of a body that was cut off may be the middle of a character.
func publicAttempt(v db.AttemptListRow) (Attempt, error) {
	a := Attempt{
		Attempt: int(v.Attempt), StartedAt: v.StartedAt, DurationMs: int(v.DurationMs), Class: attemptClass(v.Class), Status: v.Status, Error: v.Error,
		ResponseHeaders: map[string]string{},
	}
	if v.Headers != nil {
		if err := json.Unmarshal(v.Headers, &a.ResponseHeaders); err != nil {
			return a, fmt.Errorf("decode headers of attempt: %w", err)
		}
	}
	if len(v.Body) == 0 {
		return a, nil
	}
	text := v.Body
	if len(text) == attemptBodyKept {
		for n := 1; n < utf8.UTFMax; n++ {
			if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
				if !utf8.FullRune(last) {
					text = text[:len(text)-n]
				}
				break
			}
		}
	}
	if a.ResponseBody, a.ResponseBodyEncoding = string(text), "text"; !utf8.Valid(text) {
		a.ResponseBody, a.ResponseBodyEncoding = base64.StdEncoding.EncodeToString(v.Body), "base64"
	}
	return a, nil
}

func (s *Server) retryDelivery(ctx context.Context, in *struct {
	DeliveryPath
	Idempotent
}) (*deliveryAccepted, error) {
	d, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (Delivery, error) {
		d, row, err := s.readDelivery(ctx, tx, in.DeliveryID)
		if err != nil {
			return d, err
		}
		state, err := s.q.EndpointHold(ctx, tx, row.EndpointID)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return d, problem(DeliveryExpired, "the webhook endpoint of this delivery was deleted")
		case err != nil:
			return d, fmt.Errorf("hold endpoint: %w", err)
		case row.Body == nil:
			return d, problem(DeliveryExpired, "the event of this delivery is no longer kept")
		}
		becomes := "pending"
		if state != "active" {
			becomes = "held"
		}
		if _, err := s.q.DeliveryResend(ctx, tx, becomes, row.EventID, row.EndpointID); err != nil {
			return d, fmt.Errorf("make delivery due: %w", err)
		}
		tx.Notify(events.WakeDeliveries)
		d, _, err = s.readDelivery(ctx, tx, in.DeliveryID)
		return d, err
	})
	if err != nil {
		return nil, err
	}
	return &deliveryAccepted{Replayed: replayedHeader(replayed), Body: d}, nil
}

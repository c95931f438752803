package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxEventWait bounds ?wait of the event log.
	maxEventWait = 30 * time.Second
	// eventScan is how much of the log one request looks at for what it wants: some 20 ms of work. A page that ends there may be empty
	// and still have more behind it.
	eventScan = 10000
)

// storedEvent is an event's body exactly as it was made.
type storedEvent json.RawMessage

// MarshalJSON returns the bytes themselves.
func (e storedEvent) MarshalJSON() ([]byte, error) { return e, nil }

// Schema is that of an event whose data its type decides; the webhooks section has one for each type.
func (storedEvent) Schema(r huma.Registry) *huma.Schema {
	s := r.Schema(reflect.TypeFor[events.Event](), true, "")
	event := r.SchemaFromRef(s.Ref)
	event.Description = "Something that happened. The webhooks section of this document describes data for each type."
	event.Properties["data"] = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "What it is about, as type says."}
	return s
}

// EventPage is a part of the event log, oldest first.
type EventPage struct {
	Data       []storedEvent `json:"data" doc:"The events, oldest first, byte for byte as webhooks carry them."`
	NextCursor string        `json:"nextCursor" doc:"Pass it as after to read on, now or later: always there, and empty only while nothing has ever happened." example:"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	HasMore    bool          `json:"hasMore" doc:"Whether more can be read right away. A page can be empty and have more behind it, when the filter leaves out much."`
}

type eventsOutput struct {
	Link string `header:"Link" doc:"The next page, as RFC 8288 has it, when there is more."`
	Body EventPage
}

type eventOutput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Body        []byte
}

const exampleEventID = "evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"

// eventShape documents a type of event: what happened, and what its data is.
type eventShape struct {
	summary string
	data    reflect.Type
	example events.Event
}

func exampleEvent(t events.Type, data any) events.Event {
	return events.Event{ID: exampleEventID, Type: t, Timestamp: exampleTime, SessionID: "sales", Data: data}
}

var exampleFile = events.Media{
	ID: "med_01932f0c5d6b7a10b1f4d0c4a8e2f001", URL: "https://chasqui.example.com/v1/media/med_01932f0c5d6b7a10b1f4d0c4a8e2f001/content", Mimetype: "application/pdf",
	Size: 48213, SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", FileName: "invoice.pdf",
}

// eventShapes has every type of events.Types.
var eventShapes = func() map[events.Type]eventShape {
	scanning, incoming, sent := exampleSession, exampleMessage, exampleMessage
	scanning.State, scanning.Phone, scanning.LID, scanning.ConnectedAt, scanning.LastEventAt = events.StateQR, "", "", nil, nil
	sent.Status = events.StatusSent
	incoming.Direction, incoming.From, incoming.To, incoming.ClientReference = events.Incoming, exampleMessage.To, exampleMessage.From, ""
	incoming.Status, incoming.Content.Text = events.StatusDelivered, "Is my order ready?"
	receipt := events.StatusData{
		MessageID: exampleMessageID, WhatsAppID: exampleMessage.WhatsAppID, ChatID: exampleMessage.ChatID, Status: events.StatusRead, By: &sent.To, At: exampleTime,
	}
	lost := events.MediaFailedData{
		MessageID: exampleMessageID, WhatsAppID: exampleMessage.WhatsAppID, ChatID: exampleMessage.ChatID, Media: exampleFile,
		Error: events.MessageError{Code: string(MediaFetchFailed), Message: "WhatsApp has the file no more, and neither has the phone."},
	}
	endpoint := events.WebhookEndpoint{ID: exampleEndpoint.ID, URL: exampleEndpoint.URL, State: "active"}
	failing, disabled := endpoint, endpoint
	failing.FailingSince, failing.ConsecutiveFailures, failing.Reason = &exampleTime, 10, "the last 10 deliveries failed: the receiver answered 500"
	disabled.FailingSince, disabled.ConsecutiveFailures, disabled.State = &exampleTime, 412, "disabled"
	disabled.Reason = "nothing was delivered for 5 days: the receiver answered 500"
	about := func(t events.Type, data events.WebhookData) events.Event {
		return events.Event{ID: exampleEventID, Type: t, Timestamp: exampleTime, Data: data}
	}
	webhook := reflect.TypeFor[events.WebhookData]()
	session, message, status := reflect.TypeFor[events.SessionData](), reflect.TypeFor[events.MessageData](), reflect.TypeFor[events.StatusData]()
	shapes := conversationShapes(incoming)
	maps.Copy(shapes, presenceShapes())
	maps.Copy(shapes, channelShapes())
	maps.Copy(shapes, linkingShapes(scanning))
	maps.Copy(shapes, map[events.Type]eventShape{
		events.SessionRisk:     {"The level of an account's health has changed", reflect.TypeFor[events.RiskData](), exampleEvent(events.SessionRisk, events.RiskData{Health: exampleHealth})},
		events.SessionStatus:   {"A session's state has changed", session, exampleEvent(events.SessionStatus, events.SessionData{Session: exampleSession})},
		events.SessionQR:       {"A session shows a QR code to scan", session, exampleEvent(events.SessionQR, events.SessionData{Session: scanning, QR: &events.QR{Text: exampleQRText, ExpiresAt: exampleTime}})},
		events.MessageReceived: {"A message has come in", message, exampleEvent(events.MessageReceived, events.MessageData{Message: incoming})},
		events.MessageSent:     {"A message has gone out, from here or from the owner's phone", message, exampleEvent(events.MessageSent, events.MessageData{Message: sent})},
		events.MediaFailed:     {"The file of a message cannot be had", reflect.TypeFor[events.MediaFailedData](), exampleEvent(events.MediaFailed, lost)},
		events.WebhookTest:     {"A webhook endpoint is tried out, by POST .../test", webhook, about(events.WebhookTest, events.WebhookData{Endpoint: endpoint, Message: &incoming})},
		events.WebhookFailing:  {"A webhook endpoint fails; the others are told", webhook, about(events.WebhookFailing, events.WebhookData{Endpoint: failing})},
		events.WebhookDisabled: {"A webhook endpoint was given up; the others are told", webhook, about(events.WebhookDisabled, events.WebhookData{Endpoint: disabled})},
		events.MessageUpdated:  {"A message was delivered, read or played, or has failed", status, exampleEvent(events.MessageUpdated, receipt)},
	})
	return shapes
}()

// eventSchema is the shape of one type of event.
func eventSchema(r huma.Registry, t events.Type, data reflect.Type) *huma.Schema {
	r.Schema(reflect.TypeFor[events.Event](), true, "")
	general := r.Map()["Event"]
	s := &huma.Schema{Type: huma.TypeObject, Required: general.Required, Properties: map[string]*huma.Schema{}}
	for name, property := range general.Properties {
		s.Properties[name] = property
	}
	s.Properties["type"] = &huma.Schema{Type: huma.TypeString, Enum: []any{string(t)}}
	s.Properties["data"] = r.Schema(data, true, "")
	return s
}

func (s *Server) addEvents() {
	page := map[string]any{"data": []events.Event{eventShapes[events.MessageReceived].example}, "nextCursor": exampleEventID, "hasMore": false}
	register(s, operation{
		method: "GET", path: "/v1/events", id: "list-events", tag: "Events", status: 200, wait: maxEventWait,
		summary: "Read the event log",
		description: "Everything that happened, oldest first and each event once: begin without after, and then pass each nextCursor as after. Nothing is skipped, whatever else happens " +
			"meanwhile. With last=100 the newest 100 come instead of the oldest. With raw=true the events about a message that is still stored have WhatsApp's own form of it in data.message.raw, which neither webhooks nor the log itself hold. An event stands in the log a moment after it happened, and for 30 days unless the operator chose otherwise; after an event that is no longer kept comes cursor_expired.",
		response: page, codes: []Code{CursorExpired},
	}, s.listEvents)
	event := storedEvent{}.Schema(s.huma.OpenAPI().Components.Schemas)
	register(s, operation{
		method: "GET", path: "/v1/events/{eventId}", id: "get-event", tag: "Events", status: 200,
		summary: "Read an event", description: "One event, byte for byte as webhooks carry it; with raw=true WhatsApp's own form of its message is added, if that is still stored.",
		responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"application/json": {Schema: event, Example: eventShapes[events.MessageReceived].example},
		}}},
		codes: []Code{NotFound},
	}, s.getEvent)
}

// A place in the event log is that of an event, everything up to which was read. The zero place is before the first.
type place struct {
	seq    int64
	cursor string // the event's id
}

func placeOf(seq int64, id uuid.UUID) place { return place{seq, events.EventPrefix.Format(id)} }

func (s *Server) listEvents(ctx context.Context, in *struct {
	After string `query:"after" maxLength:"64" doc:"An event's id or a nextCursor: read what came after it. Without it: from the oldest event that is kept." example:"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Last  int    `query:"last" minimum:"1" maximum:"1000" doc:"Begin with the newest so many events, those that the filters leave out counted. Not together with after." example:"100"`
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"Events a page." example:"50"`
	EventFilter
	RawWish
	Wait int `query:"wait" minimum:"0" maximum:"30" doc:"Seconds to wait for an event when there is none." example:"20"`
}) (*eventsOutput, error) {
	at, err := s.eventPlace(ctx, in.After, "query.after")
	if err != nil {
		return nil, err
	}
	if in.Last > 0 && in.After != "" {
		return nil, invalid("query.last", "expected either last or after")
	} else if in.Last > 0 {
		if at.seq, err = s.q.EventSeqFromEnd(ctx, s.pool, int32(in.Last)); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return nil, fmt.Errorf("read place of the newest events: %w", err)
		}
	}
	filter := in.filter(callerOf(ctx))
	listener := s.waker.Listen(events.WakeLog)
	defer listener.Close()
	out := &eventsOutput{Body: EventPage{Data: []storedEvent{}}}
	err = s.await(ctx, listener, time.Duration(in.Wait)*time.Second, func(ctx context.Context) (bool, error) {
		rows, to, more, err := s.readEvents(ctx, at, filter, in.Limit)
		for _, row := range rows {
			out.Body.Data = append(out.Body.Data, row.Body)
		}
		at, out.Body.HasMore = to, more
		return len(rows) > 0 || more, err
	})
	if err != nil {
		return nil, err
	}
	if in.Raw {
		if err := s.eventsWithRaw(ctx, s.pool, out.Body.Data); err != nil {
			return nil, err
		}
	}
	if out.Body.NextCursor = s.cursor(ctx, at.cursor); out.Body.HasMore {
		query := in.query()
		if in.Raw {
			query.Set("raw", "true")
		}
		out.Link = nextLink("/v1/events", query, "after", out.Body.NextCursor, in.Limit)
	}
	return out, nil
}

// eventPlace returns the place of the event that a client read last, the zero place for none. Its own row is asked: where that is gone,
// later ones may be gone too, and the client must know. location is where the request names it.
func (s *Server) eventPlace(ctx context.Context, after, location string) (place, error) {
	if after == "" {
		return place{}, nil
	}
	id, err := events.EventPrefix.Parse(s.openCursor(after))
	if err != nil {
		return place{}, invalid(location, "expected an event's id or a nextCursor")
	}
	seq, err := s.q.EventSeq(ctx, s.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return place{}, problem(CursorExpired, "this event is no longer kept; read without after to begin at the oldest that is")
	}
	if err != nil {
		return place{}, fmt.Errorf("read event's place: %w", err)
	}
	return placeOf(seq, id), nil
}

// newestPlace returns the place of the newest event.
func (s *Server) newestPlace(ctx context.Context) (place, error) {
	head, err := s.q.EventHead(ctx, s.pool)
	if errors.Is(err, pgx.ErrNoRows) {
		return place{}, nil
	}
	if err != nil {
		return place{}, fmt.Errorf("read newest event: %w", err)
	}
	return placeOf(head.Seq, head.ID), nil
}

// readEvents returns up to limit events after a place, the place up to which it has looked, and whether there is more behind that. The
// newest event is read first: what is below it is visible then, because places are given and committed in order.
func (s *Server) readEvents(ctx context.Context, from place, filter events.Filter, limit int) (rows []db.EventPageRow, to place, more bool, err error) {
	head, err := s.newestPlace(ctx)
	if err != nil || head.seq <= from.seq {
		return nil, from, false, err
	}
	session, rest := indexed(filter)
	types, prefixes := rest.Patterns()
	rows, err = s.q.EventPage(ctx, postgres.Planned(s.pool), db.EventPageParams{
		After: from.seq, Head: head.seq, SessionID: session, Scan: eventScan, MaxRows: int32(limit) + 1,
		Types: types, Prefixes: prefixes, Sessions: texts(rest.Sessions), ChatKinds: texts(rest.ChatKinds), FromMe: rest.FromMe,
	})
	if err != nil {
		return nil, from, false, fmt.Errorf("read events: %w", err)
	}
	if len(rows) > limit {
		last := rows[limit-1]
		return rows[:limit], placeOf(last.Seq, last.ID), true, nil
	}
	// Where there are as many events as a page looks at, those that were erased may have left out the rest.
	if leavesOut(rest) || head.seq-from.seq >= eventScan {
		scanned, err := s.q.EventScanEnd(ctx, postgres.Planned(s.pool), session, from.seq, head.seq, eventScan)
		if err == nil {
			return rows, placeOf(scanned.Seq, scanned.ID), scanned.Seq < head.seq, nil
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return nil, from, false, fmt.Errorf("read end of scan: %w", err)
		}
	}
	return rows, head, false, nil
}

func (s *Server) getEvent(ctx context.Context, in *struct {
	EventID string `path:"eventId" maxLength:"64" doc:"An event: the webhook-id of a webhook, the id of a stream." example:"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	RawWish
}) (*eventOutput, error) {
	id, err := events.EventPrefix.Parse(in.EventID)
	if err != nil {
		return nil, problem(NotFound, "there is no such event")
	}
	body, err := s.q.EventGet(ctx, s.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem(NotFound, "there is no such event, or it is no longer kept")
	}
	if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	var whose struct{ SessionID string }
	if c := callerOf(ctx); c.sessions != nil && (json.Unmarshal(body, &whose) != nil || !c.sees(whose.SessionID)) {
		return nil, problem(NotFound, "there is no such event, or it is no longer kept")
	}
	shown := []storedEvent{body}
	if in.Raw {
		if err := s.eventsWithRaw(ctx, s.pool, shown); err != nil {
			return nil, err
		}
	}
	return &eventOutput{"application/json", shown[0]}, nil
}

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// EndpointTest is a test event that was published, and what has come of it.
type EndpointTest struct {
	EventID  string          `json:"eventId" doc:"The event webhook.test, which is the webhook-id of its delivery." example:"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Delivery *TestedDelivery `json:"delivery,omitempty" doc:"What came of the first attempt; only in the answer 200."`
}

// TestedDelivery is what has become of a test event.
type TestedDelivery struct {
	ID         string `json:"id" example:"dlv_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	State      string `json:"state" enum:"pending,sending,succeeded,exhausted,cancelled,held" doc:"pending: it failed, and is tried again as every event is." example:"succeeded"`
	LastStatus *int32 `json:"lastStatus,omitempty" doc:"The HTTP status of the answer; absent when there was none." example:"200"`
	LastClass  string `json:"lastClass,omitempty" doc:"How the attempt ended: ok, status (another than 2xx), dns, connect, tls, timeout, blocked (an address that may not be reached), broken, or local and storage for failures on this side; the list only grows." example:"ok"`
}

type endpointTested struct {
	Status            int
	PreferenceApplied string `header:"Preference-Applied" doc:"wait=N, when Prefer asked for it."`
	Replayed          string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body              EndpointTest
}

func (s *Server) addEndpointTests() {
	status := int32(200)
	tested := EndpointTest{exampleEventID, &TestedDelivery{"dlv_01932f0c5d6b7a10b1f4d0c4a8e2f001", "succeeded", &status, "ok"}}
	register(s, operation{
		method: "POST", path: endpointPath + "/test", id: "test-webhook-endpoint", tag: "Webhooks", status: 202, also: map[int]any{200: tested}, wait: maxPreferredWait * time.Second,
		summary: "Test a webhook endpoint",
		description: "Publishes an event webhook.test that goes to this endpoint alone, whatever its filters say, signed and repeated as every event; endpoints of the format legacy get the message in it. " +
			"With Prefer: wait=N (up to 30) the answer waits: 200 with what came of the first attempt, or 202 when there was none within N seconds, as while the breaker is open. " +
			"An endpoint that is paused or disabled is not tested: set its state to active first, which also forgives its failures.",
		response: EndpointTest{EventID: exampleEventID}, codes: []Code{NotFound, EndpointNotActive},
	}, s.testEndpoint)
}

func (s *Server) testEndpoint(ctx context.Context, in *struct {
	EndpointPath
	Idempotent
	Prefer string `header:"Prefer" maxLength:"256" doc:"wait=N: answer only when there was an attempt, or after N seconds (up to 30)." example:"wait=10"`
}) (*endpointTested, error) {
	id, err := parseEndpointID(in.EndpointID)
	if err != nil {
		return nil, err
	}
	test, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (test EndpointTest, err error) {
		row, err := s.endpointByID(ctx, tx, id)
		if err != nil {
			return test, err
		}
		if row.State != "active" {
			return test, problem(EndpointNotActive, "the endpoint is "+row.State+"; set its state to active first")
		}
		event, err := events.PublishAbout(tx, events.WebhookTest, id, time.Now(), testData(row))
		if err != nil {
			return test, fmt.Errorf("publish test event: %w", err)
		}
		return EndpointTest{EventID: events.EventPrefix.Format(event)}, nil
	})
	if err != nil {
		return nil, err
	}
	out := &endpointTested{Status: http.StatusAccepted, Replayed: replayedHeader(replayed), Body: test}
	if seconds, ok := preferredWait(in.Prefer); ok {
		out.PreferenceApplied = "wait=" + strconv.Itoa(seconds)
		return out, s.awaitTested(ctx, out, id, time.Duration(seconds)*time.Second)
	}
	return out, nil
}

// testData is what webhook.test tells of an endpoint, with a message that nobody wrote. It is from a number that cannot be, in a session that
// is not there: a bot that answers whatever comes answers nobody.
func testData(row db.WebhookEndpoint) events.WebhookData {
	const nobody, nowhere = "0000000000", "0000000001"
	return events.WebhookData{
		Endpoint: events.WebhookEndpoint{
			ID: events.EndpointPrefix.Format(row.ID), URL: events.BareURL(row.Url), State: row.State, FailingSince: row.FailingSince, ConsecutiveFailures: int(row.ConsecutiveFailures),
		},
		Message: &events.Message{
			ID: events.MessagePrefix.Format(events.NewID()), WhatsAppID: newWhatsAppID(), SessionID: "webhook-test", ChatID: nobody + "@" + events.PhoneServer,
			Direction: events.Incoming, From: events.NewAddress(nobody+"@"+events.PhoneServer, nobody, "", "chasqui"), To: events.NewAddress(nowhere+"@"+events.PhoneServer, nowhere, "", ""),
			Status: events.StatusDelivered, Content: events.Content{Type: events.ContentText, Text: "This is a test of your webhook. Nobody wrote it."}, Timestamp: time.Now().UTC(),
		},
	}
}

// awaitTested waits until the event of out has been tried, and puts what came of it there.
//
// Failure policy: the event is published, so while the database is away the answer says no more than that.
func (s *Server) awaitTested(ctx context.Context, out *endpointTested, endpoint uuid.UUID, wait time.Duration) error {
	event, err := events.EventPrefix.Parse(out.Body.EventID)
	if err != nil {
		return err
	}
	listener := s.waker.Listen(events.WakeLog) // it is soon after that it is sent; of an attempt's end nobody tells
	defer listener.Close()
	err = s.await(ctx, listener, wait, func(ctx context.Context) (bool, error) {
		row, err := s.q.DeliveryOutcome(ctx, s.pool, event, endpoint)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read delivery: %w", err)
		}
		tried := row.LastClass != nil && *row.LastClass != "aborted" // which says that a dispatcher stopped, and another will try
		if !tried && !slices.Contains([]string{"succeeded", "exhausted", "cancelled"}, row.State) {
			return false, nil
		}
		delivery := TestedDelivery{ID: events.DeliveryPrefix.Format(row.ID), State: row.State, LastStatus: row.LastStatus}
		if row.LastClass != nil {
			delivery.LastClass = *row.LastClass
		}
		out.Status, out.Body.Delivery = http.StatusOK, &delivery
		return true, nil
	})
	if err != nil {
		s.log.WarnContext(ctx, "wait for a test event given up", "event", out.Body.EventID, "error", err)
	}
	return nil
}

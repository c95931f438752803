package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sinks"
)

// Headers of messages to brokers, beside those of Standard Webhooks. An endpoint's own headers cannot have such names.
const (
	sinkType    = "Webhook-Event-Type"
	sinkSession = "Webhook-Session-Id"
)

// attemptSink is attemptDelivery for an endpoint whose URL leads to a broker. It is ok when the broker has confirmed the message; there is no
// status, and what the broker told is kept as headers.
func (d *Dispatcher) attemptSink(ctx context.Context, c delivery) outcome {
	o := outcome{started: time.Now()}
	answer, err := d.publish(ctx, c, o.started)
	o.took = time.Since(o.started)
	switch {
	case err == nil:
		o.class = classOK
		o.headers = keepHeaders(answer)
	case ctx.Err() != nil: // Stop's patience ended, not the endpoint's timeout
		o.class = classAborted
	default:
		o.class = d.classifySink(err)
		o.err = describe(err)
	}
	return o
}

// classifySink is classify with what only brokers say.
func (d *Dispatcher) classifySink(err error) string {
	var refused *sinks.RefusedError
	switch {
	case errors.As(err, &refused) && refused.TooLarge:
		return classOversize
	case errors.As(err, &refused):
		return classRefused
	case errors.Is(err, sinks.ErrTLS):
		err = &tlsError{err}
	}
	return d.classify(err)
}

// publish sends a delivery to its broker and waits for the confirmation, no longer than the endpoint's timeout.
func (d *Dispatcher) publish(ctx context.Context, c delivery, at time.Time) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, c.target.timeout)
	defer cancel()
	// Never with a file in it: brokers take about 1 MiB.
	body, err := d.contentOf(ctx, c, false)
	if err != nil {
		return nil, err
	}
	event, err := d.newSinkEvent(ctx, c, body, at)
	if err != nil {
		return nil, err
	}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{DNSDone: func(i httptrace.DNSDoneInfo) {
		if i.Err == nil {
			d.resolvedAt.Store(time.Now().UnixNano())
		}
	}})
	answer, err := d.sinks.Send(traced, c.target.url, event)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for k, v := range answer {
		header[k] = []string{v}
	}
	return header, nil
}

// newSinkEvent makes the message of a delivery: what a request would carry, signature and the endpoint's own headers included.
func (d *Dispatcher) newSinkEvent(ctx context.Context, c delivery, body *content, at time.Time) (sinks.Event, error) {
	var about struct {
		Type    string `json:"type"`
		Session string `json:"sessionId"`
	}
	if err := json.Unmarshal(c.body, &about); err != nil {
		return sinks.Event{}, fmt.Errorf("read event: %w", err)
	}
	req, err := d.newRequest(ctx, c, body, at)
	if err != nil {
		return sinks.Event{}, err
	}
	defer req.Body.Close()
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return sinks.Event{}, fmt.Errorf("read body: %w", err)
	}
	headers := map[string]string{}
	for k, v := range req.Header {
		if len(v) > 0 {
			headers[k] = v[0]
		}
	}
	headers[sinkType] = about.Type
	if about.Session != "" {
		headers[sinkSession] = about.Session
	}
	return sinks.Event{ID: events.EventPrefix.Format(c.eventID), Type: about.Type, Session: about.Session, Body: raw, Headers: headers}, nil
}

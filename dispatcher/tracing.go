package dispatcher

import (
	"context"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/trace"
)

// attemptSpan begins the span of an attempt, in the trace of its event.
func (d *Dispatcher) attemptSpan(ctx context.Context, c delivery) (context.Context, trace.Span) {
	t := d.cfg.Tracer
	if t == nil {
		return ctx, trace.Span{}
	}
	ctx, span := t.Start(t.Join(ctx, c.trace), "webhook attempt", trace.Client)
	span.Set("event", events.EventPrefix.Format(c.eventID))
	span.Set("delivery", events.DeliveryPrefix.Format(c.id))
	span.Set("endpoint", events.EndpointPrefix.Format(c.target.id))
	span.SetInt("attempt", c.attempt+1)
	return ctx, span
}

func endAttempt(span trace.Span, o outcome) {
	span.Set("class", o.class)
	if o.status != 0 {
		span.SetInt("http.response.status_code", o.status)
	}
	if o.class != classOK {
		span.Fail(o.class)
	}
	span.End()
}

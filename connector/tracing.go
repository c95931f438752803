package connector

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"go.mau.fi/whatsmeow"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/trace"
)

// traced begins the span of a command, within the trace of what asked for it. Each time that it is handled is a span: one that waits for its turn
// may have several.
func (c *Connector) traced(msg *message.Message) (context.Context, trace.Span) {
	t := c.cfg.Tracer
	if t == nil {
		return msg.Context(), trace.Span{}
	}
	kind := msg.Metadata.Get(events.MetaCommand)
	ctx, span := t.Start(t.Join(msg.Context(), msg.Metadata.Get(queue.MetaTrace)), "command "+kind, trace.Consumer)
	span.Set("session", msg.Metadata.Get(queue.MetaSession))
	if id, err := uuid.Parse(msg.UUID); err == nil && kind == events.CommandSend {
		span.Set("message", events.MessagePrefix.Format(id))
	}
	if d, ok := queue.DeliveryOf(ctx); ok {
		span.SetInt("attempt", d.Attempt)
		span.SetInt("queued_ms", int(time.Since(d.CreatedAt).Milliseconds()))
	}
	return ctx, span
}

// endCommand ends the span of a command.
func endCommand(span trace.Span, outcome string) {
	span.Set("outcome", outcome)
	if outcome == "error" || outcome == string(events.StatusFailed) {
		span.Fail(outcome)
	}
	span.End()
}

// whatsAppSpan is the span of a message's sending, from the look-up of its recipient's devices to WhatsApp's acknowledgement, the waiting for
// which is a span within.
func (c *connection) whatsAppSpan(ctx context.Context) (context.Context, func(whatsmeow.SendResponse, error)) {
	t := c.s.c.cfg.Tracer
	ctx, span := t.Start(ctx, "whatsapp send", trace.Client)
	return ctx, func(resp whatsmeow.SendResponse, err error) {
		now := time.Now()
		switch code := serverCode(err); {
		case err == nil:
			t.Record(ctx, "whatsapp ack", trace.Client, now.Add(-resp.DebugTimings.Resp), now)
		case code != 0:
			span.SetInt("code", code)
			span.Fail("refused")
		default:
			span.Fail("unanswered")
		}
		span.End()
	}
}

// receiptSpan is the span of a receipt, in the trace of the message that it is for.
func (c *connection) receiptSpan(ctx context.Context, traceparent, status string) (context.Context, trace.Span) {
	t := c.s.c.cfg.Tracer
	ctx, span := t.Start(t.Join(ctx, traceparent), "whatsapp receipt", trace.Consumer)
	span.Set("session", c.s.id)
	span.Set("status", status)
	return ctx, span
}

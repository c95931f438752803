// Package trace is how the roles make spans of OpenTelemetry, and how a trace goes on from one process to the next: as a traceparent of W3C's Trace
// Context, in the metadata of queue messages, beside messages and events, and in the headers of requests and webhooks. What is to become of spans
// is infra/telemetry's business. No attribute holds a text, a name, a number or a secret.
package trace

import (
	"context"
	"encoding/hex"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	otel "go.opentelemetry.io/otel/trace"
)

// Header is the name under which a traceparent goes: of HTTP headers (in any case) and of metadata.
const Header = "traceparent"

// The kinds of span.
const (
	Server   = otel.SpanKindServer
	Client   = otel.SpanKindClient
	Consumer = otel.SpanKindConsumer
)

// Tracer makes spans. The nil Tracer, where tracing is off, makes none, and allocates nothing.
type Tracer struct{ tracer otel.Tracer }

// New returns a Tracer that gives its spans to a provider.
func New(provider otel.TracerProvider) *Tracer {
	return &Tracer{provider.Tracer("github.com/chasqui/chasqui")}
}

// Start begins a span within that of ctx, or a new trace where there is none. The context that it returns is the span's.
func (t *Tracer) Start(ctx context.Context, name string, kind otel.SpanKind) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name, otel.WithSpanKind(kind))
	return ctx, Span{span}
}

// Record makes a span of what is over already.
func (t *Tracer) Record(ctx context.Context, name string, kind otel.SpanKind, began, ended time.Time) {
	if t == nil {
		return
	}
	_, span := t.tracer.Start(ctx, name, otel.WithSpanKind(kind), otel.WithTimestamp(began))
	span.End(otel.WithTimestamp(ended))
}

// Join returns a context in which spans belong to the trace of a traceparent. One that is malformed, or empty, begins none.
func (t *Tracer) Join(ctx context.Context, traceparent string) context.Context {
	if t == nil || traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{Header: traceparent})
}

// Span is a part of a trace. The zero Span records nothing.
type Span struct{ span otel.Span }

// On says whether there is a span, so that what it is told need not be made up for nothing.
func (s Span) On() bool { return s.span != nil }

// End ends the span.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// Rename gives the span another name.
func (s Span) Rename(name string) {
	if s.span != nil {
		s.span.SetName(name)
	}
}

// Set adds an attribute.
func (s Span) Set(key, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// SetInt adds an attribute that is a number.
func (s Span) SetInt(key string, value int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, value))
	}
}

// Fail says that what the span stands for failed, by a word of a closed set: the text of an error may hold what is nobody's business.
func (s Span) Fail(class string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, class)
	}
}

// Parent is the traceparent of a context's span; "" where it has none.
func Parent(ctx context.Context) string {
	c := otel.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return ""
	}
	id, span := c.TraceID(), c.SpanID()
	text := make([]byte, 0, 55)
	text = append(text, "00-"...)
	text = hex.AppendEncode(text, id[:])
	text = append(text, '-')
	text = hex.AppendEncode(text, span[:])
	text = append(text, '-')
	return string(hex.AppendEncode(text, []byte{byte(c.TraceFlags() & otel.FlagsSampled)}))
}

// ID is the id of a context's trace; "" where it has none.
func ID(ctx context.Context) string {
	if c := otel.SpanContextFromContext(ctx); c.HasTraceID() {
		return c.TraceID().String()
	}
	return ""
}

package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/chasqui/chasqui/infra/trace"
)

const (
	// exportEvery is how long spans are collected, and exportTimeout how long a collector may take them.
	exportEvery, exportTimeout = 2 * time.Second, 10 * time.Second
	// exportQueue bounds the spans that wait: at about 1 KiB each, 8 MiB.
	exportQueue = 8192
	// complainEvery bounds the lines that say that spans are lost.
	complainEvery = time.Minute
)

// TracingConfig says where the spans of a process go.
type TracingConfig struct {
	Endpoint string            // of a collector that takes OTLP over HTTP, without /v1/traces
	Headers  map[string]string // of each request to it
	Ratio    float64           // of the traces that begin here, how many are recorded: 0 to 1
	Role     string
	Version  string
	Logger   *slog.Logger // nil means slog.Default
}

// Tracing sends spans to a collector. Make it with StartTracing.
type Tracing struct {
	Tracer   *trace.Tracer
	provider *sdktrace.TracerProvider
}

// StartTracing returns what makes spans, until Stop. A trace that came from elsewhere is recorded as it says, and one that begins here by chance.
//
// Failure policy: spans that the collector does not take, or for which there is no room, are lost, and the log says so once a minute. Nothing else
// waits for them.
func StartTracing(ctx context.Context, config TracingConfig) (*Tracing, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(config.Endpoint+"/v1/traces"), otlptracehttp.WithHeaders(config.Headers),
		otlptracehttp.WithTimeout(exportTimeout))
	if err != nil {
		return nil, fmt.Errorf("make exporter of spans: %w", err)
	}
	log := cmp.Or(config.Logger, slog.Default())
	var told atomic.Int64
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		now := time.Now().UnixNano()
		if last := told.Load(); now-last > int64(complainEvery) && told.CompareAndSwap(last, now) {
			log.WarnContext(ctx, "spans are lost", "error", err)
		}
	}))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(exportEvery), sdktrace.WithExportTimeout(exportTimeout), sdktrace.WithMaxQueueSize(exportQueue)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(config.Ratio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.namespace", "chasqui"), attribute.String("service.name", "chasqui-"+config.Role), attribute.String("service.version", config.Version),
		)),
	)
	return &Tracing{trace.New(provider), provider}, nil
}

// Stop sends what is left, until ctx ends.
func (t *Tracing) Stop(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

// LogTraces adds the id of the trace to log lines whose context has one, as trace.
func LogTraces(to slog.Handler) slog.Handler { return traced{to} }

type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if id := trace.ID(ctx); id != "" {
		r.AddAttrs(slog.String("trace", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }
func (h traced) WithGroup(name string) slog.Handler       { return traced{h.Handler.WithGroup(name)} }

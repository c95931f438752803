package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/telemetry"
	"github.com/chasqui/chasqui/infra/testotlp"
	"github.com/chasqui/chasqui/infra/testpoll"
	"github.com/chasqui/chasqui/infra/trace"
)

func start(t *testing.T, config telemetry.TracingConfig) *telemetry.Tracing {
	t.Helper()
	config.Role, config.Version = "api", "1.2.3"
	tracing, err := telemetry.StartTracing(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return tracing
}

func TestSpansReachTheCollector(t *testing.T) {
	collector := testotlp.Start(t)
	tracing := start(t, telemetry.TracingConfig{Endpoint: collector.Endpoint(), Headers: map[string]string{"X-Tenant": "7"}, Ratio: 1})
	tracer := tracing.Tracer
	ctx, outer := tracer.Start(t.Context(), "outer", trace.Server)
	outer.Set("session", "sales")
	outer.SetInt("n", 7)
	_, inner := tracer.Start(ctx, "inner", trace.Client)
	inner.Fail("refused")
	inner.End()
	ack := time.Unix(1_800_000_000, 0)
	tracer.Record(ctx, "ack", trace.Client, ack, ack.Add(time.Second))
	outer.End()
	if err := tracing.Stop(context.Background()); err != nil { // sends what is left
		t.Fatal(err)
	}
	spans := collector.Trace(trace.ID(ctx))
	byName := map[string]testotlp.Span{}
	for _, s := range spans {
		byName[s.Name] = s
	}
	o, i, a := byName["outer"], byName["inner"], byName["ack"]
	if len(spans) != 3 || i.Parent != o.ID || a.Parent != o.ID || o.Parent != "" || !i.Failed || o.Failed || o.Service != "chasqui-api" ||
		o.Attributes["session"] != "sales" || o.Attributes["n"] != "7" || a.Ended-a.Began != uint64(time.Second) {
		t.Errorf("the collector has %+v", spans)
	}
	if h := collector.Headers(); len(h) == 0 || h[0].Get("X-Tenant") != "7" {
		t.Errorf("headers: %v", h)
	}
}

func TestHowManyTracesAreRecorded(t *testing.T) {
	collector := testotlp.Start(t)
	tracing := start(t, telemetry.TracingConfig{Endpoint: collector.Endpoint(), Ratio: 0})
	_, begun := tracing.Tracer.Start(t.Context(), "begins here", trace.Server)
	begun.End()
	const id = "0af7651916cd43dd8448eb211c80319c"
	for _, flags := range []string{"00", "01"} {
		_, span := tracing.Tracer.Start(tracing.Tracer.Join(t.Context(), "00-"+id+"-b7ad6b7169203331-"+flags), "comes with "+flags, trace.Server)
		span.End()
	}
	if err := tracing.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if all := collector.All(); len(all) != 1 || all[0].Name != "comes with 01" {
		t.Errorf("the collector has %+v", all)
	}
}

// lines is a log that tells of its lines.
type lines chan []byte

func (l lines) Write(p []byte) (int, error) {
	l <- bytes.Clone(p)
	return len(p), nil
}

func TestACollectorThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer refusing.Close()
	log := make(lines, 100)
	tracing := start(t, telemetry.TracingConfig{Endpoint: refusing.URL, Ratio: 1, Logger: slog.New(slog.NewJSONHandler(log, nil))})
	for range 20_000 { // more than there is room for
		_, span := tracing.Tracer.Start(t.Context(), "lost", trace.Server)
		span.End()
	}
	_ = tracing.Stop(context.Background())
	if err := testpoll.Until(10*time.Second, func() error {
		if len(log) == 0 {
			return context.DeadlineExceeded
		}
		return nil
	}); err != nil {
		t.Fatal("the log says nothing of lost spans")
	}
	if line := <-log; !bytes.Contains(line, []byte("spans are lost")) || len(log) > 0 {
		t.Errorf("%s and %d more", line, len(log))
	}
}

func TestLogLinesHaveTheirTrace(t *testing.T) {
	t.Parallel()
	tracing := start(t, telemetry.TracingConfig{Endpoint: testotlp.Start(t).Endpoint(), Ratio: 1})
	defer func() { _ = tracing.Stop(context.Background()) }()
	ctx, span := tracing.Tracer.Start(t.Context(), "x", trace.Server)
	defer span.End()
	var out bytes.Buffer
	log := slog.New(telemetry.LogTraces(slog.NewJSONHandler(&out, nil))).With("session", "sales")
	log.InfoContext(ctx, "within")
	log.InfoContext(t.Context(), "without")
	var line struct{ Msg, Trace, Session string }
	for _, want := range []string{trace.ID(ctx), ""} {
		raw, err := out.ReadBytes('\n')
		if line.Trace = ""; err != nil || json.Unmarshal(raw, &line) != nil || line.Trace != want || line.Session != "sales" {
			t.Errorf("%s: want trace %q", raw, want)
		}
	}
}

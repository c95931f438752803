package trace_test

import (
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/chasqui/chasqui/infra/trace"
)

func TestOffCostsNothing(t *testing.T) {
	var off *trace.Tracer
	ctx := t.Context()
	n := testing.AllocsPerRun(100, func() {
		ctx, span := off.Start(off.Join(ctx, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), "send", trace.Client)
		span.Set("session", "sales")
		span.SetInt("attempt", 1)
		span.Fail("refused")
		span.Rename("another")
		span.End()
		off.Record(ctx, "ack", trace.Client, time.Time{}, time.Time{})
		if trace.Parent(ctx) != "" || trace.ID(ctx) != "" || span.On() {
			t.Error("there is a span")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestATraceGoesOnByItsTraceparent(t *testing.T) {
	t.Parallel()
	provider := sdk.NewTracerProvider()
	tracer := trace.New(provider)
	const id = "0af7651916cd43dd8448eb211c80319c"
	for _, flags := range []string{"00", "01"} {
		came := "00-" + id + "-b7ad6b7169203331-" + flags
		joined := tracer.Join(t.Context(), came)
		if got := trace.Parent(joined); got != came {
			t.Errorf("%s became %s", came, got)
		}
		ctx, span := tracer.Start(joined, "send", trace.Server)
		defer span.End()
		got := trace.Parent(ctx)
		if trace.ID(ctx) != id || got == came || !strings.HasPrefix(got, "00-"+id+"-") || !strings.HasSuffix(got, "-"+flags) {
			t.Errorf("%s goes on as %s", came, got)
		}
	}
	for _, bad := range []string{"", "x", "00-" + id + "-0000000000000000-01", "00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01", "ff-" + id + "-b7ad6b7169203331-01"} {
		if got := trace.Parent(tracer.Join(t.Context(), bad)); got != "" {
			t.Errorf("%q is taken for %s", bad, got)
		}
	}
}

package queue_test

import (
	"maps"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	. "github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/trace"
)

// TestMessagesCarryTheirTransactionsTrace looks at what is published without a trace, in one, with one of its own, and after a Join.
func TestMessagesCarryTheirTransactionsTrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tracer := trace.New(sdk.NewTracerProvider())
	const own, joined = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	ctx, span := tracer.Start(t.Context(), "x", trace.Server)
	defer span.End()
	theirs := map[string]string{"command": "x"}
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		tx.Publish(topic, Message{Lane: "none"})
		tx.Join(joined)
		tx.Publish(topic, Message{Lane: "joined"})
		return nil
	}))
	b.must(b.db.InTx(ctx, func(tx *Tx) error {
		tx.Publish(topic, Message{Lane: "begun", Metadata: theirs})
		tx.Publish(topic, Message{Lane: "own", Metadata: map[string]string{MetaTrace: own}})
		tx.Join("")
		tx.Publish(topic, Message{Lane: "left", Metadata: theirs})
		return nil
	}))
	want := map[string]string{"none": "", "joined": joined, "begun": trace.Parent(ctx), "own": own, "left": ""}
	for lane, trace := range want {
		if n := b.count("SELECT count(*) FROM queue_messages WHERE lane = $1 AND coalesce(metadata ->> 'traceparent', '') = $2", topic+"/"+lane, trace); n != 1 {
			t.Errorf("%s: not with the trace %q", lane, trace)
		}
	}
	if !maps.Equal(theirs, map[string]string{"command": "x"}) {
		t.Errorf("a publisher's own map became %v", theirs)
	}
}

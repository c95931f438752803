package e2e

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testotlp"
)

// treeOf is the trace with a given id as soon as it is whole: one tree below root, with every one of these lines in it.
func treeOf(t *testing.T, c *testotlp.Collector, id, root string, want ...string) (tree string, spans []testotlp.Span) {
	t.Helper()
	eventually(t, 30*time.Second, "the trace "+id, func() (err error) {
		spans = c.Trace(id)
		if tree, err = testotlp.Tree(spans, root); err != nil {
			return fmt.Errorf("%w:\n%s", err, tree)
		}
		for _, line := range want {
			if !strings.Contains("\n"+tree, "\n"+line+"\n") {
				return fmt.Errorf("%q is not in:\n%s", line, tree)
			}
		}
		return nil
	})
	return tree, spans
}

// TestOneTraceFromTheCallToTheWebhook follows a message out and one in through three processes by what they send to a collector: the client's
// trace goes on to WhatsApp, to the receipts and to the webhooks; and what a receiver does with the trace of a webhook is part of the message's that
// came in.
//
// Feature: OpenTelemetry
func TestOneTraceFromTheCallToTheWebhook(t *testing.T) {
	t.Parallel()
	s, collector := newStack(t), testotlp.Start(t)
	s.env = append(s.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.Endpoint())
	s.startAll(t)
	s.subscribe(t, "chat")
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(1), "name": "Customer"}, nil)
	link(t, s.api, s.sandbox, "sales", business)

	const id, client = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	body := map[string]any{"to": customer(1), "content": map[string]string{"type": "text", "text": "the secret text"}}
	s.api.must(t, "POST", "/v1/sessions/sales/messages", body, nil, "traceparent", "00-"+id+"-"+client+"-01")
	tree, out := treeOf(t, collector, id, client,
		"chasqui-api: POST /v1/sessions/{sessionId}/messages",
		"  chasqui-connector: command message.send",
		"    chasqui-connector: whatsapp send",
		"      chasqui-connector: whatsapp ack",
		"    chasqui-dispatcher: webhook attempt",
		"  chasqui-connector: whatsapp receipt\n    chasqui-dispatcher: webhook attempt",
	)
	t.Logf("a message out:\n%s", tree)
	documented(t, out)
	for _, d := range s.receiver.deliveries() {
		if d.Event.Type != "message.sent" {
			continue
		}
		if !hasSpan(out, d.Traceparent, "webhook attempt") {
			t.Errorf("the webhook of %s came with traceparent %q, no span of the trace", d.Event.Type, d.Traceparent)
		}
	}

	var came delivery
	sent := receive(t, s.api, s.sandbox, customer(1), business, "sales", "another secret text")
	eventually(t, 30*time.Second, "the webhook of the message that came in", func() error {
		for _, d := range s.receiver.deliveries() {
			if d.Event.Type == "message.received" && d.Event.Data.Message.WhatsAppID == sent {
				came = d
				return nil
			}
		}
		return errors.New("not yet")
	})
	if len(came.Traceparent) != 55 {
		t.Fatalf("it came with traceparent %q", came.Traceparent)
	}
	answer := map[string]any{"to": customer(1), "content": map[string]string{"type": "text", "text": "the secret answer"}}
	s.api.must(t, "POST", "/v1/sessions/sales/messages", answer, nil, "traceparent", came.Traceparent)
	tree, in := treeOf(t, collector, came.Traceparent[3:35], "",
		"chasqui-connector: whatsapp receive",
		"  chasqui-dispatcher: webhook attempt",
		"    chasqui-api: POST /v1/sessions/{sessionId}/messages",
		"      chasqui-connector: command message.send",
		"        chasqui-connector: whatsapp send",
		"          chasqui-connector: whatsapp ack",
		"        chasqui-dispatcher: webhook attempt",
		"      chasqui-connector: whatsapp receipt\n        chasqui-dispatcher: webhook attempt",
	)
	t.Logf("a message in, and its answer:\n%s", tree)
	documented(t, in)
	if !hasSpan(in, came.Traceparent, "webhook attempt") {
		t.Errorf("the webhook came with traceparent %q, no span of the trace", came.Traceparent)
	}

	// A message that waits for its time goes on with the trace that it came with.
	const later = "1af7651916cd43dd8448eb211c80319c"
	answer["sendAt"] = time.Now().Add(2 * time.Second)
	s.api.must(t, "POST", "/v1/sessions/sales/messages", answer, nil, "traceparent", "00-"+later+"-"+client+"-01")
	tree, _ = treeOf(t, collector, later, client, "chasqui-api: POST /v1/sessions/{sessionId}/messages", "  chasqui-connector: command message.send", "    chasqui-connector: whatsapp send",
		"  chasqui-connector: whatsapp receipt\n    chasqui-dispatcher: webhook attempt")
	t.Logf("a message that was scheduled:\n%s", tree)

	var image struct{ ID string }
	s.sandbox.must(t, "POST", "/phones/"+customer(1)+"/messages", map[string]any{
		"to": business, "type": "image", "data": base64.StdEncoding.EncodeToString([]byte("bytes of a picture")), "mimetype": "image/png", "caption": "a secret caption",
	}, &image)
	eventually(t, 30*time.Second, "the webhook of the image", func() error {
		for _, d := range s.receiver.deliveries() {
			if d.Event.Type == "message.received" && d.Event.Data.Message.WhatsAppID == image.ID {
				came = d
				return nil
			}
		}
		return errors.New("not yet")
	})
	tree, in = treeOf(t, collector, came.Traceparent[3:35], "", "chasqui-connector: whatsapp receive", "  chasqui-dispatcher: media fetch", "  chasqui-dispatcher: webhook attempt")
	t.Logf("an image in:\n%s", tree)
	documented(t, in)

	for _, span := range collector.All() {
		for name, value := range span.Attributes {
			if strings.Contains(value, "secret") || strings.Contains(value, customer(1)) || strings.Contains(value, business) || strings.Contains(value, apiKey) {
				t.Errorf("%s says %s=%s", span.Name, name, value)
			}
		}
	}
	s.procs["api"].stop(t)
	line := regexp.MustCompile(`"msg":"request"[^\n]*"requestId":"[^"]+","session":"sales","trace":"` + id + `"`)
	if log := s.procs["api"].log.String(); !line.MatchString(log) {
		t.Errorf("no line of the api's log has the request with its session and trace:\n%s", log)
	}
}

// hasSpan says whether a traceparent is of a span of this name.
func hasSpan(spans []testotlp.Span, traceparent, name string) bool {
	for _, s := range spans {
		if s.Name == name && strings.HasPrefix(traceparent, "00-"+s.Trace+"-"+s.ID+"-") {
			return true
		}
	}
	return false
}

// documented holds the names of spans, and those of their attributes, against the documentation.
func documented(t *testing.T, spans []testotlp.Span) {
	t.Helper()
	doc, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans {
		name := s.Name
		if s.Attributes["http.route"] != "" {
			name = "METHOD /route"
		}
		if word, _, _ := strings.Cut(name, " "); word == "command" {
			name = "command NAME"
		}
		if !strings.Contains(string(doc), "| `"+name+"` |") {
			t.Errorf("operations.md has no span %q", name)
		}
		for a := range s.Attributes {
			if !strings.Contains(string(doc), "`"+a+"`") {
				t.Errorf("operations.md has no attribute %q of %q", a, name)
			}
		}
	}
}

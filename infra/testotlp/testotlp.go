// Package testotlp gives tests a collector of OpenTelemetry that takes spans by OTLP over HTTP and keeps them.
package testotlp

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	status "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Span is one that a process has sent.
type Span struct {
	Trace, ID, Parent string // in hex; no parent: ""
	Service, Name     string
	Attributes        map[string]string
	Failed            bool
	Began, Ended      uint64 // Unix nanoseconds
}

// A Collector keeps what it is sent.
type Collector struct {
	server *httptest.Server

	mu      sync.Mutex
	spans   []Span
	headers []http.Header
}

// Start starts a collector, which ends with the test.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	c.server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.server.Close)
	return c
}

// Endpoint is what OTEL_EXPORTER_OTLP_ENDPOINT is to say.
func (c *Collector) Endpoint() string { return c.server.URL }

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &sent) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = append(c.headers, r.Header)
	for _, from := range sent.GetResourceSpans() {
		service := attributes(from.GetResource().GetAttributes())["service.name"]
		for _, scope := range from.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, Span{
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()), Service: service,
					Name: s.GetName(), Attributes: attributes(s.GetAttributes()), Failed: s.GetStatus().GetCode() == status.Status_STATUS_CODE_ERROR,
					Began: s.GetStartTimeUnixNano(), Ended: s.GetEndTimeUnixNano(),
				})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func attributes(list []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.GetKey()] = fmt.Sprint(v.IntValue)
		default:
			all[a.GetKey()] = a.GetValue().String()
		}
	}
	return all
}

// Trace returns the spans of a trace that have come so far.
func (c *Collector) Trace(id string) (spans []Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Trace == id {
			spans = append(spans, s)
		}
	}
	return spans
}

// All returns every span that has come so far.
func (c *Collector) All() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Headers returns those of every request so far.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]http.Header(nil), c.headers...)
}

// Tree renders the spans of a trace as one tree, a line a span and its children in the order of their beginning, two spaces deeper. root is the id
// of what they all come from, which is no span of theirs, or "". Spans that do not hang on it are an error.
func Tree(spans []Span, root string) (string, error) {
	var out strings.Builder
	seen := 0
	var walk func(parent string, depth int)
	walk = func(parent string, depth int) {
		for {
			var next *Span
			for i := range spans {
				if s := &spans[i]; s.Parent == parent && s.Name != "" && (next == nil || s.Began < next.Began) {
					next = s
				}
			}
			if next == nil {
				return
			}
			fmt.Fprintf(&out, "%s%s: %s\n", strings.Repeat("  ", depth), next.Service, next.Name)
			next.Name = ""
			seen++
			walk(next.ID, depth+1)
		}
	}
	spans = append([]Span(nil), spans...)
	walk(root, 0)
	if seen != len(spans) {
		return out.String(), fmt.Errorf("%d of %d spans hang on the root", seen, len(spans))
	}
	return out.String(), nil
}

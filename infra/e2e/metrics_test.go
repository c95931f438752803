package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// scraped is what a process shows at /metrics: the labels of each of our metrics, but for those of a histogram's buckets.
func scraped(base string) (map[string][]string, error) {
	res, err := httpClient.Get(base + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	shown := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (chasqui_\S+) (\S+)$`).FindAllStringSubmatch(string(raw), -1) {
		name, kind := m[1], m[2]
		sample := name
		if kind == "histogram" {
			sample += "_count"
		}
		series := regexp.MustCompile(`(?m)^` + sample + `(?:\{(.*)\})? `).FindStringSubmatch(string(raw))
		if series == nil {
			return nil, fmt.Errorf("%s has no series", name)
		}
		labels := []string{}
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(series[1], -1) {
			labels = append(labels, l[1])
		}
		slices.Sort(labels)
		shown[name] = labels
	}
	return shown, nil
}

// documentedMetrics are the rows of the table of metrics: by role, the labels of each metric.
func documentedMetrics(t *testing.T) map[string]map[string][]string {
	t.Helper()
	doc, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(chasqui_\\w+)(?:\\{([\\w,]*)\\})?` \\| ([a-z, ]+) \\|").FindAllStringSubmatch(string(doc), -1) {
		labels := slices.DeleteFunc(strings.Split(m[2], ","), func(l string) bool { return l == "" })
		slices.Sort(labels)
		for role := range strings.SplitSeq(m[3], ", ") {
			if documented[role] == nil {
				documented[role] = map[string][]string{}
			}
			documented[role][m[1]] = labels
		}
	}
	return documented
}

var named = regexp.MustCompile(`chasqui_[a-z_]+`)

// TestMetricsAreAsDocumented runs everything that has a metric, and holds what each role shows against the documentation's table; and what the
// dashboard and the alerts name against that.
//
// Feature: Metrics for the operator
func TestMetricsAreAsDocumented(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	bases := map[string]string{"api": s.api.base}
	s.start("api", "api")
	for _, role := range []string{"connector", "dispatcher"} {
		address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		bases[role] = "http://" + address
		s.start(role, role, "METRICS_ADDR="+address)
	}
	s.awaitAPI(t)
	s.subscribe(t, "none")
	silent, err := net.Listen("tcp", "127.0.0.1:0") // an endpoint at which something is in flight for as long as its timeout
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s.api.must(t, "POST", "/v1/webhook-endpoints", map[string]any{"url": "http://" + silent.Addr().String(), "timeoutSeconds": 60}, nil)
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(1), "name": "Customer"}, nil)
	link(t, s.api, s.sandbox, "sales", business)
	converse(t, s.api, s.sandbox, "sales", business, customer(1), "counted")
	s.api.must(t, "POST", "/v1/sessions/sales/contacts/check", map[string]any{"numbers": []string{customer(1)}}, nil)
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.api.base+"/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", apiKey)
	stream, err := streaming.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()

	documented, everywhere := documentedMetrics(t), map[string]bool{}
	for role, base := range bases {
		want := documented[role]
		eventually(t, 30*time.Second, role+" to show what is documented", func() error {
			shown, err := scraped(base)
			if err != nil {
				return err
			}
			for name, labels := range want {
				if got, ok := shown[name]; !ok || !slices.Equal(got, labels) {
					return fmt.Errorf("%s is documented with %v and shown with %v (%v)", name, labels, got, ok)
				}
			}
			for name, labels := range shown {
				if _, ok := want[name]; !ok {
					return fmt.Errorf("%s%v is not documented", name, labels)
				}
			}
			return nil
		})
		for name := range want {
			everywhere[name] = true
		}
	}

	counts := map[string]string{
		`chasqui_connector_sends_total{code="",status="sent"} 1`: "connector", `chasqui_connector_send_latency_seconds_count 1`: "connector",
		`chasqui_deliveries_total{outcome="succeeded"} `: "dispatcher", `chasqui_events_total{type="message.received"} 1`: "dispatcher",
		`chasqui_sessions{state="connected"} 1`: "dispatcher", `chasqui_queue_lag_seconds{topic="commands"} 0`: "dispatcher",
	}
	for line, role := range counts {
		eventually(t, 30*time.Second, line, func() error {
			res, err := httpClient.Get(bases[role] + "/metrics")
			if err != nil {
				return err
			}
			defer res.Body.Close()
			raw, err := io.ReadAll(res.Body)
			if err != nil || !strings.Contains(string(raw), "\n"+line) || strings.Contains(string(raw), `="succeeded"} 0`) {
				return fmt.Errorf("not shown: %w", err)
			}
			return nil
		})
	}
	eventually(t, 30*time.Second, "the same in GET /v1/stats", func() error {
		var stats struct {
			Data []struct {
				Messages   struct{ Received, Sent int }
				Deliveries struct {
					Succeeded int
					Latency   *struct{ P50, P95 float64 }
				}
				Sessions map[string]int
			}
		}
		if _, err := s.api.do("GET", "/v1/stats?step=60", nil, &stats); err != nil {
			return err
		}
		received, sent, delivered, timed := 0, 0, 0, false
		for _, d := range stats.Data {
			received, sent, delivered = received+d.Messages.Received, sent+d.Messages.Sent, delivered+d.Deliveries.Succeeded
			timed = timed || d.Deliveries.Latency != nil && d.Deliveries.Latency.P50 > 0 && d.Deliveries.Latency.P95 < 60
		}
		if received != 1 || sent != 1 || delivered < 2 || !timed || stats.Data[len(stats.Data)-1].Sessions["connected"] != 1 {
			return fmt.Errorf("received %d, sent %d, delivered %d, timed %v, %v", received, sent, delivered, timed, stats.Data[len(stats.Data)-1])
		}
		return nil
	})

	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	raw, err := os.ReadFile("../grafana/chasqui.json")
	if err != nil || json.Unmarshal(raw, &board) != nil {
		t.Fatalf("the dashboard cannot be read: %v", err)
	}
	uses := map[string]string{}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			uses["the panel "+p.Title] += " " + target.Expr
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	raw, err = os.ReadFile("../grafana/alerts.yml")
	if err != nil || yaml.Unmarshal(raw, &rules) != nil {
		t.Fatalf("the alerts cannot be read: %v", err)
	}
	doc, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts++
			uses["the alert "+r.Alert] = r.Expr
			if !strings.Contains(string(doc), "| `"+r.Alert+"` |") {
				t.Errorf("operations.md does not say what to do about the alert %s", r.Alert)
			}
		}
	}
	if alerts < 10 || len(board.Panels) < 10 {
		t.Errorf("%d alerts and %d panels", alerts, len(board.Panels))
	}
	used := map[string]bool{}
	for who, expression := range uses {
		for _, name := range named.FindAllString(expression, -1) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			if used[name] = true; !everywhere[name] {
				t.Errorf("%s uses %s, which no role shows", who, name)
			}
		}
	}
	if missing := slices.DeleteFunc(slices.Sorted(maps.Keys(everywhere)), func(name string) bool { return used[name] }); len(missing) > 0 {
		t.Errorf("neither the dashboard nor an alert uses %v", missing)
	}
}

package dispatcher

import (
	"bufio"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// scrape returns the series of a registry as Prometheus gets them.
func scrape(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	series := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			series[name] = n
		}
	}
	return series
}

// Feature: Metrics for the operator
func TestWhatAnOperatorSees(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := receive(t, nil)
	b.addEndpoint(r.URL)
	hole := b.addEndpoint(newHole(t), "timeout_seconds = 60", "max_in_flight = 3")
	paused := b.addEndpoint("http://127.0.0.1:1/", "state = 'paused'")
	registry := prometheus.NewRegistry()
	b.start(func(d *Dispatcher) { d.metrics = newMetrics(registry) })
	for range 5 {
		err := b.db.InTx(t.Context(), func(tx *queue.Tx) error {
			_, err := events.Publish(tx, events.MessageReceived, "s", "1@s.whatsapp.net", time.Now().Add(-100*time.Second), note{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.addSending(paused, "dead")
	want := map[string]float64{
		`chasqui_webhook_attempts_total{class="ok"}`:                                                   5,
		`chasqui_webhook_latency_seconds_count`:                                                        5,
		`chasqui_webhook_latency_seconds_bucket{le="60"}`:                                              0,
		`chasqui_webhook_latency_seconds_bucket{le="300"}`:                                             5,
		`chasqui_webhook_endpoint_in_flight{endpoint="` + events.EndpointPrefix.Format(hole.id) + `"}`: 3,
		`chasqui_deliveries_in_flight{breaker="closed"}`:                                               3,
		`chasqui_webhook_endpoints{breaker="closed"}`:                                                  2,
		`chasqui_webhook_endpoints{breaker="paused"}`:                                                  1,
		`chasqui_deliveries_unfinished{state="pending"}`:                                               2,
		`chasqui_deliveries_unfinished{state="held"}`:                                                  6,
		`chasqui_deliveries_reclaimed_total{why="died"}`:                                               1,
	}
	var got map[string]float64
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last scrape: %v", got)
		}
	})
	eventually(t, "all series say what is", func() bool {
		got = scrape(t, registry)
		for name, v := range want {
			if n, ok := got[name]; !ok || n != v {
				return false
			}
		}
		return got[`chasqui_deliveries_held_age_seconds`] > 0 && got[`chasqui_deliveries_due_lag_seconds`] > 0
	})
	for name := range got {
		if strings.HasPrefix(name, "chasqui_webhook_endpoint_in_flight") && !strings.Contains(name, events.EndpointPrefix.Format(hole.id)) {
			t.Errorf("%s has nothing in flight", name)
		}
	}
}

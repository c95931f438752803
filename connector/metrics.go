package connector

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chasqui/chasqui/events"
)

// metrics are the connector's, under the prefix chasqui_connector_.
type metrics struct {
	registry   prometheus.Registerer // nil: uncollected
	sessions   *prometheus.GaugeVec
	commands   *prometheus.CounterVec
	received   *prometheus.CounterVec
	reconnects prometheus.Counter
	cutOff     prometheus.Gauge
	seconds    *prometheus.HistogramVec
	queries    *prometheus.HistogramVec
	sends      *prometheus.CounterVec
	latency    prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer) *metrics {
	const namespace, subsystem = "chasqui", "connector"
	m := &metrics{
		registry: registry,
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "sessions", Help: "Sessions that this connector runs, by state."}, []string{"state"}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "commands_total", Help: "Commands handled, by outcome: sent, repeated (done before), failed, expired, parked, waiting, error; and of queries " +
				"answered, refused (the answer is an error), dropped (nobody waited any more)."},
			[]string{"outcome"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "messages_total", Help: "Messages that came from WhatsApp, by direction (outgoing: from the owner's phone) and content type."},
			[]string{"direction", "type"}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "reconnects_total", Help: "Connections to WhatsApp made again after one ended."}),
		cutOff: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "cut_off", Help: "1 while this connector does not reach WhatsApp and leaves its sessions to others."}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "handler_seconds", Help: "How long handling took: of a message or receipt from WhatsApp, or of a command with WhatsApp's answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12)}, []string{"handler"}),
		queries: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "query_seconds", Help: "How long WhatsApp took to answer a query, by kind and outcome: answered, or the code of the error.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2.5, 10)}, []string{"kind", "outcome"}),
		sends: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "sends_total", Help: "Messages whose sending ended, by status (sent, failed, expired) and the code of the error."}, []string{"status", "code"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "send_latency_seconds", Help: "Time from the API's acceptance of a message, or its sendAt, to WhatsApp's acknowledgement.",
			Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 3600, 86400}}),
	}
	m.sends.WithLabelValues(string(events.StatusSent), "")
	for _, collector := range m.all() {
		if registry != nil {
			registry.MustRegister(collector)
		}
	}
	return m
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.sessions, m.commands, m.received, m.reconnects, m.cutOff, m.seconds, m.queries, m.sends, m.latency}
}

// close makes room for another connector in the same registry.
func (m *metrics) close() {
	for _, collector := range m.all() {
		if m.registry != nil {
			m.registry.Unregister(collector)
		}
	}
}

func (m *metrics) enter(state events.SessionState) { m.sessions.WithLabelValues(string(state)).Inc() }
func (m *metrics) leave(state events.SessionState) { m.sessions.WithLabelValues(string(state)).Dec() }
func (m *metrics) move(from, to events.SessionState) {
	m.leave(from)
	m.enter(to)
}

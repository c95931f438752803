package dispatcher

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chasqui/chasqui/events"
)

// metrics are the dispatcher's. Those of the database as a whole (lag, endpoints, in flight) are the same in every dispatcher.
type metrics struct {
	batch        prometheus.Histogram
	sequencerLag prometheus.Gauge
	deadEvents   prometheus.Counter
	attempts     *prometheus.CounterVec
	latency      prometheus.Histogram
	dueLag       prometheus.Gauge
	endpoints    *prometheus.GaugeVec
	inFlight     *prometheus.GaugeVec
	inFlightOf   *prometheus.GaugeVec
	unfinished   *prometheus.GaugeVec
	heldAge      prometheus.Gauge
	reclaimed    *prometheus.CounterVec
	media        *prometheus.CounterVec
	mediaBytes   prometheus.Counter
	mediaSeconds prometheus.Histogram

	events         *prometheus.CounterVec
	deliveries     *prometheus.CounterVec
	attemptSeconds prometheus.Histogram
	queueLag       *prometheus.GaugeVec
	queueMessages  *prometheus.GaugeVec
	queueDead      *prometheus.GaugeVec
	queueParked    *prometheus.GaugeVec
	sessions       *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chasqui_sequencer_batch_events", Help: "Events that one transaction of the sequencer put into the log.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		sequencerLag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chasqui_sequencer_lag_seconds", Help: "Age of the oldest event of the last batch when it entered the log.",
		}),
		deadEvents: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chasqui_sequencer_dead_letters_total", Help: "Events that could not be stored and lie among the queue's dead letters. Alert on any.",
		}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chasqui_webhook_attempts_total", Help: "Attempts to deliver, by what came of them.",
		}, []string{"class"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chasqui_webhook_latency_seconds", Help: "Time from an event, as WhatsApp dates it (to the second), to the 2xx of a receiver.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 3600, 86400},
		}),
		dueLag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chasqui_deliveries_due_lag_seconds", Help: "How long the delivery that is due longest has waited, over endpoints that may be sent to.",
		}),
		endpoints: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chasqui_webhook_endpoints", Help: "Webhook endpoints, by the state of their breaker, or their own where they are not active.",
		}, []string{"breaker"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chasqui_deliveries_in_flight", Help: "Deliveries being sent, by the same.",
		}, []string{"breaker"}),
		inFlightOf: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chasqui_webhook_endpoint_in_flight", Help: "Deliveries being sent, by endpoint: the 1,000 that have most, and none that has none.",
		}, []string{"endpoint"}),
		unfinished: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chasqui_deliveries_unfinished", Help: "Deliveries that wait for their time (pending) or for their endpoint to be active (held), counted up to 100,000.",
		}, []string{"state"}),
		heldAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "chasqui_deliveries_held_age_seconds", Help: "Age of the oldest event that is held for an endpoint; retention removes it in the end.",
		}),
		reclaimed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chasqui_deliveries_reclaimed_total", Help: "Deliveries taken back from other dispatchers: that died, or whose lease ran out because they stood still or were cut off.",
		}, []string{"why"}),
		media: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chasqui_media_fetches_total", Help: "Files fetched from WhatsApp, by what came of it: ready, asked (the phone), failed, failed_attempt, waiting (for the database or S3).",
		}, []string{"outcome"}),
		mediaBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chasqui_media_fetched_bytes_total", Help: "Bytes of the files that were fetched, decrypted.",
		}),
		mediaSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chasqui_media_fetch_seconds", Help: "Time of one attempt to fetch a file.", Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800},
		}),
	}
	m.events = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chasqui_events_total", Help: "Events that entered the log, by type.",
	}, []string{"type"})
	m.deliveries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chasqui_deliveries_total", Help: "Deliveries that ended, by how: succeeded, exhausted, cancelled (nothing to send), held (the endpoint wants no more).",
	}, []string{"outcome"})
	m.attemptSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "chasqui_webhook_attempt_seconds", Help: "Time of an attempt to deliver.", Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 30, 60},
	})
	byTopic := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"topic"})
	}
	m.queueLag = byTopic("chasqui_queue_lag_seconds", "How long the message of a topic has waited that is ready longest.")
	m.queueMessages = byTopic("chasqui_queue_messages", "Messages of a topic in the queue, counted up to 100,000.")
	m.queueDead = byTopic("chasqui_queue_dead_letters", "Messages of a topic that could not be handled.")
	m.queueParked = byTopic("chasqui_queue_parked_lanes", "Lanes of a topic that were set aside because processes died with their first message in hand.")
	m.sessions = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "chasqui_sessions", Help: "Sessions of the whole, by state."}, []string{"state"})
	m.begin()
	if r != nil {
		r.MustRegister(m.events, m.deliveries, m.attemptSeconds, m.queueLag, m.queueMessages, m.queueDead, m.queueParked, m.sessions)
		r.MustRegister(m.batch, m.sequencerLag, m.deadEvents, m.attempts, m.latency, m.dueLag, m.endpoints, m.inFlight, m.inFlightOf,
			m.unfinished, m.heldAge, m.reclaimed, m.media, m.mediaBytes, m.mediaSeconds)
	}
	return m
}

// begin makes the series whose labels are known, so that a rate over the first of something is none over nothing.
func (m *metrics) begin() {
	for _, t := range events.Types {
		m.events.WithLabelValues(string(t))
	}
	for _, outcome := range []string{"succeeded", "exhausted", "cancelled", "held"} {
		m.deliveries.WithLabelValues(outcome)
	}
	for _, class := range []string{
		classOK, classStatus, classDNS, classConnect, classTLS, classTimeout, classBlocked, classBroken, classLocal, classExpired, classStorage, classUnfit, classRefused, classOversize,
	} {
		m.attempts.WithLabelValues(class)
	}
	for _, outcome := range []string{"ready", "asked", "failed", "failed_attempt", "waiting"} {
		m.media.WithLabelValues(outcome)
	}
	for _, why := range []string{"died", "lease"} {
		m.reclaimed.WithLabelValues(why)
	}
}

package dispatcher

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// statsEvery is how often what was counted is written: one statement for each dispatcher, and what a dashboard lags behind.
const statsEvery = 5 * time.Second

// stats counts what GET /v1/stats shows, until it is written.
//
// Failure policy: what could not be written is counted with what follows, in the minute in which it is written; what a process had not written when
// it was killed, of up to 5 s, is not counted by anybody.
type stats struct {
	mu sync.Mutex
	db.StatsAddParams
	any bool
}

// event counts an event that was logged.
func (s *stats) event(metadata map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch events.Type(metadata[events.MetaType]) {
	case events.MessageReceived:
		s.Received++
	case events.MessageSent:
		s.Sent++
	case events.MessageUpdated:
		if status := events.MessageStatus(metadata[events.MetaStatus]); status != events.StatusFailed && status != events.StatusExpired {
			return
		}
		s.Failed++
	default:
		return
	}
	s.any = true
}

// attempt counts an attempt that was written, and the delivery where it ended.
func (s *stats) attempt(r result, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.class == classOK:
		s.Delivered++
		if s.Latency == nil {
			s.Latency = make([]int64, len(events.LatencyBuckets)+1)
		}
		s.Latency[events.LatencyBucket(r.started.Add(r.took).Sub(events.MadeAt(r.eventID)))]++
	case r.tried():
		s.Undelivered++
	default:
		return
	}
	if state == "exhausted" {
		s.Exhausted++
	}
	s.any = true
}

// take returns what was counted, and begins anew.
func (s *stats) take() (p db.StatsAddParams, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, any = s.StatsAddParams, s.any
	s.StatsAddParams, s.any = db.StatsAddParams{}, false
	if p.Latency == nil {
		p.Latency = []int64{}
	}
	return p, any
}

// giveBack counts again what could not be written.
func (s *stats) giveBack(p db.StatsAddParams) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Received, s.Sent, s.Failed = s.Received+p.Received, s.Sent+p.Sent, s.Failed+p.Failed
	s.Delivered, s.Undelivered, s.Exhausted = s.Delivered+p.Delivered, s.Undelivered+p.Undelivered, s.Exhausted+p.Exhausted
	for i, n := range s.Latency {
		if i < len(p.Latency) {
			p.Latency[i] += n
		}
	}
	if len(p.Latency) > 0 {
		s.Latency = p.Latency
	}
	s.any = true
}

// writeStats adds what was counted to the current minute.
func (d *Dispatcher) writeStats(ctx context.Context) error {
	p, any := d.stats.take()
	if !any {
		return nil
	}
	p.Minute = time.Now().Truncate(time.Minute)
	if err := d.queries.StatsAdd(ctx, d.pool, p); err != nil {
		d.stats.giveBack(p)
		return fmt.Errorf("write stats: %w", err)
	}
	return nil
}

// runStats writes what was counted.
func (d *Dispatcher) runStats() {
	tick := time.NewTicker(statsEvery)
	defer tick.Stop()
	for {
		select {
		case <-d.loops.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(d.loops, roundTimeout)
		if err := d.writeStats(ctx); err != nil && d.loops.Err() == nil {
			d.log.WarnContext(ctx, "stats wait for the database", "error", err)
		}
		cancel()
	}
}

// sampleWhole refreshes the metrics of the queue and of the sessions, and notes them for the current minute.
func (d *Dispatcher) sampleWhole(ctx context.Context, deliveriesLag float64) error {
	topics, err := d.queries.QueueState(ctx, d.pool, countMany, events.Topics)
	if err != nil {
		return fmt.Errorf("measure the queue: %w", err)
	}
	lag := map[string]float64{}
	for _, t := range topics {
		lag[t.Topic] = t.Lag
		d.metrics.queueLag.WithLabelValues(t.Topic).Set(t.Lag)
		d.metrics.queueMessages.WithLabelValues(t.Topic).Set(float64(t.Messages))
		d.metrics.queueDead.WithLabelValues(t.Topic).Set(float64(t.Dead))
		d.metrics.queueParked.WithLabelValues(t.Topic).Set(float64(t.Crashed))
	}
	states, err := d.queries.SessionCountByState(ctx, d.pool)
	if err != nil {
		return fmt.Errorf("count sessions: %w", err)
	}
	sessions := map[string]int64{}
	for _, s := range events.SessionStates {
		sessions[string(s)] = 0
	}
	for _, s := range states {
		sessions[s.State] = s.Sessions
	}
	for state, n := range sessions {
		d.metrics.sessions.WithLabelValues(state).Set(float64(n))
		if n == 0 {
			delete(sessions, state)
		}
	}
	counted, err := json.Marshal(sessions)
	if err != nil {
		return fmt.Errorf("encode sessions: %w", err)
	}
	err = d.queries.StatsSample(ctx, d.pool, db.StatsSampleParams{
		Minute: time.Now().Truncate(time.Minute), LagCommands: lag[events.TopicCommands], LagEvents: lag[events.TopicEvents], LagMedia: lag[events.TopicMedia],
		LagDeliveries: deliveriesLag, Sessions: counted,
	})
	if err != nil {
		return fmt.Errorf("note a sample: %w", err)
	}
	if _, err := d.queries.StatsForget(ctx, d.pool); err != nil {
		return fmt.Errorf("forget old stats: %w", err)
	}
	return nil
}

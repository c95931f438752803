package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/chasqui/chasqui/events"
)

const (
	// statsMost bounds the points of an answer, and statsRange the time that it spans, so that none costs more than a read of 43,200 small rows.
	statsMost  = 500
	statsRange = 30 * 24 * time.Hour
)

// Stats is what happened, in steps of time.
type Stats struct {
	Since time.Time   `json:"since" doc:"When the first step begins."`
	Until time.Time   `json:"until" doc:"When the last step ends."`
	Step  int         `json:"step" doc:"The length of a step, in seconds." example:"60"`
	Data  []StatsStep `json:"data" doc:"Every step, oldest first, those in which nothing happened included."`
}

// StatsStep is what happened in one step.
type StatsStep struct {
	At         time.Time        `json:"at" doc:"When it begins."`
	Messages   StatsMessages    `json:"messages"`
	Deliveries StatsDeliveries  `json:"deliveries"`
	QueueLag   StatsQueueLag    `json:"queueLag"`
	Sessions   map[string]int64 `json:"sessions" doc:"How many sessions there are, by state, at its end; in the step that is not over, now. A state that none is in is left out; all are, in steps for which nobody counted."`
}

// StatsMessages counts messages.
type StatsMessages struct {
	Received int64 `json:"received" doc:"Messages that came in." example:"120"`
	Sent     int64 `json:"sent" doc:"Messages that WhatsApp took, those of the owner's phone included." example:"80"`
	Failed   int64 `json:"failed" doc:"Messages that failed or expired." example:"1"`
}

// StatsDeliveries counts deliveries to webhooks.
type StatsDeliveries struct {
	Succeeded int64         `json:"succeeded" doc:"Deliveries that a receiver answered with 2xx." example:"200"`
	Failed    int64         `json:"failed" doc:"Attempts that failed; most are tried again." example:"3"`
	Exhausted int64         `json:"exhausted" doc:"Deliveries that were given up after their last attempt." example:"0"`
	Latency   *StatsLatency `json:"latency,omitempty" doc:"Of those that succeeded; absent where none did."`
}

// StatsLatency is how long deliveries took.
type StatsLatency struct {
	P50 float64 `json:"p50" doc:"Seconds from the event to the 2xx that half of the deliveries took at most, estimated." example:"0.02"`
	P95 float64 `json:"p95" doc:"The same of 95 of 100." example:"0.21"`
}

// StatsQueueLag is how long what waited longest was due, in seconds.
type StatsQueueLag struct {
	Commands   float64 `json:"commands" doc:"What is to be done at WhatsApp: messages to be sent among it." example:"0.1"`
	Events     float64 `json:"events" doc:"Events on their way into the log." example:"0.02"`
	Media      float64 `json:"media" doc:"Files to be fetched." example:"0"`
	Deliveries float64 `json:"deliveries" doc:"Deliveries to endpoints that may be sent to." example:"0.3"`
}

var exampleStats = Stats{
	Since: exampleTime.Truncate(time.Hour), Until: exampleTime.Truncate(time.Hour).Add(time.Minute), Step: 60, Data: []StatsStep{{
		At: exampleTime.Truncate(time.Hour), Messages: StatsMessages{Received: 120, Sent: 80, Failed: 1},
		Deliveries: StatsDeliveries{Succeeded: 200, Failed: 3, Latency: &StatsLatency{P50: 0.02, P95: 0.21}},
		QueueLag:   StatsQueueLag{Commands: 0.1, Events: 0.02, Deliveries: 0.3}, Sessions: map[string]int64{"connected": 12, "qr": 1},
	}},
}

func (s *Server) addStats() {
	register(s, operation{
		method: "GET", path: "/v1/stats", id: "get-stats", tag: "System", status: 200, everywhere: true,
		summary: "Read what happened, in steps of time",
		description: "For a dashboard: messages, deliveries and how long they took, the queue's lag and the sessions by state, up to now, in steps of whole minutes; at most 500 steps, and 30 days back. " +
			"The last step is not over, and what it counts is up to 5 s old. GET /v1/events/stream?stats=true tells the newest every 5 s.",
		response: exampleStats,
	}, s.getStats)
}

// statsSpan settles which steps an answer has.
func statsSpan(now time.Time, since time.Time, step int) (first, last time.Time, length time.Duration, err error) {
	if since.IsZero() {
		since = now.Add(-time.Hour)
	}
	if length = time.Duration(step) * time.Second; step == 0 {
		length = time.Minute
		for _, l := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour} {
			if length = l; now.Sub(since) <= 200*l {
				break
			}
		}
	}
	switch {
	case since.After(now):
		return first, last, length, invalid("query.since", "expected a time that is over")
	case now.Sub(since) > statsRange:
		return first, last, length, invalid("query.since", "expected a time within 30 days")
	case length%time.Minute != 0:
		return first, last, length, invalid("query.step", "expected a multiple of 60")
	}
	// As PostgreSQL's date_bin with 1970 as its origin: Truncate's own origin is another, which steps of 60 days and less would notice.
	floor := func(t time.Time) time.Time {
		seconds := int64(length / time.Second)
		return time.Unix(t.Unix()/seconds*seconds, 0).UTC()
	}
	first, last = floor(since), floor(now)
	if last.Sub(first)/length >= statsMost {
		return first, last, length, invalid("query.step", fmt.Sprintf("expected a longer step: at most %d fit into an answer", statsMost))
	}
	return first, last, length, nil
}

func (s *Server) getStats(ctx context.Context, in *struct {
	Since time.Time `query:"since" doc:"From when on, within 30 days; default: an hour ago. The step in which it lies is the first." example:"2026-01-01T00:00:00Z"`
	Step  int       `query:"step" minimum:"60" maximum:"86400" doc:"The length of a step in seconds, a multiple of 60. Default: what gives up to 200 steps." example:"60"`
}) (*struct{ Body Stats }, error) {
	first, last, length, err := statsSpan(time.Now(), in.Since, in.Step)
	if err != nil {
		return nil, err
	}
	stats, err := s.stats(ctx, first, last, length)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Stats }{stats}, nil
}

// stats reads the steps from the first to the last, which is the one that is not over.
func (s *Server) stats(ctx context.Context, first, last time.Time, length time.Duration) (out Stats, err error) {
	step, until := int32(length/time.Second), last.Add(length)
	rows, err := s.q.StatsList(ctx, s.pool, step, first, until)
	if err != nil {
		return out, fmt.Errorf("read stats: %w", err)
	}
	out = Stats{Since: first, Until: until, Step: int(step), Data: make([]StatsStep, int(until.Sub(first)/length))}
	for i := range out.Data {
		out.Data[i] = StatsStep{At: first.Add(time.Duration(i) * length), Sessions: map[string]int64{}}
	}
	for _, row := range rows {
		d := &out.Data[int(row.At.Sub(first)/length)]
		d.Messages = StatsMessages{row.Received, row.Sent, row.Failed}
		d.Deliveries = StatsDeliveries{Succeeded: row.Delivered, Failed: row.Undelivered, Exhausted: row.Exhausted}
		if slices.Max(row.Latency) > 0 {
			d.Deliveries.Latency = &StatsLatency{P50: events.Quantile(.5, row.Latency), P95: events.Quantile(.95, row.Latency)}
		}
		d.QueueLag = StatsQueueLag{row.LagCommands, row.LagEvents, row.LagMedia, row.LagDeliveries}
		if len(row.Sessions) > 0 && string(row.Sessions) != "null" {
			if err := json.Unmarshal(row.Sessions, &d.Sessions); err != nil {
				return out, fmt.Errorf("decode sessions of stats: %w", err)
			}
		}
	}
	return out, s.statsNow(ctx, &out.Data[len(out.Data)-1])
}

// statsNow puts what is now into the step that is not over: also where no dispatcher is there to measure it.
func (s *Server) statsNow(ctx context.Context, step *StatsStep) error {
	topics, err := s.q.QueueState(ctx, s.pool, 1, events.Topics)
	if err != nil {
		return fmt.Errorf("measure the queue: %w", err)
	}
	for _, t := range topics {
		switch t.Topic {
		case events.TopicCommands:
			step.QueueLag.Commands = t.Lag
		case events.TopicEvents:
			step.QueueLag.Events = t.Lag
		case events.TopicMedia:
			step.QueueLag.Media = t.Lag
		}
	}
	if step.QueueLag.Deliveries, err = s.q.DeliveryLag(ctx, s.pool); err != nil {
		return fmt.Errorf("measure the deliveries' lag: %w", err)
	}
	states, err := s.q.SessionCountByState(ctx, s.pool)
	if err != nil {
		return fmt.Errorf("count sessions: %w", err)
	}
	step.Sessions = map[string]int64{}
	for _, state := range states {
		step.Sessions[state.State] = state.Sessions
	}
	return nil
}

// A statsBoard keeps the newest stats for the streams that tell them: any number of streams cost one look every 5 s.
type statsBoard struct {
	mu      sync.Mutex
	streams int           // that want them
	body    []byte        // nil: none yet
	news    chan struct{} // closed, and replaced, when body has changed
	kick    chan struct{} // capacity 1: the first stream has come
}

func (b *statsBoard) init() { b.news, b.kick = make(chan struct{}), make(chan struct{}, 1) }

// enter counts a stream in, until leave is called.
func (b *statsBoard) enter() (leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.streams++; b.streams == 1 {
		b.body = nil
		select {
		case b.kick <- struct{}{}:
		default:
		}
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.streams--
	}
}

// read returns the newest, and what is closed when there are newer ones.
func (b *statsBoard) read() (body []byte, news <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.body, b.news
}

func (b *statsBoard) wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.streams > 0
}

func (b *statsBoard) write(body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.body = body
	close(b.news)
	b.news = make(chan struct{})
}

// followStats feeds the board until the server stops.
//
// Failure policy: what cannot be read is left out, and tried again at the next tick.
func (s *Server) followStats() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.running.Go(func() { <-s.stopping; cancel() })
	tick := time.NewTicker(s.limits.stats)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.board.kick:
		case <-s.stopping:
			return
		}
		if !s.board.wanted() {
			continue
		}
		if body, err := s.newestStats(ctx); err == nil {
			s.board.write(body)
		} else if ctx.Err() == nil {
			s.log.WarnContext(ctx, "streams are not told stats", "error", err)
		}
	}
}

// newestStats are the last two minutes, of which the second is not over, as JSON: when a minute has ended, what was still counted of it follows.
func (s *Server) newestStats(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, databaseBudget)
	defer cancel()
	minute := time.Now().UTC().Truncate(time.Minute)
	stats, err := s.stats(ctx, minute.Add(-time.Minute), minute, time.Minute)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(stats)
	if err != nil {
		return nil, fmt.Errorf("encode stats: %w", err)
	}
	return body, nil
}

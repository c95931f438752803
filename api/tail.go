package api

import (
	"context"
	"sort"
	"sync"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// tailBytes bounds the bodies that the tail keeps: some 8,000 usual events, 32 of the largest.
	tailBytes = 8 << 20
	// tailPage is how many events the tail reads at a time.
	tailPage = 100
)

// tail keeps the newest part of the event log in memory while there are streams: any number of streams that keep up cost one read of the log.
// A stream that is behind it reads the log itself.
type tail struct {
	capacity int // events that it keeps at most

	mu        sync.Mutex
	open      int  // streams
	known     bool // whether low and high are places of the log
	low, high place
	recent    []db.EventPageRow // every event after low, up to high
	bytes     int               // of their bodies
	news      chan struct{}     // closed, and replaced, when any of this has changed
	kick      chan struct{}     // capacity 1: the first stream has opened
}

func newTail(capacity int) *tail {
	return &tail{capacity: capacity, news: make(chan struct{}), kick: make(chan struct{}, 1)}
}

// enter counts a stream in, unless there are limit already.
func (t *tail) enter(limit int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open >= limit {
		return false
	}
	if t.open++; t.open == 1 {
		select {
		case t.kick <- struct{}{}:
		default:
		}
	}
	return true
}

// leave counts a stream out. After the last one nothing is kept.
func (t *tail) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open--; t.open == 0 {
		t.known, t.recent, t.bytes = false, nil, 0
	}
}

// end returns the place up to which the log is known; wanted is whether anybody reads it here.
func (t *tail) end() (high place, known, wanted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.high, t.known, t.open > 0
}

// begin sets the place that the tail starts from.
func (t *tail) begin(at place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open > 0 && !t.known {
		t.known, t.low, t.high = true, at, at
		t.changed()
	}
}

// add appends the events of the log after from, up to to.
func (t *tail) add(from place, rows []db.EventPageRow, to place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known || t.high.seq != from.seq || to.seq <= from.seq { // all streams left meanwhile, and perhaps others came
		return
	}
	t.high, t.recent = to, append(t.recent, rows...)
	for _, row := range rows {
		t.bytes += len(row.Body)
	}
	for len(t.recent) > t.capacity || t.bytes > tailBytes {
		oldest := t.recent[0]
		t.low, t.bytes = placeOf(oldest.Seq, oldest.ID), t.bytes-len(oldest.Body)
		t.recent[0] = db.EventPageRow{} // the array behind it lives on
		t.recent = t.recent[1:]
	}
	t.changed()
}

// changed is called with mu held.
func (t *tail) changed() {
	close(t.news)
	t.news = make(chan struct{})
}

// after returns up to limit events, and as many bytes as a stream may hold, that come after a place and that the filter lets pass, and the place
// up to which they were looked for.
// It is not ok where the tail does not reach back to that place. news is closed once there may be more than what was returned.
func (t *tail) after(from place, filter events.Filter, limit int) (rows []db.EventPageRow, to place, ok bool, news <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known || from.seq < t.low.seq {
		return nil, from, false, t.news
	}
	if to = from; to.seq < t.high.seq {
		to = t.high
	}
	first := sort.Search(len(t.recent), func(i int) bool { return t.recent[i].Seq > from.seq })
	for _, row := range t.recent[first:] {
		if !filter.Wants(factsOf(row)) {
			continue
		}
		if len(rows) == limit {
			to = placeOf(rows[limit-1].Seq, rows[limit-1].ID)
			break
		}
		rows = append(rows, row)
	}
	rows, to = held(rows, to)
	return rows, to, true, t.news
}

// followLog feeds the tail until the server stops, woken when the log has grown.
//
// Failure policy: while the log cannot be read nothing is added, and it is tried again every second; streams miss nothing by that.
func (s *Server) followLog() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.running.Go(func() { <-s.stopping; cancel() })
	listener := s.waker.Listen(events.WakeLog)
	defer listener.Close()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		more, err := s.readTail(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "event streams wait for the log", "error", err)
		}
		if more {
			continue
		}
		select {
		case <-listener.C():
		case <-s.tail.kick:
		case <-poll.C:
		case <-s.stopping:
			return
		}
	}
}

// readTail reads one page of the log into the tail, if there are streams.
func (s *Server) readTail(ctx context.Context) (more bool, err error) {
	from, known, wanted := s.tail.end()
	if !wanted {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, databaseBudget)
	defer cancel()
	if !known {
		at, err := s.newestPlace(ctx)
		if err != nil {
			return false, err
		}
		s.tail.begin(at)
		return true, nil
	}
	rows, to, more, err := s.readEvents(ctx, from, events.Filter{}, tailPage)
	if err != nil {
		return false, err
	}
	s.tail.add(from, rows, to)
	return more, nil
}

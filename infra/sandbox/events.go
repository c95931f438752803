package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxEvents bounds the events kept of one phone; the oldest go first.
const maxEvents = 10_000

// Event is something that a phone noticed beside messages: a receipt, a contact that is typing, a change of a group.
type Event struct {
	// Seq numbers what one phone noticed, rising.
	Seq int64 `json:"seq"`
	// Kind names it, as "receipt"; the README lists the kinds with the members of their Data.
	Kind string    `json:"kind"`
	Time time.Time `json:"time"`
	// Data is a JSON object.
	Data json.RawMessage `json:"data"`
}

// eventLog is what one phone noticed since the process started. The zero value is ready.
type eventLog struct {
	more signal

	mu     sync.Mutex
	last   int64
	events []Event
}

// note appends an event; data must marshal to a JSON object.
func (l *eventLog) note(kind string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("event %s is not JSON: %v", kind, err)) // a type that cannot be marshalled is a mistake in this package
	}
	l.mu.Lock()
	l.last++
	l.events = append(l.events, Event{Seq: l.last, Kind: kind, Time: time.Now().UTC(), Data: text})
	if len(l.events) > maxEvents {
		l.events = l.events[len(l.events)-maxEvents:]
	}
	l.mu.Unlock()
	l.more.fire()
}

// after returns the events of a kind, or of all when it is "", that follow a sequence number, 1,000 at most.
func (l *eventLog) after(seq int64, kind string) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := []Event{}
	for _, e := range l.events {
		if e.Seq > seq && (kind == "" || e.Kind == kind) && len(found) < messagesPage {
			found = append(found, e)
		}
	}
	return found
}

// Events returns what the phone noticed after sequence number after, at most 1,000 events, oldest first; kind "" means all kinds. With none
// it waits for the first, up to wait or the end of ctx, and then returns an empty list. Events do not outlive the process.
func (s *Sandbox) Events(ctx context.Context, number string, after int64, kind string, wait time.Duration) ([]Event, error) {
	p, err := s.phone(number)
	if err != nil {
		return nil, err
	}
	return poll(ctx, s, &p.events.more, wait, func() []Event { return p.events.after(after, kind) }), nil
}

// poll returns what look finds, once that is something: it looks again each time the signal fires, until wait has passed or a context has
// ended. Then the list is empty, and not nil.
func poll[T any](ctx context.Context, s *Sandbox, changes *signal, wait time.Duration, look func() []T) []T {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		changed := changes.wait() // taken before the look, so that a change in between is noticed
		if found := look(); len(found) > 0 {
			return found
		}
		select {
		case <-changed:
		case <-deadline.C:
			return []T{}
		case <-ctx.Done():
			return []T{}
		case <-s.ctx.Done():
			return []T{}
		}
	}
}

func (s *Sandbox) getEvents(r *http.Request) (int, any, error) {
	after, wait, err := polled(r)
	if err != nil {
		return 0, nil, err
	}
	found, err := s.Events(r.Context(), r.PathValue("number"), after, strings.TrimSpace(r.URL.Query().Get("kind")), wait)
	next := after
	if len(found) > 0 {
		next = found[len(found)-1].Seq
	}
	return http.StatusOK, map[string]any{"events": found, "next": next}, err
}

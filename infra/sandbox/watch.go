package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

func (s *Sandbox) watchOperations() map[string]operation {
	return map[string]operation{
		"GET /stats":      s.getStats,
		"GET /transcript": s.getTranscript,
	}
}

func (s *Sandbox) getStats(*http.Request) (int, any, error) {
	st := s.Stats()
	return http.StatusOK, map[string]any{
		"connections": st.Connections, "messagesSent": st.MessagesSent, "messagesDelivered": st.MessagesDelivered,
		"repeatedIds": st.RepeatedIDs, "unknownStanzas": st.UnknownStanzas,
		"mediaUploads": st.MediaUploads, "mediaDownloads": st.MediaDownloads, "stanzas": st.Stanzas,
	}, nil
}

// Queued is how many stanzas wait for a phone and its linked devices to acknowledge them.
func (s *Sandbox) Queued(number string) int { return s.server.Queued(number, true) }

// Stats returns the server's counters.
func (s *Sandbox) Stats() server.Stats { return s.server.Stats() }

// getTranscript answers with JSON lines: the stanzas that follow a number, and with wait the first that comes.
func (s *Sandbox) getTranscript(r *http.Request) (int, any, error) {
	after, wait, err := polled(r)
	if err != nil {
		return 0, nil, err
	}
	if s.cfg.Transcript == 0 {
		return 0, nil, failure(http.StatusNotFound, "this sandbox keeps no transcript: start it with one")
	}
	entries, more := s.server.Transcript(after)
	if len(entries) == 0 && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-more:
			entries, _ = s.server.Transcript(after)
		case <-timer.C:
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
	}
	return http.StatusOK, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jsonl")
		lines := json.NewEncoder(w)
		for _, e := range entries {
			if lines.Encode(e) != nil {
				return // the caller has gone
			}
		}
	}), nil
}

// WaitMessage returns the first message that a phone shows, or has shown, of which match says true; nil matches the first of all. It ends
// with ctx.
func (s *Sandbox) WaitMessage(ctx context.Context, number string, match func(Message) bool) (Message, error) {
	after := int64(0)
	for {
		messages, err := s.Messages(ctx, number, after, longestWait)
		if err != nil {
			return Message{}, err
		}
		for _, m := range messages {
			if after = m.Seq; match == nil || match(m) {
				return m, nil
			}
		}
		if err := s.ended(ctx); err != nil {
			return Message{}, fmt.Errorf("wait for a message at phone %s: %w", number, err)
		}
	}
}

// WaitEvent is WaitMessage for the events of a kind.
func (s *Sandbox) WaitEvent(ctx context.Context, number, kind string, match func(Event) bool) (Event, error) {
	after := int64(0)
	for {
		found, err := s.Events(ctx, number, after, kind, longestWait)
		if err != nil {
			return Event{}, err
		}
		for _, e := range found {
			if after = e.Seq; match == nil || match(e) {
				return e, nil
			}
		}
		if err := s.ended(ctx); err != nil {
			return Event{}, fmt.Errorf("wait for event %q at phone %s: %w", kind, number, err)
		}
	}
}

// WaitReceipt waits until a phone has a receipt of a type ("delivered", "read", "played") for a message that it sent.
func (s *Sandbox) WaitReceipt(ctx context.Context, number, id, kind string) error {
	_, err := s.WaitEvent(ctx, number, "receipt", func(e Event) bool {
		var receipt struct {
			IDs  []string `json:"ids"`
			Type string   `json:"type"`
		}
		return json.Unmarshal(e.Data, &receipt) == nil && receipt.Type == kind && slices.Contains(receipt.IDs, id)
	})
	return err
}

// ended says why nobody waits any more; nil while there is no reason.
func (s *Sandbox) ended(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return context.Cause(s.ctx)
}

package chasqui

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"
)

const (
	// silence after which a stream is taken for dead: the server says something every 15 s.
	silence = 45 * time.Second
	// longestLine bounds an event.
	longestLine = 64 << 20
)

// EventsOptions choose what Events follows.
type EventsOptions struct {
	// After begins with what came after the event of this id. Keep the id of the last event that you have dealt with, and you miss nothing.
	// Without it: with what happens from now on.
	After string
	// Types, such as EventMessageReceived or message.*; none is all.
	Types []string
	// SessionIDs of the sessions to follow; none is all.
	SessionIDs []string
	// ChatKinds, such as user or group; none is all.
	ChatKinds []string
	// FromMe: only what is about the account's own messages, or only what is about others'.
	FromMe *bool
}

// Events follows what happens, without an end; cancel ctx, or leave the loop, to end it.
//
// Failure policy: where the first connection fails it is tried as often as any request. A stream that breaks is opened again where it broke, for as
// long as it takes, after 1 s, 2 s and so on up to 30 s. What will not pass ends it with an Error, such as CodeUnauthorized, or CodeCursorExpired
// where what followed is no longer kept.
func (c *Client) Events(ctx context.Context, options EventsOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := &stream{last: options.After, yield: yield}
		for failures := 0; ; failures++ {
			err := c.follow(ctx, options, s)
			if s.left || ctx.Err() != nil {
				return
			}
			var e *Error
			if !s.opened || s.spoiled || errors.As(err, &e) && !passes(e) {
				yield(Event{}, err)
				return
			}
			if s.heard {
				failures, s.heard = 0, false
			}
			wait := min(time.Second<<min(failures, 5), longestWait)
			if e != nil {
				wait = min(max(wait, e.RetryAfter), longestWait)
			}
			if sleep(ctx, wait) != nil {
				return
			}
		}
	}
}

// A stream is what lasts from one connection to the next.
type stream struct {
	last    string // the id to go on after
	opened  bool   // once
	heard   bool   // an event or a sign of life since it was opened last
	spoiled bool   // by what is no event: to open it again would bring the same
	left    bool   // by its reader
	yield   func(Event, error) bool
}

// follow opens the stream and reads it to its end.
func (c *Client) follow(ctx context.Context, options EventsOptions, s *stream) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	params := StreamEventsParams{SessionID: options.SessionIDs, FromMe: options.FromMe}
	for _, t := range options.Types {
		params.Type = append(params.Type, StreamEventsParamsType(t))
	}
	for _, k := range options.ChatKinds {
		params.ChatKind = append(params.ChatKind, StreamEventsParamsChatKind(k))
	}
	if s.last != "" {
		params.LastEventID = &s.last
	}
	res, err := c.requests.StreamEvents(ctx, &params, func(_ context.Context, r *http.Request) error {
		r.Header.Set("Accept", "text/event-stream")
		return nil
	})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	s.opened = true
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	lines := bufio.NewReaderSize(res.Body, 64<<10)
	id, data := "", ""
	for {
		line, err := readLine(lines)
		if err != nil {
			return err
		}
		watchdog.Reset(silence)
		switch field, value, _ := strings.Cut(line, ":"); field {
		case "id":
			id = strings.TrimPrefix(value, " ")
		case "data": // chasqui's is one line
			data = strings.TrimPrefix(value, " ")
		case "": // a comment, or the end of an event
			if line != "" {
				s.heard = true
				continue
			}
			if id != "" {
				s.last = id
			}
			if data == "" {
				continue
			}
			var event Event
			if err := json.Unmarshal([]byte(data), &event); err != nil {
				s.spoiled = true
				return fmt.Errorf("chasqui: read event %s: %w", id, err)
			}
			s.heard = true
			watchdog.Stop() // its reader may take as long as it likes; the connection may break meanwhile
			if !s.yield(event, nil) {
				s.left = true
				return nil
			}
			watchdog.Reset(silence)
			id, data = "", ""
		}
	}
}

func readLine(r *bufio.Reader) (string, error) {
	var line strings.Builder
	for {
		part, err := r.ReadSlice('\n')
		line.Write(part)
		switch {
		case err == nil:
			return strings.TrimRight(line.String(), "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		case line.Len() > longestLine:
			return "", fmt.Errorf("an event is larger than 64 MiB: %w", io.ErrShortBuffer)
		}
	}
}

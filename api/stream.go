package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// streamPage and streamBytes are how many events, and bytes of them, a stream holds in its hands while its client takes them: 500 clients
	// that do not, each at another place of the log, cost 500 MB. One event is held whatever its size.
	streamPage, streamBytes = 32, 1 << 20
	// backlogReaders is how many streams at once read the log itself because they are behind the tail: they take at most so many of the
	// pool's 24 connections.
	backlogReaders = 4
	// closeGrace is how long a stream's last bytes may take when the server stops or the stream is closed.
	closeGrace = time.Second
	// reconnectAfter is what retry: tells EventSource.
	reconnectAfter = 2 * time.Second
)

// limits of streams; tests have shorter ones.
type limits struct {
	streams   int           // at once, in this process: more than that costs memory that nobody planned for
	tail      int           // events kept for them
	heartbeat time.Duration // of silence on an SSE stream; proxies close what is silent for 30 to 60 s
	ping      time.Duration // of silence on a WebSocket
	write     time.Duration // that one event may take to leave, and a pong to come: who is slower is cut off
	request   time.Duration // the server's WriteTimeout, which streams must outlive
	header    time.Duration // that the header of a request may take
	conns     int           // connections at once; more wait to be accepted
	stall     time.Duration // that a client may neither send nor take anything of a file
	content   time.Duration // that a GET of a file waits while it is on its way
	stats     time.Duration // between two ticks of stats
}

var defaultLimits = limits{streams: 500, tail: 8192, heartbeat: 15 * time.Second, ping: 20 * time.Second, write: 10 * time.Second, request: writeTimeout, header: headerTimeout, conns: 8192, stall: transferStall, content: contentWait, stats: 5 * time.Second}

// Why a stream ended, where it was not its client who left.
var (
	errStopping   = errors.New("the server is stopping")
	errKeyEnded   = errors.New("its key was changed or has ended")
	errSlow       = errors.New("the consumer is too slow")
	errPlaceGone  = errors.New("the events after this place are no longer kept")
	errClientLeft = errors.New("the client has left")
)

// StreamInput is the query of both kinds of stream.
type StreamInput struct {
	After string `query:"after" maxLength:"64" doc:"An event's id or a nextCursor: begin with what came after it. Without it: with what happens from now on." example:"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	EventFilter
}

func (s *Server) addStreams() {
	const exactly = "A client that comes back with the last id that it has seen misses nothing and sees nothing twice. "
	register(s, operation{
		method: "GET", path: "/v1/events/stream", id: "stream-events", tag: "Events", status: 200, ticket: ticketStream,
		summary: "Follow events (SSE)",
		description: "Server-sent events: id is the event's id, event its type, and data the event, byte for byte as webhooks carry it. Begin with after, or with what happens from now on. " +
			exactly + "EventSource does that by itself, with Last-Event-ID, which counts more than after. " +
			"Now and then an id comes without data: the place up to which the log holds nothing more for this stream. A comment comes after 15 s of silence. " +
			"With stats=true the events named stats come too, every 5 s: the last two minutes of GET /v1/stats, of which the second is not over. " +
			"A client that does not take an event within 10 s is cut off; it can come back. Any page may read the stream (Access-Control-Allow-Origin: *): what opens it is a key or a ticket, " +
			"never a cookie. EventSource cannot send a key, so give it a ticket, and a new one when its readyState is CLOSED.",
		responses: map[string]*huma.Response{"200": {Description: "The stream, which lasts until one side ends it", Content: map[string]*huma.MediaType{
			"text/event-stream": {
				Schema:  &huma.Schema{Type: huma.TypeString},
				Example: "retry: 2000\nid: evt_01932f0c5d6b7a10b1f4d0c4a8e2f000\n\nid: evt_01932f0c5d6b7a10b1f4d0c4a8e2f001\nevent: message.received\ndata: {\"id\":\"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001\",…}\n\n:\n\n",
			},
		}}},
		codes: []Code{CursorExpired},
	}, s.streamEvents)
	register(s, operation{
		method: "GET", path: "/v1/events/ws", id: "stream-events-websocket", tag: "Events", status: 101, ticket: ticketStream,
		summary: "Follow events (WebSocket)",
		description: "One event a text message, byte for byte as webhooks carry it. Begin with after, or with what happens from now on. " + exactly +
			"A ping comes after 20 s of silence. Send nothing: a message closes the connection with 1008. Other closes: 1001 when the server stops, 4410 when the events after the last one sent " +
			"are no longer kept; a client that does not take an event, or does not answer a ping, within 10 s is cut off without one. Any origin may connect: what opens it is a key or a ticket, never a cookie.",
		responses: map[string]*huma.Response{"101": {Description: "The connection speaks WebSocket from here on", Headers: map[string]*huma.Header{
			"Upgrade": {Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"websocket"}}},
		}}},
		codes: []Code{CursorExpired, UpgradeRequired},
	}, s.streamWebSocket)
}

// streamPlace returns the place that a stream begins after: that of after, or else the newest event's. What is logged once a client has the
// answer's header is surely after it.
func (s *Server) streamPlace(ctx context.Context, after, location string) (place, error) {
	if after == "" {
		return s.newestPlace(ctx)
	}
	at, err := s.eventPlace(ctx, after, location)
	var p *Problem
	if errors.As(err, &p) && p.Code == CursorExpired {
		p.Detail = "this event is no longer kept; GET /v1/events without after begins at the oldest that is"
	}
	return at, err
}

// A sink is where a stream's events go.
type sink struct {
	send  func([]db.EventPageRow) error // writes events; errSlow when the client does not take them
	idle  func(at place) error          // after each silence: at is how far the log was read
	every time.Duration                 // of silence
	stats func(body []byte) error       // writes stats; nil: they are not wanted
}

// A stream is one that is open.
type stream struct {
	*Server
	ctx    context.Context         // its cause is why the stream ends
	cancel context.CancelCauseFunc // ends it
	w      http.ResponseWriter
	r      *http.Request
	at     place // where it begins
	filter events.Filter
}

// serveStream opens a stream of a kind and counts it until run returns, with the reason. run answers the client, and waits for what it starts.
func (s *Server) serveStream(kind string, hc huma.Context, at place, filter events.Filter, run func(*stream) error) {
	r, w := humachi.Unwrap(hc)
	if !s.tail.enter(s.limits.streams) {
		s.writeProblem(w, r, problem(Unavailable, fmt.Sprintf("%d event streams are open here, and no more are possible", s.limits.streams)))
		return
	}
	defer s.tail.leave()
	s.running.Add(1) // http.Server.Shutdown does not wait for a connection that became a WebSocket, which this one is not yet
	defer s.running.Done()
	s.streams.WithLabelValues(kind).Inc()
	defer s.streams.WithLabelValues(kind).Dec()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	s.running.Go(func() {
		changed := s.waker.Listen(events.WakeKeys)
		defer changed.Close()
		look := time.NewTicker(time.Minute)
		defer look.Stop()
		for ctx.Err() == nil {
			select {
			case <-s.stopping:
				cancel(errStopping)
			case <-ctx.Done():
			case <-changed.C():
				s.endWithKey(ctx, cancel)
			case <-look.C: // a key expires without anybody saying so
				s.endWithKey(ctx, cancel)
			}
		}
	})
	err := run(&stream{s, ctx, cancel, w, r, at, filter})
	if errors.Is(err, errSlow) {
		s.streamsCut.WithLabelValues(kind).Inc()
	}
	s.log.InfoContext(r.Context(), "event stream ended", "kind", kind, "why", err, "requestId", callOf(r.Context()).id)
}

// endWithKey ends a stream whose key has ended, or has other rights than when it was opened.
//
// Failure policy: while the database cannot be asked, a stream goes on.
func (s *Server) endWithKey(ctx context.Context, cancel context.CancelCauseFunc) {
	c := callerOf(ctx)
	now, err := s.callerOfPrincipal(ctx, c.principal[:])
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (!now.may(scopeRead) || !slices.Equal(now.sessions, c.sessions)) {
		cancel(errKeyEnded)
	}
}

// pump sends what comes after the stream's beginning until its context ends or the client takes no more; it returns why.
//
// Failure policy: while the log cannot be read the stream stays open, and it is tried again every second.
func (s *stream) pump(to sink) error {
	silence := time.NewTimer(to.every)
	defer silence.Stop()
	var stats <-chan struct{} // nil, hence never, where they are not wanted
	if to.stats != nil {
		defer s.board.enter()()
		_, stats = s.board.read()
	}
	for at := s.at; ; {
		rows, next, news, err := s.nextEvents(s.ctx, at, s.filter)
		if s.ctx.Err() != nil {
			return s.whyEnded()
		}
		if errors.Is(err, errPlaceGone) {
			return err
		}
		var again <-chan time.Time
		if err != nil {
			s.log.WarnContext(s.ctx, "event stream waits for the log", "error", err)
			again = time.After(pollEvery)
		}
		if len(rows) > 0 {
			if err := to.send(rows); err != nil {
				return err
			}
			silence.Reset(to.every)
		}
		if next.seq != at.seq {
			at, news = next, alreadyClosed
		}
		select {
		case <-news:
		case <-again:
		case <-stats:
			var body []byte
			body, stats = s.board.read()
			if err := to.stats(body); err != nil {
				return err
			}
			silence.Reset(to.every)
		case <-silence.C: // also in the middle of a long search for what is rare
			if err := to.idle(at); err != nil {
				return err
			}
			silence.Reset(to.every)
		case <-s.ctx.Done():
			return s.whyEnded()
		}
	}
}

var alreadyClosed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// whyEnded is the cause of a context that has ended.
func (s *stream) whyEnded() error {
	if cause := context.Cause(s.ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errClientLeft
}

// nextEvents returns what comes after a place, from the tail or, where that does not reach back so far, from the log. news is closed once there
// may be more.
func (s *Server) nextEvents(ctx context.Context, from place, filter events.Filter) (rows []db.EventPageRow, to place, news <-chan struct{}, err error) {
	rows, to, ok, news := s.tail.after(from, filter, streamPage)
	if ok {
		return rows, to, news, nil
	}
	select {
	case s.backlog <- struct{}{}:
		defer func() { <-s.backlog }()
	case <-ctx.Done():
		return nil, from, news, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, databaseBudget)
	defer cancel()
	rows, to, _, err = s.readEvents(ctx, from, filter, streamPage)
	rows, to = held(rows, to)
	if err != nil || to.seq == from.seq || from.cursor == "" {
		return rows, to, news, err
	}
	// The oldest events are dropped first: as long as the event of this place is there, whatever follows it was there to be read.
	id, err := events.EventPrefix.Parse(from.cursor)
	if err != nil {
		return nil, from, news, fmt.Errorf("read place: %w", err)
	}
	if _, err = s.q.EventSeq(ctx, s.pool, id); errors.Is(err, pgx.ErrNoRows) {
		return nil, from, news, errPlaceGone
	} else if err != nil {
		return nil, from, news, fmt.Errorf("read event's place: %w", err)
	}
	return rows, to, news, nil
}

// held returns of rows, after which all up to a place was looked at, the first ones that a stream may hold, and the place up to which those go.
func held(rows []db.EventPageRow, to place) ([]db.EventPageRow, place) {
	bytes := 0
	for i, row := range rows {
		if bytes += len(row.Body); bytes > streamBytes && i > 0 {
			return slices.Clone(rows[:i]), placeOf(rows[i-1].Seq, rows[i-1].ID)
		}
	}
	return rows, to
}

func (s *Server) streamEvents(ctx context.Context, in *struct {
	StreamInput
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"The id of the last event that was seen, as EventSource sends it; counts more than after." example:"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Stats       bool   `query:"stats" doc:"Also tell the last two minutes of GET /v1/stats, as event stats without an id, every 5 s." example:"true"`
}) (*huma.StreamResponse, error) {
	if in.Stats && callerOf(ctx).sessions != nil {
		return nil, problem(InsufficientScope, "stats are of all sessions: this needs a key for all of them")
	}
	after, location := in.After, "query.after"
	if in.LastEventID != "" {
		after, location = in.LastEventID, "header.Last-Event-ID"
	}
	at, err := s.streamPlace(ctx, after, location)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		s.serveStream("sse", hc, at, in.filter(callerOf(hc.Context())), func(st *stream) error { return st.serveSSE(in.Stats) })
	}}, nil
}

// serveSSE writes server-sent events. A body is one line, since it is JSON as encoding/json writes it. An id without data moves a client's
// Last-Event-ID without an event (HTML, "dispatch the event"): so also one that has got no event yet, or that filters much, comes back to where
// it was.
func (s *stream) serveSSE(stats bool) error {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform") // a proxy that compresses would hold events back
	h.Set("X-Accel-Buffering", "no")                 // and so would nginx
	h.Set("Access-Control-Allow-Origin", "*")
	if s.r.Method == http.MethodHead {
		s.w.WriteHeader(http.StatusOK)
		return errClientLeft
	}
	out := http.NewResponseController(s.w)
	// Each write has a deadline of its own, which takes the place of the server's WriteTimeout. When the stream is to end, one that is under way
	// gets a last second.
	last := func() { _ = out.SetWriteDeadline(time.Now().Add(closeGrace)) }
	defer context.AfterFunc(s.ctx, last)()
	write := func(format string, args ...any) error {
		_ = out.SetWriteDeadline(time.Now().Add(s.limits.write))
		if s.ctx.Err() != nil {
			last()
		}
		_, err := fmt.Fprintf(s.w, format, args...)
		return s.writeError(err)
	}
	flush := func() error { return s.writeError(out.Flush()) }
	// A place in the log may be that of another session's event.
	reached, id := s.at.cursor, func(cursor string) string { return s.cursor(s.ctx, cursor) }
	shown := id(reached) // the last id that the client has
	if err := write("retry: %d\n", reconnectAfter.Milliseconds()); err != nil {
		return err
	}
	if shown != "" {
		if err := write("id: %s\n", shown); err != nil {
			return err
		}
	}
	if err := errors.Join(write("\n"), flush()); err != nil {
		return err
	}
	var tell func([]byte) error
	if stats {
		tell = func(body []byte) error { return errors.Join(write("event: stats\ndata: %s\n\n", body), flush()) }
	}
	return s.pump(sink{
		every: s.limits.heartbeat, stats: tell,
		send: func(rows []db.EventPageRow) error {
			for _, row := range rows {
				reached = events.EventPrefix.Format(row.ID)
				shown = reached
				if err := write("id: %s\nevent: %s\ndata: %s\n\n", shown, row.Type, row.Body); err != nil {
					return err
				}
			}
			return flush()
		},
		idle: func(at place) error {
			moved := ""
			if at.cursor != reached {
				reached, shown = at.cursor, id(at.cursor)
				moved = "id: " + shown + "\n"
			}
			return errors.Join(write(":\n%s\n", moved), flush())
		},
	})
}

// writeError says why a stream could not be written.
func (s *stream) writeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(s.ctx), errStopping):
		return errStopping
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	default:
		return errClientLeft
	}
}

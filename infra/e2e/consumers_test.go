package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
)

// happening is what the publishers of a test remember of an event.
type happening struct {
	kind          events.Type
	session, chat string
	own, last     bool
}

// A consumer of the log comes back again and again, to whichever API process answers, with the last id that it has seen.
type consumer struct {
	name, query string
	connect     func(ctx context.Context, api client, query, last string, take func(id string) bool) (seen string, err error)
	wants       func(happening) bool
	got         []string
	connections int
}

// errFinal ends a consumer: what it was answered does not become better by asking again.
var errFinal = errors.New("refused for good")

// streaming keeps no connections: each is one process's.
var streaming = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// refused is what an answer that is no stream means.
func refused(status int) error {
	if status >= 500 {
		return fmt.Errorf("answered %d", status)
	}
	return fmt.Errorf("%w: %d", errFinal, status)
}

// sseOnce follows the log by server-sent events until take says no or the connection ends, and returns the id to come back with.
func sseOnce(ctx context.Context, api client, query, last string, take func(string) bool) (string, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", api.base+"/v1/events/stream?"+query, nil)
	if err != nil {
		return last, err
	}
	r.Header.Set("X-API-Key", api.key)
	r.Header.Set("Last-Event-ID", last)
	answer, err := streaming.Do(r)
	if err != nil {
		return last, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return last, refused(answer.StatusCode)
	}
	lines, id, data := bufio.NewReader(answer.Body), last, ""
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // an event that was cut off is none
			return last, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case name == "id":
			id = value
		case name == "data":
			data = value
		case line == "\n":
			last = id
			if data == "" {
				continue
			}
			var e event
			if err := json.Unmarshal([]byte(data), &e); err != nil || e.ID != id {
				return last, fmt.Errorf("%w: event %s is %q", errFinal, id, data)
			}
			if data = ""; !take(id) {
				return last, nil
			}
		}
	}
}

// webSocketOnce is sseOnce over a WebSocket.
func webSocketOnce(ctx context.Context, api client, query, last string, take func(string) bool) (string, error) {
	ws, answer, err := websocket.Dial(ctx, api.base+"/v1/events/ws?"+query+"&after="+last, &websocket.DialOptions{HTTPHeader: http.Header{"X-Api-Key": {api.key}}, HTTPClient: streaming})
	if err != nil {
		if answer != nil && answer.StatusCode >= 400 {
			return last, refused(answer.StatusCode)
		}
		return last, err
	}
	defer ws.CloseNow()
	ws.SetReadLimit(1 << 20)
	for {
		_, body, err := ws.Read(ctx)
		if err != nil {
			return last, err
		}
		var e event
		if err := json.Unmarshal(body, &e); err != nil {
			return last, fmt.Errorf("%w: %q", errFinal, body)
		}
		if last = e.ID; !take(last) {
			return last, nil
		}
	}
}

// pageOnce reads one page, or a part of it.
func pageOnce(_ context.Context, api client, query, last string, take func(string) bool) (string, error) {
	var page struct {
		Data       []event
		NextCursor string
	}
	status, err := api.do("GET", "/v1/events?limit=20&wait=2&"+query+"&after="+last, nil, &page)
	if err != nil {
		if status >= 400 && status < 500 {
			err = fmt.Errorf("%w: %w", errFinal, err)
		}
		return last, err
	}
	for _, e := range page.Data {
		if !take(e.ID) {
			return e.ID, nil
		}
	}
	return page.NextCursor, nil
}

// follow reads until it has seen the last event of all, and gives each connection up at a random moment.
func (c *consumer) follow(ctx context.Context, apis []client, after string, final func(id string) bool) error {
	for over := false; !over; {
		c.connections++
		left := 1 + rand.IntN(80)
		var err error
		after, err = c.connect(ctx, apis[rand.IntN(len(apis))], c.query, after, func(id string) bool {
			c.got = append(c.got, id)
			over = final(id)
			left--
			return left > 0 && !over
		})
		switch {
		case errors.Is(err, errFinal):
			return err
		case err != nil:
			select { // the process was killed, or is not up again
			case <-ctx.Done():
				return fmt.Errorf("after %d events: %w", len(c.got), err)
			case <-time.After(rand.N(50 * time.Millisecond)):
			}
		}
	}
	return nil
}

// TestConsumersMissNothing: consumers of every kind, with filters and without, come back at random moments, while publishers commit out of order and
// the two API processes and the dispatcher are killed in turn. Each gets what it wants once, in the log's order.
//
// Feature: Live events with resume: SSE and WebSocket
func TestConsumersMissNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start("api", "api")
	s.start("dispatcher", "dispatcher")
	s.awaitAPI(t)
	apis, startSecond := s.secondAPI(t)

	// A ticket of one process opens one stream of another, and none after that.
	var ticket struct{ Ticket string }
	apis[0].must(t, "POST", "/v1/stream-tickets", map[string]string{"for": "stream"}, &ticket)
	for i, want := range []int{200, 401, 401} {
		answer, err := streaming.Get(apis[(i+1)%2].base + "/v1/events/stream?ticket=" + url.QueryEscape(ticket.Ticket))
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != want {
			t.Errorf("use %d of a ticket is answered %d, want %d", i+1, answer.StatusCode, want)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	pool, err := postgres.Open(ctx, s.pg.DSN(), postgres.Options{Name: "publishers", MaxConns: 12})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	notifier := queue.NewNotifier(pool)
	defer notifier.Close()
	db := &queue.DB{Pool: pool, Notifier: notifier}

	var mu sync.Mutex
	all := map[string]happening{}
	recall := func(id string) happening {
		mu.Lock()
		defer mu.Unlock()
		return all[id]
	}
	publish := func(h happening, hold time.Duration) (id string) {
		direction := events.Incoming
		if h.own {
			direction = events.Outgoing
		}
		var data any = events.MessageData{Message: events.Message{ChatID: h.chat, Direction: direction}}
		if h.kind == events.SessionStatus {
			data = events.SessionData{}
		}
		err := db.InTx(ctx, func(tx *queue.Tx) error {
			event, err := events.Publish(tx, h.kind, h.session, h.chat, time.Now(), data)
			id = events.EventPrefix.Format(event)
			mu.Lock()
			all[id] = h
			mu.Unlock()
			select { // others that began later commit before
			case <-time.After(hold):
			case <-ctx.Done():
			}
			return err
		})
		if err != nil {
			t.Errorf("publish: %v", err)
		}
		return id
	}
	logged := func(n int) func() error {
		return func() error {
			var have int
			if err := pool.QueryRow(ctx, "SELECT count(*) FROM events").Scan(&have); err != nil || have != n {
				return fmt.Errorf("%d of %d are in the log: %w", have, n, err)
			}
			return nil
		}
	}
	first := publish(happening{events.SessionStatus, "c", "", false, false}, 0)
	eventually(t, 30*time.Second, "the first event", logged(1))

	const group = "120363025246125486@g.us"
	kinds := []happening{
		{events.MessageReceived, "a", "5491123456789@s.whatsapp.net", false, false}, {events.MessageReceived, "b", group, false, false}, {events.MessageReceived, "c", events.StatusChat, false, false},
		{events.MessageSent, "a", group, true, false}, {events.MessageSent, "c", "5491123456789@s.whatsapp.net", true, false}, {events.SessionStatus, "a", "", false, false}, {events.SessionStatus, "b", "", false, false},
	}
	isMessage := func(h happening) bool { return h.kind != events.SessionStatus }
	consumers := []*consumer{
		{name: "all by SSE", connect: sseOnce, wants: func(happening) bool { return true }},
		{name: "all by WebSocket", connect: webSocketOnce, wants: func(happening) bool { return true }},
		{name: "what came, by SSE", query: "type=message.*&fromMe=false", connect: sseOnce, wants: func(h happening) bool { return isMessage(h) && !h.own }},
		{name: "groups of two sessions by WebSocket", query: "chatKind=group&sessionId=a,b", connect: webSocketOnce,
			wants: func(h happening) bool { return h.session != "c" && (h.chat == group || h.chat == "") }},
		{name: "one session by SSE", query: "sessionId=a", connect: sseOnce, wants: func(h happening) bool { return h.session == "a" }},
		{name: "own or of no message, by WebSocket", query: "fromMe=true&type=*", connect: webSocketOnce, wants: func(h happening) bool { return h.own || !isMessage(h) }},
		{name: "groups by pages", query: "chatKind=group,status&type=message.received,session.*", connect: pageOnce,
			wants: func(h happening) bool {
				return h.kind == events.SessionStatus || h.kind == events.MessageReceived && h.chat != "5491123456789@s.whatsapp.net"
			}},
	}
	lasts := []happening{{events.SessionStatus, "a", "", false, true}, {events.MessageReceived, "a", group, false, true}} // each consumer wants one of them
	var following sync.WaitGroup
	for _, c := range consumers {
		following.Go(func() {
			err := c.follow(ctx, apis, first, func(id string) bool {
				h := recall(id)
				return h.last && (h == lasts[1] || !c.wants(lasts[1]))
			})
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
	const publishers, each = 8, 400
	var published atomic.Int64
	var publishing sync.WaitGroup
	for range publishers {
		publishing.Go(func() {
			for range each {
				publish(kinds[rand.IntN(len(kinds))], rand.N(40*time.Millisecond))
				published.Add(1)
			}
		})
	}
	for round, name := range []string{"api", "api-2", "dispatcher", "api", "api-2", "api"} {
		eventually(t, time.Minute, "the publishers", func() error {
			if n := published.Load(); n < int64((round+1)*publishers*each/8) {
				return fmt.Errorf("they are at %d", n)
			}
			return nil
		})
		s.procs[name].kill9(t)
		if name == "api-2" {
			startSecond()
			eventually(t, 30*time.Second, "the second API", func() error { return answers(apis[1].base + "/readyz") })
			continue
		}
		s.start(name, name)
		s.awaitAPI(t)
	}
	publishing.Wait()
	eventually(t, time.Minute, "all events", logged(1+publishers*each))
	for i, h := range lasts {
		publish(h, 0)
		eventually(t, time.Minute, "the last events", logged(2+publishers*each+i))
	}
	following.Wait()

	rows, err := pool.Query(ctx, "SELECT id FROM events ORDER BY seq OFFSET 1")
	if err != nil {
		t.Fatal(err)
	}
	log, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var id uuid.UUID
		err := row.Scan(&id)
		return events.EventPrefix.Format(id), err
	})
	if err != nil {
		t.Fatal(err)
	}
	overtaken := 0 // by one whose transaction began later
	for i := range log[1:] {
		if log[i+1] < log[i] {
			overtaken++
		}
	}
	if overtaken < len(log)/10 {
		t.Errorf("only %d of %d events were committed out of order", overtaken, len(log))
	}
	for _, c := range consumers {
		var want []string
		for _, id := range log {
			if c.wants(all[id]) {
				want = append(want, id)
			}
		}
		if !slices.Equal(c.got, want) {
			t.Errorf("%s: got %d events, want %d; the first that differs is number %d", c.name, len(c.got), len(want), firstDifference(c.got, want))
		}
		t.Logf("%s: %d events over %d connections", c.name, len(c.got), c.connections)
	}
	t.Logf("%d of %d events were committed out of order", overtaken, len(log))
}

func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/chasqui/chasqui/events"
)

// ticket asks for a ticket.
func (f *fixture) ticket(purpose ticketPurpose) Ticket {
	f.t.Helper()
	var ticket Ticket
	f.must(201, &ticket, "POST", "/v1/stream-tickets", map[string]any{"for": purpose})
	return ticket
}

// status is what a request for a stream is answered, without a key.
func (f *fixture) status(base, path string) int {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), "GET", base+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		f.t.Error(err)
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

func TestTickets(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ticket := f.ticket(ticketStream)
	if left := time.Until(ticket.ExpiresAt); left < 50*time.Second || left > 70*time.Second {
		t.Errorf("a ticket for a stream is valid for %s", left)
	}
	if left := time.Until(f.ticket(ticketMedia).ExpiresAt); left < 9*time.Minute || left > 11*time.Minute {
		t.Errorf("a ticket for media is valid for %s", left)
	}
	// It opens one stream, with the parameters beside it, and not a second one.
	c := f.sse("type=session.qr&ticket="+ticket.Ticket+"&sessionId=sales", "X-API-Key", "")
	f.logged(1, events.SessionStatus, "sales")
	ids, _ := f.logged(1, events.SessionQR, "sales")
	if got, _ := c.must(t, 1); got[0] != ids[0] {
		t.Errorf("got %v, want %v", got, ids)
	}
	f.problem(f.do("GET", "/v1/events/stream?ticket="+ticket.Ticket, nil, "X-API-Key", ""), Unauthorized)
	// The same for a WebSocket.
	ticket = f.ticket(ticketStream)
	ws, _, err := websocket.Dial(t.Context(), f.base+"/v1/events/ws?ticket="+ticket.Ticket, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow() // nothing is left to close
	if status := f.status(f.base, "/v1/events/ws?ticket="+ticket.Ticket); status != 401 {
		t.Errorf("used, it is answered %d", status)
	}
	// With a key beside it, the key counts and the ticket is not used up; a wrong key is not mended by a ticket.
	ticket = f.ticket(ticketStream)
	f.sse("ticket=" + ticket.Ticket)
	f.problem(f.do("GET", "/v1/events/stream?ticket="+ticket.Ticket, nil, "X-API-Key", "wrong"), Unauthorized)
	f.sse("ticket="+ticket.Ticket, "X-API-Key", "")
	// Nothing else is opened by it, and neither is a stream by another kind of ticket.
	ticket = f.ticket(ticketStream)
	for _, path := range []string{"/v1/events?ticket=" + ticket.Ticket, "/v1/sessions?ticket=" + ticket.Ticket, "/v1/events/stream?ticket=", "/v1/events/stream?ticket=tkt_made-up",
		"/v1/events/stream?ticket=" + f.ticket(ticketMedia).Ticket} {
		f.problem(f.do("GET", path, nil, "X-API-Key", ""), Unauthorized)
	}
	f.problem(f.do("GET", "/v1/events?ticket="+ticket.Ticket, nil), ValidationFailed)
	f.problem(f.do("POST", "/v1/stream-tickets", map[string]any{"for": "all"}), ValidationFailed)
	f.problem(f.do("POST", "/v1/stream-tickets", map[string]any{"for": "stream"}, "X-API-Key", ""), Unauthorized)
	if log := f.log.String(); strings.Contains(log, "tkt_") {
		t.Errorf("the log holds a ticket: %s", log)
	}
	var hashed int
	if err := f.db.QueryRow(t.Context(), "SELECT count(*) FROM stream_tickets WHERE hash = sha256(convert_to($1, 'UTF8'))", ticket.Ticket).Scan(&hashed); err != nil || hashed != 1 {
		t.Errorf("a ticket is stored as another thing than its hash: %v", err)
	}
}

// TestTicketOnce: of 20 who come with one ticket at the same time, to two processes, one gets a stream.
func TestTicketOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.another()
	bases := []string{f.base, other.URL()}
	for range 5 {
		ticket := f.ticket(ticketStream)
		var opened, refused atomic.Int32
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range 20 {
			all.Go(func() {
				<-begin
				switch status := f.status(bases[i%2], "/v1/events/stream?ticket="+ticket.Ticket); status {
				case 200:
					opened.Add(1)
				case 401:
					refused.Add(1)
				default:
					t.Errorf("answered %d", status)
				}
			})
		}
		close(begin)
		all.Wait()
		if opened.Load() != 1 || refused.Load() != 19 {
			t.Errorf("%d opened, %d refused", opened.Load(), refused.Load())
		}
	}
}

// TestMediaTickets: the hook for content that images show. Such a ticket opens again and again, as its key's holder.
func TestMediaTickets(t *testing.T) {
	t.Parallel()
	f := setup(t)
	type content struct {
		ContentType string `header:"Content-Type"`
		Body        []byte
	}
	register(f.Server, operation{method: "GET", path: "/v1/picture", id: "get-picture", tag: "Events", status: 200, summary: "x", description: "x", ticket: ticketMedia},
		func(ctx context.Context, _ *struct{}) (*content, error) {
			if callOf(ctx).principal != f.principal {
				t.Error("the ticket is not its key's")
			}
			return &content{"image/png", []byte("png")}, nil
		})
	ticket := f.ticket(ticketMedia).Ticket
	for range 3 {
		if status := f.status(f.base, "/v1/picture?ticket="+ticket); status != 200 {
			t.Errorf("answered %d", status)
		}
	}
	for name, query := range map[string]string{"none": "", "a stream's": "?ticket=" + f.ticket(ticketStream).Ticket, "made up": "?ticket=x"} {
		if status := f.status(f.base, "/v1/picture"+query); status != 401 {
			t.Errorf("%s: %d", name, status)
		}
	}
	f.exec("UPDATE stream_tickets SET expires_at = now() - interval '1 second'")
	if status := f.status(f.base, "/v1/picture?ticket="+ticket); status != 401 {
		t.Errorf("expired, it is answered %d", status)
	}
}

func TestTicketsExpire(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ticket := f.ticket(ticketStream)
	f.exec("UPDATE stream_tickets SET expires_at = now() - interval '1 second'")
	f.problem(f.do("GET", "/v1/events/stream?ticket="+ticket.Ticket, nil, "X-API-Key", ""), Unauthorized)
	// What nobody redeemed is swept; the others stay.
	f.ticket(ticketMedia)
	f.kick <- struct{}{}
	f.eventually("the sweep", func() bool { return f.count("stream_tickets") == 1 })
	// A ticket is worth what its key is worth.
	late := f.ticket(ticketStream)
	f.exec("UPDATE stream_tickets SET principal = sha256('another key')")
	f.problem(f.do("GET", "/v1/events/stream?ticket="+late.Ticket, nil, "X-API-Key", ""), Unauthorized)
}

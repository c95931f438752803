package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/jackc/pgx/v5"
)

// A ticketPurpose is what a ticket opens. An operation that takes tickets names one.
type ticketPurpose string

const (
	ticketStream ticketPurpose = "stream"
	ticketMedia  ticketPurpose = "media"
)

// ticketValid is how long each purpose's tickets can be used. One for a stream is passed on and used at once; one for media must outlast a
// page that shows it.
var ticketValid = map[ticketPurpose]time.Duration{ticketStream: time.Minute, ticketMedia: 10 * time.Minute}

// CreateTicket is the body of POST /v1/stream-tickets.
type CreateTicket struct {
	For ticketPurpose `json:"for" enum:"stream,media" doc:"What it opens: one stream of events, within 60 s, or the content of media, for 10 minutes and any number of times." example:"stream"`
}

// Ticket stands in for the key where a browser cannot send a header.
type Ticket struct {
	Ticket    string    `json:"ticket" doc:"Pass it as the query parameter ticket. It is shown this once, and stored only as a hash." example:"tkt_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`
	ExpiresAt time.Time `json:"expiresAt" doc:"Until when it opens something. A stream that it has opened goes on after that."`
}

func (s *Server) addTickets() {
	register(s, operation{
		method: "POST", path: "/v1/stream-tickets", id: "create-stream-ticket", scope: scopeRead, asks: true, tag: "Events", status: 201,
		summary: "Create a ticket for a browser",
		description: "EventSource, WebSocket and images cannot send a key. Your server, which has the key, asks for a ticket and hands it to the page, which passes it as ?ticket=. " +
			"One for a stream opens one stream within 60 s; for each reconnect ask for another. One for media opens all media that the key may read for 10 minutes. " +
			"There is no Idempotency-Key here: a second ticket does no harm, and a stored answer would keep the first.",
		request: CreateTicket{ticketStream}, response: Ticket{"tkt_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", exampleTime},
	}, s.createTicket)
}

func (s *Server) createTicket(ctx context.Context, in *struct{ Body CreateTicket }) (*struct{ Body Ticket }, error) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime ends the program when the system has no randomness
	ticket := "tkt_" + base64.RawURLEncoding.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(ticket))
	ctx, cancel := context.WithTimeout(ctx, databaseBudget)
	defer cancel()
	expires, err := s.q.TicketAdd(ctx, s.pool, hash[:], callOf(ctx).principal[:], string(in.Body.For), ticketValid[in.Body.For].Seconds())
	if err != nil {
		return nil, fmt.Errorf("store ticket: %w", err)
	}
	return &struct{ Body Ticket }{Ticket{ticket, expires.UTC()}}, nil
}

// takeTicket removes the ticket from the query of a request, so that nothing behind it sees one, and returns it; "" for none, and for an
// operation that takes none, where it is an unknown parameter like any other.
func takeTicket(ctx huma.Context) (ticket string, purpose ticketPurpose) {
	o, _ := ctx.Operation().Metadata[metaOperation].(operation)
	if o.ticket == "" {
		return "", ""
	}
	r, _ := humachi.Unwrap(ctx)
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || !query.Has("ticket") {
		return "", ""
	}
	ticket = query.Get("ticket")
	query.Del("ticket")
	r.URL.RawQuery = query.Encode()
	return ticket, o.ticket
}

// redeem returns whose ticket this is. A ticket for a stream is used up by it, whatever comes of the request. One whose key is no longer
// valid is worth nothing either.
func (s *Server) redeem(ctx context.Context, ticket string, purpose ticketPurpose) (*caller, error) {
	ctx, cancel := context.WithTimeout(ctx, databaseBudget)
	defer cancel()
	hash := sha256.Sum256([]byte(ticket))
	look := s.q.TicketCheck
	if purpose == ticketStream {
		look = s.q.TicketRedeem
	}
	found, err := look(ctx, s.pool, hash[:], string(purpose))
	var whose *caller
	if err == nil {
		whose, err = s.callerOfPrincipal(ctx, found)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem(Unauthorized, "this ticket is not valid here, or was used, or has expired")
	}
	if err != nil {
		return nil, fmt.Errorf("redeem ticket: %w", err)
	}
	return whose, nil
}

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/chasqui/chasqui/events"
)

const (
	// legacySendWait is how long a send waits until WhatsApp has it: the original answered when it was sent.
	legacySendWait = 30 * time.Second
	// legacyMessages bounds ?limit of the list; a larger one is taken for it.
	legacyMessages = 500
)

// LegacySent is the answer of a send.
type LegacySent struct {
	Success   bool                 `json:"success" example:"true"`
	MessageID string               `json:"messageId" doc:"WhatsApp's id of the message." example:"3EB0C767D097B7A0F1D2E3"`
	ID        string               `json:"id" doc:"Its id under /v1." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Status    events.MessageStatus `json:"status" doc:"sent, or further; queued when it was not sent within 30 s: it still will be." example:"sent"`
	Timestamp int64                `json:"timestamp" doc:"Seconds since 1970." example:"1640995200"`
}

// LegacyListed is a message as the original lists it.
type LegacyListed struct {
	events.LegacyMessage
	FromMe bool   `json:"fromMe" doc:"Whether the account sent it." example:"false"`
	To     string `json:"to,omitempty" doc:"Whom the account sent it to." example:"5491123456789@c.us"`
}

// LegacyMessages is the answer of GET /api/messages.
type LegacyMessages struct {
	Success   bool           `json:"success" example:"true"`
	SessionID string         `json:"sessionId" example:"mi-sesion-01"`
	Messages  []LegacyListed `json:"messages" doc:"Newest first."`
}

type legacySent struct{ Body LegacySent }

var exampleLegacySent = LegacySent{true, "3EB0C767D097B7A0F1D2E3", exampleMessageID, events.StatusSent, 1640995200}

// sendCodes are what a send can end with.
var sendCodes = []Code{SessionNotFound, SessionLoggedOut, SessionNotConnected, RecipientNotOnWhatsApp, AccountRestricted, WhatsAppRejected, WhatsAppTimeout}

func (s *Server) addLegacyMessages() {
	const session = "mi-sesion-01"
	register(s, operation{
		method: "POST", path: "/api/send-message", id: "legacy-send-message", tag: legacyTag, status: 200, wait: legacySendWait, successor: "/v1/sessions",
		summary: "Send a text", description: "Answers when WhatsApp has it, or after 30 s with the status queued: it is then sent as soon as it can be, and a repeat would send it twice. The fields may also come as a form (application/x-www-form-urlencoded).",
		request:  map[string]any{"sessionId": session, "number": "5491123456789", "message": "¡Hola desde la API!"},
		response: exampleLegacySent, codes: sendCodes,
	}, s.legacySendMessage)
	register(s, operation{
		method: "GET", path: "/api/messages/{sessionId}", id: "legacy-list-messages", tag: legacyTag, status: 200, successor: "/v1/sessions/{sessionId}/messages",
		summary: "List messages", description: "The session's messages in both directions, newest first, in the form of the webhook; files are named by their URL.",
		response: LegacyMessages{true, session, []LegacyListed{{LegacyMessage: exampleLegacyMessage}}}, codes: []Code{SessionNotFound},
	}, s.legacyListMessages)
}

type sendLegacyMessage struct {
	_         struct{}     `additionalProperties:"true"`
	SessionID string       `json:"sessionId" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"mi-sesion-01"`
	Number    legacyNumber `json:"number"`
	Message   string       `json:"message" minLength:"1" maxLength:"65536" doc:"What it says." example:"¡Hola desde la API!"`
}

func (s *Server) legacySendMessage(ctx context.Context, in *struct {
	Idempotent
	Body sendLegacyMessage
}) (*legacySent, error) {
	to, err := in.Body.Number.address()
	if err != nil {
		return nil, err
	}
	content := sendContent{Content: events.Content{Type: events.ContentText, Text: in.Body.Message}}
	return s.legacySend(ctx, in.IdempotencyKey, in.Body.SessionID, to, &sendMessage{Content: content}, nil)
}

// legacySend sends a message and waits until it is sent.
func (s *Server) legacySend(ctx context.Context, key, sessionID, to string, body *sendMessage, attach func() (*attachment, error)) (*legacySent, error) {
	message, _, err := s.accept(ctx, key, sessionID, to, body, attach)
	if err != nil {
		return nil, err
	}
	out, err := s.awaitSent(ctx, &messageOutput{Status: http.StatusAccepted, Location: "/v1/sessions/" + sessionID + "/messages/" + message.ID, Body: message}, legacySendWait)
	if err != nil {
		var p *Problem
		if errors.As(err, &p) {
			p.headers.Del("Preference-Applied") // nobody stated one
		}
		return nil, err
	}
	answer := LegacySent{true, out.Body.WhatsAppID, out.Body.ID, out.Body.Status, out.Body.Timestamp.Unix()}
	if !answer.Status.Done() {
		answer.Status = events.StatusQueued
	}
	return &legacySent{answer}, nil
}

func (s *Server) legacyListMessages(ctx context.Context, in *struct {
	SessionPath
	Limit int `query:"limit" minimum:"1" default:"50" doc:"How many; more than 500 is 500." example:"50"`
}) (*struct{ Body LegacyMessages }, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	rows, err := s.q.LegacyMessageList(ctx, s.pool, in.SessionID, int32(min(in.Limit, legacyMessages)))
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	list := make([]LegacyListed, len(rows))
	for i, row := range rows {
		message, err := s.message(row)
		if err != nil {
			return nil, err
		}
		list[i] = LegacyListed{LegacyMessage: events.Legacy(message), FromMe: message.Direction == events.Outgoing}
		if list[i].FromMe {
			list[i].To = events.LegacyAddress(message.To)
		}
	}
	return &struct{ Body LegacyMessages }{LegacyMessages{true, in.SessionID, list}}, nil
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/trace"
)

type forwardMessage struct {
	To              []string `json:"to" minItems:"1" maxItems:"5" doc:"Whom to forward it to: phone numbers or JIDs of people or groups, each once; as many as WhatsApp's apps allow." example:"[\"5491123456789\"]"`
	ClientReference string   `json:"clientReference,omitempty" maxLength:"256" doc:"Any text of yours; it comes back in every form of the messages." example:"order-4711"`
}

// ForwardedMessages are the messages that a forwarded one has become.
type ForwardedMessages struct {
	Data []events.Message `json:"data" doc:"One for each chat, in the order of the request."`
}

type forwardOutput struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     ForwardedMessages
}

func exampleForwarded() ForwardedMessages {
	m := exampleMessage
	m.Forwarded = 1
	return ForwardedMessages{Data: []events.Message{m}}
}

func (s *Server) forwardMessage(ctx context.Context, in *struct {
	MessagePath
	Idempotent
	Body forwardMessage
}) (*forwardOutput, error) {
	body, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (out ForwardedMessages, err error) {
		if err := s.sendingAllowed(ctx, tx, in.SessionID); err != nil {
			return out, err
		}
		row, err := s.messageRow(ctx, tx, in.MessagePath)
		if err != nil {
			return out, err
		}
		if err := s.forwardable(ctx, tx, row); err != nil {
			return out, err
		}
		var chats []string
		for i, to := range in.Body.To {
			location := fmt.Sprintf("body.to[%d]", i)
			chat, err := s.addressed(ctx, tx, in.SessionID, location, to)
			if err != nil {
				return out, err
			}
			if kind := events.KindOf(chat); kind != events.KindUser && kind != events.KindGroup {
				return out, invalid(location, "expected a person or a group")
			}
			if slices.Contains(chats, chat) {
				return out, invalid(location, "expected each chat once")
			}
			chats = append(chats, chat)
		}
		for _, chat := range chats {
			m, err := s.forwardTo(ctx, tx, row, chat, in.Body.ClientReference)
			if err != nil {
				return out, err
			}
			out.Data = append(out.Data, m)
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	return &forwardOutput{replayedHeader(replayed), body}, nil
}

// forwardable is the problem of a message that cannot be forwarded, or nil.
func (s *Server) forwardable(ctx context.Context, tx *queue.Tx, row db.MessageView) error {
	m, err := s.message(row)
	if err != nil {
		return err
	}
	switch m.Status {
	case events.StatusScheduled, events.StatusQueued, events.StatusSending, events.StatusFailed, events.StatusCancelled, events.StatusExpired:
		return problem(MessageNotSent, "the message is "+string(m.Status)+"; only what was sent can be forwarded")
	}
	switch kind := m.Content.Type; {
	case m.RevokedAt != nil:
		return problem(MessageNotForwardable, "the message was deleted for everybody")
	case m.Content.ViewOnce:
		return problem(MessageNotForwardable, "what is to be viewed once cannot be forwarded")
	case kind == events.ContentPoll, kind == events.ContentEvent, kind == events.ContentAlbum, kind == events.ContentLiveLocation,
		kind == events.ContentUnsupported, kind == events.ContentUndecryptable:
		return problem(MessageNotForwardable, "a message of type "+kind+" cannot be forwarded")
	case kind == events.ContentText:
		return nil
	case events.KindOf(row.ChatID) == events.KindChannel:
		return problem(MessageNotForwardable, "the file of a channel's post cannot be forwarded; send it anew, by its mediaId")
	}
	kept, err := s.q.MessageHasRaw(ctx, tx, row.SessionID, row.ID)
	if err != nil {
		return fmt.Errorf("look for original: %w", err)
	}
	if !kept {
		return problem(MessageNotForwardable, "WhatsApp's own form of the message is not kept here")
	}
	return nil
}

// forwardTo writes the copy of a message for a chat, the chat, and the command that sends it.
func (s *Server) forwardTo(ctx context.Context, tx *queue.Tx, source db.MessageView, chat, reference string) (m events.Message, err error) {
	id, now, address := events.NewID(), time.Now(), events.NewAddress(chat, "", "", "")
	if _, err := s.q.ChatTouch(ctx, tx, source.SessionID, chat, string(address.Kind), &now); err != nil {
		if postgres.ErrorCode(err) == "23503" { // foreign_key_violation: deleted a moment ago
			return m, problem(SessionNotFound, "there is no session "+source.SessionID)
		}
		return m, fmt.Errorf("touch chat: %w", err)
	}
	if address.Kind == events.KindUser {
		if err := s.q.ContactEnsure(ctx, tx, source.SessionID, chat, address.Phone, address.LID); err != nil {
			return m, fmt.Errorf("ensure contact: %w", err)
		}
	}
	expires := now.Add(s.config.MessageExpiry)
	p := db.MessageForwardParams{
		ID: id, ChatID: chat, WhatsappID: newWhatsAppID(), ExpiresAt: &expires, Timestamp: now, SessionID: source.SessionID, SourceID: source.ID,
		Trace: trace.Parent(ctx),
	}
	if reference != "" {
		p.ClientReference = &reference
	}
	if err := s.q.MessageForward(ctx, tx, p); err != nil {
		return m, fmt.Errorf("insert message: %w", err)
	}
	row, err := s.messageByID(ctx, tx, source.SessionID, id)
	if err != nil {
		return m, err
	}
	command, err := json.Marshal(events.SendCommand{MessageID: id, SessionID: source.SessionID})
	if err != nil {
		return m, fmt.Errorf("encode command: %w", err)
	}
	tx.Publish(events.TopicCommands, queue.Message{
		ID: id, Lane: events.SendLane(source.SessionID), Session: source.SessionID, Payload: command,
		Metadata: map[string]string{events.MetaCommand: events.CommandSend},
	})
	return s.message(row)
}

func (s *Server) messageByID(ctx context.Context, tx *queue.Tx, sessionID string, id uuid.UUID) (db.MessageView, error) {
	row, err := s.q.MessageGet(ctx, tx, sessionID, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, problem(MessageNotFound, "the message was deleted a moment ago")
	}
	if err != nil {
		return row, fmt.Errorf("read message: %w", err)
	}
	return row, nil
}

package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// maxSchedule bounds how far ahead a message may be scheduled.
const maxSchedule = 365 * 24 * time.Hour

// SendOptions are what a client may say of the way of a message, beside what it says.
type SendOptions struct {
	SendAt        *time.Time `json:"sendAt,omitempty" doc:"Send it then, within a year; its status is scheduled until then. expiresAt counts from there. A time that comes while no connector runs, or while the session is not connected, is made up for until expiresAt."`
	WhatsAppID    string     `json:"whatsappId,omitempty" pattern:"^[0-9A-F]{16,32}$" patternDescription:"16 to 32 hex digits in upper case" doc:"WhatsApp's id for it, where you choose it yourself: one that the chat never had. Two messages with one id are one to their recipient." example:"3EB0C767D097B7A0F1D2E3"`
	TypingSeconds int        `json:"typingSeconds,omitempty" minimum:"0" maximum:"30" doc:"Show for so long in the chat that the account is typing, or recording a voice note, before it is sent. The account is online meanwhile; the chat's later messages wait, those of other chats do not." example:"3"`
	Priority      string     `json:"priority,omitempty" enum:"normal,high" doc:"high overtakes what waits to be sent, whatever the chat, and does not wait for settings.sending of the session. It goes once the message that is being sent has left." example:"high"`
}

func (s *Server) addSchedule() {
	cancelled := exampleMessage
	cancelled.Status = events.StatusCancelled
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/messages/{messageId}/cancel", id: "cancel-message", tag: "Messages", status: 200,
		summary: "Cancel a message",
		description: "Cancels a message whose status is scheduled or queued: nothing of it leaves. message.status tells it. One that is being sent, or was, is message_not_cancellable; " +
			"one that is cancelled already is answered as it is.",
		response: cancelled, codes: []Code{SessionNotFound, MessageNotFound, MessageNotCancellable},
	}, s.cancelMessage)
}

// checkTimes looks at when a message is to be sent and given up; location is of the object that says it.
func checkTimes(location string, sendAt, expiresAt *time.Time) error {
	from, after := time.Now(), "expected a time in the future"
	if sendAt != nil {
		switch left := sendAt.Sub(from); {
		case left <= 0:
			return invalid(location+".sendAt", after)
		case left > maxSchedule:
			return invalid(location+".sendAt", "expected a time within a year")
		}
		from, after = *sendAt, "expected a time after sendAt"
	}
	if expiresAt != nil {
		switch left := expiresAt.Sub(from); {
		case left <= 0:
			return invalid(location+".expiresAt", after)
		case left > maxMessageExpiry:
			return invalid(location+".expiresAt", "expected a time within 30 days")
		}
	}
	return nil
}

// expiry is when a message is given up: when its client says, or as long after now, or sendAt, as the operator says.
func (s *Server) expiry(now time.Time, sendAt, expiresAt *time.Time) *time.Time {
	if expiresAt != nil {
		return expiresAt
	}
	if sendAt != nil {
		now = *sendAt
	}
	at := now.Add(s.config.MessageExpiry)
	return &at
}

// reschedule gives a scheduled message another time. One that is queued just now, or was, is a problem.
func (s *Server) reschedule(ctx context.Context, tx *queue.Tx, row db.MessageView, at time.Time) (m events.Message, err error) {
	if err := checkTimes("body", &at, nil); err != nil {
		return m, err
	}
	n, err := s.q.MessageReschedule(ctx, tx, at, row.SessionID, row.ID)
	if err != nil {
		return m, fmt.Errorf("reschedule message: %w", err)
	}
	if row, err = s.q.MessageGet(ctx, tx, row.SessionID, row.ID); err != nil { // whoever had it a moment ago is done with it
		return m, fmt.Errorf("read message: %w", err)
	}
	if n == 0 {
		return m, problem(MessageNotEditable, "only a message that is scheduled has another time; this one is "+state(row))
	}
	return s.message(row)
}

// state says for a person how far a message has come.
func state(row db.MessageView) string {
	if row.Direction == events.Incoming {
		return "received"
	}
	return row.Status
}

func (s *Server) cancelMessage(ctx context.Context, in *struct {
	MessagePath
	Idempotent
}) (*messageReplayed, error) {
	message, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (m events.Message, err error) {
		if _, err := s.sessionRow(ctx, tx, in.SessionID); err != nil {
			return m, err
		}
		row, err := s.messageRow(ctx, tx, in.MessagePath)
		if err != nil {
			return m, err
		}
		cancelled, err := s.q.MessageCancel(ctx, tx, in.SessionID, &row.ID, nil)
		if err != nil {
			return m, fmt.Errorf("cancel message: %w", err)
		}
		if err := tellCancelled(tx, in.SessionID, cancelled); err != nil {
			return m, err
		}
		if row, err = s.q.MessageGet(ctx, tx, in.SessionID, row.ID); err != nil {
			return m, fmt.Errorf("read message: %w", err)
		}
		if events.MessageStatus(row.Status) != events.StatusCancelled {
			return m, problem(MessageNotCancellable, "only a message that is scheduled or queued can be cancelled; this one is "+state(row))
		}
		return s.message(row)
	})
	return &messageReplayed{replayedHeader(replayed), message}, err
}

// messageReplayed is a message that a POST answers.
type messageReplayed struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     events.Message
}

// tellCancelled tells of messages that were cancelled, and wakes who waits for their sending.
func tellCancelled(tx *queue.Tx, sessionID string, rows []db.MessageCancelRow) error {
	at := time.Now().UTC()
	for _, row := range rows {
		data := events.StatusData{
			MessageID: events.MessagePrefix.Format(row.ID), WhatsAppID: row.WhatsappID, ChatID: row.ChatID, Status: events.StatusCancelled, At: at,
		}
		if _, err := events.Publish(tx, events.MessageUpdated, sessionID, row.ChatID, at, data); err != nil {
			return err
		}
		tx.Notify(events.WakeMessages, row.ID.String())
	}
	return nil
}

// restrictedFor adds to account_restricted when WhatsApp lifts the restriction, where it said so. Failure policy: without the database it stays
// unsaid.
func (s *Server) restrictedFor(ctx context.Context, sessionID string, p *Problem) {
	seconds, err := s.q.RestrictionGet(ctx, s.pool, sessionID)
	if err == nil {
		p.headers.Set("Retry-After", strconv.Itoa(int(seconds)+1))
	} else if !errors.Is(err, pgx.ErrNoRows) {
		s.log.WarnContext(ctx, "restriction not read", "error", err)
	}
}

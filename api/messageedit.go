package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

type editMessage struct {
	Text    *string    `json:"text,omitempty" minLength:"1" maxLength:"65536" doc:"The new text, of a text." example:"Your order is ready, at last."`
	Caption *string    `json:"caption,omitempty" minLength:"1" maxLength:"65536" doc:"The new caption, of an image, a video or a document." example:"The right invoice"`
	Event   *editEvent `json:"event,omitempty" doc:"What becomes of an event."`
	SendAt  *time.Time `json:"sendAt,omitempty" doc:"Send it then instead, within a year, where status is scheduled. expiresAt moves with it."`
}

type editEvent struct {
	Cancelled bool `json:"cancelled" enum:"true" doc:"It is called off."`
}

// wording is the new text or caption.
func (e editMessage) wording() string {
	switch {
	case e.Text != nil:
		return *e.Text
	case e.Caption != nil:
		return *e.Caption
	}
	return ""
}

// resolve is the problem of a request that asks for nothing, or for several things at once.
func (e editMessage) resolve() *Problem {
	asked := 0
	for _, is := range []bool{e.Text != nil, e.Caption != nil, e.Event != nil, e.SendAt != nil} {
		if is {
			asked++
		}
	}
	if asked != 1 {
		return invalid("body", "expected one of text, caption, event and sendAt")
	}
	return nil
}

func (s *Server) editMessage(ctx context.Context, in *struct {
	MessagePath
	Changing
	Body editMessage
}) (*changed[events.Message], error) {
	if p := in.Body.resolve(); p != nil {
		return nil, p
	}
	if in.Body.SendAt != nil {
		return s.rescheduleMessage(ctx, in.MessagePath, *in.Body.SendAt)
	}
	out, err := s.editWaiting(ctx, in.MessagePath, in.Body)
	if out != nil || err != nil {
		return out, err
	}
	return change(ctx, s, in.SessionID, "", in.Changing, events.Edit, func(ctx context.Context, tx *queue.Tx) (w wish[events.Editing], err error) {
		row, m, err := s.messageAt(ctx, tx, in.MessagePath)
		if err != nil {
			return w, err
		}
		if p := editable(m, in.Body); p != nil {
			return w, p
		}
		return wish[events.Editing]{row.ID.String(), m.ChatID, events.Editing{
			WhatsAppID: newWhatsAppID(), Text: in.Body.wording(), CancelEvent: in.Body.Event != nil,
		}}, nil
	})
}

// rescheduleMessage gives a scheduled message another time.
func (s *Server) rescheduleMessage(ctx context.Context, path MessagePath, at time.Time) (*changed[events.Message], error) {
	out := &changed[events.Message]{Status: http.StatusOK}
	return out, s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		if _, err := s.sessionRow(ctx, tx, path.SessionID); err != nil {
			return err
		}
		row, err := s.messageRow(ctx, tx, path)
		if err != nil {
			return err
		}
		m, err := s.reschedule(ctx, tx, row, at)
		if err != nil {
			return err
		}
		out.Body.RawMessage, err = json.Marshal(m)
		return err
	})
}

// editWaiting edits a message of which no copy can have left: in our table alone, holding its row, so that the connector sends it as it was or as
// it is then. Nobody has been told of it yet, and so nobody is told. It returns nil for a message that has been begun.
func (s *Server) editWaiting(ctx context.Context, path MessagePath, body editMessage) (out *changed[events.Message], err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		if err := s.sendingAllowed(ctx, tx, path.SessionID); err != nil {
			return err
		}
		row, err := s.messageRow(ctx, tx, path)
		if err != nil || !waits(events.MessageStatus(row.Status)) {
			return err
		}
		m, err := s.lockMessage(ctx, tx, path.SessionID, row.ID)
		if err != nil || !waits(m.Status) {
			return err
		}
		if p := editable(m, body); p != nil {
			return p
		}
		if body.Event != nil {
			return waiting(m)
		}
		if m.Content.Type == events.ContentText {
			m.Content.Text = *body.Text
			if link := m.Content.LinkPreview; link != nil && !strings.Contains(*body.Text, link.URL) {
				m.Content.LinkPreview = nil
			}
		} else {
			m.Content.Caption, m.Content.Media.URL = *body.Caption, "" // it is made where it is shown
		}
		content, err := json.Marshal(m.Content)
		if err != nil {
			return fmt.Errorf("encode content: %w", err)
		}
		if err := s.q.ActionEditWaiting(ctx, tx, content, path.SessionID, row.ID); err != nil {
			return fmt.Errorf("write content: %w", err)
		}
		if _, m, err = s.messageAt(ctx, tx, path); err != nil {
			return err
		}
		out = &changed[events.Message]{Status: http.StatusOK}
		out.Body.RawMessage, err = json.Marshal(m)
		return err
	})
	return out, err
}

// lockMessage reads a message that nobody else changes until the transaction ends.
func (s *Server) lockMessage(ctx context.Context, tx *queue.Tx, sessionID string, id uuid.UUID) (m events.Message, err error) {
	if _, err := s.q.ActionLock(ctx, tx, sessionID, id); err != nil {
		return m, fmt.Errorf("lock message: %w", err)
	}
	row, err := s.q.MessageGet(ctx, tx, sessionID, id)
	if err != nil {
		return m, fmt.Errorf("read message: %w", err)
	}
	return s.message(row)
}

// waits says whether nothing of a message with this status can have reached WhatsApp.
func waits(status events.MessageStatus) bool {
	return status == events.StatusScheduled || status == events.StatusQueued
}

// waiting is the problem of what can only be done to a message that WhatsApp has, or gets just now; nil for such a message.
func waiting(m events.Message) *Problem {
	switch m.Status {
	case events.StatusScheduled, events.StatusQueued:
		return problem(MessageNotSent, "the message is still "+string(m.Status)+"; to withdraw it, cancel it: POST /v1/sessions/"+m.SessionID+"/messages/"+m.ID+"/cancel")
	case events.StatusFailed, events.StatusCancelled, events.StatusExpired:
		return problem(MessageNotSent, "the message is "+string(m.Status)+"; it was not sent")
	}
	return nil
}

// editable is the problem of a message that cannot be edited so, or nil.
func editable(m events.Message, body editMessage) *Problem {
	no := func(detail string) *Problem { return problem(MessageNotEditable, detail) }
	kind := m.Content.Type
	switch {
	case m.Direction != events.Outgoing:
		return no("only the account's own messages can be edited")
	case m.RevokedAt != nil:
		return no("the message was deleted for everybody")
	case m.Forwarded > 0:
		return no("a message that was forwarded cannot be edited")
	case m.Content.ViewOnce, m.Content.VideoNote:
		return no("what is to be viewed once, and a video note, cannot be edited")
	}
	switch kind {
	case events.ContentText:
		if body.Text == nil {
			return invalid("body", "the message is a text: expected text")
		}
	case events.ContentImage, events.ContentVideo, events.ContentDocument:
		if body.Caption == nil {
			return invalid("body", "the message has a file: expected caption")
		}
	case events.ContentEvent:
		if body.Event == nil {
			return invalid("body", "the message is an event: expected event")
		}
	default:
		return no("a message of type " + kind + " cannot be edited")
	}
	if waits(m.Status) {
		return nil
	}
	if p := waiting(m); p != nil {
		return p
	}
	if window, words := events.EditableFor(m.ChatID); m.Status != events.StatusSending && body.Event == nil && time.Since(m.Timestamp) > window {
		return no("the message was sent more than " + words + " ago")
	}
	return nil
}

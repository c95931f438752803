package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

type pinMessage struct {
	Seconds int `json:"seconds" enum:"86400,604800,2592000" doc:"How long it stays pinned: a day, a week or 30 days." example:"604800"`
}

type markRead struct {
	MessageIDs []string `json:"messageIds" minItems:"1" maxItems:"100" doc:"Messages that came in, by either of their ids." example:"[\"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001\"]"`
}

var exampleRef = events.MessageRef{MessageID: exampleMessageID, WhatsAppID: exampleMessage.WhatsAppID, ChatID: exampleMessage.ChatID}

func (s *Server) addMessageActions() {
	const path, wait = "/v1/sessions/{sessionId}/messages/{messageId}", maxPreferredWait * time.Second
	sent, text := exampleMessage, "Your order is ready, at last."
	sent.Status = events.StatusSent
	edited, starred, pinned, until := sent, sent, sent, exampleTime.Add(7*24*time.Hour)
	edited.Content.Text, edited.EditedAt, starred.Starred, pinned.PinnedUntil = text, &exampleTime, true, &until
	own := sent.From
	register(s, operation{
		method: "PATCH", path: path, id: "edit-message", tag: "Messages", status: 200, also: queuedToo, wait: wait, summary: "Edit a message",
		description: "Changes the text of an own message, or the caption of its file, for 15 minutes after it was sent, or calls an own event off. One that is still scheduled or queued " +
			"is changed before it is sent, at any time, and nobody sees that it was; with sendAt a scheduled one gets another time.",
		request: editMessage{Text: &text}, response: edited, codes: append(changeCodes, MessageNotFound, MessageNotSent, MessageNotEditable),
	}, s.editMessage)
	register(s, operation{
		method: "DELETE", path: path, id: "delete-message", tag: "Messages", status: 200, also: queuedToo, wait: wait, summary: "Delete a message",
		description: "For everybody: an own message, for 60 hours after it was sent, or in a group where the account is an admin anybody's. It is kept here with revokedAt. For me: any message, " +
			"on all devices of the account and here. One that is still to be sent is cancelled instead.",
		response: events.RevokedData{MessageRef: exampleRef, By: &own, At: exampleTime},
		codes:    append(changeCodes, MessageNotFound, MessageNotSent, MessageNotRevocable, NotInGroup, NotGroupAdmin),
	}, s.deleteMessage)
	for _, on := range []bool{true, false} {
		o := operation{
			method: "PUT", path: path + "/star", id: "star-message", tag: "Messages", status: 200, also: queuedToo, wait: wait, summary: "Star a message",
			description: "Stars a message on all devices of the account; nobody else sees it.", response: starred, codes: append(changeCodes, MessageNotFound, MessageNotSent),
		}
		if !on {
			o.method, o.id, o.summary, o.description, o.response = "DELETE", "unstar-message", "Take a star back", "Takes the star of a message back.", sent
		}
		register(s, o, func(ctx context.Context, in *struct {
			MessagePath
			Changing
		}) (*changed[events.Message], error) {
			return change(ctx, s, in.SessionID, "", in.Changing, events.Star, onMessage(s, in.MessagePath, events.Starring{Starred: on}))
		})
	}
	register(s, operation{
		method: "PUT", path: path + "/pin", id: "pin-message", tag: "Messages", status: 200, also: queuedToo, wait: wait, summary: "Pin a message",
		description: "Pins a message at the top of its chat, for everybody in it. In a group WhatsApp may leave that to admins.",
		request:     pinMessage{Seconds: 604800}, response: pinned, codes: append(changeCodes, MessageNotFound, MessageNotSent),
	}, func(ctx context.Context, in *struct {
		MessagePath
		Changing
		Body pinMessage
	}) (*changed[events.Message], error) {
		return change(ctx, s, in.SessionID, "", in.Changing, events.Pin, onMessage(s, in.MessagePath, events.Pinning{WhatsAppID: newWhatsAppID(), Seconds: in.Body.Seconds}))
	})
	register(s, operation{
		method: "DELETE", path: path + "/pin", id: "unpin-message", tag: "Messages", status: 200, also: queuedToo, wait: wait, summary: "Unpin a message",
		description: "Unpins a message, for everybody in its chat.", response: sent, codes: append(changeCodes, MessageNotFound, MessageNotSent),
	}, func(ctx context.Context, in *struct {
		MessagePath
		Changing
	}) (*changed[events.Message], error) {
		return change(ctx, s, in.SessionID, "", in.Changing, events.Pin, onMessage(s, in.MessagePath, events.Pinning{WhatsAppID: newWhatsAppID()}))
	})
	register(s, operation{
		method: "POST", path: path + "/forward", id: "forward-message", tag: "Messages", status: 202, summary: "Forward a message",
		description: "Sends the same content to up to 5 chats, marked as forwarded. Each is a message of its own, accepted and sent as any other. Its file is not uploaded again; what it " +
			"answered and whom it mentioned stays behind.",
		request: forwardMessage{To: []string{"5491123456789"}, ClientReference: "order-4711"}, response: exampleForwarded(),
		codes: []Code{SessionNotFound, SessionLoggedOut, MessageNotFound, MessageNotSent, MessageNotForwardable},
	}, s.forwardMessage)
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/messages/mark-read", id: "mark-messages-read", tag: "Messages", status: 200, also: queuedToo, wait: wait,
		summary:     "Mark messages as read",
		description: "Tells the senders of messages that they were read, unless the account keeps that to itself, and the account's other devices.",
		request:     markRead{MessageIDs: []string{exampleMessageID}}, response: events.MessagesRead{MessageIDs: []string{exampleMessageID}},
		codes: append(changeCodes, MessageNotFound),
	}, s.markRead)
}

// messageAt is the message that a path names.
func (s *Server) messageAt(ctx context.Context, from db.DBTX, path MessagePath) (row db.MessageView, m events.Message, err error) {
	if row, err = s.messageRow(ctx, from, path); err == nil {
		m, err = s.message(row)
	}
	return row, m, err
}

// onMessage wishes for what needs nothing of a message but that it is there; the connector looks at the rest.
func onMessage[P any](s *Server, path MessagePath, parameters P) func(context.Context, *queue.Tx) (wish[P], error) {
	return func(ctx context.Context, tx *queue.Tx) (w wish[P], err error) {
		m, err := s.messageRow(ctx, tx, path)
		if err == nil {
			err = notPost(m)
		}
		if err != nil {
			return w, err
		}
		return wish[P]{m.ID.String(), m.ChatID, parameters}, nil
	}
}

func (s *Server) deleteMessage(ctx context.Context, in *struct {
	MessagePath
	Changing
	Scope string `query:"scope" enum:"everyone,me" default:"everyone" doc:"For whom it is deleted." example:"everyone"`
}) (*changed[events.RevokedData], error) {
	return change(ctx, s, in.SessionID, "", in.Changing, events.Delete, func(ctx context.Context, tx *queue.Tx) (w wish[events.Deleting], err error) {
		row, m, err := s.messageAt(ctx, tx, in.MessagePath)
		if err != nil {
			return w, err
		}
		if p := waiting(m); p != nil {
			return w, p
		}
		if m.ChatID == events.StatusChat {
			return revokingStatus(m, in.Scope)
		}
		if in.Scope == "me" {
			if err := notPost(row); err != nil {
				return w, err
			}
		}
		if in.Scope == "everyone" && m.RevokedAt == nil {
			window, words := events.RevocableFor(m.ChatID)
			switch {
			case m.Direction == events.Incoming && events.KindOf(m.ChatID) != events.KindGroup:
				return w, problem(MessageNotRevocable, "only its sender can delete a message of a person for everybody")
			case m.Direction == events.Outgoing && m.Status != events.StatusSending && time.Since(m.Timestamp) > window:
				return w, problem(MessageNotRevocable, "the message was sent more than "+words+" ago")
			}
		}
		return wish[events.Deleting]{row.ID.String(), m.ChatID, events.Deleting{
			WhatsAppID: newWhatsAppID(), ForMe: in.Scope == "me", Message: events.MessageRef{MessageID: m.ID, WhatsAppID: m.WhatsAppID, ChatID: m.ChatID},
		}}, nil
	})
}

func (s *Server) markRead(ctx context.Context, in *struct {
	SessionPath
	Idempotent
	Changing
	Body markRead
}) (*changed[events.MessagesRead], error) {
	return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.MarkRead, func(ctx context.Context, tx *queue.Tx) (w wish[events.MarkingRead], err error) {
		ids := []uuid.UUID{}
		for _, name := range in.Body.MessageIDs {
			if id, err := events.MessagePrefix.Parse(name); err == nil {
				ids = append(ids, id)
			}
		}
		rows, err := s.q.MessageFindMany(ctx, tx, in.SessionID, ids, in.Body.MessageIDs)
		if err != nil {
			return w, fmt.Errorf("find messages: %w", err)
		}
		place := map[string]int{} // of two with one id of WhatsApp's the newest, which comes last
		for i, r := range rows {
			place[events.MessagePrefix.Format(r.ID)], place[r.WhatsappID] = i, i
		}
		chats := map[string]bool{}
		for i, name := range in.Body.MessageIDs {
			location := fmt.Sprintf("body.messageIds[%d]", i)
			found, ok := place[name]
			if !ok {
				p := problem(MessageNotFound, "the session has no message "+shorten(name))
				p.Errors = []FieldError{{Code: "invalid", Message: "expected the id of a message", Location: location}}
				return w, p
			}
			if events.KindOf(rows[found].ChatID) == events.KindChannel {
				return w, invalid(location, "expected a message of a person, not a post of a channel")
			}
			if rows[found].Direction != events.Incoming {
				return w, invalid(location, "expected a message that came in")
			}
			if id := events.MessagePrefix.Format(rows[found].ID); !slices.Contains(w.parameters.MessageIDs, id) {
				w.parameters.MessageIDs = append(w.parameters.MessageIDs, id)
				chats[rows[found].ChatID] = true
			}
		}
		if len(chats) == 1 {
			w.chat = slices.Collect(maps.Keys(chats))[0]
			w.target = w.chat
		}
		return w, nil
	})
}

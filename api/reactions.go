package api

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// MessagePath names a message of a session.
type MessagePath struct {
	SessionPath
	MessageID string `path:"messageId" maxLength:"128" doc:"The message's id: ours (msg_...) or WhatsApp's." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

type setReaction struct {
	Emoji string `json:"emoji" minLength:"1" maxLength:"32" doc:"One emoji." example:"👍"`
}

func (s *Server) addReactions() {
	reacted := exampleMessage
	reacted.Status = events.StatusSent
	register(s, operation{
		method: "PUT", path: "/v1/sessions/{sessionId}/messages/{messageId}/reaction", id: "set-reaction", tag: "Messages", status: 200, also: queuedToo,
		wait: maxPreferredWait * time.Second, summary: "React to a message", description: "Sets the account's reaction to a message, in place of the one before.",
		request: setReaction{Emoji: "👍"}, response: reacted, codes: append(changeCodes, MessageNotFound, MessageNotSent),
	}, func(ctx context.Context, in *struct {
		MessagePath
		Changing
		Body setReaction
	}) (*changed[events.Message], error) {
		return s.react(ctx, in.MessagePath, in.Changing, in.Body.Emoji)
	})
	register(s, operation{
		method: "DELETE", path: "/v1/sessions/{sessionId}/messages/{messageId}/reaction", id: "delete-reaction", tag: "Messages", status: 200, also: queuedToo,
		wait: maxPreferredWait * time.Second, summary: "Take a reaction back", description: "Takes the account's reaction to a message back.",
		response: reacted, codes: append(changeCodes, MessageNotFound, MessageNotSent),
	}, func(ctx context.Context, in *struct {
		MessagePath
		Changing
	}) (*changed[events.Message], error) {
		return s.react(ctx, in.MessagePath, in.Changing, "")
	})
}

func (s *Server) react(ctx context.Context, path MessagePath, in Changing, emoji string) (*changed[events.Message], error) {
	return change(ctx, s, path.SessionID, "", in, events.React, func(ctx context.Context, tx *queue.Tx) (w wish[events.Reacting], err error) {
		m, err := s.messageRow(ctx, tx, path)
		if err == nil {
			err = notPost(m)
		}
		if err != nil {
			return w, err
		}
		if m.ChatID == events.StatusChat && m.Direction == events.Outgoing {
			return w, invalid("path.messageId", "expected a message, or a status update of a contact")
		}
		return wish[events.Reacting]{m.ID.String(), m.ChatID, events.Reacting{WhatsAppID: newWhatsAppID(), Emoji: emoji}}, nil
	})
}

// withReactions adds the reactions to messages of a session.
func (s *Server) withReactions(ctx context.Context, from db.DBTX, sessionID string, messages []events.Message) error {
	ids, place := make([]uuid.UUID, len(messages)), make(map[uuid.UUID]int, len(messages))
	for i, m := range messages {
		id, err := events.MessagePrefix.Parse(m.ID)
		if err != nil {
			return err
		}
		ids[i], place[id] = id, i
	}
	rows, err := s.q.ReactionList(ctx, from, sessionID, ids)
	if err != nil {
		return fmt.Errorf("list reactions: %w", err)
	}
	for _, r := range rows {
		who := events.NewAddress(r.SenderID, r.Phone, r.Lid, r.Name)
		if r.SenderID == "" {
			who = postgres.OwnAddress(r.OwnPhone, r.OwnLid, r.OwnName)
		}
		m := &messages[place[r.MessageID]]
		m.Reactions = append(m.Reactions, events.Reaction{From: who, Emoji: r.Emoji, At: r.Timestamp})
	}
	return nil
}

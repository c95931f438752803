package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

type changeChat struct {
	Archived            *bool               `json:"archived,omitempty" doc:"Archives it, which unpins it too, or takes it out of the archive." example:"true"`
	Pinned              *bool               `json:"pinned,omitempty" doc:"Pins it above the others. An archived chat is not pinned." example:"false"`
	MutedUntil          nullable[time.Time] `json:"mutedUntil,omitzero" doc:"Mutes it until then; 9999-12-31T00:00:00Z is for good. null ends it." example:"9999-12-31T00:00:00Z"`
	Unread              *bool               `json:"unread,omitempty" doc:"true marks it as unread; false reads it, as POST .../read does." example:"true"`
	DisappearingSeconds *int                `json:"disappearingSeconds,omitempty" enum:"0,86400,604800,7776000" doc:"After how many seconds new messages disappear, for everybody in the chat: a day, a week or 90 days; 0 is never." example:"604800"`
}

type askHistory struct {
	Count  int    `json:"count" minimum:"1" maximum:"500" doc:"How many messages; WhatsApp recommends 50." example:"50"`
	Before string `json:"before,omitempty" maxLength:"128" doc:"A message of the chat, by our id or WhatsApp's: those before it are asked for. Without it, those before the oldest that is kept." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

func (s *Server) addChatChanges() {
	muted := exampleChat
	muted.Archived, muted.Pinned, muted.MutedUntil = true, false, &events.MutedForGood
	read := exampleChat
	read.Unread = 0
	codes := append(changeCodes, ChatNotFound) //nolint:gocritic // appendAssign: a list of its own
	codes = codes[:len(codes):len(codes)]
	register(s, operation{
		method: "PATCH", path: "/v1/sessions/{sessionId}/chats/{chatId}", id: "change-chat", tag: "Chats", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Change a chat", description: "Archives, pins or mutes a chat, marks it as unread or read, or sets its timer, on all devices of the account. What is left out stays as it is.",
		request: map[string]any{"archived": true, "mutedUntil": "9999-12-31T00:00:00Z"}, response: muted, codes: codes,
	}, s.changeChat)
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/chats/{chatId}/read", id: "read-chat", tag: "Chats", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary:     "Mark a chat as read",
		description: "Reads all that is unread in a chat: the senders get read receipts, unless the account's privacy keeps them back, and the owner's phone shows the chat as read.",
		response:    read, codes: codes,
	}, func(ctx context.Context, in *struct {
		ChatPath
		Idempotent
		Changing
	}) (*changed[events.Chat], error) {
		return wholeChat(ctx, s, in.ChatPath, in.IdempotencyKey, in.Changing, events.ReadChat)
	})
	register(s, operation{
		method: "DELETE", path: "/v1/sessions/{sessionId}/chats/{chatId}", id: "delete-chat", tag: "Chats", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Delete a chat",
		description: "Deletes a chat with its messages, here and on the account's devices; nobody else's. The answer is the chat as it was. What is still to be sent stays, and so does a chat in " +
			"which something is written meanwhile.",
		response: read, codes: codes,
	}, func(ctx context.Context, in *struct {
		ChatPath
		Changing
	}) (*changed[events.Chat], error) {
		return wholeChat(ctx, s, in.ChatPath, "", in.Changing, events.DeleteChat)
	})
	register(s, operation{
		method: "DELETE", path: "/v1/sessions/{sessionId}/chats/{chatId}/messages", id: "clear-chat", tag: "Chats", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Clear a chat", description: "Deletes all messages of a chat, here and on the account's devices; nobody else's. The chat stays, and so does what is still to be sent.",
		response: read, codes: codes,
	}, func(ctx context.Context, in *struct {
		ChatPath
		Changing
	}) (*changed[events.Chat], error) {
		return wholeChat(ctx, s, in.ChatPath, "", in.Changing, events.ClearChat)
	})
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/chats/{chatId}/history-sync", id: "request-history", tag: "Chats", status: 200, also: queuedToo,
		wait: maxPreferredWait * time.Second, summary: "Ask the phone for older messages",
		description: "Asks the owner's phone for a chat's messages before one. They come as history, without an event each: the event history.synced with the chat's chatId tells that " +
			"they are there, once the phone has answered, which it does when it is on, or, with missing, that they cannot be had.",
		request: askHistory{Count: 50}, response: events.HistoryAsked{ChatID: exampleMessage.ChatID, Count: 50}, codes: append(codes, MessageNotFound),
	}, s.requestHistory)
}

// wholeChat accepts a change of a chat that has no parameters.
func wholeChat(ctx context.Context, s *Server, path ChatPath, key string, in Changing, kind events.ChangeKind[struct{}, events.Chat]) (*changed[events.Chat], error) {
	return change(ctx, s, path.SessionID, key, in, kind, func(ctx context.Context, tx *queue.Tx) (w wish[struct{}], err error) {
		row, err := s.chatRow(ctx, tx, path)
		return wish[struct{}]{row.ID, row.ID, struct{}{}}, err
	})
}

func (s *Server) changeChat(ctx context.Context, in *struct {
	ChatPath
	Changing
	Body changeChat
}) (*changed[events.Chat], error) {
	b := in.Body
	p := events.ChatChange{Archived: b.Archived, Pinned: b.Pinned, Unread: b.Unread, DisappearingSeconds: b.DisappearingSeconds, WhatsAppID: newWhatsAppID()}
	switch {
	case b.Archived == nil && b.Pinned == nil && !b.MutedUntil.given && b.Unread == nil && b.DisappearingSeconds == nil:
		return nil, invalid("body", "expected something to change")
	case b.Archived != nil && *b.Archived && b.Pinned != nil && *b.Pinned:
		return nil, invalid("body.pinned", "an archived chat is not pinned")
	case b.MutedUntil.given && b.MutedUntil.value == nil:
		p.Unmute = true
	case b.MutedUntil.given:
		until := b.MutedUntil.value.UTC()
		if !until.After(time.Now()) {
			return nil, invalid("body.mutedUntil", "expected a time in the future")
		}
		if until.After(events.MutedForGood) {
			until = events.MutedForGood
		}
		p.MutedUntil = &until
	}
	return change(ctx, s, in.SessionID, "", in.Changing, events.UpdateChat, func(ctx context.Context, tx *queue.Tx) (w wish[events.ChatChange], err error) {
		row, err := s.chatRow(ctx, tx, in.ChatPath)
		if err != nil {
			return w, err
		}
		if kind := events.AddressKind(row.Kind); kind != events.KindUser && kind != events.KindGroup {
			return w, invalid("path.chatId", "expected a chat with a person, or a group")
		}
		return wish[events.ChatChange]{row.ID, row.ID, p}, nil
	})
}

func (s *Server) requestHistory(ctx context.Context, in *struct {
	ChatPath
	Idempotent
	Changing
	Body askHistory
}) (*changed[events.HistoryAsked], error) {
	return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.AskHistory, func(ctx context.Context, tx *queue.Tx) (w wish[events.HistoryAsk], err error) {
		row, err := s.chatRow(ctx, tx, in.ChatPath)
		if err != nil {
			return w, err
		}
		p := events.HistoryAsk{Count: in.Body.Count, At: time.Now(), WhatsAppID: newWhatsAppID()}
		if in.Body.Before != "" {
			var m db.MessageView
			if m, err = s.messageRow(ctx, tx, MessagePath{in.SessionPath, in.Body.Before}); err != nil {
				return w, err
			}
			if m.ChatID != row.ID {
				return w, invalid("body.before", "expected a message of this chat")
			}
			p.BeforeID, p.FromMe, p.At = m.WhatsappID, m.Direction == events.Outgoing, m.Timestamp
			return wish[events.HistoryAsk]{row.ID, row.ID, p}, nil
		}
		m, err := s.q.ChatOldest(ctx, tx, in.SessionID, row.ID)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return w, fmt.Errorf("read oldest message: %w", err)
		}
		if err == nil {
			p.BeforeID, p.FromMe, p.At = m.WhatsappID, m.Direction == events.Outgoing, m.Timestamp
		}
		return wish[events.HistoryAsk]{row.ID, row.ID, p}, nil
	})
}

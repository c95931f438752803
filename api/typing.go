package api

import (
	"context"
	"time"

	"github.com/chasqui/chasqui/events"
)

type setTyping struct {
	State string `json:"state" enum:"typing,recording,paused" doc:"What is shown in the chat." example:"typing"`
}

func (s *Server) addTyping() {
	register(s, operation{
		method: "PUT", path: "/v1/sessions/{sessionId}/chats/{chatId}/typing", id: "set-typing", tag: "Chats", status: 200, wait: maxPreferredWait * time.Second,
		summary: "Show typing in a chat",
		description: "Shows in a chat that the account is typing or recording, or has stopped. WhatsApp's apps show it for up to 25 s unless it is said again, and nobody keeps it for later: a " +
			"session that is not connected is a problem at once. The account is online meanwhile, and its phone does not notify. To show it before a message, send that with typingSeconds.",
		request: setTyping{State: events.TypingText}, response: events.Typing{ChatID: exampleMessage.ChatID, State: events.TypingText}, codes: queryCodes,
	}, s.setTyping)
}

func (s *Server) setTyping(ctx context.Context, in *struct {
	SessionPath
	ChatID string `path:"chatId" maxLength:"64" doc:"The chat: a phone number with its country code, or the JID of a person or group." example:"5491123456789@s.whatsapp.net"`
	Asking
	Body setTyping
}) (*asked[events.Typing], error) {
	chat, err := s.addressed(ctx, s.pool, in.SessionID, "path.chatId", in.ChatID)
	if err != nil {
		return nil, err
	}
	if kind := events.KindOf(chat); kind != events.KindUser && kind != events.KindGroup {
		return nil, invalid("path.chatId", "expected a person or a group")
	}
	return ask(ctx, s, in.SessionID, in.Asking, events.SetTyping, events.Typing{ChatID: chat, State: in.Body.State})
}

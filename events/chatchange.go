package events

import (
	"time"

	"github.com/google/uuid"
)

// UpdateChat changes a chat's settings: those that are given.
var UpdateChat = ChangeKind[ChatChange, Chat]{"chat.update", false}

// ChatChange is what UpdateChat is asked.
type ChatChange struct {
	Archived            *bool      `json:"archived,omitempty"`
	Pinned              *bool      `json:"pinned,omitempty"`
	MutedUntil          *time.Time `json:"mutedUntil,omitempty"` // MutedForGood for no end
	Unmute              bool       `json:"unmute,omitempty"`
	Unread              *bool      `json:"unread,omitempty"` // false reads it, as ReadChat does
	DisappearingSeconds *int       `json:"disappearingSeconds,omitempty"`
	WhatsAppID          string     `json:"whatsappId"` // of the message that sets the timer
}

// ReadChat reads all that is unread in a chat: the senders get their receipts, and the phone shows it as read.
var ReadChat = ChangeKind[struct{}, Chat]{"chat.read", false}

// ClearChat deletes a chat's messages, here and on the account's devices, and DeleteChat the chat as well. Both answer the chat.
var (
	ClearChat  = ChangeKind[struct{}, Chat]{"chat.clear", false}
	DeleteChat = ChangeKind[struct{}, Chat]{"chat.delete", false}
)

// EditLabel makes a label, changes it, or deletes it.
var EditLabel = ChangeKind[LabelEdit, Label]{"label.edit", false}

// LabelEdit is what EditLabel is asked. Without a name or color the label keeps its own.
type LabelEdit struct {
	ID      string  `json:"id"`
	Name    *string `json:"name,omitempty"`
	Color   *int    `json:"color,omitempty"`
	Deleted bool    `json:"deleted,omitempty"`
}

// LabelChat gives a chat a label, or takes it away.
var LabelChat = ChangeKind[ChatLabel, Chat]{"chat.label", false}

// ChatLabel is what LabelChat is asked.
type ChatLabel struct {
	LabelID string `json:"labelId"`
	Labeled bool   `json:"labeled"`
}

// AskHistory asks the phone for older messages of a chat, which come as history.
var AskHistory = ChangeKind[HistoryAsk, HistoryAsked]{"history.request", false}

// HistoryAsk is what AskHistory is asked: for messages before one, by default the oldest that the session has of the chat ("" where it has none).
type HistoryAsk struct {
	Count      int       `json:"count"`
	BeforeID   string    `json:"beforeId"` // WhatsApp's id
	FromMe     bool      `json:"fromMe"`
	At         time.Time `json:"at"`
	WhatsAppID string    `json:"whatsappId"` // of the request
}

// HistoryAsked is the answer to a request for history: the phone has been asked.
type HistoryAsked struct {
	ChatID string `json:"chatId" doc:"JID of the chat." example:"5491123456789@s.whatsapp.net"`
	Count  int    `json:"count" doc:"How many messages were asked for." example:"50"`
}

// CommandHistory is the metadata value of a command that stores a part of the phone's history; its payload is a HistoryCommand.
const CommandHistory = "history"

// A HistoryCommand only points at a row of history_parts.
type HistoryCommand struct {
	PartID    uuid.UUID `json:"partId"`
	SessionID string    `json:"sessionId"`
}

// CommandEmptyChat is the metadata value of a command that deletes the messages of a chat which was emptied on the phone; its payload is an
// EmptyChatCommand.
const CommandEmptyChat = "chat.empty"

// An EmptyChatCommand says what of a chat is to go.
type EmptyChatCommand struct {
	SessionID string    `json:"sessionId"`
	ChatID    string    `json:"chatId"`
	Before    time.Time `json:"before"`  // messages from before that, by WhatsApp's clock
	Deleted   bool      `json:"deleted"` // the chat goes too
}

// HistoryLane is the lane in which a session's history is stored: one part after the other, beside sends and changes.
func HistoryLane(sessionID string) string { return sessionID + "/history" }

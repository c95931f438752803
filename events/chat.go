package events

import "time"

// A Chat is a conversation of a session.
type Chat struct {
	Address
	LastMessage         *Message   `json:"lastMessage,omitempty" doc:"The newest message that is kept."`
	LastMessageAt       *time.Time `json:"lastMessageAt,omitempty"`
	Unread              int        `json:"unread" doc:"Messages that came in since it was last read." example:"2"`
	MarkedUnread        bool       `json:"markedUnread" doc:"A person marked it as unread."`
	Archived            bool       `json:"archived"`
	Pinned              bool       `json:"pinned"`
	MutedUntil          *time.Time `json:"mutedUntil,omitempty" doc:"Until when it is muted; the year 9999 is for good."`
	DisappearingSeconds int        `json:"disappearingSeconds" doc:"After how many seconds new messages disappear; 0 is never." example:"86400"`
	Labels              []string   `json:"labels" doc:"Ids of its labels." example:"[\"1\"]"`
}

// MutedForGood is the mutedUntil of a chat that is muted without an end.
var MutedForGood = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// ChatData is the data of chat.updated: a setting has changed, here or on the phone, or the chat was deleted or emptied.
type ChatData struct {
	Chat    Chat `json:"chat" doc:"As it is now; without its last message."`
	Cleared bool `json:"cleared,omitempty" doc:"Its messages were deleted."`
	Deleted bool `json:"deleted,omitempty" doc:"It was deleted with its messages."`
}

// A Label is a business account's own mark for chats.
type Label struct {
	ID    string `json:"id" example:"1"`
	Name  string `json:"name" example:"New customer"`
	Color int    `json:"color" doc:"One of WhatsApp's colours, 0 to 19." example:"3"`
}

// LabelData is the data of label.updated: a label was made, changed or deleted, or a chat got it or lost it.
type LabelData struct {
	Label   Label  `json:"label"`
	Deleted bool   `json:"deleted,omitempty" doc:"The label is gone, from every chat."`
	ChatID  string `json:"chatId,omitempty" doc:"JID of the chat that got it or lost it." example:"5491123456789@s.whatsapp.net"`
	Labeled *bool  `json:"labeled,omitempty" doc:"With chatId: whether the chat has it now."`
}

// HistoryData is the data of history.synced: a part of the history that the phone keeps has been stored, apart from what comes live, or, with Missing,
// cannot be had.
type HistoryData struct {
	Kind     string `json:"kind" enum:"initial,recent,full,push_names,on_demand,other" doc:"What the phone sent." example:"initial"`
	Progress int    `json:"progress,omitempty" doc:"Per cent of its kind, as the phone counts." example:"100"`
	ChatID   string `json:"chatId,omitempty" doc:"With on_demand: JID of the chat." example:"5491123456789@s.whatsapp.net"`
	Chats    int    `json:"chats" doc:"How many chats this part told of." example:"12"`
	Messages int    `json:"messages" doc:"How many messages were new." example:"250"`
	Missing  string `json:"missing,omitempty" enum:"gone,unreadable,unavailable" doc:"This part was given up, and the phone does not offer it again; a chat's older messages can be asked for. gone: WhatsApp has the file no more. unreadable: it is damaged, or larger than what is read. unavailable: it could not be loaded for minutes." example:"gone"`
}

// Why a part of the history cannot be had.
const (
	HistoryFileGone    = "gone"
	HistoryUnreadable  = "unreadable"
	HistoryUnavailable = "unavailable"
)

package events

import "time"

// The states of presence.
const (
	PresenceAvailable   = "available"
	PresenceUnavailable = "unavailable"
	PresenceUnknown     = "unknown"
)

// OwnPresence is what the account shows of itself.
type OwnPresence struct {
	State string `json:"state" enum:"available,unavailable" doc:"What the account is while the session is connected." example:"unavailable"`
}

// A Presence is whether somebody is there, as WhatsApp last told.
type Presence struct {
	Contact    Address    `json:"contact"`
	State      string     `json:"state" enum:"available,unavailable,unknown" doc:"unknown: WhatsApp has told nothing since the session connected, or the session is not connected." example:"available"`
	LastSeen   *time.Time `json:"lastSeen,omitempty" doc:"When the contact was last there, where its privacy lets this account know."`
	Typing     string     `json:"typing,omitempty" enum:"typing,recording" doc:"What the contact does in its chat with the account, in the last 25 seconds." example:"typing"`
	Subscribed bool       `json:"subscribed" doc:"Whether the session is told of it, by presence.updated." example:"true"`
	UpdatedAt  *time.Time `json:"updatedAt,omitempty" doc:"When WhatsApp last told of it."`
}

// PresenceData is the data of presence.updated: somebody the session is subscribed to has come or gone.
type PresenceData struct {
	Presence Presence `json:"presence"`
}

// TypingLasts is for how long somebody types who says nothing else, as WhatsApp's apps show it.
const TypingLasts = 25 * time.Second

// TypingData is the data of chat.typing: somebody types or records in a chat, or has stopped.
type TypingData struct {
	ChatID string    `json:"chatId" doc:"JID of the chat." example:"5491123456789@s.whatsapp.net"`
	From   Address   `json:"from" doc:"Who it is."`
	State  string    `json:"state" enum:"typing,recording,paused" doc:"typing and recording hold until paused, a message of the same person, or for 25 seconds; they are told again as long as they last." example:"typing"`
	At     time.Time `json:"at"`
}

// SubscribePresence lets WhatsApp tell of somebody's presence, and UnsubscribePresence no more. Both answer what is known of it.
var (
	SubscribePresence   = ChangeKind[struct{}, Presence]{"presence.subscribe", false}
	UnsubscribePresence = ChangeKind[struct{}, Presence]{"presence.unsubscribe", false}
)

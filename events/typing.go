package events

// SetTyping shows in a chat that the account is typing or recording, or has stopped.
var SetTyping = Query[Typing, Typing]{"chat.typing"}

// The states of Typing.
const (
	TypingText  = "typing"
	TypingVoice = "recording"
	TypingEnded = "paused"
)

// Typing is what is shown in a chat.
type Typing struct {
	ChatID string `json:"chatId" doc:"JID of the chat." example:"5491123456789@s.whatsapp.net"`
	State  string `json:"state" enum:"typing,recording,paused" example:"typing"`
}

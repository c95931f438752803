package events

// What is done to a message goes to WhatsApp as a message of its own, under an id that is chosen when it is accepted: repeated after a crash,
// recipients take it once.

// React sets or, with an empty emoji, takes back the account's reaction to a message.
var React = ChangeKind[Reacting, Message]{"message.react", true}

// Reacting is what React is asked.
type Reacting struct {
	WhatsAppID string `json:"whatsappId"`
	Emoji      string `json:"emoji"`
}

package events

import "time"

const (
	// EditWindow is for how long WhatsApp's apps let their user edit a message; they take edits for a little longer.
	EditWindow = 15 * time.Minute
	// RevokeWindow is for how long WhatsApp's apps let their user delete a message for everybody: "about two days", which are 60 hours.
	RevokeWindow = 60 * time.Hour
)

// What is done to a message goes to WhatsApp as a message of its own, under an id that is chosen when it is accepted: repeated after a crash,
// recipients take it once.

// React sets or, with an empty emoji, takes back the account's reaction to a message.
var React = ChangeKind[Reacting, Message]{"message.react", true}

// Reacting is what React is asked.
type Reacting struct {
	WhatsAppID string `json:"whatsappId"`
	Emoji      string `json:"emoji"`
}

// Edit replaces the text or the caption of an own message, or calls an own event off.
var Edit = ChangeKind[Editing, Message]{"message.edit", true}

// Editing is what Edit is asked: the new text of a text or caption of a file, or that an event is called off.
type Editing struct {
	WhatsAppID  string `json:"whatsappId"`
	Text        string `json:"text,omitempty"`
	CancelEvent bool   `json:"cancelEvent,omitempty"`
}

// Delete deletes a message for everybody, or for the account alone.
var Delete = ChangeKind[Deleting, RevokedData]{"message.delete", true}

// Deleting is what Delete is asked. Message names it in the answer, where its row went with an attempt before.
type Deleting struct {
	WhatsAppID string     `json:"whatsappId"`
	ForMe      bool       `json:"forMe,omitempty"`
	Message    MessageRef `json:"message"`
}

// Star stars a message, or takes the star back.
var Star = ChangeKind[Starring, Message]{"message.star", true}

// Starring is what Star is asked.
type Starring struct {
	Starred bool `json:"starred"`
}

// Pin pins a message in its chat for some seconds, or with 0 unpins it.
var Pin = ChangeKind[Pinning, Message]{"message.pin", true}

// Pinning is what Pin is asked.
type Pinning struct {
	WhatsAppID string `json:"whatsappId"`
	Seconds    int    `json:"seconds"`
}

// Vote votes in a poll for all of some options, in place of the vote before.
var Vote = ChangeKind[Voting, VoteData]{"message.vote", true}

// Voting is what Vote is asked.
type Voting struct {
	WhatsAppID string   `json:"whatsappId"`
	Options    []string `json:"options"`
}

// Respond answers an invitation to an event.
var Respond = ChangeKind[Responding, ResponseData]{"message.respond", true}

// Responding is what Respond is asked.
type Responding struct {
	WhatsAppID  string `json:"whatsappId"`
	Response    string `json:"response"`
	ExtraGuests int    `json:"extraGuests"`
}

// MarkRead tells the senders of messages that they were read.
var MarkRead = ChangeKind[MarkingRead, MessagesRead]{"message.read", false}

// MarkingRead is what MarkRead is asked: our ids of messages that came in.
type MarkingRead struct {
	MessageIDs []string `json:"messageIds"`
}

// MessagesRead are the messages whose senders have been told.
type MessagesRead struct {
	MessageIDs []string `json:"messageIds" doc:"Ours, those of deleted messages left out." example:"[\"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001\"]"`
}

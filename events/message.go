package events

import (
	"encoding/json"
	"time"
)

// A MessageStatus says how far a message has come. It only moves forward.
type MessageStatus string

// The statuses, in their order; the last three are ends beside it.
const (
	StatusScheduled MessageStatus = "scheduled"
	StatusQueued    MessageStatus = "queued"
	StatusSending   MessageStatus = "sending"
	StatusSent      MessageStatus = "sent"
	StatusDelivered MessageStatus = "delivered"
	StatusRead      MessageStatus = "read"
	StatusPlayed    MessageStatus = "played"
	StatusFailed    MessageStatus = "failed"
	StatusCancelled MessageStatus = "cancelled"
	StatusExpired   MessageStatus = "expired"
)

// Done says whether the question "was it sent?" is answered.
func (s MessageStatus) Done() bool {
	return s != StatusScheduled && s != StatusQueued && s != StatusSending
}

// The directions of a message.
const (
	Incoming = "incoming"
	Outgoing = "outgoing"
)

// Media is a file of a message. It is known from the message itself: its bytes may still be on their way.
type Media struct {
	ID       string `json:"id" doc:"The media's id, for GET /v1/media/{mediaId} and to send it again." example:"med_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	URL      string `json:"url" doc:"Where its bytes are, with the API key. It never changes; while they are on their way a GET waits for them." example:"https://chasqui.example.com/v1/media/med_01932f0c5d6b7a10b1f4d0c4a8e2f001/content"`
	Mimetype string `json:"mimetype" doc:"What the sender says it is." example:"image/jpeg"`
	Size     int64  `json:"size" doc:"Bytes." example:"48213"`
	SHA256   string `json:"sha256" doc:"Of the bytes, in lowercase hex." example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	FileName string `json:"fileName,omitempty" example:"invoice.pdf"`
}

// MediaURL is the URL of a media's bytes, under the API's address as clients reach it.
func MediaURL(publicURL, id string) string { return publicURL + "/v1/media/" + id + "/content" }

// MessageError says why a message failed.
type MessageError struct {
	Code    string `json:"code" doc:"One of the problem codes." example:"recipient_not_on_whatsapp"`
	Message string `json:"message" doc:"What happened, for a person." example:"5491123456789 has no WhatsApp"`
}

// A Message is the public form of a message, the same in answers and events.
type Message struct {
	ID         string        `json:"id" example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	WhatsAppID string        `json:"whatsappId" doc:"WhatsApp's id of the message, chosen when it is accepted." example:"3EB0C767D097B7A0F1D2"`
	SessionID  string        `json:"sessionId" doc:"The session that sent or received it." example:"sales"`
	ChatID     string        `json:"chatId" doc:"JID of the chat." example:"5491123456789@s.whatsapp.net"`
	Direction  string        `json:"direction" enum:"incoming,outgoing" example:"outgoing"`
	From       Address       `json:"from"`
	To         Address       `json:"to"`
	Status     MessageStatus `json:"status" enum:"scheduled,queued,sending,sent,delivered,read,played,failed,cancelled,expired" doc:"How far it has come; it only moves forward." example:"sent"`
	Error      *MessageError `json:"error,omitempty"`
	Content    Content       `json:"content"`

	ReplyTo          *Reply     `json:"replyTo,omitempty" doc:"The message that this one answers."`
	Mentions         []Address  `json:"mentions,omitempty" doc:"Who is mentioned in the text or caption, where @ and the number stand."`
	MentionsEveryone bool       `json:"mentionsEveryone,omitempty" doc:"Everybody in the group is mentioned."`
	Forwarded        int        `json:"forwarded,omitempty" doc:"How often it was forwarded; apps show it as forwarded from 1 and as forwarded many times from 5." example:"1"`
	DisappearsAfter  int        `json:"disappearsAfter,omitempty" doc:"Seconds after which it disappears, where the chat has a timer." example:"86400"`
	SendAt           *time.Time `json:"sendAt,omitempty" doc:"When it is to be sent, while status is scheduled."`
	Priority         string     `json:"priority,omitempty" enum:"high" doc:"high: it overtakes what waits to be sent." example:"high"`
	WaitsFor         string     `json:"waitsFor,omitempty" enum:"chat,typing,pace,newContacts,perDay,window" doc:"What it waits for while its status is queued, beside its turn and a connection: an earlier message of its chat, typing that is shown first, or what settings.sending of the session says." example:"pace"`
	BatchID          string     `json:"batchId,omitempty" doc:"The batch that it was sent with." example:"bat_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	EditedAt         *time.Time `json:"editedAt,omitempty" doc:"When it was last edited; content is what it says now."`
	RevokedAt        *time.Time `json:"revokedAt,omitempty" doc:"When it was deleted for everybody; content is what it said."`
	PinnedUntil      *time.Time `json:"pinnedUntil,omitempty" doc:"Until when it is pinned in its chat."`
	Starred          bool       `json:"starred,omitempty" doc:"The account starred it."`
	History          bool       `json:"history,omitempty" doc:"It came with the chat's history, and not as it was sent."`
	Reactions        []Reaction `json:"reactions,omitempty" doc:"What people react with, in answers of this API; events do not hold it."`

	ServerID int `json:"serverId,omitempty" doc:"Of a post in a channel: the channel's number of it, once WhatsApp has it." example:"117"`

	Raw json.RawMessage `json:"raw,omitempty" doc:"WhatsApp's own form of it (waE2E.Message in JSON), with raw=true; keys are left out."`

	ClientReference string     `json:"clientReference,omitempty" doc:"What the sender wrote there; chasqui only keeps it."`
	ExpiresAt       *time.Time `json:"expiresAt,omitempty" doc:"When it is given up if it could not be sent. Every message that is to be sent has one."`
	Timestamp       time.Time  `json:"timestamp" doc:"When it was sent, as WhatsApp says; for a message not yet sent, when it was accepted."`
}

// A Reply is the message that another answers, as it was quoted.
type Reply struct {
	MessageID  string   `json:"messageId,omitempty" doc:"Ours, where the session has the message." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	WhatsAppID string   `json:"whatsappId" example:"3EB0C767D097B7A0F1D2"`
	From       *Address `json:"from,omitempty" doc:"Who wrote it."`
	ChatID     string   `json:"chatId,omitempty" doc:"JID of its chat, where that is another: status@broadcast where a status update is answered." example:"status@broadcast"`
	Type       string   `json:"type,omitempty" doc:"Its type of content." example:"text"`
	Text       string   `json:"text,omitempty" doc:"Its text or caption." example:"Is my order ready?"`
}

// A Reaction is what somebody reacts to a message with.
type Reaction struct {
	From  Address   `json:"from"`
	Emoji string    `json:"emoji" example:"👍"`
	At    time.Time `json:"at"`
}

// A MessageRef names the message that an event is about.
type MessageRef struct {
	MessageID  string `json:"messageId,omitempty" doc:"Ours; absent where the session never had the message." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	WhatsAppID string `json:"whatsappId" example:"3EB0C767D097B7A0F1D2E3"`
	ChatID     string `json:"chatId" doc:"JID of the chat." example:"5491123456789@s.whatsapp.net"`
}

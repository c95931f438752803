package events

import (
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

// The content types of a message.
const (
	// ContentText is a text.
	ContentText = "text"
	// ContentImage and those after it, to ContentSticker, carry media. A voice note is an audio that WhatsApp shows as recorded.
	ContentImage    = "image"
	ContentVideo    = "video"
	ContentAudio    = "audio"
	ContentVoice    = "voice"
	ContentDocument = "document"
	ContentSticker  = "sticker"
	// ContentUnsupported is a message of a kind that this version does not read yet: it is shown as having come, without its content.
	ContentUnsupported = "unsupported"
	// ContentUndecryptable is a message that could not be decrypted; WhatsApp is asked to send it again, and that copy replaces it.
	ContentUndecryptable = "undecryptable"
)

// Content is what a message says.
type Content struct {
	Type string `json:"type" enum:"text,image,video,audio,voice,document,sticker,unsupported,undecryptable" doc:"unsupported: a kind that this version does not read yet. undecryptable: WhatsApp is asked to send it again, and that copy replaces it." example:"text"`
	Text string `json:"text,omitempty" doc:"What it says, when type is text." example:"Your order is ready."`

	Media     *Media `json:"media,omitempty" doc:"The file, when type is image, video, audio, voice, document or sticker."`
	Caption   string `json:"caption,omitempty" doc:"What is written under an image, video or document." example:"The invoice"`
	ViewOnce  bool   `json:"viewOnce,omitempty" doc:"The recipient can open it once."`
	GIF       bool   `json:"gif,omitempty" doc:"A video that plays by itself, without sound, again and again."`
	VideoNote bool   `json:"videoNote,omitempty" doc:"A video that was recorded in the chat and is shown round."`
}

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
	ID              string        `json:"id" example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	WhatsAppID      string        `json:"whatsappId" doc:"WhatsApp's id of the message, chosen when it is accepted." example:"3EB0C767D097B7A0F1D2"`
	SessionID       string        `json:"sessionId" doc:"The session that sent or received it." example:"sales"`
	ChatID          string        `json:"chatId" doc:"JID of the chat." example:"5491123456789@s.whatsapp.net"`
	Direction       string        `json:"direction" enum:"incoming,outgoing" example:"outgoing"`
	From            Address       `json:"from"`
	To              Address       `json:"to"`
	Status          MessageStatus `json:"status" enum:"scheduled,queued,sending,sent,delivered,read,played,failed,cancelled,expired" doc:"How far it has come; it only moves forward." example:"sent"`
	Error           *MessageError `json:"error,omitempty"`
	Content         Content       `json:"content"`
	ClientReference string        `json:"clientReference,omitempty" doc:"What the sender wrote there; chasqui only keeps it."`
	ExpiresAt       *time.Time    `json:"expiresAt,omitempty" doc:"When it is given up if it could not be sent. Every message that is to be sent has one."`
	Timestamp       time.Time     `json:"timestamp" doc:"When it was sent, as WhatsApp says; for a message not yet sent, when it was accepted."`
}

// Package events is the language that the roles share: events and commands with their types, ids, addresses and topics. Its subpackage
// queue carries them.
package events

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events/queue"
)

// A Type names an event. Clients must accept types they do not know: the list only grows.
type Type string

// The types of event.
const (
	SessionStatus      Type = "session.status"
	SessionQR          Type = "session.qr"
	SessionRisk        Type = "session.risk"
	SessionPairingCode Type = "session.pairing-code"
	MessageReceived    Type = "message.received"
	MessageSent        Type = "message.sent"
	MessageUpdated     Type = "message.status"
	MessageEdited      Type = "message.edited"
	MessageRevoked     Type = "message.revoked"
	MessageDeleted     Type = "message.deleted"
	MessageReaction    Type = "message.reaction"
	MessagePinned      Type = "message.pinned"
	MessageStarred     Type = "message.starred"
	PollVoted          Type = "poll.voted"
	EventResponded     Type = "event.responded"
	ChatUpdated        Type = "chat.updated"
	LabelUpdated       Type = "label.updated"
	HistorySynced      Type = "history.synced"
	ContactUpdated     Type = "contact.updated"
	GroupJoined        Type = "group.joined"
	GroupLeft          Type = "group.left"
	GroupUpdated       Type = "group.updated"
	GroupParticipants  Type = "group.participants"
	GroupJoinRequested Type = "group.join-request"
	PresenceUpdated    Type = "presence.updated"
	ChatTyping         Type = "chat.typing"
	CallOffered        Type = "call.offered"
	CallTaken          Type = "call.accepted"
	CallOver           Type = "call.ended"
	StatusReceived     Type = "status.received"
	ChannelUpdated     Type = "channel.updated"
	ChannelMessage     Type = "channel.message"
	ChannelCounts      Type = "channel.counts"
	ChangeUndone       Type = "change.failed"
	MediaFailed        Type = "media.failed"
	WebhookTest        Type = "webhook.test"
	WebhookFailing     Type = "webhook.failing"
	WebhookDisabled    Type = "webhook.disabled"
)

// Types lists every type, in the order of the documentation.
var Types = []Type{
	SessionStatus, SessionQR, SessionPairingCode, SessionRisk, MessageReceived, MessageSent, MessageUpdated, MessageEdited, MessageRevoked, MessageDeleted, MessageReaction, MessagePinned,
	MessageStarred, PollVoted, EventResponded, ChatUpdated, LabelUpdated, HistorySynced, ContactUpdated, GroupJoined, GroupLeft, GroupUpdated,
	GroupParticipants, GroupJoinRequested, StatusReceived, ChannelUpdated, ChannelMessage, ChannelCounts, PresenceUpdated, ChatTyping, CallOffered, CallTaken, CallOver, ChangeUndone, MediaFailed, WebhookTest, WebhookFailing, WebhookDisabled,
}

// An Event is something that happened, in the form that clients get. Its JSON is made once and never changes: webhooks, the cursor and
// every redelivery carry the same bytes and the same id.
type Event struct {
	ID        string    `json:"id" doc:"The event's id everywhere: here, as webhook-id, as cursor." example:"evt_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Type      Type      `json:"type" doc:"What happened; the list only grows." example:"message.received"`
	Timestamp time.Time `json:"timestamp" doc:"When it happened, as WhatsApp says where it does."`
	SessionID string    `json:"sessionId,omitempty" doc:"The session it happened to." example:"sales"`
	Data      any       `json:"data"`
}

// MessageData is the data of message.received, message.sent, status.received and channel.message.
type MessageData struct {
	Message Message `json:"message"`
}

// SessionData is the data of session.status, session.qr and session.pairing-code.
type SessionData struct {
	Session     Session      `json:"session"`
	QR          *QR          `json:"qr,omitempty" doc:"In session.qr: the code to scan."`
	PairingCode *PairingCode `json:"pairingCode,omitempty" doc:"In session.pairing-code: the code to enter on the phone."`
	Passkey     *Passkey     `json:"passkey,omitempty" doc:"In session.status with the state passkey_required: what WhatsApp asks for."`
}

// StatusData is the data of message.status: a receipt or a failure.
type StatusData struct {
	MessageID  string        `json:"messageId" example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	WhatsAppID string        `json:"whatsappId" example:"3EB0C767D097B7A0F1D2E3"`
	ChatID     string        `json:"chatId" doc:"JID of the chat." example:"5491123456789@s.whatsapp.net"`
	Status     MessageStatus `json:"status" doc:"What it has become." example:"read"`
	By         *Address      `json:"by,omitempty" doc:"Who received or read it."`
	At         time.Time     `json:"at"`
	Error      *MessageError `json:"error,omitempty"`
}

// MediaFailedData is the data of media.failed: a message came, and its file cannot be had.
type MediaFailedData struct {
	MessageID  string       `json:"messageId" example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	WhatsAppID string       `json:"whatsappId" example:"3EB0C767D097B7A0F1D2E3"`
	ChatID     string       `json:"chatId" doc:"JID of the chat." example:"5491123456789@s.whatsapp.net"`
	Direction  string       `json:"direction,omitempty" enum:"incoming,outgoing" doc:"Of the message: outgoing is one that the owner's phone sent." example:"incoming"`
	Media      Media        `json:"media"`
	Error      MessageError `json:"error"`
}

// Metadata of a queue message on the topic events, from which the sequencer fills the log without parsing the body.
const (
	MetaType      = "type"
	MetaSession   = "session"
	MetaOrderKey  = "order_key"
	MetaTimestamp = "occurred_at" // RFC 3339 with nanoseconds
	MetaFromMe    = "from_me"     // true or false: whether it is about an own message; absent where it is about none
	MetaStatus    = "status"      // of message.status: what the message has become
	MetaMedia     = "media"       // UUID of the media whose bytes are still on their way; absent where there are none to wait for
)

// Publish puts an event on the queue inside tx. chatID is the ordering key beside the session: events of one chat keep their order; ""
// means the session's own lane. It returns the event's id.
func Publish(tx *queue.Tx, t Type, sessionID, chatID string, at time.Time, data any) (uuid.UUID, error) {
	return PublishAwaiting(tx, t, sessionID, chatID, at, data, uuid.Nil)
}

// PublishAwaiting is Publish for an event whose media (uuid.Nil: none) is still on its way; webhooks wait for it.
func PublishAwaiting(tx *queue.Tx, t Type, sessionID, chatID string, at time.Time, data any, media uuid.UUID) (uuid.UUID, error) {
	var more map[string]string
	if media != uuid.Nil {
		more = map[string]string{MetaMedia: media.String()}
	}
	return publish(tx, t, sessionID, chatID, EventLane(sessionID, chatID), at, data, more)
}

// publish puts an event on a lane, with metadata beside that which every event has.
func publish(tx *queue.Tx, t Type, sessionID, chatID, lane string, at time.Time, data any, more map[string]string) (uuid.UUID, error) {
	id := NewID()
	body, err := json.Marshal(Event{ID: EventPrefix.Format(id), Type: t, Timestamp: at.UTC(), SessionID: sessionID, Data: data})
	if err != nil {
		return id, fmt.Errorf("encode event %s: %w", t, err)
	}
	metadata := map[string]string{
		MetaType: string(t), MetaSession: sessionID, MetaOrderKey: chatID, MetaTimestamp: at.UTC().Format(time.RFC3339Nano),
	}
	if own, about := aboutOwn(t, data); about {
		metadata[MetaFromMe] = strconv.FormatBool(own)
	}
	if s, ok := data.(StatusData); ok {
		metadata[MetaStatus] = string(s.Status)
	}
	maps.Copy(metadata, more)
	tx.Publish(TopicEvents, queue.Message{ID: id, Lane: lane, Payload: body, Metadata: metadata})
	return id, nil
}

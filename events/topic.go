package events

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events/queue"
)

// The topics of the queue.
const (
	TopicCommands = "commands" // api to connector
	TopicEvents   = "events"   // connector and dispatcher to the sequencer
	TopicMedia    = "media"    // connector to the dispatcher: files to fetch, unordered
)

// Topics lists them.
var Topics = []string{TopicCommands, TopicEvents, TopicMedia}

// Wake-ups that carry no message, only the news that rows changed (queue.Notifier, queue.Waker). A lost one costs a poll's interval.
const (
	WakeControl    = "control"    // keys: session ids whose desired state changed
	WakeSessions   = "sessions"   // keys: session ids whose state or QR changed
	WakeMessages   = "messages"   // keys: UUIDs of messages whose sending ended
	WakeDeliveries = "deliveries" // deliveries may be due
	WakeReplays    = "replays"    // a replay of deliveries was asked for
	WakeLog        = "log"        // the event log grew
	WakeQueries    = "queries"    // keys: UUIDs of queries that were answered
	WakeChanges    = "changes"    // keys: UUIDs of changes that ended
	WakeKeys       = "keys"       // API keys changed
	WakeMedia      = "media.done" // keys: UUIDs of media whose bytes have come, or will not
)

// SendLane is the lane of a session's sends, edits and reactions: one at a time, in order.
func SendLane(sessionID string) string { return sessionID + "/send" }

// UrgentLane is the lane of a session's messages of priority high. It is served beside SendLane, one command of both at a time, so that what is in it
// waits for the message that is just being sent, and for no other.
func UrgentLane(sessionID string) string { return sessionID + "/urgent" }

// ChangeLane is the lane of a session's changes that are about no message: one at a time, in order, beside its sends.
func ChangeLane(sessionID string) string { return sessionID + "/changes" }

// EventLane is the lane of a session's events: those of one chat keep their order; those without a chat have the session's lane.
func EventLane(sessionID, chatID string) string {
	if chatID == "" {
		return sessionID
	}
	return sessionID + "/" + chatID
}

// EndpointLane is the lane of the events about a webhook endpoint. No session's lane begins with @.
func EndpointLane(id uuid.UUID) string { return "@" + EndpointPrefix.Format(id) }

// MediaLane is the lane in which a session's phone is asked for media that WhatsApp has no more.
func MediaLane(sessionID string) string { return sessionID + "/media" }

// A MediaJob asks the dispatcher to fetch a media's bytes. The media row is the truth.
type MediaJob struct {
	MediaID uuid.UUID `json:"mediaId"`
}

// CommandSend is the metadata value of a send command; its payload is a SendCommand.
const CommandSend = "message.send"

// CommandRetryMedia is the metadata value of a command that asks the phone to upload a media again; its payload is a RetryMediaCommand.
const CommandRetryMedia = "media.retry"

// A RetryMediaCommand only points at a row.
type RetryMediaCommand struct {
	MediaID   uuid.UUID `json:"mediaId"`
	SessionID string    `json:"sessionId"`
}

// MetaCommand is the metadata key that names the command.
const MetaCommand = "command"

// A SendCommand only points at a row: the messages row is the truth.
type SendCommand struct {
	MessageID uuid.UUID `json:"messageId"`
	SessionID string    `json:"sessionId"`
	// TypingSeconds is how long typing is shown before it is sent; 0, as of most, spares a look at the row.
	TypingSeconds int `json:"typingSeconds,omitempty"`
	// Urgent messages have a lane of their own and do not wait for the session's pace.
	Urgent bool `json:"urgent,omitempty"`
}

// SendMessage puts the command that sends a message on the queue inside tx.
func SendMessage(tx *queue.Tx, c SendCommand) error {
	command, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	lane := SendLane(c.SessionID)
	if c.Urgent {
		lane = UrgentLane(c.SessionID)
	}
	tx.Publish(TopicCommands, queue.Message{
		ID: c.MessageID, Lane: lane, Session: c.SessionID, Payload: command, Metadata: map[string]string{MetaCommand: CommandSend},
	})
	return nil
}

package events

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// CommandChange is the metadata value of a command that changes something at WhatsApp; its payload is a ChangeCommand.
const CommandChange = "change"

// A ChangeCommand only points at a row: the changes row is the truth.
type ChangeCommand struct {
	ChangeID  uuid.UUID `json:"changeId"`
	SessionID string    `json:"sessionId"`
}

// A ChangeKind is a kind of change at WhatsApp, with the shapes of what is asked and of what it answers. Both travel as JSON, at most
// MaxChange and MaxAnswer bytes of it, between versions of the program that may differ: like /v1, they only grow. Unlike a Query a change is
// durable: it waits for the session's connection, and is done once.
type ChangeKind[P, R any] struct {
	Kind string
	// InOrder says that it goes with the session's sends, one after the other: what is done to a message follows the message.
	InOrder bool
}

// MaxChange bounds what a change is asked, in bytes of JSON: the longest text, 65,536 characters, takes up to six times as many.
const MaxChange = 512 << 10

// The statuses of a change.
const (
	ChangeQueued  = "queued"
	ChangeDone    = "done"
	ChangeFailed  = "failed"
	ChangeExpired = "expired"
)

// A Change is something that is to be changed at WhatsApp, in its public form.
type Change struct {
	ID        string          `json:"id" example:"chg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	SessionID string          `json:"sessionId" example:"sales"`
	Kind      string          `json:"kind" doc:"What is changed; the list grows." example:"chat.update"`
	Target    string          `json:"target,omitempty" doc:"The message's id or the JID that it is about." example:"5491123456789@s.whatsapp.net"`
	Status    string          `json:"status" enum:"queued,done,failed,expired" doc:"queued: it waits for the session's connection, or its turn." example:"queued"`
	Error     *MessageError   `json:"error,omitempty" doc:"Why it failed."`
	Result    json.RawMessage `json:"result,omitempty" doc:"What the operation would have answered, once it is done."`
	ExpiresAt time.Time       `json:"expiresAt" doc:"When it is given up if it could not be done."`
	CreatedAt time.Time       `json:"createdAt"`
}

// ChangeData is the data of change.failed: what was accepted and will not be done.
type ChangeData struct {
	Change Change `json:"change"`
}

package events

import (
	"time"

	"github.com/google/uuid"
)

// CommandQuery is the metadata value of a command that asks WhatsApp something; its payload is a QueryCommand.
const CommandQuery = "query"

// A QueryCommand points at a row of queries, which is there as long as somebody waits for the answer. Kind and Deadline are for the log, where
// the row is gone.
type QueryCommand struct {
	QueryID   uuid.UUID `json:"queryId"`
	SessionID string    `json:"sessionId"`
	Kind      string    `json:"kind"`
	Deadline  time.Time `json:"deadline"`
}

// A Query is a kind of question to WhatsApp, with the shapes of the question and of its answer. Both travel as JSON, at most MaxQuestion
// and MaxAnswer bytes of it, between versions of the program that may differ: like /v1, they only grow.
type Query[Q, A any] struct{ Kind string }

const (
	// MaxQuestion bounds a question: 64 KiB are 1,024 participants of a group, written as JIDs, twice over.
	MaxQuestion = 64 << 10
	// MaxAnswer bounds an answer: 1 MiB are a group of 1,024 participants, four times over.
	MaxAnswer = 1 << 20
)

// CheckContacts asks which phone numbers have WhatsApp.
var CheckContacts = Query[CheckContactsQuestion, ContactChecks]{"contacts.check"}

// CheckContactsQuestion holds phone numbers, in digits.
type CheckContactsQuestion struct {
	Numbers []string `json:"numbers"`
}

// ContactChecks holds one ContactCheck for each number, in the order of the question.
type ContactChecks struct {
	Data []ContactCheck `json:"data" doc:"One for each number, in the order of the request."`
}

// A ContactCheck says whether a phone number has WhatsApp.
type ContactCheck struct {
	Number     string   `json:"number" doc:"The number, as it was asked." example:"+541123456789"`
	OnWhatsApp bool     `json:"onWhatsApp" doc:"Whether an account has it."`
	Contact    *Address `json:"contact,omitempty" doc:"Whose it is. phone is the number that WhatsApp resolved, which may differ from the one that was asked, as with Brazil's ninth digit and Argentina's 9: send to this one."`
}

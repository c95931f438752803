package events

import "time"

// PollResults are the votes in a poll.
type PollResults struct {
	MessageRef
	Question string       `json:"question" example:"When shall we meet?"`
	Voters   int          `json:"voters" doc:"How many people have a vote." example:"3"`
	Options  []PollResult `json:"options" doc:"In the order of the poll."`
}

// A PollResult is who chose an option.
type PollResult struct {
	Option string    `json:"option" example:"Monday"`
	Count  int       `json:"count" doc:"How many chose it." example:"2"`
	Voters []Address `json:"voters" doc:"Who chose it, in the order of their votes."`
}

// EventResponses are the answers to an event.
type EventResponses struct {
	MessageRef
	Data []EventResponse `json:"data" doc:"One for each person, the last that they gave, oldest first."`
}

// An EventResponse is somebody's answer to an event.
type EventResponse struct {
	From        Address   `json:"from"`
	Response    string    `json:"response" enum:"going,notGoing,maybe" example:"going"`
	ExtraGuests int       `json:"extraGuests,omitempty" doc:"How many come along." example:"1"`
	At          time.Time `json:"at"`
}

package events

import "time"

// EditedData is the data of message.edited.
type EditedData struct {
	Message Message  `json:"message" doc:"As it is now."`
	By      *Address `json:"by,omitempty" doc:"Who edited it."`
}

// RevokedData is the data of message.revoked, for everybody, and of message.deleted, for the account alone.
type RevokedData struct {
	MessageRef
	By *Address  `json:"by,omitempty" doc:"Who deleted it: its sender, or an admin of the group."`
	At time.Time `json:"at"`
}

// ReactionData is the data of message.reaction.
type ReactionData struct {
	MessageRef
	From      Address   `json:"from" doc:"Who reacts."`
	Direction string    `json:"direction" enum:"incoming,outgoing" doc:"outgoing: the account reacts, from here or from the owner's phone." example:"incoming"`
	Emoji     string    `json:"emoji" doc:"Empty: the reaction was taken back." example:"👍"`
	At        time.Time `json:"at"`
}

// VoteData is the data of poll.voted.
type VoteData struct {
	MessageRef
	From      Address   `json:"from" doc:"Who votes."`
	Direction string    `json:"direction" enum:"incoming,outgoing" doc:"outgoing: the account votes." example:"incoming"`
	Options   []string  `json:"options" doc:"All that the voter chose; none where the vote was taken back." example:"[\"Monday\"]"`
	At        time.Time `json:"at"`
}

// ResponseData is the data of event.responded: somebody answers an invitation to an event.
type ResponseData struct {
	MessageRef
	From        Address   `json:"from"`
	Direction   string    `json:"direction" enum:"incoming,outgoing" doc:"outgoing: the account answers." example:"incoming"`
	Response    string    `json:"response" enum:"going,notGoing,maybe" example:"going"`
	ExtraGuests int       `json:"extraGuests,omitempty" doc:"How many come along." example:"1"`
	At          time.Time `json:"at"`
}

// PinnedData is the data of message.pinned.
type PinnedData struct {
	MessageRef
	By          *Address   `json:"by,omitempty"`
	Pinned      bool       `json:"pinned" doc:"false: it was unpinned."`
	PinnedUntil *time.Time `json:"pinnedUntil,omitempty"`
	At          time.Time  `json:"at"`
}

// StarredData is the data of message.starred: the account starred a message, or took the star back.
type StarredData struct {
	MessageRef
	Starred bool      `json:"starred"`
	At      time.Time `json:"at"`
}

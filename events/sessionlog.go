package events

import "time"

// The kinds of LogEntry.
const (
	LogState       = "state"
	LogLinked      = "linked"
	LogPairing     = "pairing"
	LogRestriction = "restriction"
	LogSettings    = "settings"
)

// A LogEntry is something that happened to a session.
type LogEntry struct {
	ID       string       `json:"id" doc:"Its place in the log." example:"4711"`
	At       time.Time    `json:"at"`
	Kind     string       `json:"kind" enum:"state,linked,pairing,restriction,settings" doc:"state: its state or the reason for it changed. linked: a phone linked it. pairing: a step of linking, or why one came to nothing. restriction: WhatsApp restricted the account, or does not any more. settings: a client changed its name or settings." example:"state"`
	State    SessionState `json:"state,omitempty" doc:"The state, where kind is state." example:"reconnecting"`
	Reason   string       `json:"reason,omitempty" doc:"Why, for a person." example:"WhatsApp closed the connection (error \"503\")"`
	Code     string       `json:"code,omitempty" doc:"WhatsApp's own code, where it gave one." example:"503"`
	Settings []string     `json:"settings,omitempty" doc:"The names of what was changed, where kind is settings." example:"[\"proxy\"]"`
}

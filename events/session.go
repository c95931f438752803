package events

import "time"

// A SessionState is the one state of a session; its reason says why.
type SessionState string

// The states of a session.
const (
	StateStopped         SessionState = "stopped"
	StateStarting        SessionState = "starting"
	StateQR              SessionState = "qr"
	StatePairingCode     SessionState = "pairing_code"
	StatePasskeyRequired SessionState = "passkey_required"
	StateConnected       SessionState = "connected"
	StateReconnecting    SessionState = "reconnecting"
	StateLoggedOut       SessionState = "logged_out"
	StateBanned          SessionState = "banned"
	StateRestricted      SessionState = "restricted"
	StateReplaced        SessionState = "replaced"
	StateFailed          SessionState = "failed"
)

// SessionStates lists them.
var SessionStates = []SessionState{
	StateStopped, StateStarting, StateQR, StatePairingCode, StatePasskeyRequired, StateConnected, StateReconnecting, StateLoggedOut, StateBanned, StateRestricted,
	StateReplaced, StateFailed,
}

// What a client wants of a session.
const (
	DesiredStarted = "started"
	DesiredStopped = "stopped"
)

// A Session is the public form of a session.
type Session struct {
	ID          string       `json:"id" doc:"Your own name for it." example:"sales"`
	Name        string       `json:"name,omitempty" doc:"For people." example:"Sales team"`
	State       SessionState `json:"state" enum:"stopped,starting,qr,pairing_code,passkey_required,connected,reconnecting,logged_out,banned,restricted,replaced,failed" doc:"What it is now." example:"connected"`
	Reason      string       `json:"reason,omitempty" doc:"Why it is in this state, for a person."`
	Desired     string       `json:"desired" enum:"started,stopped" doc:"What you asked for; state follows it." example:"started"`
	Phone       string       `json:"phone,omitempty" doc:"The account's number, digits only, once linked."`
	LID         string       `json:"lid,omitempty" doc:"The account's phone-independent number, digits only."`
	Connector   string       `json:"connector,omitempty" doc:"The connector that runs it now."`
	LastEventAt *time.Time   `json:"lastEventAt,omitempty" doc:"When WhatsApp last sent something."`
	CreatedAt   time.Time    `json:"createdAt"`
	ConnectedAt *time.Time   `json:"connectedAt,omitempty" doc:"When it last connected."`
	Settings    Settings     `json:"settings"`
}

// Settings are what a client may choose for a session.
type Settings struct {
	DeviceName string            `json:"deviceName,omitempty" maxLength:"50" doc:"Shown on the phone's list of linked devices when the session is linked; default chasqui."`
	Metadata   map[string]string `json:"metadata,omitempty" doc:"Free for the client's use."`
	Sending    *Sending          `json:"sending,omitempty" doc:"How messages are paced; absent: as fast as WhatsApp takes them."`
	Presence   string            `json:"presence,omitempty" enum:"available,unavailable" doc:"What the account shows of itself while it is connected; default unavailable."`
	MarkRead   bool              `json:"markRead,omitempty" doc:"Messages that come in are read at once."`
	Calls      *CallSettings     `json:"calls,omitempty" doc:"What is done to calls that come in."`
	Proxy      ProxyURL          `json:"proxy,omitempty" doc:"What its connections go through; *** stands for a user and password." example:"socks5://***@proxy.example.com:1080"`
	Ignore     Ignore            `json:"ignore,omitzero" doc:"What it takes no notice of."`
}

// A QR is a code waiting to be scanned.
type QR struct {
	Text      string    `json:"qr" doc:"The text that the QR code holds."`
	PNG       string    `json:"png,omitempty" doc:"The code as a data URL."`
	ExpiresAt time.Time `json:"expiresAt"`
}

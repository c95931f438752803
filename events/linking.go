package events

import (
	"encoding/json"
	"time"
)

// What is asked of a session that is being linked, over the connection that waits for it.
var (
	AskPairingCode = Query[PairingCodeQuestion, PairingCode]{"pairing.code"}
	ReadPasskey    = Query[struct{}, Passkey]{"passkey.read"}
	AnswerPasskey  = Query[PasskeyAnswer, Passkey]{"passkey.answer"}
	ConfirmPasskey = Query[struct{}, Passkey]{"passkey.confirm"}
)

// PairingCodeQuestion says for which phone a code is.
type PairingCodeQuestion struct {
	Phone string `json:"phone"` // digits
}

// A PairingCode is entered on the phone instead of scanning a QR code.
type PairingCode struct {
	Code      string    `json:"code" doc:"What the phone's owner enters: WhatsApp, Linked devices, Link with phone number." example:"ABCD-EFGH"`
	Phone     string    `json:"phone" doc:"The phone number that the code is for, digits only." example:"5491123456789"`
	ExpiresAt time.Time `json:"expiresAt" doc:"When the code ends; another can be asked for at any time, which ends this one."`
}

// The steps of a Passkey.
const (
	PasskeyRequest      = "request"
	PasskeyWaiting      = "waiting"
	PasskeyConfirmation = "confirmation"
)

// A Passkey is what WhatsApp asks of whoever links an account that is guarded by one.
type Passkey struct {
	Step string `json:"step" enum:"request,waiting,confirmation" doc:"request: answer request with the account's passkey. waiting: WhatsApp and the phone are at it. confirmation: compare code with the one that the phone shows, and confirm it." example:"request"`
	// Request is PublicKeyCredentialRequestOptions in the JSON form of Web Authentication Level 3, section 5.10, as WhatsApp's server made it.
	Request   json.RawMessage `json:"request,omitempty" doc:"In the step request: the options for navigator.credentials.get({publicKey}), in WebAuthn's JSON form (PublicKeyCredential.parseRequestOptionsFromJSON)."`
	Code      string          `json:"code,omitempty" doc:"In the step confirmation: the code that the phone shows too." example:"ABCD-EFGH"`
	ExpiresAt time.Time       `json:"expiresAt" doc:"When linking has to begin anew."`
}

// PasskeyAnswer is a WebAuthn assertion in JSON, its bytes in base64url without padding.
type PasskeyAnswer struct {
	ID       string           `json:"id"`
	RawID    string           `json:"rawId"`
	Type     string           `json:"type"`
	Response PasskeyAssertion `json:"response"`
}

// PasskeyAssertion is what the authenticator signed, and the signature.
type PasskeyAssertion struct {
	ClientDataJSON    string  `json:"clientDataJSON"`
	AuthenticatorData string  `json:"authenticatorData"`
	Signature         string  `json:"signature"`
	UserHandle        *string `json:"userHandle"`
}

package events

import "time"

// CallPrefix is that of calls' ids.
const CallPrefix Prefix = "call_"

// The states of a Call.
const (
	CallRinging  = "ringing"
	CallAccepted = "accepted"
	CallEnded    = "ended"
)

// Why a call has ended.
const (
	CallRejected  = "rejected"  // by the account, here or on another device
	CallTimeout   = "timeout"   // nobody answered
	CallMissed    = "missed"    // the caller hung up first
	CallCompleted = "completed" // it had been accepted
	CallUnknown   = "unknown"   // nobody told
)

// A Call is one that came in. Nobody's voice is carried: a session sees that somebody calls, and can reject it.
type Call struct {
	ID         string     `json:"id" example:"call_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	WhatsAppID string     `json:"whatsappId" doc:"WhatsApp's id of it." example:"3B2CF1D6E0A94F6B8F0D1A2B3C4D5E6F"`
	SessionID  string     `json:"sessionId" example:"sales"`
	From       Address    `json:"from" doc:"Who calls."`
	GroupID    string     `json:"groupId,omitempty" doc:"In a group's call: JID of the group." example:"120363025246125486@g.us"`
	Video      bool       `json:"video" doc:"Whether it is a video call." example:"false"`
	State      string     `json:"state" enum:"ringing,accepted,ended" doc:"accepted: on another device of the account." example:"ringing"`
	Reason     string     `json:"reason,omitempty" enum:"rejected,timeout,missed,completed,unknown" doc:"Why it ended. rejected: by the account, here or on another device; timeout: nobody answered; missed: the caller hung up first; completed: it had been accepted; unknown: WhatsApp did not tell." example:"rejected"`
	OfferedAt  time.Time  `json:"offeredAt" doc:"When it began to ring."`
	AcceptedAt *time.Time `json:"acceptedAt,omitempty"`
	EndedAt    *time.Time `json:"endedAt,omitempty"`
}

// CallData is the data of call.offered, call.accepted and call.ended.
type CallData struct {
	Call Call `json:"call"`
}

// CallSettings say what is done to calls that come in.
type CallSettings struct {
	Reject bool   `json:"reject" doc:"Rejects every call at once."`
	Text   string `json:"text,omitempty" maxLength:"4096" doc:"Sent to a caller who was rejected, once an hour at most; not in group calls."`
}

// RejectCall rejects a call that rings.
var RejectCall = ChangeKind[CallRejection, Call]{"call.reject", false}

// CallRejection is what RejectCall is asked. BySetting: nobody waits for it, and a call that is over is none the worse for it.
type CallRejection struct {
	BySetting bool `json:"bySetting,omitempty"`
}

// CallLane is the lane in which a session's calls are rejected: beside its other changes, because a call does not wait for them.
func CallLane(sessionID string) string { return sessionID + "/calls" }

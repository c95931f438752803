package api

import (
	"reflect"

	"github.com/chasqui/chasqui/events"
)

var examplePairingCode = events.PairingCode{Code: "ABCD-EFGH", Phone: "5491123456789", ExpiresAt: exampleTime}

// linkingShapes documents the events of a session that is being linked.
func linkingShapes(scanning events.Session) map[events.Type]eventShape {
	waiting := scanning
	waiting.State, waiting.Reason = events.StatePairingCode, "the pairing code can be entered on the phone"
	return map[events.Type]eventShape{
		events.SessionPairingCode: {
			"A session has a pairing code to enter on the phone", reflect.TypeFor[events.SessionData](),
			exampleEvent(events.SessionPairingCode, events.SessionData{Session: waiting, PairingCode: &examplePairingCode}),
		},
	}
}

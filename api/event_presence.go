package api

import (
	"reflect"

	"github.com/chasqui/chasqui/events"
)

// presenceShapes are the events about who is there, types or calls.
func presenceShapes() map[events.Type]eventShape {
	who := exampleMessage.To
	ringing := events.Call{
		ID: "call_01932f0c5d6b7a10b1f4d0c4a8e2f001", WhatsAppID: "3B2CF1D6E0A94F6B8F0D1A2B3C4D5E6F", SessionID: "sales", From: who, State: events.CallRinging, OfferedAt: exampleTime,
	}
	taken, over := ringing, ringing
	taken.State, taken.AcceptedAt = events.CallAccepted, &exampleTime
	over.State, over.Reason, over.EndedAt = events.CallEnded, events.CallTimeout, &exampleTime
	presence := events.Presence{Contact: who, State: events.PresenceUnavailable, LastSeen: &exampleTime, Subscribed: true, UpdatedAt: &exampleTime}
	shapes := map[events.Type]eventShape{}
	for _, shape := range []struct {
		t       events.Type
		summary string
		data    any
	}{
		{events.PresenceUpdated, "A contact has come online or gone, of those the session is subscribed to", events.PresenceData{Presence: presence}},
		{events.ChatTyping, "Somebody types or records in a chat, or has stopped", events.TypingData{ChatID: exampleMessage.ChatID, From: who, State: events.TypingText, At: exampleTime}},
		{events.CallOffered, "Somebody calls", events.CallData{Call: ringing}},
		{events.CallTaken, "A call was accepted on another device", events.CallData{Call: taken}},
		{events.CallOver, "A call has ended, or was rejected or missed", events.CallData{Call: over}},
	} {
		shapes[shape.t] = eventShape{shape.summary, reflect.TypeOf(shape.data), exampleEvent(shape.t, shape.data)}
	}
	return shapes
}

package postgres

import (
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Presence returns the public form of what is known of somebody's presence.
func Presence(p db.Presence, who events.Address) events.Presence {
	shown := events.Presence{Contact: who, State: p.State, LastSeen: p.LastSeen, Subscribed: p.SubscribedAt != nil, UpdatedAt: p.HeardAt}
	if p.TypingAt != nil && time.Since(*p.TypingAt) < events.TypingLasts {
		shown.Typing = p.Typing
	}
	return shown
}

// Call returns the public form of a call.
func Call(v db.CallView) events.Call {
	return events.Call{
		ID: events.CallPrefix.Format(v.ID), WhatsAppID: v.WhatsappID, SessionID: v.SessionID, From: events.NewAddress(v.CallerID, v.Phone, v.Lid, v.Name),
		GroupID: v.GroupID, Video: v.Video, State: v.State, Reason: v.Reason, OfferedAt: v.OfferedAt, AcceptedAt: v.AcceptedAt, EndedAt: v.EndedAt,
	}
}

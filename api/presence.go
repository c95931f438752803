package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// subscriptionsMost bounds whose presence one session is told of: at each login all of them are asked for anew.
	subscriptionsMost = 1000
	// typingKept is how long a typing stays of somebody of whom nothing else is known.
	typingKept = time.Hour
)

type setPresence struct {
	State string `json:"state" enum:"available,unavailable" doc:"What the account shows of itself." example:"available"`
}

func (s *Server) addPresence() {
	shown := events.Presence{Contact: exampleMessage.To, State: events.PresenceAvailable, LastSeen: &exampleTime, Subscribed: true, UpdatedAt: &exampleTime}
	gone := events.Presence{Contact: exampleMessage.To, State: events.PresenceUnknown}
	register(s, operation{
		method: "PUT", path: "/v1/sessions/{sessionId}/presence", id: "set-presence", tag: "Presence", status: 200,
		summary: "Set the own presence",
		description: "Says whether the account is online while the session is connected, now and after every reconnect. It is the session's setting presence, which PATCH of the session sets as " +
			"well. By default it is unavailable, so that the owner's phone notifies of what comes in; while it is available, the phone may keep silent, and senders see two ticks from this device. " +
			"An account that shows typing is available for that time, and for 25 seconds more, and then again what is set here.",
		request: setPresence{State: events.PresenceAvailable}, response: events.OwnPresence{State: events.PresenceAvailable}, codes: []Code{SessionNotFound},
	}, s.setPresence)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/presence/{contactId}", id: "get-presence", tag: "Presence", status: 200,
		summary: "Read a contact's presence",
		description: "Whether somebody is online, as WhatsApp last told, and whether he is typing to the account. WhatsApp is not asked: it tells of those the session is subscribed to. Of " +
			"everybody else the state is unknown.",
		response: shown, codes: []Code{SessionNotFound},
	}, s.getPresence)
	register(s, operation{
		method: "PUT", path: "/v1/sessions/{sessionId}/presence/{contactId}/subscription", id: "subscribe-presence", tag: "Presence", status: 200, also: queuedToo,
		wait: maxPreferredWait * time.Second, summary: "Subscribe to a contact's presence",
		description: "Lets WhatsApp tell whether somebody is online: each change is an event presence.updated. It holds until it is taken back, over reconnects, for up to 1,000 people a " +
			"session. WhatsApp tells nothing while the account itself is unavailable: set its presence to available. Nor does it tell of people whose privacy hides it from this account, of " +
			"anybody's last seen time while the account hides its own, and often of strangers: those who wrote to the account lately have given it a token for that, which is sent along. " +
			"It does not say which of these is the case: the state then stays unknown.",
		response: shown, codes: append(changeCodes, TooManySubscriptions),
	}, func(ctx context.Context, in *struct {
		ContactPath
		Changing
	}) (*changed[events.Presence], error) {
		return observe(ctx, s, in.ContactPath, in.Changing, events.SubscribePresence, subscriptionsMost)
	})
	register(s, operation{
		method: "DELETE", path: "/v1/sessions/{sessionId}/presence/{contactId}/subscription", id: "unsubscribe-presence", tag: "Presence", status: 200, also: queuedToo,
		wait: maxPreferredWait * time.Second, summary: "End a subscription to a contact's presence",
		description: "Ends what PUT began: no event follows, and nothing more is known of the contact. WhatsApp is told so in the form that its former clients used; should it not heed that, it " +
			"goes on telling this connection, and nobody else hears of it.",
		response: gone, codes: changeCodes,
	}, func(ctx context.Context, in *struct {
		ContactPath
		Changing
	}) (*changed[events.Presence], error) {
		return observe(ctx, s, in.ContactPath, in.Changing, events.UnsubscribePresence, 0)
	})
}

func (s *Server) setPresence(ctx context.Context, in *struct {
	SessionPath
	Body setPresence
}) (*struct{ Body events.OwnPresence }, error) {
	settings, err := json.Marshal(sessionSettings{Presence: &in.Body.State})
	if err != nil {
		return nil, fmt.Errorf("encode settings: %w", err)
	}
	out := &struct{ Body events.OwnPresence }{events.OwnPresence{State: in.Body.State}}
	return out, s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		n, err := s.q.SessionChange(ctx, tx, nil, settings, in.SessionID)
		if err != nil {
			return fmt.Errorf("change session: %w", err)
		}
		if n == 0 {
			return problem(SessionNotFound, "there is no session "+in.SessionID)
		}
		tx.Notify(events.WakeControl, in.SessionID)
		return nil
	})
}

func (s *Server) getPresence(ctx context.Context, in *struct{ ContactPath }) (*struct{ Body events.Presence }, error) {
	session, err := s.sessionRow(ctx, s.pool, in.SessionID)
	if err != nil {
		return nil, err
	}
	id, contact, err := s.contactID(ctx, s.pool, in.ContactPath)
	if err != nil {
		return nil, err
	}
	row, err := s.q.PresenceGet(ctx, s.pool, in.SessionID, id)
	if errors.Is(err, pgx.ErrNoRows) {
		row, err = db.Presence{State: events.PresenceUnknown}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read presence: %w", err)
	}
	who := events.NewAddress(id, "", "", "")
	if contact != nil {
		who = postgres.Contact(*contact).Address
	}
	shown := postgres.Presence(row, who)
	// What was told before the connection of now may have changed since, without a word.
	connected := unconnected(events.SessionState(session.ShownState)) == nil
	if !connected || row.HeardAt == nil || session.ConnectedAt != nil && row.HeardAt.Before(*session.ConnectedAt) {
		shown.State = events.PresenceUnknown
	}
	if !connected {
		shown.Typing = ""
	}
	return &struct{ Body events.Presence }{shown}, nil
}

// observe accepts that the session is told of somebody's presence, or no more. most bounds the subscriptions; 0 is no bound.
func observe(ctx context.Context, s *Server, path ContactPath, in Changing, kind events.ChangeKind[struct{}, events.Presence], most int32) (*changed[events.Presence], error) {
	return change(ctx, s, path.SessionID, "", in, kind, func(ctx context.Context, tx *queue.Tx) (w wish[struct{}], err error) {
		if w.target, _, err = s.contactID(ctx, tx, path); err != nil || most == 0 {
			return w, err
		}
		room, err := s.q.PresenceRoom(ctx, tx, path.SessionID, w.target, most)
		if err != nil {
			return w, fmt.Errorf("count subscriptions: %w", err)
		}
		if !room {
			return w, problem(TooManySubscriptions, fmt.Sprintf("the session is subscribed to %d people already", most))
		}
		return w, nil
	})
}

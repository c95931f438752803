package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// renewPage is how many subscriptions are renewed at once after a login, and renewPause the wait between two portions: 1,000 take 10 s.
	renewPage  = 50
	renewPause = 500 * time.Millisecond
)

// present tells WhatsApp whether the account is there: while it types and a little after, and always where settings.presence says so. It also
// decides whether messages are acknowledged so that their senders see two ticks, as whatsmeow's SendPresence does. One call at a time, so that
// the last word is the newest. Failure policy: best effort; the next login says it anew.
func (c *connection) present() {
	c.presenting.Lock()
	defer c.presenting.Unlock()
	ctx, cancel := context.WithTimeout(c.ctx, handlerTimeout)
	defer cancel()
	there := c.s.settings().Presence == events.PresenceAvailable
	c.mu.Lock()
	there = there || time.Now().Before(c.attends)
	attrs := waBinary.Attrs{"type": string(types.PresenceUnavailable)}
	if there {
		attrs["type"] = string(types.PresenceAvailable)
	}
	if c.name != "" {
		attrs["name"] = c.name
	}
	c.mu.Unlock()
	c.client.SetForceActiveDeliveryReceipts(there)
	//nolint:staticcheck // SA1019: SendPresence reads the name while whatsmeow's own goroutines write it, see appear
	err := c.client.DangerousInternals().SendNode(ctx, waBinary.Node{Tag: "presence", Attrs: attrs})
	if err != nil && c.ctx.Err() == nil {
		c.s.log.WarnContext(ctx, "presence not sent", "error", err)
	}
}

// reappear tells what settings.presence has become.
func (c *connection) reappear() {
	c.present()
	if c.s.settings().Presence == events.PresenceAvailable {
		c.renewSubscriptions()
	}
}

// renewSubscriptions asks anew for the presence of everybody whom the session is subscribed to: WhatsApp forgets it with the connection, and
// tells nothing to an account that is not there. Called while it runs, it runs once more. Failure policy: best effort; the next login does it
// again.
func (c *connection) renewSubscriptions() {
	c.mu.Lock()
	c.renewAgain = true
	if c.renewing {
		c.mu.Unlock()
		return
	}
	c.renewing = true
	for c.renewAgain && c.ctx.Err() == nil {
		c.renewAgain = false
		c.mu.Unlock()
		if err := c.renewAll(); err != nil && c.ctx.Err() == nil {
			c.s.log.WarnContext(c.ctx, "subscriptions to presence not renewed", "error", err)
		}
		c.mu.Lock()
	}
	c.renewing = false
	c.mu.Unlock()
}

func (c *connection) renewAll() error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for after := ""; ; {
		select {
		case <-pause.C:
		case <-c.ctx.Done():
			return nil
		}
		last, err := c.renewPortion(after)
		if err != nil || last == "" {
			return err
		}
		after = last
		pause.Reset(renewPause)
	}
}

// renewPortion renews the subscriptions after one, and returns the last of them; "" when there are no more.
func (c *connection) renewPortion(after string) (last string, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, handlerTimeout)
	defer cancel()
	ids, err := c.s.c.queries.PresenceListSubscribed(ctx, c.s.c.pool, c.s.id, after, renewPage)
	if err != nil {
		return "", fmt.Errorf("list subscriptions: %w", err)
	}
	for _, id := range ids {
		jid, err := types.ParseJID(id)
		if err != nil {
			return "", fmt.Errorf("parse contact id: %w", err)
		}
		if !c.s.holds() {
			return "", errClaimLost
		}
		if err := c.client.SubscribePresence(ctx, jid); err != nil {
			return "", fmt.Errorf("subscribe to presence: %w", err)
		}
	}
	if len(ids) < renewPage {
		return "", nil
	}
	return ids[len(ids)-1], nil
}

// subscribe makes events.SubscribePresence. WhatsApp does not say whether it took it: it tells of the contact, or does not.
func (c *connection) subscribe(ctx context.Context, ch change, _ struct{}) (func(context.Context, *queue.Tx) (events.Presence, error), error) {
	who, jid, err := c.observed(ctx, ch.target)
	if err != nil {
		return nil, err
	}
	// The row comes first: what WhatsApp tells at once is about somebody whom the session is subscribed to.
	err = c.s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		if err := c.s.hold(ctx, tx); err != nil {
			return err
		}
		if err := c.s.c.queries.ContactEnsure(ctx, tx, c.s.id, who.id, who.phone, who.lid); err != nil {
			return fmt.Errorf("ensure contact: %w", err)
		}
		if _, err := c.s.c.queries.PresenceSubscribe(ctx, tx, c.s.id, who.id); err != nil {
			return fmt.Errorf("write subscription: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := c.client.SubscribePresence(ctx, jid); err != nil {
		return nil, fmt.Errorf("subscribe to presence: %w", err)
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Presence, error) {
		row, err := c.s.c.queries.PresenceSubscribe(ctx, tx, c.s.id, who.id)
		if err != nil {
			return events.Presence{}, fmt.Errorf("write subscription: %w", err)
		}
		return c.presenceOf(ctx, tx, row, who)
	}, nil
}

// unsubscribe makes events.UnsubscribePresence. whatsmeow has no call for it; the stanza is the one that clients had when subscriptions outlived a
// connection (yowsup, presence_unsubscribe.py). Whether WhatsApp heeds it or not, what it tells of the contact is told no further.
func (c *connection) unsubscribe(ctx context.Context, ch change, _ struct{}) (func(context.Context, *queue.Tx) (events.Presence, error), error) {
	who, jid, err := c.observed(ctx, ch.target)
	if err != nil {
		return nil, err
	}
	//nolint:staticcheck // SA1019: there is no other way to send a stanza
	err = c.client.DangerousInternals().SendNode(ctx, waBinary.Node{Tag: "presence", Attrs: waBinary.Attrs{"type": "unsubscribe", "to": jid}})
	if err != nil {
		return nil, fmt.Errorf("unsubscribe from presence: %w", err)
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Presence, error) {
		if err := c.s.c.queries.PresenceForget(ctx, tx, c.s.id, who.id); err != nil {
			return events.Presence{}, fmt.Errorf("forget presence: %w", err)
		}
		return c.presenceOf(ctx, tx, db.Presence{State: events.PresenceUnknown}, who)
	}, nil
}

// observed is somebody whose presence a change is about.
func (c *connection) observed(ctx context.Context, id string) (address, types.JID, error) {
	jid, err := person(id)
	if err != nil {
		return address{}, jid, err
	}
	who, err := c.address(ctx, jid, types.EmptyJID)
	if err != nil {
		return who, jid, err
	}
	if jid, err = types.ParseJID(who.id); err != nil {
		return who, jid, fmt.Errorf("parse contact id: %w", err)
	}
	return who, jid, nil
}

// presenceOf is the public form of a presence, with the name of whose it is.
func (c *connection) presenceOf(ctx context.Context, tx *queue.Tx, row db.Presence, who address) (events.Presence, error) {
	named, err := c.called(ctx, tx, who)
	return postgres.Presence(row, named), err
}

// called is the address of somebody with the name that the session knows.
func (c *connection) called(ctx context.Context, tx *queue.Tx, who address) (events.Address, error) {
	row, err := c.s.c.queries.ContactGet(ctx, tx, c.s.id, who.id)
	if errors.Is(err, pgx.ErrNoRows) {
		return events.NewAddress(who.id, who.phone, who.lid, ""), nil
	}
	if err != nil {
		return events.Address{}, fmt.Errorf("read contact: %w", err)
	}
	return postgres.Contact(row).Address, nil
}

// cameOrWent takes that somebody is there, or no more. What is told of strangers, or twice, goes no further.
func (c *connection) cameOrWent(ctx context.Context, e *waevents.Presence) error {
	switch user(e.From).Server {
	case types.DefaultUserServer, types.HiddenUserServer:
	default:
		return nil
	}
	who, err := c.address(ctx, e.From, types.EmptyJID)
	if err != nil {
		return err
	}
	state, now := events.PresenceAvailable, time.Now()
	var seen *time.Time
	if e.Unavailable {
		state = events.PresenceUnavailable
		if at := e.LastSeen; at.Unix() > 0 && at.Before(now.Add(time.Hour)) { // a clock may be wrong, a year 10,000 is not one
			seen = &at
		}
	}
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		row, err := c.s.c.queries.PresenceHear(ctx, tx, state, seen, c.s.id, who.id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write presence: %w", err)
		}
		if !row.Fresh {
			return nil
		}
		shown, err := c.presenceOf(ctx, tx, row.Presence, who)
		if err != nil {
			return err
		}
		_, err = events.Publish(tx, events.PresenceUpdated, c.s.id, who.id, now, events.PresenceData{Presence: shown})
		return err
	})
}

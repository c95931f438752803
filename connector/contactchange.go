package connector

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// contactOf is whom a change is about.
func (c *connection) contactOf(ctx context.Context, ch change) (types.JID, address, error) {
	jid, err := person(ch.target)
	if err != nil {
		return jid, address{}, err
	}
	jid, err = c.reachable(ctx, jid)
	if errors.Is(err, errNotOnWhatsApp) {
		return jid, address{}, &refusal{"contact_not_found", "The number is not on WhatsApp."}
	}
	if err != nil {
		return jid, address{}, err
	}
	who, err := c.address(ctx, jid, types.EmptyJID)
	return jid, who, err
}

// keepContact writes what a change of a contact has changed, and returns him as he is.
func (c *connection) keepContact(ctx context.Context, tx *queue.Tx, ch change, who address, n news, changed string) (events.Contact, error) {
	row, fresh, err := c.learn(ctx, tx, who, n, changed, ch.created)
	if err == nil && !fresh { // it was so already, or the phone's word of it was faster, and has told of it
		row, err = c.s.c.queries.ContactGet(ctx, tx, c.s.id, who.id)
	}
	return shownContact(row, who, err)
}

// shownContact is what a change of a contact answers. One of whom there is no row is known by his address alone.
func shownContact(row db.Contact, who address, err error) (events.Contact, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		row, err = db.Contact{ID: who.id, Phone: given(who.phone), Lid: given(who.lid)}, nil
	}
	if err != nil {
		return events.Contact{}, fmt.Errorf("keep contact: %w", err)
	}
	return postgres.Contact(row), nil
}

// saveContact makes events.SaveContact. whatsmeow has no builder for the entry, and none of its own can take one away: an empty name is what a contact
// without one has.
func (c *connection) saveContact(ctx context.Context, ch change, p events.SavingContact) (func(context.Context, *queue.Tx) (events.Contact, error), error) {
	jid, who, err := c.contactOf(ctx, ch)
	if err != nil {
		return nil, err
	}
	before, err := c.s.c.queries.ContactGet(ctx, c.s.c.pool, c.s.id, who.id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read contact: %w", err)
	}
	action := &waSyncAction.ContactAction{FullName: &p.Name, FirstName: proto.String(firstName(p.Name)), SaveOnPrimaryAddressbook: proto.Bool(true)}
	if who.lid != "" {
		action.LidJID = proto.String(who.lid + "@" + events.LIDServer)
	}
	err = c.sendAppState(ctx, appstate.PatchInfo{Type: appstate.WAPatchCriticalUnblockLow, Mutations: []appstate.MutationInfo{{
		Index: []string{appstate.IndexContact, jid.String()}, Version: 2, // as WhatsApp Web writes it (Baileys, chat-utils.ts)
		Value: &waSyncAction.SyncActionValue{ContactAction: action},
	}}})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Contact, error) {
		row, fresh, err := c.learn(ctx, tx, who, news{savedName: &p.Name, known: p.Name == ""}, events.ContactName, ch.created)
		if err == nil && !fresh { // it was so already, or the first reading of the address book was faster, which tells nothing
			if row, err = c.s.c.queries.ContactGet(ctx, tx, c.s.id, who.id); err == nil && before.SavedName != row.SavedName && !ch.begun {
				err = c.tellContact(tx, row, events.ContactName, ch.created)
			}
		}
		return shownContact(row, who, err)
	}, nil
}

// firstName is the name up to the first space, which apps show where there is little room.
func firstName(name string) string {
	for i, r := range name {
		if r == ' ' {
			return name[:i]
		}
	}
	return name
}

// blockContact makes events.BlockContact. WhatsApp tells the account's other devices of it, not this one.
func (c *connection) blockContact(ctx context.Context, ch change, p events.BlockingContact) (func(context.Context, *queue.Tx) (events.Contact, error), error) {
	jid, who, err := c.contactOf(ctx, ch)
	if err != nil {
		return nil, err
	}
	action := waevents.BlocklistChangeActionUnblock
	if p.Blocked {
		action = waevents.BlocklistChangeActionBlock
	}
	if _, err := c.client.UpdateBlocklist(ctx, jid, action); err != nil {
		return nil, fmt.Errorf("change block list: %w", err)
	}
	return func(ctx context.Context, tx *queue.Tx) (events.Contact, error) {
		return c.keepContact(ctx, tx, ch, who, news{blocked: &p.Blocked, known: !p.Blocked}, events.ContactBlocked)
	}, nil
}

package api

import (
	"context"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

type changeContact struct {
	SavedName string `json:"savedName" maxLength:"100" doc:"The name in the account's address book, which its phone gets too; empty takes it away." example:"Juan (plumber)"`
}

func (s *Server) addContactChanges() {
	blocked := exampleContact
	blocked.Blocked = true
	codes := append(changeCodes, ContactNotFound)
	register(s, operation{
		method: "PATCH", path: "/v1/sessions/{sessionId}/contacts/{contactId}", id: "change-contact", tag: "Contacts", status: 200, also: queuedToo,
		wait: maxPreferredWait * time.Second, summary: "Save a contact",
		description: "Saves somebody in the account's address book, on all its devices, or with an empty name takes his name away. A name that is deleted on the phone stays here until it " +
			"is set again: WhatsApp tells linked devices of it in a form that is not read yet.",
		request: changeContact{SavedName: exampleContact.SavedName}, response: exampleContact, codes: codes,
	}, s.changeContact)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/blocklist", id: "list-blocked", tag: "Contacts", status: 200, wait: maxPreferredWait * time.Second,
		summary: "Read the block list", description: "Asks WhatsApp whom the account has blocked.",
		response: events.Blocklist{Data: []events.Address{exampleContact.Address}}, codes: queryCodes,
	}, func(ctx context.Context, in *struct {
		SessionPath
		Asking
	}) (*asked[events.Blocklist], error) {
		return ask(ctx, s, in.SessionID, in.Asking, events.ReadBlocklist, events.BlocklistQuestion{})
	})
	register(s, operation{
		method: "PUT", path: "/v1/sessions/{sessionId}/blocklist/{contactId}", id: "block-contact", tag: "Contacts", status: 200, also: queuedToo,
		wait: maxPreferredWait * time.Second, summary: "Block a contact", description: "What he sends reaches the account no more, and he does not see when it is online.",
		response: blocked, codes: codes,
	}, func(ctx context.Context, in *struct {
		ContactPath
		Changing
	}) (*changed[events.Contact], error) {
		return s.block(ctx, in.ContactPath, in.Changing, true)
	})
	register(s, operation{
		method: "DELETE", path: "/v1/sessions/{sessionId}/blocklist/{contactId}", id: "unblock-contact", tag: "Contacts", status: 200, also: queuedToo,
		wait: maxPreferredWait * time.Second, summary: "Unblock a contact", description: "Takes somebody off the block list.",
		response: exampleContact, codes: codes,
	}, func(ctx context.Context, in *struct {
		ContactPath
		Changing
	}) (*changed[events.Contact], error) {
		return s.block(ctx, in.ContactPath, in.Changing, false)
	})
}

func (s *Server) changeContact(ctx context.Context, in *struct {
	ContactPath
	Changing
	Body changeContact
}) (*changed[events.Contact], error) {
	return change(ctx, s, in.SessionID, "", in.Changing, events.SaveContact, func(ctx context.Context, tx *queue.Tx) (w wish[events.SavingContact], err error) {
		id, _, err := s.contactID(ctx, tx, in.ContactPath)
		return wish[events.SavingContact]{id, id, events.SavingContact{Name: in.Body.SavedName}}, err
	})
}

func (s *Server) block(ctx context.Context, path ContactPath, in Changing, blocked bool) (*changed[events.Contact], error) {
	return change(ctx, s, path.SessionID, "", in, events.BlockContact, func(ctx context.Context, tx *queue.Tx) (w wish[events.BlockingContact], err error) {
		id, _, err := s.contactID(ctx, tx, path)
		return wish[events.BlockingContact]{id, id, events.BlockingContact{Blocked: blocked}}, err
	})
}

package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// eraseWait is how long an erasure may take: a million messages and as many events take half a minute.
	eraseWait = 55 * time.Second
	// erasePage is how many messages or events are looked at in one transaction: some 100 ms.
	erasePage = 5000
)

// Erased says what an erasure removed.
type Erased struct {
	Messages int `json:"messages" doc:"Messages from and to him, in groups too." example:"128"`
	Events   int `json:"events" doc:"Events of the log that named him." example:"311"`
}

func (s *Server) addContactErasure() {
	register(s, operation{
		method: "DELETE", path: "/v1/sessions/{sessionId}/contacts/{contactId}", id: "erase-contact", tag: "Contacts", status: 200, wait: eraseWait,
		summary: "Erase a contact",
		description: "Erases somebody from this session's store, for good, as the law of privacy may ask: who he is, the chat with him, his messages in groups, with their files, reactions, " +
			"votes and receipts; what was still to be sent to him or changed about him; and the events that name him, with their deliveries. It changes nothing at WhatsApp and on the phone, and " +
			"needs no connection. erase=true is required. It is done in steps, each for good: if it is interrupted or answers unavailable, repeat it until it answers 200, which means that all of " +
			"it is done, and contact.updated tells of it. What stays: an event that was waiting to be logged at that moment and one that is just being delivered, until retention takes them; the answers " +
			"kept for an Idempotency-Key, for 24 hours; what others wrote about him; the keys of his encryption, without which he could not write again; and what webhooks have received.",
		response: Erased{Messages: 128, Events: 311}, codes: []Code{SessionNotFound, ContactNotFound},
	}, s.eraseContact)
}

func (s *Server) eraseContact(ctx context.Context, in *struct {
	ContactPath
	Erase bool `query:"erase" doc:"true: erase him, which cannot be undone." example:"true"`
}) (*struct{ Body Erased }, error) {
	session, err := s.sessionRow(ctx, s.pool, in.SessionID)
	if err != nil {
		return nil, err
	}
	if !in.Erase {
		return nil, invalid("query.erase", "expected true: this erases the contact and all that is kept of him, for good; to take him off the address book set savedName to an empty text")
	}
	id, row, err := s.contactID(ctx, s.pool, in.ContactPath)
	if err != nil {
		return nil, err
	}
	e := erasure{s: s, session: in.SessionID, ids: []string{id}}
	if row != nil && row.Lid != nil && !strings.HasSuffix(id, "@"+events.LIDServer) {
		e.ids = append(e.ids, *row.Lid+"@"+events.LIDServer)
	}
	for _, own := range []struct {
		user   *string
		server string
	}{{session.Phone, events.PhoneServer}, {session.Lid, events.LIDServer}} {
		if own.user != nil && strings.Contains(strings.Join(e.ids, " ")+" ", *own.user+"@"+own.server+" ") {
			return nil, invalid("path.contactId", "expected somebody else than the session's own account")
		}
	}
	for _, jid := range e.ids {
		e.named = append(e.named, `%"`+likeEscape.Replace(jid)+`"%`)
		e.needles = append(e.needles, []byte(`"`+jid+`"`))
	}
	ctx, cancel := context.WithTimeout(ctx, eraseWait)
	defer cancel()
	erased, err := e.run(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, problem(Unavailable, "not everything could be erased in time; what was is, repeat the request")
	}
	if err != nil {
		return nil, err
	}
	if row == nil && erased == (Erased{}) {
		return nil, problem(ContactNotFound, "the session knows nobody of this id")
	}
	return &struct{ Body Erased }{erased}, nil
}

// erasure is one person's, in one session.
type erasure struct {
	s       *Server
	session string
	ids     []string // his JIDs; the first is the contact's id
	named   []string // them in quotes, as patterns of LIKE
	needles [][]byte // the same as bytes
}

// run erases page by page. The contact's row goes last: as long as it is there, somebody can repeat what was interrupted. What is written meanwhile, such
// as a message of his that comes in, is new, and stays.
func (e erasure) run(ctx context.Context) (done Erased, err error) {
	s := e.s
	err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		changes, err := s.q.EraseChanges(ctx, tx, e.session, e.ids, e.named)
		if err != nil {
			return fmt.Errorf("erase changes: %w", err)
		}
		for _, id := range changes {
			tx.Notify(events.WakeChanges, id.String())
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	for after, more := (uuid.UUID{}), true; more; {
		err := s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
			page, err := s.q.EraseMessages(ctx, tx, db.EraseMessagesParams{Ids: e.ids, Named: e.named, SessionID: e.session, After: after, MaxRows: erasePage})
			if err != nil {
				return fmt.Errorf("erase messages: %w", err)
			}
			done.Messages += int(page.Gone)
			after, more = page.Last, page.Looked == erasePage
			for _, id := range page.Waiting {
				tx.Notify(events.WakeMessages, id.String())
			}
			return nil
		})
		if err != nil {
			return done, err
		}
	}
	if err := s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error { return e.forget(ctx, tx) }); err != nil {
		return done, err
	}
	for after, more := int64(0), true; more; {
		err := s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
			page, err := s.q.EraseEvents(ctx, tx, db.EraseEventsParams{Ids: e.ids, Named: e.needles, SessionID: e.session, After: after, MaxRows: erasePage})
			if err != nil {
				return fmt.Errorf("erase events: %w", err)
			}
			done.Events += int(page.Gone)
			after, more = page.Last, page.Looked == erasePage
			return nil
		})
		if err != nil {
			return done, err
		}
	}
	return done, s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		gone, err := s.q.EraseContact(ctx, tx, e.session, e.ids)
		if err != nil {
			return fmt.Errorf("erase contact: %w", err)
		}
		if gone == 0 {
			return nil
		}
		data := events.ContactData{Contact: events.Contact{Address: events.Address{ID: e.ids[0], Kind: events.KindUser}}, Changed: events.ContactErased}
		_, err = events.Publish(tx, events.ContactUpdated, e.session, e.ids[0], time.Now(), data)
		return err
	})
}

// signalTables are those of the linked device's own store that say who somebody is or what was written, with the columns that name him. They stand in
// a schema that belongs to the connector; one that is not there has nothing to erase.
var signalTables = []struct{ name, where string }{
	{"whatsmeow_contacts", "their_jid = ANY ($2)"},
	{"whatsmeow_chat_settings", "chat_jid = ANY ($2)"},
	{"whatsmeow_message_secrets", "chat_jid = ANY ($2) OR sender_jid = ANY ($2)"},
	{"whatsmeow_retry_buffer", "chat_jid = ANY ($2)"},
	{"whatsmeow_privacy_tokens", "their_jid = ANY ($2)"},
}

// forget erases the chat, and what the device's own store holds beside keys.
func (e erasure) forget(ctx context.Context, tx *queue.Tx) error {
	if err := e.s.q.EraseChat(ctx, tx, e.session, e.ids); err != nil {
		return fmt.Errorf("erase chat: %w", err)
	}
	if err := errors.Join(e.s.q.PresenceErase(ctx, tx, e.session, e.ids), e.s.q.CallErase(ctx, tx, e.session, e.ids)); err != nil {
		return fmt.Errorf("erase presence and calls: %w", err)
	}
	if e.s.config.SignalSchema == "" {
		return nil
	}
	var device *string
	if err := tx.QueryRow(ctx, `SELECT jid FROM sessions WHERE id = $1`, e.session).Scan(&device); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read linked device: %w", err)
	}
	if device == nil {
		return nil
	}
	for _, table := range signalTables {
		name := pgx.Identifier{e.s.config.SignalSchema, table.name}.Sanitize()
		if _, err := tx.Exec(ctx, `DELETE FROM `+name+` WHERE our_jid = $1 AND (`+table.where+`)`, *device, e.ids); err != nil {
			return fmt.Errorf("erase from %s: %w", table.name, err)
		}
	}
	return nil
}

package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
)

const (
	// acquaintanceKept is for how long somebody is not looked up again: a row that was written under his LID while his phone was just becoming
	// known is found when he is next heard of after that.
	acquaintanceKept = time.Minute
	// acquaintancesMost bounds whom a session remembers, at 200 bytes each: four groups of WhatsApp's largest size.
	acquaintancesMost = 4096
	// joinTimeout bounds the transaction that moves what is kept of somebody: 100,000 messages take 10 s on two busy cores, 1,000 take 0.1 s.
	joinTimeout = 2 * time.Minute
	// joinPage is how many people without a phone are looked up at once.
	joinPage = 500
)

// joinLocks bounds the wait for rows that somebody else is changing. address may be called by whoever holds them.
const joinLocks = `SET LOCAL lock_timeout = '3s'`

// acquaintance is what was found about somebody with a LID: his phone, in digits, "" while it is unknown.
type acquaintance struct {
	phone string
	until time.Time
}

// joined completes the address of somebody with a LID. Where the phone is known, nothing is left under the LID when it returns; where whatsmeow
// does not know it, the contacts are asked: a restored backup knows more than the map.
func (c *connection) joined(ctx context.Context, a address) (address, error) {
	s := c.s
	if known, ok := s.acquainted(a.lid); ok && (a.phone == "" || known.phone == a.phone) {
		return a.with(known.phone), nil
	}
	if a.phone == "" {
		id, err := s.c.queries.ContactByLID(ctx, s.c.pool, s.id, &a.lid)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return a, fmt.Errorf("look up contact: %w", err)
		}
		if phone, ok := strings.CutSuffix(id, "@"+events.PhoneServer); ok {
			a = a.with(phone)
		}
		s.acquaint(a)
		return a, nil
	}
	left, err := s.c.queries.ContactKnownByLID(ctx, s.c.pool, s.id, a.lid+"@"+events.LIDServer)
	if err != nil {
		return a, fmt.Errorf("look up contact: %w", err)
	}
	if left {
		if err := c.join(ctx, a); err != nil {
			return a, err
		}
	}
	s.acquaint(a)
	return a, nil
}

// with is the address with a phone that has become known; "" leaves it as it is.
func (a address) with(phone string) address {
	if a.phone != "" || phone == "" {
		return a
	}
	return address{id: phone + "@" + events.PhoneServer, phone: phone, lid: a.lid}
}

func (s *session) acquainted(lid string) (acquaintance, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.people[lid]
	return a, ok && time.Now().Before(a.until)
}

func (s *session) acquaint(a address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.people) >= acquaintancesMost {
		clear(s.people)
	}
	s.people[a.lid] = acquaintance{a.phone, time.Now().Add(acquaintanceKept)}
}

// join moves all that is kept under somebody's LID to his phone and tells of it, in one transaction: there is no moment at which he is two people,
// or half of a chat is elsewhere. What went out before, in events, keeps the LID; contact.updated says what became of it.
//
// Failure policy: what cannot be had for somebody else's locks is left, and found again after acquaintanceKept, or with the next login.
func (c *connection) join(ctx context.Context, a address) error {
	s, q := c.s, c.s.c.queries
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), joinTimeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	began, lid, moved := time.Now(), a.lid+"@"+events.LIDServer, int64(0)
	err := s.fenced(ctx, func(tx *queue.Tx) error {
		if _, err := tx.Exec(ctx, joinLocks); err != nil {
			return fmt.Errorf("bound locks: %w", err)
		}
		row, err := q.ContactJoin(ctx, tx, a.id, lid, s.id)
		if errors.Is(err, pgx.ErrNoRows) { // another was faster
			return nil
		}
		if err != nil {
			return fmt.Errorf("join contact: %w", err)
		}
		twice, err := q.MessageJoinDuplicates(ctx, tx, lid, a.id, s.id)
		if err != nil {
			return fmt.Errorf("drop duplicate messages: %w", err)
		}
		if moved, err = q.MessageJoin(ctx, tx, lid, a.id, s.id); err != nil {
			return fmt.Errorf("join messages: %w", err)
		}
		err = errors.Join(
			q.ChatJoin(ctx, tx, a.id, s.id, lid), q.ChatLabelJoin(ctx, tx, a.id, s.id, lid), q.ReactionJoin(ctx, tx, a.id, s.id, lid),
			q.VoteJoin(ctx, tx, a.id, s.id, lid), q.ReceiptJoin(ctx, tx, a.id, s.id, lid), q.ChangeJoin(ctx, tx, lid, a.id, s.id),
			q.PresenceJoin(ctx, tx, a.id, s.id, lid), q.CallJoin(ctx, tx, a.id, s.id, lid))
		if err != nil {
			return fmt.Errorf("join what belongs to the chat: %w", err)
		}
		moved += twice
		data := events.ContactData{Contact: postgres.Contact(row), PreviousID: lid, Changed: events.ContactAddress}
		_, err = events.Publish(tx, events.ContactUpdated, s.id, a.id, time.Now(), data)
		return err
	})
	switch {
	case postgres.ErrorCode(err) == "55P03" || postgres.ErrorCode(err) == "40P01": // lock_not_available, deadlock_detected
		s.log.WarnContext(ctx, "what is kept under a LID could not be moved to its phone yet", "error", err)
		return nil
	case err != nil:
		return fmt.Errorf("join LID and phone: %w", err)
	}
	s.log.InfoContext(ctx, "a phone became known; what was kept under its LID moved to it", "messages", moved, "took", time.Since(began).Round(time.Millisecond).String())
	return nil
}

// joinKnown joins those whose phones became known without a word of theirs: through another session, or while this one was offline.
func (c *connection) joinKnown(ctx context.Context) error {
	s := c.s
	for after := ""; ; {
		lids, err := s.c.queries.ContactListLIDs(ctx, s.c.pool, s.id, after, joinPage)
		if err != nil {
			return fmt.Errorf("list contacts without a phone: %w", err)
		}
		if len(lids) == 0 {
			return nil
		}
		after = lids[len(lids)-1]
		phones, err := s.c.store.Phones(ctx, lids)
		if err != nil {
			return err
		}
		for lid, phone := range phones {
			if err := c.join(ctx, address{id: phone + "@" + events.PhoneServer, phone: phone, lid: lid}); err != nil {
				return err
			}
		}
	}
}

// settle brings what the session keeps of people up to date, once a login. Failure policy: best effort; the next login does it again.
func (c *connection) settle() {
	ctx, cancel := context.WithTimeout(c.ctx, joinTimeout)
	defer cancel()
	err := c.joinKnown(ctx)
	if err == nil {
		err = c.addressBookOnce(ctx)
	}
	if err != nil && ctx.Err() == nil {
		c.s.log.WarnContext(ctx, "contacts could not be brought up to date", "error", err)
	}
}

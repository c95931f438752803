package connector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// A message that is not to be sent at once, because the session's settings pace it or because typing is shown before it, is set aside when its
// command's turn comes: its row says so, and the lane goes on with other chats. keepPace looks at what was set aside, in its order, and lets go what
// may go: the message's command comes to the lane's end. So nothing waits in the lane but for its turn, what waits survives every crash in
// its row, and an answer is not held up by a campaign. The messages of one chat keep their order.

const (
	// heldMost bounds the messages that are looked at at once, the oldest; the others come after them.
	heldMost = 1000
	// paceLeast is the shortest time between two looks, and paceMost the longest while something is set aside: nobody tells when a message that
	// others wait behind was cancelled.
	paceLeast, paceMost = 20 * time.Millisecond, 10 * time.Second
	// typingLook is how soon it is seen that a message was cancelled before which typing is shown.
	typingLook = time.Second
)

// pacer remembers what a session may send when. It begins anew with each claim: a message may go earlier by one wait then.
type pacer struct {
	next, nextCold time.Time                 // from when a message may go that answers nobody, and one to somebody who never wrote
	begun          map[uuid.UUID]*typingSpan // the messages that may go, as soon as typing was shown
}

// typingSpan is how typing is shown before a message.
type typingSpan struct {
	conn        *connection // over which; another begins anew
	chat        string
	until, said time.Time // said: when it was last said; zero if never
}

// pacing is what is known of the time at which messages are let go.
type pacing struct {
	now     time.Time
	conn    *connection
	sending *events.Sending // nil: as fast as WhatsApp takes them
	opens   time.Time       // when the window is open next
	limit   int             // how many new contacts a day has; 0: no limit
	opened  int             // how many there were within a day, at most limit
	room    time.Time       // when there is room for another, where there is none
	typing  time.Duration   // how often typing is said
}

// plan is what one look decided.
type plan struct {
	ids  []uuid.UUID // whose row changes
	held []string    // to what
	free []db.MessageListHeldRow
	open []string // chats that are written to first
	say  []typingSaid
	next time.Time // when to look again; zero: when somebody says so
}

type typingSaid struct{ chat, state string }

func (p *plan) wake(at time.Time) {
	if p.next.IsZero() || at.Before(p.next) {
		p.next = at
	}
}

func (p *plan) set(m db.MessageListHeldRow, held string) {
	if m.Held != held {
		p.ids, p.held = append(p.ids, m.ID), append(p.held, held)
	}
}

// look decides what becomes of the messages that were set aside.
func (p *pacer) look(at pacing, rows []db.MessageListHeldRow) (next plan) {
	if p.begun == nil {
		p.begun = map[uuid.UUID]*typingSpan{}
	}
	if s := at.sending; s != nil { // the settings may be others since a wait began
		if s.Pace != nil {
			p.next = earlier(p.next, at.now.Add(seconds(s.Pace.MaxSeconds)))
		}
		if s.NewContacts != nil {
			p.nextCold = earlier(p.nextCold, at.now.Add(seconds(s.NewContacts.MaxSeconds)))
		}
	}
	there, behind := make(map[uuid.UUID]bool, len(rows)), make(map[string]bool, len(rows))
	for _, m := range rows {
		there[m.ID] = true
		first := !behind[m.ChatID]
		behind[m.ChatID] = true
		if m.Held == events.Released {
			delete(p.begun, m.ID)
			continue
		}
		if !first {
			next.set(m, events.WaitsForChat)
			continue
		}
		span := p.begun[m.ID]
		if span == nil {
			if until, why := p.waits(at, m); until.After(at.now) {
				next.set(m, why)
				next.wake(until)
				continue
			}
			p.spend(&at, m, &next)
			span = &typingSpan{chat: m.ChatID}
			p.begun[m.ID] = span
		}
		if m.TypingSeconds > 0 && span.shows(at, m, &next) {
			continue
		}
		next.set(m, events.Released)
		next.free = append(next.free, m)
	}
	for id, span := range p.begun {
		if !there[id] { // cancelled, or its time is over
			span.end(&next)
			delete(p.begun, id)
		}
	}
	return next
}

// waits says until when a message waits, and what for.
func (p *pacer) waits(at pacing, m db.MessageListHeldRow) (until time.Time, why string) {
	until = at.now
	if at.sending == nil || m.Urgent || m.Answers {
		return until, ""
	}
	later := func(t time.Time, w string) {
		if t.After(until) {
			until, why = t, w
		}
	}
	if at.sending.Window != nil {
		later(at.opens, events.WaitsForWindow)
	}
	if at.sending.Pace != nil {
		later(p.next, events.WaitsForPace)
	}
	if at.sending.NewContacts != nil && m.Cold {
		later(p.nextCold, events.WaitsForNewContacts)
		if !m.Opened && at.limit > 0 && at.opened >= at.limit {
			later(at.room, events.WaitsForDay)
		}
	}
	return until, why
}

// spend notes that a message goes.
func (p *pacer) spend(at *pacing, m db.MessageListHeldRow, next *plan) {
	if m.Cold && !m.Opened {
		next.open = append(next.open, m.ChatID)
		if at.opened++; at.opened == at.limit {
			at.room = at.now.Add(time.Second) // the next look knows better
		}
	}
	if at.sending == nil || m.Urgent || m.Answers {
		return
	}
	if pace := at.sending.Pace; pace != nil {
		p.next = at.now.Add(wait(*pace))
	}
	if at.sending.NewContacts != nil && m.Cold {
		p.nextCold = at.now.Add(wait(at.sending.NewContacts.Pace))
	}
}

// shows says whether typing is still to be shown before a message.
func (t *typingSpan) shows(at pacing, m db.MessageListHeldRow, next *plan) bool {
	if t.conn != at.conn {
		t.conn, t.until, t.said = at.conn, at.now.Add(seconds(int(m.TypingSeconds))), time.Time{}
	}
	if !at.now.Before(t.until) {
		t.end(next)
		return false
	}
	if t.said.IsZero() || at.now.Sub(t.said) >= at.typing {
		state := events.TypingText
		if m.Type == events.ContentVoice {
			state = events.TypingVoice
		}
		t.said = at.now
		next.say = append(next.say, typingSaid{t.chat, state})
	}
	next.set(m, events.WaitsForTyping)
	next.wake(earlier(earlier(t.until, t.said.Add(at.typing)), at.now.Add(typingLook)))
	return true
}

// end says that nobody types any more.
func (t *typingSpan) end(next *plan) {
	if !t.said.IsZero() {
		next.say = append(next.say, typingSaid{t.chat, events.TypingEnded})
		t.said = time.Time{}
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func wait(p events.Pace) time.Duration {
	return seconds(p.MinSeconds) + rand.N(seconds(p.MaxSeconds-p.MinSeconds)+1)
}

// holdBack sets a message aside whose command's turn has come, and says whether it did.
func (s *session) holdBack(ctx context.Context, cmd events.SendCommand) (bool, error) {
	if s.sender() == nil { // send parks it
		return false, nil
	}
	s.mu.Lock()
	held := cmd.TypingSeconds > 0 || !cmd.Urgent && (s.holding || s.chosen.Sending.Paces())
	s.mu.Unlock()
	if !held {
		return false, nil
	}
	state, err := s.c.queries.MessageHold(ctx, s.c.pool, cmd.MessageID, s.id, s.c.cfg.Owner, s.epoch)
	s.mu.Lock() // once its row says so, or a look that finds nothing yet would have keepPace wait for good; an answer that was lost counts too
	s.holding = true
	s.aside++
	s.mu.Unlock()
	signal(s.toPace)
	if errors.Is(err, pgx.ErrNoRows) { // send knows what has become of it
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("set message aside: %w", err)
	}
	return state != events.Released, nil
}

// holdsBack says whether messages of the session are set aside, or may be.
func (s *session) holdsBack() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holding || s.chosen.Sending.Paces()
}

// pacingMoved wakes keepPace where something is set aside: what it waits for may be there.
func (s *session) pacingMoved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holding {
		signal(s.toPace)
	}
}

// keepPace lets messages go that were set aside, for as long as the claim holds and the session is connected.
//
// Failure policy: without a connection nothing is let go. What the database refuses is tried again after a second; what was let go has its command in
// the same transaction. Typing that cannot be shown is not.
func (s *session) keepPace() {
	for {
		next, err := s.paceOnce()
		after := time.Second
		switch {
		case errors.Is(err, errClaimLost):
			s.cancel(errClaimLost)
		case err != nil:
			s.log.WarnContext(s.ctx, "messages that wait are not looked at", "error", err)
		case next.IsZero():
			after = paceMost
		default:
			after = min(paceMost, max(paceLeast, time.Until(next)))
		}
		var due <-chan time.Time // never, while nothing is set aside
		timer := time.NewTimer(after)
		s.mu.Lock()
		if s.holding && s.conn != nil {
			due = timer.C
		}
		s.mu.Unlock()
		select {
		case <-due:
		case <-s.toPace:
		case <-s.ctx.Done():
		}
		timer.Stop()
		least := time.NewTimer(paceLeast)
		select {
		case <-least.C:
		case <-s.ctx.Done():
			least.Stop()
			return
		}
	}
}

// paceOnce looks once at what was set aside, and returns when to look again; zero: when somebody says so.
func (s *session) paceOnce() (at time.Time, err error) {
	conn := s.sender()
	s.mu.Lock()
	holding, aside, sending, created := s.holding || s.unlooked, s.aside, s.chosen.Sending, s.control.CreatedAt
	s.mu.Unlock()
	switch {
	case !holding:
		return at, nil
	case conn == nil: // where there is one that only just cannot send; another wakes keepPace
		return time.Now().Add(time.Second), nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, handlerTimeout)
	defer cancel()
	now := time.Now()
	rows, err := s.c.queries.MessageListHeld(ctx, s.c.pool, events.FirstID(now.Add(-events.AnswerWithin)), s.id, heldMost)
	if err != nil {
		return at, fmt.Errorf("list messages that were set aside: %w", err)
	}
	p := pacing{now: now, conn: conn, sending: sending, opens: now, typing: s.c.pace.typing}
	if len(rows) > 0 && sending != nil {
		if err := s.readPace(ctx, &p, created); err != nil {
			return at, err
		}
	}
	s.mu.Lock()
	s.unlooked, s.holding = false, s.holding || len(rows) > 0
	s.mu.Unlock()
	next := s.pacer.look(p, rows)
	s.showTyping(ctx, conn, next.say)
	if len(next.ids) > 0 {
		if err := s.letGo(ctx, next); err != nil {
			return at, err
		}
	}
	if len(rows) == 0 {
		s.mu.Lock()
		s.holding = s.aside != aside
		s.mu.Unlock()
	}
	return next.next, nil
}

// readPace finds out what of the settings depends on the time and on what was sent.
func (s *session) readPace(ctx context.Context, p *pacing, created time.Time) (err error) {
	if w := p.sending.Window; w != nil {
		if p.opens, err = w.Opens(p.now); err != nil {
			return err
		}
	}
	n := p.sending.NewContacts
	if n == nil || n.PerDay == 0 {
		return nil
	}
	p.limit = n.Limit(p.now, created)
	day := p.now.Add(-24 * time.Hour)
	opened, err := s.c.queries.ChatOpened(ctx, s.c.pool, day, s.id, int32(p.limit))
	if err != nil {
		return fmt.Errorf("count new contacts: %w", err)
	}
	p.opened, p.room = int(opened.Opened), opened.First.Add(24*time.Hour)
	return nil
}

// letGo writes what one look decided, and puts the commands of what may go on the queue.
func (s *session) letGo(ctx context.Context, next plan) error {
	return s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		if err := s.hold(ctx, tx); err != nil {
			return err
		}
		free, err := s.c.queries.MessageLetGo(ctx, tx, s.id, next.ids, next.held)
		if err != nil {
			return fmt.Errorf("write what messages wait for: %w", err)
		}
		if len(next.open) > 0 {
			if err := s.c.queries.ChatOpen(ctx, tx, s.id, next.open); err != nil {
				return fmt.Errorf("note new contacts: %w", err)
			}
			s.examine.Store(true)
		}
		goes := make(map[uuid.UUID]bool, len(free))
		for _, id := range free {
			goes[id] = true
		}
		for _, m := range next.free {
			if !goes[m.ID] {
				continue // cancelled just now
			}
			tx.Join(m.Trace)
			if err := events.SendMessage(tx, events.SendCommand{MessageID: m.ID, SessionID: s.id, Urgent: m.Urgent}); err != nil {
				return err
			}
		}
		return nil
	})
}

// showTyping says in chats that the account types, or has stopped.
func (s *session) showTyping(ctx context.Context, conn *connection, say []typingSaid) {
	for _, said := range say {
		chat, err := types.ParseJID(said.chat)
		if err == nil {
			err = conn.show(ctx, chat, said.state)
		}
		if err != nil {
			s.log.InfoContext(s.ctx, "typing not shown", "error", err)
		}
	}
}

package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// Reconnecting begins within a second and slows down to once a minute, each wait at random between half and all of its length, so that
	// a thousand sessions do not come back in one instant.
	reconnectFirst = 500 * time.Millisecond
	reconnectMost  = time.Minute
	// returnSpread is within how long the sessions that wait for WhatsApp connect once it has answered one of them, or a probe.
	returnSpread = 3 * time.Second
	// databaseWait is the least that a session waits for the database, and half of the most.
	databaseWait = time.Second
	// A connection that held this long was a good one: the next wait is the first again.
	reconnectSettled = 10 * time.Second
	// drainWait is what the command in hand is given to end when a session is handed over.
	drainWait = time.Second
)

// session supervises one claimed session: one goroutine, run, decides everything that happens to it.
type session struct {
	c      *Connector
	id     string
	epoch  int64
	log    *slog.Logger
	ctx    context.Context // ends when the claim is lost, handed over, or the session rests
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when everything has ended

	changed chan struct{} // holds one: the control may have changed
	inHand  chan struct{} // holds one while a command is being handled
	asking  chan struct{} // holds one for each query in hand

	online  atomic.Bool   // the row says connected
	sending attempt       // of whoever holds inHand
	pacer   pacer         // of keepPace alone
	toPace  chan struct{} // holds one: keepPace has something to look at
	examine atomic.Bool   // the account's health may be another

	term      term      // how long the claim is ours
	abandoned time.Time // when it was taken from an owner who did not give it back; zero where he did

	mu       sync.Mutex
	control  db.SessionListControlRow // what is asked of the session
	conn     *connection              // the login that can send now, or nil
	unlinked *connection              // the connection over which a phone can link the session now, or nil
	tried    bool                     // there has been a login under this claim, or one has failed
	changing map[uuid.UUID]time.Time  // the changes in hand, since when they are tried
	people   map[string]acquaintance  // by LID: who was looked up lately
	resolved map[string]string        // by number as it was written: the number that has the account
	unlooked bool                     // nobody has looked yet what was set aside before
	holding  bool                     // there may be messages that are set aside
	aside    int                      // how many were set aside, to see whether another was
	chosen   events.Settings          // what control says of settings
	trying   time.Time                // since when WhatsApp has not answered; zero while it answers, or is not asked

	// Of run's goroutine alone.
	jid          *types.JID // the linked device
	state        events.SessionState
	reason       string
	code         string // WhatsApp's, for the state that is written next
	restartsDone int64
	failures     int       // connections in a row that did not last
	pairingSince time.Time // when the first QR code of this start was shown
}

func newSession(c *Connector, row db.SessionListControlRow, cl claim) *session {
	s := &session{
		c: c, id: row.ID, epoch: cl.epoch, log: c.log.With("session", row.ID, "epoch", cl.epoch), done: make(chan struct{}),
		changed: make(chan struct{}, 1), toPace: make(chan struct{}, 1), unlooked: true, inHand: make(chan struct{}, 1), asking: make(chan struct{}, queriesMost), control: row, changing: map[uuid.UUID]time.Time{},
		people: map[string]acquaintance{}, resolved: map[string]string{},
		state: events.SessionState(row.State), reason: row.Reason, restartsDone: row.RestartsDone,
	}
	s.term.extend(cl.at)
	if cl.abandoned {
		s.abandoned = cl.at
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	s.chosen = s.readSettings(row)
	s.examine.Store(true)
	s.online.Store(s.state == events.StateConnected)
	if row.Jid != nil {
		if jid, err := types.ParseJID(*row.Jid); err == nil {
			s.jid = &jid
		}
	}
	return s
}

// run is the session's life in this connector.
func (s *session) run() {
	defer close(s.done)
	s.c.metrics.enter(s.state)
	defer func() { s.c.metrics.leave(s.state) }()
	var pacing sync.WaitGroup
	pacing.Go(s.keepPace)
	defer pacing.Wait()
	err := s.supervise()
	if err != nil && s.ctx.Err() == nil {
		s.log.ErrorContext(s.ctx, "session gave up", "error", err)
	}
	s.cancel(errHandOver) // no cause where there is one already
	if !errors.Is(context.Cause(s.ctx), errClaimLost) {
		s.release(s.ctx)
	}
}

// supervise does what is asked of the session until it needs no connector any more (nil) or is not ours (an error). Failure policy: what
// fails for want of the database or of WhatsApp is tried again with growing waits for as long as the claim holds.
func (s *session) supervise() error {
	for {
		if err := context.Cause(s.ctx); err != nil {
			return err
		}
		asked := s.asked()
		switch {
		case asked.DeleteRequestedAt != nil:
			return s.remove()
		case asked.LogoutRequestedAt != nil && s.jid == nil:
			if err := s.tell(events.StateLoggedOut, "logged out on request"); err != nil {
				return err
			}
			s.clearLogout()
			continue
		case asked.LogoutRequestedAt != nil:
			// A session is unlinked over a connection, whatever its state.
		case asked.Desired == events.DesiredStopped && s.state == events.StateLoggedOut:
			return nil
		case asked.Desired == events.DesiredStopped:
			return s.write(events.StateStopped, "")
		case ended(s.state) && asked.Restarts <= s.restartsDone:
			return nil
		case asked.Restarts > s.restartsDone:
			s.restartsDone, s.failures, s.pairingSince = asked.Restarts, 0, time.Time{}
			if err := s.write(events.StateStarting, "restarted"); err != nil {
				return err
			}
		}
		if err := s.announce(); err != nil {
			return err
		}
		e := s.connect()
		if err := context.Cause(s.ctx); err != nil {
			return err
		}
		if err := s.settle(e); err != nil {
			return err
		}
	}
}

// ended says whether a state is one that only a person's restart leaves. Nothing may be tried by itself there: a replaced session would
// fight the one that replaced it, and logins of a banned account make the ban worse.
func ended(state events.SessionState) bool {
	switch state {
	case events.StateLoggedOut, events.StateBanned, events.StateReplaced, events.StateFailed:
		return true
	}
	return false
}

// announce says that the session is about to connect, before it does: a state left by the owner before must not read connected, for
// commands that are parked look at it.
func (s *session) announce() error {
	switch s.state {
	case events.StateStarting, events.StateReconnecting:
		return nil
	case events.StateConnected, events.StateRestricted:
		return s.write(events.StateReconnecting, "the session moved to another connector")
	case events.StateQR:
		if !s.pairingSince.IsZero() {
			return nil // the next set of codes follows at once
		}
	}
	return s.write(events.StateStarting, "")
}

// ending is how a connection ended.
type ending struct {
	state  events.SessionState // to be written; "" leaves the state
	reason string
	code   string        // WhatsApp's own, where it gave one
	again  bool          // connect again, after a wait
	after  time.Duration // the wait; 0 is the growing one
	lasted time.Duration // how long it was logged in
	logout bool          // the device is unlinked: its keys go
	// unanswered says that WhatsApp could not be reached: the wait ends early when somebody else reaches it.
	unanswered bool
}

// settle writes how a connection ended, and waits where there is to be another.
func (s *session) settle(e ending) error {
	if e.logout {
		if err := s.forget(); err != nil {
			return err
		}
	}
	if e.state != "" {
		s.code = e.code
		if err := s.write(e.state, e.reason); err != nil {
			return err
		}
	}
	if e.logout {
		s.clearLogout()
	}
	if !e.again {
		return nil
	}
	s.c.metrics.reconnects.Inc()
	wait := e.after
	if wait == 0 {
		if e.lasted >= reconnectSettled {
			s.failures = 0
		}
		wait = min(reconnectMost, s.c.pace.reconnect<<min(s.failures, 10))
		wait = wait/2 + rand.N(wait/2+1)
		s.failures++
	}
	s.log.InfoContext(s.ctx, "connecting again", "reason", e.reason, "in", wait.Round(time.Millisecond).String())
	before := s.wish()
	var back <-chan struct{} // nil, hence never, where WhatsApp is not what is waited for
	if e.unanswered {
		back = s.c.reach.back()
	}
	end := time.Now().Add(wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-back:
			back = nil
			timer.Reset(min(time.Until(end), rand.N(returnSpread)))
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-s.changed:
			if s.wish() != before {
				return nil
			}
		}
	}
}

// wish is what is asked of a session, to see whether it has changed.
type wish struct {
	desired        string
	restarts       int64
	logout, remove bool
	proxy          events.ProxyURL
}

func (s *session) wish() wish {
	asked := s.asked()
	return wish{asked.Desired, asked.Restarts, asked.LogoutRequestedAt != nil, asked.DeleteRequestedAt != nil, s.settings().Proxy}
}

// interrupted says whether something else is asked of the session than to stay connected.
func (s *session) interrupted() bool {
	w := s.wish()
	return w.remove || w.logout || w.desired == events.DesiredStopped || w.restarts > s.restartsDone
}

// unlinking says whether the device is to be unlinked.
func (s *session) unlinking() bool {
	asked := s.asked()
	return asked.LogoutRequestedAt != nil || asked.DeleteRequestedAt != nil && asked.DeleteUnlinks
}

func (s *session) asked() db.SessionListControlRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.control
}

// settings are the client's choices.
func (s *session) settings() events.Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chosen
}

// readSettings reads the client's choices; those that cannot be read are none.
func (s *session) readSettings(row db.SessionListControlRow) (settings events.Settings) {
	if json.Unmarshal(row.Settings, &settings) != nil { // the text of the error may hold them
		s.log.WarnContext(s.ctx, "settings cannot be read")
	}
	proxy, err := s.c.cfg.Keys.OpenProxy(string(settings.Proxy), s.id)
	if err != nil { // the proxy gets a user that it does not know, and nothing goes past it
		s.log.ErrorContext(s.ctx, "the proxy's password cannot be read", "error", err)
		return settings
	}
	settings.Proxy = events.ProxyURL(proxy)
	return settings
}

// setControl takes what is asked of the session now.
func (s *session) setControl(row db.SessionListControlRow) {
	chosen := s.readSettings(row)
	s.mu.Lock()
	s.control, s.chosen = row, chosen
	s.mu.Unlock()
	signal(s.changed)
	s.pacingMoved()
}

// clearLogout forgets a logout request that was carried out; the row has forgotten it already.
func (s *session) clearLogout() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.control.LogoutRequestedAt = nil
}

// setConn makes a login the one that sends, or none.
func (s *session) setConn(conn *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.tried = conn, true
	signal(s.toPace)
}

// sender returns the login that can send now, or nil.
func (s *session) sender() *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.conn.ctx.Err() != nil || !s.holds() {
		return nil
	}
	return s.conn
}

// write tells a state, unless it has been told already.
func (s *session) write(state events.SessionState, reason string) error {
	if state == s.state && reason == s.reason {
		return nil
	}
	return s.tell(state, reason)
}

// tell persists a state with its reason, publishes it as session.status, and wakes whoever waits for it; connected also readies the parked
// commands.
func (s *session) tell(state events.SessionState, reason string) error {
	return s.persist(db.SessionSetStateParams{State: string(state), Reason: reason}, func(tx *queue.Tx, shown events.Session, at time.Time) error {
		_, err := events.Publish(tx, events.SessionStatus, s.id, "", at, events.SessionData{Session: shown})
		if err != nil || state != events.StateConnected {
			return err
		}
		return queue.Ready(s.ctx, tx, events.TopicCommands, s.id)
	})
}

// persist writes the session's row in a fenced transaction, with what publish adds. Failure policy: it tries until the database takes it or
// the session is not ours any more.
func (s *session) persist(p db.SessionSetStateParams, publish func(*queue.Tx, events.Session, time.Time) error) error {
	p.ID, p.RestartsDone = s.id, s.restartsDone
	err := s.insist("write state", func(ctx context.Context) error {
		return s.fenced(ctx, func(tx *queue.Tx) error {
			if err := s.c.queries.SessionSetState(ctx, tx, p); err != nil {
				return fmt.Errorf("write state: %w", err)
			}
			if state := events.SessionState(p.State); state != s.state || p.Reason != s.reason {
				if err := s.logged(ctx, tx, events.LogEntry{Kind: events.LogState, State: state, Reason: p.Reason, Code: s.code}); err != nil {
					return err
				}
			}
			shown, err := s.shown(ctx, tx)
			if err != nil {
				return err
			}
			tx.Notify(events.WakeSessions, s.id)
			return publish(tx, shown, time.Now())
		})
	})
	if err != nil {
		return err
	}
	state := events.SessionState(p.State)
	if state != s.state {
		s.c.metrics.move(s.state, state)
		s.log.InfoContext(s.ctx, "session state changed", "state", state, "reason", p.Reason)
	}
	s.state, s.reason, s.code = state, p.Reason, ""
	s.online.Store(state == events.StateConnected)
	if state == events.StateLoggedOut {
		s.jid = nil
	}
	if state == events.StateLoggedOut || state == events.StateBanned {
		signal(s.c.due) // what waited to be sent will not be
	}
	return nil
}

// shown is the session's row in its public form.
func (s *session) shown(ctx context.Context, tx *queue.Tx) (events.Session, error) {
	view, err := s.c.queries.SessionShow(ctx, tx, s.id)
	if err != nil {
		return events.Session{}, fmt.Errorf("read session: %w", err)
	}
	return postgres.Session(view)
}

// insist repeats what needs the database until it succeeds, the claim is lost or the session ends.
func (s *session) insist(doing string, fn func(context.Context) error) error {
	wait := 100 * time.Millisecond
	for {
		ctx, cancel := context.WithTimeout(s.ctx, handlerTimeout)
		err := fn(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, errClaimLost) {
			s.cancel(errClaimLost)
			return err
		}
		if cause := context.Cause(s.ctx); cause != nil {
			return cause
		}
		s.log.WarnContext(s.ctx, doing+" failed; trying again", "error", err)
		select {
		case <-time.After(wait):
			wait = min(2*wait, 2*time.Second)
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

// signal fills a channel that holds one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

package connector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.mau.fi/whatsmeow"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/signalstore"
)

const (
	// loginTimeout bounds the time from dialling to being logged in or shown QR codes; without trouble it takes 0.2 s.
	loginTimeout = 45 * time.Second
	// pairedTimeout is what WhatsApp is given after pairing to ask for the login that follows it, before it is made unasked.
	pairedTimeout = 10 * time.Second
	// pingsMost is how many unanswered pings end a connection. whatsmeow pings every 20-30 s (keepalive.go).
	pingsMost = 2
)

// connect makes a connection and keeps it until it ends or something else is asked of the session.
func (s *session) connect() ending {
	conn, err := s.open()
	switch {
	case errors.Is(err, signalstore.ErrNoDevice):
		return ending{state: events.StateLoggedOut, reason: "the device's keys are gone; link it again", logout: true}
	case errors.Is(err, errProxy):
		return ending{state: events.StateFailed, reason: "the session's proxy cannot be used; set another, or none, and restart the session"}
	case err != nil:
		s.log.WarnContext(s.ctx, "device cannot be loaded", "error", err)
		s.untried()
		e := s.retry("the database does not answer", 0)
		e.after = databaseWait + rand.N(databaseWait) // it says nothing of WhatsApp, whose waits grow
		return e
	}
	defer conn.close()
	return conn.run()
}

// retry is the ending of a connection that is to be made again.
func (s *session) retry(reason string, lasted time.Duration) ending {
	e := ending{state: events.StateReconnecting, reason: reason, again: true, lasted: lasted}
	if s.jid == nil {
		e.state = events.StateStarting
	}
	return e
}

// unanswered is retry after a silence of WhatsApp's, or of the network in between.
func (s *session) unanswered(reason string, lasted time.Duration) ending {
	e := s.retry(reason, lasted)
	e.unanswered = true
	return e
}

// run dials and then waits for what happens.
func (c *connection) run() ending {
	s := c.s
	name := c.device.PushName // before whatsmeow works on the device
	settled := sync.OnceFunc(func() {
		c.work.Go(c.settle)
		c.work.Go(c.readStates)
		c.work.Go(c.syncChannels)
	})
	presence := s.settings().Presence
	appear := func() {
		name := name
		c.work.Go(func() {
			c.appear(name)
			c.renewSubscriptions()
		})
	}
	dialled := make(chan error, 1)
	c.dialled = make(chan struct{})
	s.dials()
	go func() {
		defer close(c.dialled)
		dialled <- c.client.ConnectContext(c.socket)
	}()
	limit := time.NewTimer(loginTimeout)
	defer limit.Stop()
	full, drain := c.intake.full, (<-chan time.Time)(nil)
	late := "WhatsApp did not answer the login"
	var codes pairing
	defer codes.stop()
	var in time.Time // when it was logged in
	lasted := func() time.Duration {
		if in.IsZero() {
			return 0
		}
		return time.Since(in)
	}
	hurried := false
	linked := false                  // the server has told the device that it is linked, and to log in
	check := func() (ending, bool) { // what is asked now
		switch {
		case s.unlinking() && s.jid == nil:
			return ending{}, true
		case s.unlinking() && !in.IsZero():
			return c.unlink(), true
		case s.unlinking():
			if !hurried {
				limit.Reset(unlinkTimeout)
			}
			hurried = true
			return ending{}, false
		case s.interrupted():
			return ending{}, true
		case s.settings().Proxy != c.proxy:
			e := s.retry("the session's proxy was changed", lasted())
			e.after = time.Millisecond
			return e, true
		}
		return ending{}, false
	}
	if e, end := check(); end {
		return e
	}
	for {
		select {
		case <-s.ctx.Done():
			return ending{}
		case <-c.ctx.Done():
			cause := context.Cause(c.ctx)
			s.log.WarnContext(s.ctx, "connection refuses everything from here on", "error", cause)
			e := s.retry("a message or a key could not be stored", lasted())
			if postgres.Away(cause) {
				e.after = databaseWait + rand.N(databaseWait)
			}
			return e
		case err := <-dialled:
			if answered(err) {
				s.reached()
			}
			if err != nil {
				s.log.WarnContext(s.ctx, "WhatsApp cannot be reached", "error", err, "proxy", c.proxy)
				if c.proxy != "" {
					return s.retry("WhatsApp cannot be reached through the session's proxy", 0)
				}
				e := s.retry("WhatsApp cannot be reached", 0)
				e.unanswered = !answered(err)
				return e
			}
		case <-limit.C:
			if c.passkey.asked() && s.jid == nil {
				s.note(s.ctx, "the passkey was not given in time", 0)
				return c.unlinked("the passkey was not given in time; restart the session")
			}
			return s.unanswered(late, 0)
		case <-full:
			full, drain = nil, time.After(intakeDrain)
			s.log.InfoContext(s.ctx, "WhatsApp sent more at once than is taken in its order; the rest follows over another connection")
		case <-c.intake.drained:
			return ending{state: events.StateReconnecting, reason: moreThanTaken, again: true, after: time.Millisecond}
		case <-drain:
			return ending{state: events.StateReconnecting, reason: moreThanTaken, again: true, after: time.Millisecond}
		case <-codes.next():
			if e, end := c.showCode(&codes); end {
				return e
			}
		case <-s.changed:
			if e, end := check(); end {
				return e
			}
			if wanted := s.settings().Presence; wanted != presence {
				if presence = wanted; !in.IsZero() {
					c.work.Go(c.reappear)
				}
			}
		case said := <-c.signals:
			switch said.(type) {
			case *waevents.Disconnected, *waevents.KeepAliveTimeout:
			default:
				s.reached()
			}
			switch evt := said.(type) {
			case *waevents.QR:
				limit.Stop()
				codes.start(evt.Codes, s.c.pace)
				if e, end := c.showCode(&codes); end {
					return e
				}
				s.setUnlinked(c)
			case *codeGiven:
				if c.showPairingCode(&codes, evt) != nil {
					return ending{}
				}
			case codesWanted:
				return ending{again: true, after: time.Millisecond}
			case *waevents.PairPasskeyRequest:
				codes.stop()
				left, e, end := c.askPasskey(evt)
				if end {
					return e
				}
				limit.Reset(left)
			case *waevents.PairPasskeyConfirmation:
				if c.comparePasskey(evt) != nil {
					return ending{}
				}
			case *waevents.PairPasskeyError:
				s.log.WarnContext(s.ctx, "pairing with a passkey failed", "error", evt.Error, "continuation", evt.Continuation)
				s.note(s.ctx, "pairing with the passkey failed", serverCode(evt.Error))
				return c.unlinked("pairing with the passkey failed; restart the session")
			case *waevents.PairSuccess:
				jid := evt.ID
				s.jid, s.pairingSince = &jid, time.Time{}
				codes.stop()
				late = "WhatsApp did not ask for the first login"
				limit.Reset(pairedTimeout)
				s.log.InfoContext(s.ctx, "device linked", "jid", jid, "platform", evt.Platform)
				if linked {
					return relogin
				}
			case *waevents.ManualLoginReconnect:
				// whatsmeow tells of the pairing from a goroutine of its own (handlePairSuccess in pair.go), which what the server says next can
				// overtake. Ended before PairSuccess, the session would show a new QR code for a device that is linked.
				if s.jid != nil {
					return relogin
				}
				linked = true
				limit.Reset(pairedTimeout)
			case *waevents.Connected:
				limit.Stop()
				in = time.Now()
				if e, end := check(); end {
					return e
				}
				s.setConn(c) // before the state, which readies the commands
				if err := s.write(events.StateConnected, ""); err != nil {
					return ending{}
				}
				appear()
				settled()
				c.work.Go(c.readDue)
			case *waevents.PushNameSetting:
				name = evt.Action.GetName()
				appear()
			default:
				if _, cut := said.(*waevents.Disconnected); cut && linked && s.jid == nil {
					continue // PairSuccess is on its way
				}
				if e, end := c.verdict(said, lasted()); end {
					e.code = codeOf(said)
					return e
				}
			}
		}
	}
}

// moreThanTaken is the reason of a connection that its intake ends.
const moreThanTaken = "more came at once than is taken over one connection; fetching the rest"

// relogin ends the connection over which a device was linked.
var relogin = ending{again: true, after: time.Millisecond}

// verdict says what a signal of whatsmeow means for the connection.
func (c *connection) verdict(said any, lasted time.Duration) (e ending, end bool) {
	s := c.s
	switch evt := said.(type) {
	case *waevents.Disconnected:
		if s.jid == nil {
			return c.codesEnded(), true
		}
		return s.unanswered("the connection to WhatsApp was lost", lasted), true
	case *waevents.StreamError:
		return s.retry(fmt.Sprintf("WhatsApp closed the connection (error %q)", evt.Code), lasted), true
	case *waevents.KeepAliveTimeout:
		if evt.ErrorCount >= pingsMost {
			return s.unanswered("WhatsApp does not answer", lasted), true
		}
	case *waevents.PairError:
		s.log.WarnContext(s.ctx, "pairing failed", "error", evt.Error)
		var database *whatsmeow.PairDatabaseError
		if errors.As(evt.Error, &database) {
			return s.retry("the device could not be stored; scan the new QR code", 0), true
		}
		// A QR code holds the secret of its time; a wrong pairing code entered on a phone replaced it (whatsmeow pair-code.go).
		if errors.Is(evt.Error, whatsmeow.ErrPairInvalidDeviceIdentityHMAC) && !s.pairingSince.IsZero() {
			s.note(s.ctx, "a QR code was scanned that a pairing code had made void", 0)
			return c.unlinked("pairing failed; restart the session"), true
		}
		return ending{state: events.StateFailed, reason: "pairing failed; restart the session"}, true
	case *waevents.LoggedOut:
		return ending{state: events.StateLoggedOut, reason: "WhatsApp says: " + evt.Reason.String(), logout: true}, true
	case *waevents.StreamReplaced:
		if !s.abandoned.IsZero() && time.Since(s.abandoned) < replacedGrace {
			return s.retry("the connector that had the session before logged in once more", lasted), true
		}
		return ending{state: events.StateReplaced, reason: "another connection uses this device; restart the session to take it back"}, true
	case *waevents.TemporaryBan:
		return ending{state: events.StateBanned, reason: evt.String()}, true
	case *waevents.ClientOutdated:
		return ending{state: events.StateFailed, reason: "WhatsApp refuses this version as too old; install a newer one"}, true
	case waevents.PermanentDisconnect:
		return ending{state: events.StateFailed, reason: "WhatsApp refused the connection: " + evt.PermanentDisconnectDescription()}, true
	}
	return ending{}, false
}

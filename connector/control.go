package connector

import (
	"context"
	"fmt"
	"time"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// unlink takes the device off the account at WhatsApp, as Client.Logout does; but that also deletes the device's keys while whatsmeow
// deletes them on the answer of the server, and the two race. Failure policy: a logout is tried again on the next connection, for as long
// as it is asked for; a deletion goes on without.
func (c *connection) unlink() ending {
	if !c.s.holds() {
		return ending{}
	}
	ctx, cancel := context.WithTimeout(c.ctx, unlinkTimeout)
	defer cancel()
	defer context.AfterFunc(c.s.ctx, cancel)()
	//nolint:staticcheck // SA1019: whatsmeow's only other way to send this query is Logout, see above; the method is its own sendIQ, exported
	_, err := c.client.DangerousInternals().SendIQ(ctx, whatsmeow.DangerousInfoQuery{
		Namespace: "md", Type: "set", To: types.ServerJID, NoRetry: true,
		Content: []waBinary.Node{{
			Tag: "remove-companion-device", Attrs: waBinary.Attrs{"jid": c.device.GetJID(), "reason": "user_initiated"},
		}},
	})
	if err != nil {
		c.s.log.WarnContext(ctx, "device not unlinked", "error", err)
		return c.s.retry("WhatsApp did not take the logout; trying again", 0)
	}
	return ending{state: events.StateLoggedOut, reason: "logged out on request", logout: true}
}

// forget deletes the keys of a device that WhatsApp does not know any more. The session's row is written afterwards: a crash in between
// finds a linked session without keys, which is the same as logged out.
func (s *session) forget() error {
	if s.jid == nil {
		return nil
	}
	return s.insist("delete keys", func(ctx context.Context) error {
		if err := s.hold(ctx, s.c.pool); err != nil {
			return err
		}
		return s.c.store.Delete(ctx, *s.jid)
	})
}

// unlink unlinks the device of a session that is deleted, if WhatsApp can be reached within unlinkTimeout.
func (s *session) unlink() (done bool, err error) {
	for end := time.Now().Add(unlinkTimeout); ; {
		if e := s.connect(); e.state == events.StateLoggedOut {
			return true, nil
		}
		if time.Now().After(end) {
			return false, nil
		}
		select {
		case <-time.After(reconnectFirst):
		case <-s.ctx.Done():
		}
		if cause := context.Cause(s.ctx); cause != nil {
			return false, cause
		}
	}
}

// remove deletes the session: the device is unlinked first, where that is asked for, then the keys, and in one transaction the session with
// its messages, chats, contacts and commands. Its last event says what became of the device. Events stay.
func (s *session) remove() error {
	reason := "deleted"
	if s.jid != nil {
		if s.asked().DeleteUnlinks {
			unlinked, err := s.unlink()
			if err != nil {
				return err
			}
			if !unlinked {
				reason = "deleted; WhatsApp could not be reached to unlink the device: remove it in the phone's list of linked devices"
			}
		} else {
			reason = "deleted; the device stays linked"
		}
		if err := s.forget(); err != nil {
			return err
		}
	}
	return s.insist("delete session", func(ctx context.Context) error {
		return s.fenced(ctx, func(tx *queue.Tx) error {
			shown, err := s.shown(ctx, tx)
			if err != nil {
				return err
			}
			shown.State, shown.Reason, shown.Desired, shown.Connector = events.StateLoggedOut, reason, events.DesiredStopped, ""
			if err := queue.DeleteSession(ctx, tx, s.id); err != nil {
				return fmt.Errorf("delete commands: %w", err)
			}
			if err := s.c.queries.SessionRemove(ctx, tx, s.id); err != nil {
				return fmt.Errorf("delete session: %w", err)
			}
			tx.Notify(events.WakeSessions, s.id)
			_, err = events.Publish(tx, events.SessionStatus, s.id, "", time.Now(), events.SessionData{Session: shown})
			return err
		})
	})
}

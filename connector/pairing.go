package connector

import (
	"context"
	"fmt"
	"time"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/signalstore"
)

// pace are the waits that depend on people and on WhatsApp, so that tests need not have theirs.
type pace struct {
	// WhatsApp gives six codes at a time; its own web client shows the first for 60 s and the others for 20 s (whatsmeow qrchan.go).
	firstCode, nextCode time.Duration
	// pairing is how long codes are asked for after the first, in about four sets: somebody may start a session first and fetch the phone
	// afterwards, but a session that nobody links must not ask for ever.
	pairing time.Duration
	// passkey is how long a passkey is waited for at most: what users report of WhatsApp's own request, which says so itself.
	passkey time.Duration
	// ack is how long WhatsApp is given to acknowledge a message; then it is sent again under the same id. It answers within a second.
	ack time.Duration
	// reconnect is the first wait before a session connects again.
	reconnect time.Duration
	// typing is how often it is said anew that somebody types, and present how long after the last time the account is available: WhatsApp's apps
	// show it for 25 s at most.
	typing, present time.Duration
	// health is how often accounts are looked at whose health may be another.
	health time.Duration
}

var usual = pace{firstCode: 60 * time.Second, nextCode: 20 * time.Second, pairing: 10 * time.Minute, passkey: 10 * time.Minute, ack: 20 * time.Second, reconnect: reconnectFirst,
	typing: 10 * time.Second, present: 25 * time.Second, health: 15 * time.Second}

// pairing is the set of QR codes at hand.
type pairing struct {
	codes []string
	shown int // how many have been shown
	timer *time.Timer
	ends  time.Time           // when the last has ended, and with it the connection
	qr    *string             // the code that is shown
	until *time.Time          // when it has ended
	code  *events.PairingCode // what can be entered on a phone beside them; nil: none was asked for
}

func (p *pairing) start(codes []string, pace pace) {
	p.stop()
	p.codes, p.shown, p.ends = codes, 0, time.Now().Add(pace.firstCode+time.Duration(len(codes)-1)*pace.nextCode)
}

// row is the state of a session that shows these codes.
func (p *pairing) row() db.SessionSetStateParams {
	row := db.SessionSetStateParams{State: string(events.StateQR), Qr: p.qr, QrExpiresAt: p.until}
	if p.code != nil {
		row.State, row.Reason = string(events.StatePairingCode), "the pairing code can be entered on the phone"
	}
	return row
}

// next fires when the code that is shown has ended.
func (p *pairing) next() <-chan time.Time {
	if p.timer == nil {
		return nil
	}
	return p.timer.C
}

func (p *pairing) stop() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// showCode publishes the next QR code, or ends the connection when all have been shown, for WhatsApp gives more only to a new one.
func (c *connection) showCode(p *pairing) (e ending, end bool) {
	s := c.s
	if p.shown >= len(p.codes) {
		return c.codesEnded(), true
	}
	lasts := s.c.pace.nextCode
	if p.shown == 0 {
		lasts = s.c.pace.firstCode
	}
	if s.pairingSince.IsZero() {
		s.pairingSince = time.Now()
	}
	code := p.codes[p.shown]
	p.shown++
	p.stop()
	p.timer = time.NewTimer(lasts)
	expires := time.Now().Add(lasts)
	c.stale.Store(p.shown > 1)
	p.qr, p.until = &code, &expires
	row := p.row()
	first := s.state != events.SessionState(row.State)
	err := s.persist(row,
		func(tx *queue.Tx, shown events.Session, at time.Time) error {
			if first {
				if _, err := events.Publish(tx, events.SessionStatus, s.id, "", at, events.SessionData{Session: shown}); err != nil {
					return err
				}
			}
			data := events.SessionData{Session: shown, QR: &events.QR{Text: code, ExpiresAt: expires.UTC()}}
			_, err := events.Publish(tx, events.SessionQR, s.id, "", at, data)
			return err
		})
	return ending{}, err != nil
}

// codesEnded asks for another set of codes, or gives up.
func (c *connection) codesEnded() ending {
	return c.unlinked("the QR code was not scanned in time; restart the session")
}

// unlinked begins the linking anew after it came to nothing, or gives up for a reason.
func (c *connection) unlinked(reason string) ending {
	switch since := c.s.pairingSince; {
	case since.IsZero(): // none was shown: the connection failed
		return c.s.retry("the connection to WhatsApp was lost", 0)
	case time.Since(since) < c.s.c.pace.pairing:
		return ending{again: true}
	}
	return ending{state: events.StateFailed, reason: reason}
}

// link notes the device that a scan has linked, in the transaction that stores its keys: neither can exist without the other.
func (s *session) link(ctx context.Context, tx signalstore.Tx, jid, lid types.JID) error {
	_, err := tx.ExecContext(ctx, `UPDATE public.sessions SET jid = $2, phone = $3, lid = nullif($4, ''), qr = NULL, qr_expires_at = NULL,
		updated_at = clock_timestamp() WHERE id = $1`, s.id, jid.String(), jid.User, lid.User)
	if err != nil {
		return fmt.Errorf("note linked device: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM public.unhandled_states WHERE session_id = $1`, s.id); err != nil {
		return fmt.Errorf("forget what a device before did not handle: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO public.session_log (session_id, kind, reason) VALUES ($1, 'linked', 'a phone linked it')`, s.id)
	if err != nil {
		return fmt.Errorf("write session log: %w", err)
	}
	return nil
}

package connector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// sendTimeout bounds a send with all its queries: devices and keys of the recipient.
	sendTimeout = time.Minute
	// brokenWait is the pause after a connection ended under a send; the supervisor is about to say that the session is offline.
	brokenWait = 200 * time.Millisecond
)

var (
	errNotConnected  = errors.New("the session is not connected")
	errNotOnWhatsApp = errors.New("the recipient is not on WhatsApp")
	// errLookAgain says that after an upload a message's row does not let it be sent: it ended, its time did, or the row cannot be read.
	errLookAgain = errors.New("the message's row has to be looked at again")
)

// attempt is the message that a session is sending, over repetitions.
type attempt struct {
	id    uuid.UUID
	since time.Time // when it was first tried, the time that its upload took left out; zero after the session was offline
	// handed says that a copy may have reached WhatsApp: its answer never came, or another process began before this one. Only the answer to
	// another copy, under the same id, tells.
	handed    bool
	malformed int // answers that call the stanza malformed
	limited   int // answers that say too many, in a row and over messages: the limit is the account's
}

// send handles one send command. The messages row is the truth: the command only points at it, and one that is sent, or ended otherwise,
// is done. The call to WhatsApp stands outside any transaction, and a crash after it repeats it under the same id.
//
// The message's time is looked at by the statement that marks it as being sent, so it is over either before anything leaves or not at all;
// from then on it is the sender's to say how it ends.
//
// Failure policy: without a connection the lane is parked; what the connection, the database or WhatsApp's limits keep from being sent is
// tried again, in order and without counting, for sendPatience; what WhatsApp refuses fails at once.
func (s *session) send(ctx context.Context, id uuid.UUID) (outcome string, err error) {
	select {
	case s.inHand <- struct{}{}:
		defer func() { <-s.inHand }()
	case <-ctx.Done():
		return "waiting", queue.WaitFor{D: brokenWait}
	}
	return s.sendNow(ctx, id, true)
}

// sendNow is send for who holds inHand. Without turn it is before its turn: then it is none for a group that would have to be prepared.
func (s *session) sendNow(ctx context.Context, id uuid.UUID, turn bool) (outcome string, err error) {
	conn := s.sender()
	if conn == nil {
		s.sending.since = time.Time{}
		return s.park()
	}
	m, err := s.begin(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) { // deleted, unless it is the claim that is gone
		if err := s.hold(ctx, s.c.pool); err != nil {
			return s.again(err)
		}
		return "repeated", nil
	}
	if err != nil {
		return s.again(err)
	}
	switch status := events.MessageStatus(m.Status); {
	case m.Begun:
	case status != events.StatusQueued && status != events.StatusSending:
		return "repeated", nil
	case m.Expired:
		p := db.MessageFinishParams{Status: string(events.StatusExpired)}
		if s.sending.id == id && s.sending.handed {
			code, message := codeUnanswered, unanswered
			p.ErrorCode, p.ErrorMessage = &code, &message
		}
		return s.finish(ctx, id, p)
	default: // it ended while the statement waited for its row; the next look sees how
		return "waiting", queue.WaitFor{}
	}
	if began := time.Now(); turn && s.prepareGroup(ctx, conn, id, m.ChatID) {
		s.sending.since = s.sending.since.Add(time.Since(began)) // as with an upload
		if m, err = s.begin(ctx, id); err != nil || !m.Begun {
			return "waiting", queue.WaitFor{} // the next look sees what has become of it
		}
	}
	sent, err := conn.send(ctx, id, m)
	if err == nil {
		return s.finish(ctx, id, db.MessageFinishParams{Status: string(events.StatusSent), Timestamp: &sent.at, Raw: s.sealRaw(sent.raw), Content: sent.content, ServerID: sent.number})
	}
	return s.refused(ctx, conn, id, err)
}

// begin marks a message as being sent. A row that reads so already when this process first meets it was left by another, or by this one
// before the claim went and came back: how far that came is unknown.
func (s *session) begin(ctx context.Context, id uuid.UUID) (db.MessageBeginSendRow, error) {
	first := s.sending.id != id
	resolve := s.sending.handed && (s.sending.since.IsZero() || time.Since(s.sending.since) < sendPatience)
	m, err := s.c.queries.MessageBeginSend(ctx, s.c.pool, db.MessageBeginSendParams{
		ID: id, SessionID: s.id, Owner: s.c.cfg.Owner, Epoch: s.epoch, Resolve: first || resolve,
	})
	if err != nil {
		return m, fmt.Errorf("begin send: %w", err)
	}
	if first && m.Begun {
		s.sending = attempt{id: id, handed: m.Status == string(events.StatusSending), limited: s.sending.limited}
	}
	if s.sending.since.IsZero() {
		s.sending.since = time.Now()
	}
	return m, nil
}

// park sets the session's commands aside until it is connected. While the row still says connected the supervisor is about to change it,
// and the lane waits a moment instead.
func (s *session) park() (string, error) {
	if s.online.Load() {
		return "waiting", queue.WaitFor{D: brokenWait}
	}
	return "parked", queue.Park{Err: errNotConnected, Unless: func(ctx context.Context, tx pgx.Tx) (bool, error) {
		state, err := s.c.queries.SessionLockState(ctx, tx, s.id)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil // deleted, and its lanes with it
		}
		return state == string(events.StateConnected), err
	}}
}

// again lets the lane wait after trouble that is not the message's.
func (s *session) again(err error) (string, error) {
	if errors.Is(err, errClaimLost) {
		s.cancel(errClaimLost)
	} else {
		s.log.WarnContext(s.ctx, "sending waits", "error", err)
	}
	return "waiting", queue.WaitFor{D: time.Second}
}

// sent is a message that WhatsApp took: the time that it gave it, what it was (waE2E.Message), and its content, where sending found out more; of a
// post, the channel's number of it.
type sent struct {
	at           time.Time
	raw, content []byte
	number       *int64 // in a channel
}

// send hands a message to WhatsApp and waits until it is acknowledged.
func (c *connection) send(ctx context.Context, id uuid.UUID, m db.MessageBeginSendRow) (sent, error) {
	d, message, err := c.prepare(ctx, m)
	if err != nil {
		return sent{}, err
	}
	if m.MediaID != nil { // an upload may outlast the message's time, or the sweeper's patience
		switch again, err := c.s.begin(ctx, id); {
		case err != nil:
			return sent{}, fmt.Errorf("%w: %w", errLookAgain, err)
		case !again.Begun:
			return sent{}, errLookAgain
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if d.chat, err = c.recipient(ctx, id, d.chat); err != nil {
		return sent{}, err
	}
	if !c.s.holds() {
		return sent{}, errClaimLost
	}
	extra := whatsmeow.SendRequestExtra{ID: m.WhatsappID, Timeout: c.s.c.pace.ack, MediaHandle: d.handle}
	before := c.s.sending.handed
	c.s.sending.handed = true
	within, told := c.whatsAppSpan(ctx)
	resp, err := c.client.SendMessage(within, d.chat, message, extra)
	told(resp, err)
	if c.s.c.timed != nil {
		c.s.c.timed(d.chat, resp.DebugTimings)
	}
	if err != nil {
		if serverCode(err) != 0 { // it was not taken
			c.s.sending.handed = before
		}
		if err = fmt.Errorf("send message: %w", err); d.chat.Server == types.NewsletterServer {
			return sent{}, postRefused(err)
		}
		return sent{}, c.notSent(ctx, d.chat, err)
	}
	done := sent{at: resp.Timestamp, content: d.learned}
	if number := int64(resp.ServerID); number > 0 {
		done.number = &number
	}
	if done.raw, err = proto.Marshal(message); err != nil { // not of a message that was encoded just now; it is sent all the same
		c.s.log.WarnContext(ctx, "a message that was sent is not kept in WhatsApp's form", "error", err)
	}
	return done, nil
}

// findLID makes sure that the LID of a recipient is known. whatsmeow needs it, and says in words alone that there is none.
func (c *connection) findLID(ctx context.Context, to types.JID) error {
	if to.Server != types.DefaultUserServer {
		return nil
	}
	lid, err := c.device.LIDs.GetLIDForPN(ctx, to)
	if err != nil {
		return fmt.Errorf("look up LID: %w", err)
	}
	if !lid.IsEmpty() {
		return nil
	}
	info, err := c.client.GetUserInfo(ctx, []types.JID{to})
	if err != nil {
		return fmt.Errorf("look up recipient: %w", err)
	}
	if info[to].LID.IsEmpty() {
		return errNotOnWhatsApp
	}
	return nil
}

// prepare makes the message, and uploads its file, which may take its time: patience for the send begins after it.
func (c *connection) prepare(ctx context.Context, m db.MessageBeginSendRow) (d *draft, message *waE2E.Message, err error) {
	ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if d, err = newDraft(m); err != nil {
		return nil, nil, err
	}
	if d.beside.Forwarded > 0 {
		raw, err := c.s.openRaw(m.Raw)
		if err != nil {
			return d, nil, err
		}
		message, err = forwarded(raw, d.content, d.beside)
		return d, message, err
	}
	began := time.Now()
	if message, err = c.compose(ctx, d); err != nil {
		return nil, nil, err
	}
	c.s.sending.since = c.s.sending.since.Add(time.Since(began))
	return d, message, nil
}

func (s *session) fail(ctx context.Context, id uuid.UUID, code, message string) (string, error) {
	return s.finish(ctx, id, db.MessageFinishParams{Status: string(events.StatusFailed), ErrorCode: &code, ErrorMessage: &message})
}

// finish writes how sending ended, and its event, in one transaction of four round trips: begin, the write, the event, commit. It goes on
// when the command's lane is lost meanwhile: what WhatsApp acknowledged is worth keeping, and the fence knows whether it is still ours to
// keep.
func (s *session) finish(ctx context.Context, id uuid.UUID, p db.MessageFinishParams) (outcome string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handlerTimeout)
	defer cancel()
	p.ID, p.SessionID, p.Owner, p.Epoch = id, s.id, s.c.cfg.Owner, s.epoch
	now := time.Now()
	var told *db.MessageView
	err = s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		told = nil
		row, err := s.c.queries.MessageFinish(ctx, tx, p)
		if errors.Is(err, pgx.ErrNoRows) { // deleted, unless it is the claim that is gone
			return s.hold(ctx, tx)
		}
		if err != nil {
			return fmt.Errorf("write end of sending: %w", err)
		}
		if !row.Finished { // a receipt was faster, and has told and counted it
			return nil
		}
		tx.Notify(events.WakeMessages, id.String())
		told = &row.MessageView
		m := row.MessageView
		if p.Status == string(events.StatusSent) {
			m.Timestamp, m.ErrorCode, m.ErrorMessage = p.Timestamp.UTC(), nil, nil
			if p.Content != nil {
				m.Content = p.Content
			}
			if p.ServerID != nil {
				if m.Context, err = withNumber(m.Context, int(*p.ServerID)); err != nil {
					return err
				}
			}
			return s.publishSent(tx, m, *p.Timestamp)
		}
		return publishEnd(tx, unsent{ID: id, SessionID: s.id, ChatID: m.ChatID, WhatsappID: m.WhatsappID, ErrorCode: p.ErrorCode, ErrorMessage: p.ErrorMessage}, events.MessageStatus(p.Status), now)
	})
	if err != nil {
		return s.again(err)
	}
	s.sending = attempt{limited: s.sending.limited}
	s.pacingMoved()
	switch {
	case told == nil:
	case p.Status == string(events.StatusSent):
		s.countSent(told, now)
	default:
		s.c.metrics.sends.WithLabelValues(p.Status, postgres.Text(p.ErrorCode)).Inc()
	}
	if p.ErrorCode != nil {
		s.examine.Store(true)
	}
	if p.Status == string(events.StatusSent) {
		s.sending.limited = 0
	}
	return p.Status, nil
}

// countSent counts a message that was sent; m is as it was before, with the time of its acceptance.
func (s *session) countSent(m *db.MessageView, now time.Time) {
	accepted := m.Timestamp
	if m.SendAt != nil && m.SendAt.After(accepted) {
		accepted = *m.SendAt
	}
	s.c.metrics.sends.WithLabelValues(string(events.StatusSent), "").Inc()
	s.c.metrics.latency.Observe(max(0, now.Sub(accepted).Seconds())) // less than 0: a clock is wrong
}

// publishSent tells that a message was sent.
func (s *session) publishSent(tx *queue.Tx, v db.MessageView, at time.Time) error {
	m, err := postgres.Message(v, s.c.cfg.PublicURL)
	if err != nil {
		return err
	}
	m.Status = events.StatusSent // where a receipt was faster, its own event follows
	_, err = events.Publish(tx, events.MessageSent, v.SessionID, v.ChatID, at, events.MessageData{Message: m})
	return err
}

// unsent is a message that will not be sent.
type unsent struct {
	ID           uuid.UUID
	SessionID    string
	ChatID       string
	WhatsappID   string
	ErrorCode    *string
	ErrorMessage *string
	Trace        string
}

// publishEnd tells that a message will not be sent, and why.
func publishEnd(tx *queue.Tx, m unsent, status events.MessageStatus, at time.Time) error {
	data := events.StatusData{
		MessageID: events.MessagePrefix.Format(m.ID), WhatsAppID: m.WhatsappID, ChatID: m.ChatID, Status: status, At: at.UTC(),
	}
	if m.ErrorCode != nil {
		data.Error = &events.MessageError{Code: *m.ErrorCode, Message: postgres.Text(m.ErrorMessage)}
	}
	_, err := events.Publish(tx, events.MessageUpdated, m.SessionID, m.ChatID, at, data)
	return err
}

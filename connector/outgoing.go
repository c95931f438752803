package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/signalstore"
)

const (
	// sendTimeout bounds a send with all its queries: devices and keys of the recipient.
	sendTimeout = time.Minute
	// sendPatience is how long one message is tried before it fails, counted anew after the session was offline.
	sendPatience = 5 * time.Minute
	// limitedWait is the pause after WhatsApp says that it takes no more for now.
	limitedWait = 30 * time.Second
	// brokenWait is the pause after a connection ended under a send; the supervisor is about to say that the session is offline.
	brokenWait = 200 * time.Millisecond
)

var (
	errNotConnected  = errors.New("the session is not connected")
	errNotOnWhatsApp = errors.New("the recipient is not on WhatsApp")
)

// attempt is the message that a session is sending, over repetitions.
type attempt struct {
	id    uuid.UUID
	since time.Time
}

// send handles one send command. The messages row is the truth: the command only points at it, and one that is sent, or ended otherwise,
// is done. The call to WhatsApp stands outside any transaction, and a crash after it repeats it under the same id.
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
	conn := s.sender()
	if conn == nil {
		return s.park()
	}
	m, err := s.c.queries.MessageBeginSend(ctx, s.c.pool, id, s.id, s.c.cfg.Owner, s.epoch)
	if errors.Is(err, pgx.ErrNoRows) { // deleted, unless it is the claim that is gone
		if err := s.hold(ctx, s.c.pool); err != nil {
			return s.again(err)
		}
		return "repeated", nil
	}
	if err != nil {
		return s.again(fmt.Errorf("begin send: %w", err))
	}
	switch status := events.MessageStatus(m.Status); {
	case status != events.StatusQueued && status != events.StatusSending:
		return "repeated", nil
	case m.Expired:
		return s.finish(ctx, id, db.MessageFinishParams{Status: string(events.StatusExpired)})
	}
	if s.sending.id != id {
		s.sending = attempt{id, time.Now()}
	}
	at, err := conn.send(ctx, m)
	if err == nil {
		return s.finish(ctx, id, db.MessageFinishParams{Status: string(events.StatusSent), Timestamp: &at})
	}
	return s.refused(ctx, conn, id, err)
}

// park sets the session's commands aside until it is connected. While the row still says connected the supervisor is about to change it,
// and the lane waits a moment instead.
func (s *session) park() (string, error) {
	s.sending = attempt{}
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

// send hands a message to WhatsApp and waits until it is acknowledged. It returns the time that WhatsApp gave it.
func (c *connection) send(ctx context.Context, m db.MessageBeginSendRow) (time.Time, error) {
	message, err := c.prepare(ctx, m)
	if err != nil {
		return time.Time{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	to, err := types.ParseJID(m.ChatID)
	if err != nil {
		return time.Time{}, fmt.Errorf("parse chat id: %w", err)
	}
	// whatsmeow needs the LID of whom it sends to, and says in words alone that there is none; so it is looked for first.
	if to.Server == types.DefaultUserServer {
		lid, err := c.device.LIDs.GetLIDForPN(ctx, to)
		if err != nil {
			return time.Time{}, fmt.Errorf("look up LID: %w", err)
		}
		if lid.IsEmpty() {
			info, err := c.client.GetUserInfo(ctx, []types.JID{to})
			if err != nil {
				return time.Time{}, fmt.Errorf("look up recipient: %w", err)
			}
			if info[to].LID.IsEmpty() {
				return time.Time{}, errNotOnWhatsApp
			}
		}
	}
	if !c.s.holds() {
		return time.Time{}, errClaimLost
	}
	extra := whatsmeow.SendRequestExtra{ID: m.WhatsappID, Timeout: c.s.c.pace.ack}
	resp, err := c.client.SendMessage(ctx, to, message, extra)
	if err != nil {
		return time.Time{}, fmt.Errorf("send message: %w", err)
	}
	return resp.Timestamp, nil
}

// prepare makes the message, and uploads its file, which may take its time: patience for the send begins after it.
func (c *connection) prepare(ctx context.Context, m db.MessageBeginSendRow) (*waE2E.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	var content events.Content
	if err := json.Unmarshal(m.Content, &content); err != nil {
		return nil, fmt.Errorf("decode content: %w", err)
	}
	began := time.Now()
	message, err := c.message(ctx, content, m.MediaID)
	if err == nil {
		c.s.sending.since = c.s.sending.since.Add(time.Since(began))
	}
	return message, err
}

// refused decides what becomes of a message that was not sent.
func (s *session) refused(ctx context.Context, conn *connection, id uuid.UUID, err error) (string, error) {
	var disconnected *whatsmeow.DisconnectedError
	code := serverCode(err)
	switch {
	case errors.Is(err, errClaimLost):
		return s.again(err)
	case errors.Is(err, signalstore.ErrStolen), conn.ctx.Err() != nil, ctx.Err() != nil, errors.As(err, &disconnected),
		errors.Is(err, whatsmeow.ErrNotConnected), errors.Is(err, whatsmeow.ErrNotLoggedIn), errors.Is(err, context.Canceled):
		s.log.InfoContext(s.ctx, "send interrupted", "message", id, "error", err)
		return "waiting", queue.WaitFor{D: brokenWait}
	case s3.Unavailable(err): // ours, like the database; the message is not to fail for it
		return s.again(err)
	case errors.Is(err, errMediaGone):
		return s.fail(ctx, id, "media_expired", "The file of this message is kept no more.")
	case errors.Is(err, errNotOnWhatsApp):
		return s.fail(ctx, id, "recipient_not_on_whatsapp", "The recipient's number is not on WhatsApp.")
	case errors.Is(err, whatsmeow.ErrGroupNotFound), errors.Is(err, whatsmeow.ErrNotInGroup):
		return s.fail(ctx, id, "whatsapp_rejected", "The account is not in this group.")
	case code != 0 && !limited(code):
		return s.fail(ctx, id, "whatsapp_rejected", fmt.Sprintf("WhatsApp refused the message with code %d.", code))
	}
	s.log.WarnContext(s.ctx, "message not sent", "message", id, "error", err)
	if time.Since(s.sending.since) < sendPatience {
		if limited(code) {
			return "waiting", queue.WaitFor{D: limitedWait}
		}
		return "waiting", queue.WaitFor{D: 2 * time.Second}
	}
	switch {
	case code == 463:
		return s.fail(ctx, id, "account_restricted", "WhatsApp restricts this account: it may not write to this recipient now (code 463).")
	case limited(code):
		return s.fail(ctx, id, "rate_limited", fmt.Sprintf("WhatsApp takes no more messages of this account for now (code %d).", code))
	case errors.Is(err, whatsmeow.ErrMessageTimedOut), errors.Is(err, whatsmeow.ErrIQTimedOut), errors.Is(err, context.DeadlineExceeded):
		return s.fail(ctx, id, "whatsapp_timeout", "WhatsApp did not acknowledge the message. It may have been delivered all the same.")
	default:
		return s.fail(ctx, id, "internal_error", "The message could not be sent.")
	}
}

// limited says whether a code means "not now": 463 (the account is restricted), 429 (too many), 479 (the stanza was not taken, which
// WhatsApp also says under load).
func limited(code int) bool { return code == 463 || code == 429 || code == 479 }

// serverCode is the code with which WhatsApp's server refused a message or a query, or 0. For messages whatsmeow has it only as the end of
// its error's text (send.go, SendMessage: "%w %d").
func serverCode(err error) int {
	var iq *whatsmeow.IQError
	if errors.As(err, &iq) {
		if iq.Code >= 500 && iq.Code != 501 {
			return 0 // the server's own trouble, which passes; 501 is a query that it will never know
		}
		return iq.Code
	}
	if errors.Is(err, whatsmeow.ErrServerReturnedError) {
		text := err.Error()
		if code, err := strconv.Atoi(text[strings.LastIndexByte(text, ' ')+1:]); err == nil {
			return code
		}
	}
	return 0
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
	err = s.c.db.InTx(ctx, func(tx *queue.Tx) error {
		row, err := s.c.queries.MessageFinish(ctx, tx, p)
		if errors.Is(err, pgx.ErrNoRows) { // deleted, unless it is the claim that is gone
			return s.hold(ctx, tx)
		}
		if err != nil {
			return fmt.Errorf("write end of sending: %w", err)
		}
		if !row.Finished { // a receipt was faster and has told it
			return nil
		}
		tx.Notify(events.WakeMessages, id.String())
		m := row.MessageView
		if p.Status == string(events.StatusSent) {
			m.Timestamp, m.ErrorCode, m.ErrorMessage = p.Timestamp.UTC(), nil, nil
			return s.publishSent(tx, m, *p.Timestamp)
		}
		return publishEnd(tx, unsent{id, s.id, m.ChatID, m.WhatsappID}, events.MessageStatus(p.Status), p.ErrorCode, p.ErrorMessage, now)
	})
	if err != nil {
		return s.again(err)
	}
	s.sending = attempt{}
	return p.Status, nil
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
	ID         uuid.UUID
	SessionID  string
	ChatID     string
	WhatsappID string
}

// publishEnd tells that a message will not be sent, and why.
func publishEnd(tx *queue.Tx, m unsent, status events.MessageStatus, code, message *string, at time.Time) error {
	data := events.StatusData{
		MessageID: events.MessagePrefix.Format(m.ID), WhatsAppID: m.WhatsappID, ChatID: m.ChatID, Status: status, At: at.UTC(),
	}
	if code != nil {
		data.Error = &events.MessageError{Code: *code, Message: *message}
	}
	_, err := events.Publish(tx, events.MessageUpdated, m.SessionID, m.ChatID, at, data)
	return err
}

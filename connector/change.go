package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/signalstore"
)

// makers are what this connector can change at WhatsApp, by kind. It is the only place that knows them.
var makers = map[string]maker{
	events.React.Kind: making(events.React, (*connection).react),
	events.Edit.Kind:  making(events.Edit, (*connection).edit), events.Delete.Kind: making(events.Delete, (*connection).deleteMessage),
	events.Star.Kind: making(events.Star, (*connection).star), events.Pin.Kind: making(events.Pin, (*connection).pin),
	events.Vote.Kind: making(events.Vote, (*connection).vote), events.Respond.Kind: making(events.Respond, (*connection).respond),
	events.MarkRead.Kind:     making(events.MarkRead, (*connection).markRead),
	events.SaveContact.Kind:  making(events.SaveContact, (*connection).saveContact),
	events.BlockContact.Kind: making(events.BlockContact, (*connection).blockContact),

	events.CreateGroup.Kind:        making(events.CreateGroup, (*connection).createGroup),
	events.UpdateGroup.Kind:        making(events.UpdateGroup, (*connection).updateGroup),
	events.LeaveGroup.Kind:         making(events.LeaveGroup, (*connection).leaveGroup),
	events.SetGroupPicture.Kind:    making(events.SetGroupPicture, (*connection).setGroupPicture),
	events.AddParticipants.Kind:    making(events.AddParticipants, (*connection).addParticipants),
	events.RemoveParticipant.Kind:  making(events.RemoveParticipant, (*connection).removeParticipant),
	events.SetParticipantRole.Kind: making(events.SetParticipantRole, (*connection).setParticipantRole),
	events.RotateGroupInvite.Kind:  making(events.RotateGroupInvite, (*connection).rotateGroupInvite),
	events.JoinGroup.Kind:          making(events.JoinGroup, (*connection).joinGroup),
	events.AcceptInvite.Kind:       making(events.AcceptInvite, (*connection).acceptInvite),
	events.AnswerJoinRequest.Kind:  making(events.AnswerJoinRequest, (*connection).answerJoinRequest),
	events.LinkSubgroup.Kind:       making(events.LinkSubgroup, (*connection).linkSubgroup),

	events.CreateChannel.Kind: making(events.CreateChannel, (*connection).createChannel),
	events.UpdateChannel.Kind: making(events.UpdateChannel, (*connection).updateChannel),
	events.DeleteChannel.Kind: making(events.DeleteChannel, (*connection).deleteChannel),
	events.FollowChannel.Kind: making(events.FollowChannel, (*connection).followChannel),
	events.LeaveChannel.Kind:  making(events.LeaveChannel, (*connection).leaveChannel),
	events.MuteChannel.Kind:   making(events.MuteChannel, (*connection).muteChannel),
	events.ReactToPost.Kind:   making(events.ReactToPost, (*connection).reactToPost),

	events.UpdateChat.Kind: making(events.UpdateChat, (*connection).updateChat),
	events.ReadChat.Kind:   making(events.ReadChat, (*connection).readChat),
	events.ClearChat.Kind:  making(events.ClearChat, (*connection).clearChat),
	events.DeleteChat.Kind: making(events.DeleteChat, (*connection).deleteChat),
	events.EditLabel.Kind:  making(events.EditLabel, (*connection).editLabel),
	events.LabelChat.Kind:  making(events.LabelChat, (*connection).labelChat),
	events.AskHistory.Kind: making(events.AskHistory, (*connection).askHistory),

	events.UpdateProfile.Kind:       making(events.UpdateProfile, (*connection).updateProfile),
	events.SetProfilePicture.Kind:   making(events.SetProfilePicture, (*connection).setProfilePicture),
	events.UpdatePrivacy.Kind:       making(events.UpdatePrivacy, (*connection).updatePrivacy),
	events.SubscribePresence.Kind:   making(events.SubscribePresence, (*connection).subscribe),
	events.UnsubscribePresence.Kind: making(events.UnsubscribePresence, (*connection).unsubscribe),
	events.RejectCall.Kind:          making(events.RejectCall, (*connection).rejectCall),
}

// inOrder are the kinds of change that go with the session's sends: what they do to a message is a message.
var inOrder = map[string]bool{}

// change is a row of changes that is to be made.
type change struct {
	id         uuid.UUID
	target     string    // a message's UUID or a JID
	chat       string    // JID of the chat that it is about
	created    time.Time // when it was accepted, which is when it happened for those who compare times
	begun      bool      // it may have been made already, by a process that did not live to tell
	parameters json.RawMessage
}

// A maker makes a change at WhatsApp, outside of any transaction, and returns what is then written with its end. It may be called again
// after a crash, with begun: twice must do no more than once. Its error is one of whatsmeow's, or a refusal.
type maker func(ctx context.Context, c *connection, ch change) (written, error)

// written writes what a change has changed, and publishes its event, in the transaction that ends it. It returns what the client gets.
type written func(ctx context.Context, tx *queue.Tx) (result any, err error)

// making makes the method that does a kind of change fit for makers.
func making[P, R any](kind events.ChangeKind[P, R], do func(*connection, context.Context, change, P) (func(context.Context, *queue.Tx) (R, error), error)) maker {
	if kind.InOrder {
		inOrder[kind.Kind] = true
	}
	return func(ctx context.Context, c *connection, ch change) (written, error) {
		var parameters P
		if err := json.Unmarshal(ch.parameters, &parameters); err != nil {
			return nil, fmt.Errorf("decode parameters: %w", err)
		}
		write, err := do(c, ctx, ch, parameters)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, tx *queue.Tx) (any, error) { return write(ctx, tx) }, nil
	}
}

// change handles one command of a change. Its row is the truth: one that has ended is done.
//
// Failure policy: without a connection the lane is parked; what the connection, the database or WhatsApp's limits keep from being made is tried
// again, in order, for sendPatience while the session is connected; what WhatsApp refuses fails at once. What is not made by its expiry is
// given up by the sweeper. A change that failed is told by change.failed.
func (s *session) change(ctx context.Context, id uuid.UUID) (outcome string, err error) {
	return s.changeNow(ctx, id, true)
}

// changeNow is change; without turn it is before its turn, and inHand is held.
func (s *session) changeNow(ctx context.Context, id uuid.UUID, turn bool) (outcome string, err error) {
	conn := s.sender()
	if conn == nil {
		s.untry(id)
		return s.park()
	}
	row, err := s.c.queries.ChangeBegin(ctx, s.c.pool, s.id, s.c.cfg.Owner, s.epoch, id)
	if errors.Is(err, pgx.ErrNoRows) { // it ended, unless it is the claim that is gone
		return s.ended(ctx, id)
	}
	if err != nil {
		return s.again(fmt.Errorf("begin change: %w", err))
	}
	if row.Expired && row.BegunAt == nil {
		return s.endChange(ctx, id, events.ChangeExpired, nil, nil)
	}
	do := makers[row.Kind]
	if do == nil {
		return s.endChange(ctx, id, events.ChangeFailed, nil, &refusal{"unavailable", "The connector of this session is older than the API and cannot do this yet."})
	}
	if turn && inOrder[row.Kind] {
		s.prepareChange(ctx, conn, id, row.ChatID)
	}
	write, err := conn.make(ctx, do, change{
		id: id, target: row.Target, chat: row.ChatID, created: row.CreatedAt, begun: row.BegunAt != nil, parameters: row.Parameters,
	})
	if err == nil {
		return s.endChange(ctx, id, events.ChangeDone, write, nil)
	}
	return s.changeRefused(ctx, conn, id, err)
}

// make makes a change over this connection, and ends with it.
func (c *connection) make(ctx context.Context, do maker, ch change) (write written, err error) {
	err = c.call(ctx, sendTimeout, "change", func(ctx context.Context) (err error) {
		write, err = do(ctx, c, ch)
		return err
	})
	return write, err
}

// interrupted says that an attempt ended with the connection, the claim's keys or the program, and not by what WhatsApp thinks of it.
func interrupted(ctx context.Context, conn *connection, err error) bool {
	var disconnected *whatsmeow.DisconnectedError
	return errors.Is(err, signalstore.ErrStolen) || conn.ctx.Err() != nil || ctx.Err() != nil || errors.As(err, &disconnected) ||
		errors.Is(err, whatsmeow.ErrNotConnected) || errors.Is(err, whatsmeow.ErrNotLoggedIn) || errors.Is(err, context.Canceled)
}

// changeRefused decides what becomes of a change that was not made.
func (s *session) changeRefused(ctx context.Context, conn *connection, id uuid.UUID, err error) (string, error) {
	var known *refusal
	code := serverCode(err)
	switch {
	case errors.Is(err, errClaimLost):
		return s.again(err)
	case errors.As(err, &known):
		return s.endChange(ctx, id, events.ChangeFailed, nil, known)
	case interrupted(ctx, conn, err):
		s.log.InfoContext(s.ctx, "change interrupted", "change", id, "error", err)
		return "waiting", queue.WaitFor{D: brokenWait}
	case s3.Unavailable(err), postgres.Away(err):
		return s.again(err)
	case code != 0 && code != codeTooMany, errors.Is(err, errNotOnWhatsApp), errors.Is(err, whatsmeow.ErrGroupNotFound), errors.Is(err, whatsmeow.ErrNotInGroup):
		return s.endChange(ctx, id, events.ChangeFailed, nil, refusalOf(err))
	}
	s.log.WarnContext(s.ctx, "change not made", "change", id, "error", err)
	if time.Since(s.triedSince(id)) >= sendPatience {
		return s.endChange(ctx, id, events.ChangeFailed, nil, refusalOf(err))
	}
	wait := 2 * time.Second
	if code == codeTooMany {
		wait = limitedFirst
	}
	return "waiting", queue.WaitFor{D: wait}
}

// triedSince is since when a change has been tried over connections that held.
func (s *session) triedSince(id uuid.UUID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, ok := s.changing[id]
	if !ok {
		since = time.Now()
		s.changing[id] = since
	}
	return since
}

// untry ends the patience with a change, or begins it anew.
func (s *session) untry(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.changing, id)
}

// ended is the outcome of a command whose row is not there for it: what it asks for has ended already, unless it is the claim that is gone.
func (s *session) ended(ctx context.Context, id uuid.UUID) (outcome string, err error) {
	if err := s.hold(ctx, s.c.pool); err != nil {
		return s.again(err)
	}
	s.untry(id)
	return "repeated", nil
}

// endChange writes how a change ended and, where it was made, what it changed, in one transaction. It goes on when the command's lane is lost
// meanwhile: the fence knows whether the session is still ours. What was made although the sweeper had given it up is kept all the same.
func (s *session) endChange(ctx context.Context, id uuid.UUID, status string, write written, refused *refusal) (outcome string, err error) {
	err = s.inTx(context.WithoutCancel(ctx), func(ctx context.Context, tx *queue.Tx) error {
		p := db.ChangeFinishParams{ID: id, SessionID: s.id, Status: status}
		if refused != nil {
			p.ErrorCode, p.ErrorMessage = &refused.code, &refused.message
		}
		if write != nil {
			result, err := write(ctx, tx)
			if err != nil {
				return err
			}
			if p.Result, err = json.Marshal(result); err != nil {
				return fmt.Errorf("encode result: %w", err)
			}
		}
		row, err := s.c.queries.ChangeFinish(ctx, tx, p)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("write end of change: %w", err)
		}
		return tellChange(tx, row)
	})
	if err != nil {
		return s.again(err)
	}
	s.untry(id)
	outcome = status
	if refused != nil {
		s.log.InfoContext(s.ctx, "change refused", "change", id, "code", refused.code)
		outcome = "refused"
	}
	return outcome, nil
}

// tellChange wakes who waits for a change, and publishes what becomes of one that was not made.
func tellChange(tx *queue.Tx, row db.Change) error {
	tx.Notify(events.WakeChanges, row.ID.String())
	if row.Status == events.ChangeDone {
		return nil
	}
	_, err := events.Publish(tx, events.ChangeUndone, row.SessionID, row.ChatID, time.Now(), events.ChangeData{Change: postgres.Change(row)})
	return err
}

package connector

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
)

// typing is what a session shows before it sends a message.
type typing struct {
	id    uuid.UUID
	conn  *connection // over which it is shown: another connection begins anew
	until time.Time
}

// typeFirst shows typing in the chat of a message that wants it before it is sent, and returns how long the lane is to wait until it is called
// again; 0: send it now. The message is queued all the while, so that it can still be cancelled, and so that nothing of it has left. The session's
// other messages wait as its user would: nobody types in two chats at once.
//
// Failure policy: what cannot be shown is not; the message is sent all the same. After a crash it is shown anew.
func (s *session) typeFirst(ctx context.Context, cmd events.SendCommand) time.Duration {
	if cmd.TypingSeconds <= 0 {
		return 0
	}
	select {
	case s.inHand <- struct{}{}:
		defer func() { <-s.inHand }()
	case <-ctx.Done():
		return brokenWait
	}
	conn := s.sender()
	if conn == nil {
		return 0 // send parks it
	}
	m, err := s.c.queries.MessageTyping(ctx, s.c.pool, cmd.MessageID, s.id)
	shown := s.typing.id == cmd.MessageID && s.typing.conn == conn
	if err != nil || !m.Waiting && !shown {
		return 0 // send knows what to do
	}
	chat, err := types.ParseJID(m.ChatID)
	if err != nil {
		return 0
	}
	if !shown {
		s.typing = typing{cmd.MessageID, conn, time.Now().Add(time.Duration(cmd.TypingSeconds) * time.Second)}
	}
	state, left := events.TypingText, time.Until(s.typing.until)
	switch {
	case left <= 0 || !m.Waiting:
		state, left, s.typing = events.TypingEnded, 0, typing{}
	case m.Type == events.ContentVoice:
		state = events.TypingVoice
	}
	if err := conn.show(ctx, chat, state); err != nil {
		s.log.InfoContext(s.ctx, "typing not shown", "message", cmd.MessageID, "error", err)
	}
	return min(left, s.c.pace.typing)
}

// show shows in a chat that the account is typing or recording, or has stopped. Who types is looking, so the account is available meanwhile, and
// for a little after: WhatsApp shows typing of nobody else.
func (c *connection) show(ctx context.Context, chat types.JID, state string) error {
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	if !c.s.holds() {
		return errClaimLost
	}
	presence, media := types.ChatPresenceComposing, types.ChatPresenceMediaText
	switch state {
	case events.TypingEnded:
		presence = types.ChatPresencePaused
	case events.TypingVoice:
		media = types.ChatPresenceMediaAudio
	}
	if presence == types.ChatPresenceComposing {
		c.attend()
	}
	if err := c.client.SendChatPresence(ctx, chat, presence, media); err != nil {
		return fmt.Errorf("show typing: %w", err)
	}
	return nil
}

// attend makes the account available for as long as pace.present says. While it is, the owner's phone does not notify of what comes.
func (c *connection) attend() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.attends = time.Now().Add(c.s.c.pace.present)
	if c.leave == nil {
		c.leave = time.AfterFunc(c.s.c.pace.present, c.unattend)
	} else {
		c.leave.Reset(c.s.c.pace.present)
	}
	c.mu.Unlock()
	c.present()
}

// unattend lets the account be again what settings.presence wants.
func (c *connection) unattend() {
	c.mu.Lock()
	if c.closed || c.ctx.Err() != nil || time.Now().Before(c.attends) {
		c.mu.Unlock()
		return
	}
	c.work.Add(1)
	c.mu.Unlock()
	defer c.work.Done()
	c.present()
}

// setTyping answers events.SetTyping.
func (c *connection) setTyping(ctx context.Context, q events.Typing) (events.Typing, error) {
	chat, err := types.ParseJID(q.ChatID)
	if err != nil {
		return q, fmt.Errorf("parse chat id: %w", err)
	}
	return q, c.show(ctx, chat, q.State)
}

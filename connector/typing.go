package connector

import (
	"context"
	"fmt"
	"time"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
)

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

package connector

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

const (
	// typingAgain is how often it is told anew that somebody goes on typing: below events.TypingLasts, so that it does not lapse. WhatsApp's apps
	// say it every 10 s or so.
	typingAgain = 15 * time.Second
	// typingPause is the least between two beginnings that are told of one chat, and typingMost how many are told of all chats in that time.
	typingPause, typingMost = time.Second, 20
	// typingChats and typingPeople bound whom a connection remembers, at 200 bytes each.
	typingChats, typingPeople = 1000, 32
)

// typists are the people of whom it was told that they type, so that not every stanza becomes an event: in large groups they come by the dozen.
// Every beginning that was told is followed by its end, where one comes. The zero value is ready.
type typists struct {
	mu     sync.Mutex
	chats  map[types.JID]*typingChat
	window time.Time // when the count below began
	told   int
}

// typingChat is one chat's.
type typingChat struct {
	last   time.Time // when a beginning was last told
	people map[types.JID]typed
}

type typed struct {
	state string
	at    time.Time
}

// tells says whether what somebody does in a chat is to be told, and takes it as told.
func (t *typists) tells(chat, who types.JID, state string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.chats[chat]
	if state == events.TypingEnded {
		if in == nil || in.people[who].state == "" {
			return false
		}
		delete(in.people, who)
		return true
	}
	if in == nil {
		if t.chats == nil || len(t.chats) >= typingChats {
			t.chats = map[types.JID]*typingChat{}
		}
		in = &typingChat{people: map[types.JID]typed{}}
		t.chats[chat] = in
	}
	if now.Sub(t.window) >= typingPause {
		t.window, t.told = now, 0
	}
	before := in.people[who]
	if before.state == state && now.Sub(before.at) < typingAgain || now.Sub(in.last) < typingPause || t.told >= typingMost {
		return false
	}
	if len(in.people) >= typingPeople {
		clear(in.people)
	}
	in.last, in.people[who] = now, typed{state, now}
	t.told++
	return true
}

// ends takes that somebody's message has come, which ends his typing for everybody.
func (t *typists) ends(chat, who types.JID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in := t.chats[chat]; in != nil {
		delete(in.people, who)
	}
}

// heardTyping takes that somebody types or records in a chat, or has stopped.
func (c *connection) heardTyping(ctx context.Context, e *waevents.ChatPresence) error {
	var state string
	switch {
	case e.State == types.ChatPresencePaused:
		state = events.TypingEnded
	case e.State == types.ChatPresenceComposing && e.Media == types.ChatPresenceMediaAudio:
		state = events.TypingVoice
	case e.State == types.ChatPresenceComposing:
		state = events.TypingText
	default:
		return nil
	}
	room, sender := user(e.Chat), user(e.Sender)
	switch {
	case e.IsFromMe || sender.User == "":
		return nil
	case room.Server != types.GroupServer && room.Server != types.DefaultUserServer && room.Server != types.HiddenUserServer:
		return nil
	}
	now := time.Now()
	if !c.typists.tells(room, sender, state, now) {
		return nil
	}
	who, err := c.address(ctx, sender, e.SenderAlt)
	if err != nil {
		return err
	}
	chat := who.id
	if e.IsGroup {
		chat = room.String()
	}
	return c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		if !e.IsGroup {
			kept := state
			if kept == events.TypingEnded {
				kept = ""
			}
			if err := c.s.c.queries.PresenceType(ctx, tx, c.s.id, who.id, kept); err != nil {
				return fmt.Errorf("write typing: %w", err)
			}
		}
		from, err := c.called(ctx, tx, who)
		if err != nil {
			return err
		}
		_, err = events.Publish(tx, events.ChatTyping, c.s.id, chat, now, events.TypingData{ChatID: chat, From: from, State: state, At: now.UTC()})
		return err
	})
}

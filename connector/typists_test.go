package connector

import (
	"strconv"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
)

func TestTypingIsToldWhenItChanges(t *testing.T) {
	t.Parallel()
	var typing typists
	now := time.Now()
	chat, ann, ben := types.NewJID("120363025246125486", types.GroupServer), types.NewJID("1", types.HiddenUserServer), types.NewJID("2", types.HiddenUserServer)
	const text, voice, paused = events.TypingText, events.TypingVoice, events.TypingEnded
	for i, step := range []struct {
		after time.Duration // since the step before
		who   types.JID
		state string
		told  bool
	}{
		{0, ann, paused, false}, // nobody was told that she types
		{0, ann, text, true},
		{100 * time.Millisecond, ann, text, false},
		{100 * time.Millisecond, ben, text, false},   // the chat was told of a moment ago
		{100 * time.Millisecond, ben, paused, false}, // so his end is none
		{100 * time.Millisecond, ann, paused, true},  // while hers is
		{100 * time.Millisecond, ann, paused, false},
		{typingPause, ann, text, true},
		{typingPause, ann, voice, true},
		{typingPause, ann, voice, false},
		{typingAgain, ann, voice, true}, // it lasts
		{typingPause, ben, text, true},
	} {
		now = now.Add(step.after)
		if told := typing.tells(chat, step.who, step.state, now); told != step.told {
			t.Fatalf("step %d is told: %t", i, told)
		}
	}
	typing.ends(chat, ben) // by his message, after which he begins anew
	if now = now.Add(typingPause); !typing.tells(chat, ben, text, now) {
		t.Error("who types after his message is not told of")
	}
}

func TestTypingInManyChatsIsBounded(t *testing.T) {
	t.Parallel()
	var typing typists
	now, told := time.Now(), 0
	for i := range 5 * typingChats {
		if typing.tells(types.NewJID(strconv.Itoa(i), types.GroupServer), types.NewJID("1", types.HiddenUserServer), events.TypingText, now) {
			told++
		}
	}
	if told != typingMost || len(typing.chats) > typingChats {
		t.Errorf("%d were told, %d chats are remembered", told, len(typing.chats))
	}
	chat := types.NewJID("120363025246125486", types.GroupServer)
	for i := range 5 * typingPeople {
		now = now.Add(typingPause)
		typing.tells(chat, types.NewJID(strconv.Itoa(i), types.HiddenUserServer), events.TypingText, now)
	}
	if n := len(typing.chats[chat].people); n > typingPeople {
		t.Errorf("%d people are remembered", n)
	}
}

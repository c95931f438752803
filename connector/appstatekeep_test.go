package connector

import (
	"maps"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"
)

func TestStateIsHandledWhenAllEntriesAre(t *testing.T) {
	t.Parallel()
	jid := types.NewJID(juan, types.DefaultUserServer)
	pin, unknown := &waevents.AppState{Index: []string{appstate.IndexPin, jid.String()}}, &waevents.AppState{Index: []string{"somethingNew", "x"}}
	k := stateKeeping{stored: map[string]uint64{"regular": 5, "regular_low": 7}, owed: map[string]bool{"regular": true}, waiting: 3}
	for i, step := range []struct {
		evt  any
		want map[string]uint64
	}{
		{pin, nil}, {&waevents.Pin{JID: jid}, nil}, {&waevents.AppStateSyncComplete{}, nil}, {&waevents.Message{}, nil}, {unknown, nil}, {pin, nil},
		{&waevents.Pin{JID: jid}, map[string]uint64{"regular_low": 7}}, // the other part is one of a connection before
		{unknown, nil},
	} {
		if got := k.ends(step.evt); !maps.Equal(got, step.want) {
			t.Errorf("step %d: %v is handled, want %v", i, got, step.want)
		}
	}
	if delete(k.owed, "regular"); !maps.Equal(k.done(), map[string]uint64{"regular": 5}) {
		t.Error("what was read again is not handled")
	}
}

func TestWhatIsReadAgainDoesNotUndoWhatIsNewer(t *testing.T) {
	t.Parallel()
	jid, at := types.NewJID(juan, types.DefaultUserServer), time.Unix(1e9, 0)
	k := stateKeeping{owed: map[string]bool{"regular_low": true}, reading: "regular_low", newer: map[stateTarget]time.Time{}}
	handled := func(evt any) bool {
		t.Helper()
		e, ok := asState(evt)
		if !ok {
			t.Fatalf("%T is no entry", evt)
		}
		return k.begins(e)
	}
	for i, step := range []struct {
		evt  any
		want bool
	}{
		{&waevents.Pin{JID: jid, Timestamp: at, FromFullSync: true}, true},
		{&waevents.Pin{JID: jid, Timestamp: at.Add(time.Second)}, true},
		{&waevents.Archive{JID: jid, Timestamp: at, FromFullSync: true}, true},
		{&waevents.Pin{JID: jid, Timestamp: at, FromFullSync: true}, false},
		{&waevents.Pin{JID: jid, Timestamp: at.Add(time.Second), FromFullSync: true}, true},
	} {
		if got := handled(step.evt); got != step.want {
			t.Errorf("step %d is handled: %v", i, got)
		}
	}
	news := &waevents.Mute{JID: jid, FromFullSync: true}
	if handled(news); news.FromFullSync {
		t.Error("what was left unhandled is no news")
	}
	k.owed["regular_low"] = false
	first := &waevents.Mute{JID: jid, FromFullSync: true}
	if handled(first); !first.FromFullSync {
		t.Error("the first reading is news")
	}
}

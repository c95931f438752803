package sandbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testdb"
)

// happened says whether an event came that wanted returns true for; call it in await.
func happened[E any](c *companion, wanted func(E) bool) bool {
	return slices.ContainsFunc(c.other, func(event any) bool { e, ok := event.(E); return ok && wanted(e) })
}

// synced says whether all collections were fetched in full; call it in await.
func synced(c *companion) bool {
	for _, name := range appstate.AllPatchNames {
		if !happened(c, func(e *events.AppStateSyncComplete) bool { return e.Name == name }) {
			return false
		}
	}
	return true
}

func change(t *testing.T, url string, body map[string]any) {
	t.Helper()
	call(t, "POST", url+"/phones/"+anna+"/appstate", body, 204, nil)
}

func TestWhatAPhoneDoesToItsChatsReachesItsCompanions(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, "", "127.0.0.1:0") // in memory; the other tests have a database
	url := s.URL()
	createPhone(t, url, anna, "")
	createPhone(t, url, bert, "")
	call(t, "PUT", url+"/appstate", map[string]int{"snapshotAfter": 2}, 204, nil)
	call(t, "POST", url+"/phones/"+anna+"/contacts", map[string]string{"number": bert, "name": "Bert Brecht", "firstName": "Bert"}, 204, nil)
	for _, c := range []map[string]any{
		{"action": "archive", "chat": bert, "on": true},
		{"action": "pin", "chat": bert, "on": true},
		{"action": "mute", "chat": bert, "on": true, "seconds": 3600},
		{"action": "markRead", "chat": bert, "on": true},
		{"action": "star", "chat": bert, "id": "STARRED", "fromMe": true, "on": true},
		{"action": "deleteMessage", "chat": bert, "id": "DELETED", "fromMe": true},
		{"action": "clearChat", "chat": bert, "media": true},
		{"action": "deleteChat", "chat": echo, "media": true},
		{"action": "label", "label": "7", "name": "Customers", "color": 3},
		{"action": "labelChat", "label": "7", "chat": bert, "on": true},
		{"action": "labelMessage", "label": "7", "chat": bert, "id": "STARRED", "on": true},
		{"action": "pushName", "name": "Anna Seghers"},
		{"action": "locale", "locale": "pt_BR"},
		{"action": "unarchiveChats", "on": true},
		{"action": "quickReply", "id": "9", "shortcut": "/hi", "text": "Hello!"},
		{"action": "muteStatus", "chat": bert, "on": true},
	} {
		change(t, url, c)
	}
	c := newCompanion(t, dsn, host(url))
	c.client.EmitAppStateEventsOnFullSync = true
	c.link(url, anna)
	c.await("all collections", func() bool { return synced(c) })
	chat := types.NewJID(bert, types.DefaultUserServer)
	c.mu.Lock()
	for what, ok := range map[string]bool{
		"contact": happened(c, func(e *events.Contact) bool { return e.JID == chat && e.Action.GetFullName() == "Bert Brecht" }),
		"archive": happened(c, func(e *events.Archive) bool { return e.JID == chat && e.Action.GetArchived() && e.FromFullSync }),
		"pin":     happened(c, func(e *events.Pin) bool { return e.JID == chat && e.Action.GetPinned() }),
		"mute": happened(c, func(e *events.Mute) bool {
			return e.JID == chat && e.Action.GetMuted() && e.Action.GetMuteEndTimestamp() > time.Now().UnixMilli()
		}),
		"read": happened(c, func(e *events.MarkChatAsRead) bool { return e.JID == chat && e.Action.GetRead() }),
		"star": happened(c, func(e *events.Star) bool {
			return e.ChatJID == chat && e.MessageID == "STARRED" && e.IsFromMe && e.Action.GetStarred()
		}),
		"delete":          happened(c, func(e *events.DeleteForMe) bool { return e.ChatJID == chat && e.MessageID == "DELETED" }),
		"clear":           happened(c, func(e *events.ClearChat) bool { return e.JID == chat && e.DeleteMedia }),
		"remove":          happened(c, func(e *events.DeleteChat) bool { return e.JID.User == echo && e.DeleteMedia }),
		"label":           happened(c, func(e *events.LabelEdit) bool { return e.LabelID == "7" && e.Action.GetName() == "Customers" }),
		"labeled":         happened(c, func(e *events.LabelAssociationChat) bool { return e.LabelID == "7" && e.JID == chat }),
		"labeled message": happened(c, func(e *events.LabelAssociationMessage) bool { return e.MessageID == "STARRED" && e.JID == chat }),
		"push name":       happened(c, func(e *events.PushNameSetting) bool { return e.Action.GetName() == "Anna Seghers" }),
		"unarchive":       happened(c, func(e *events.UnarchiveChatsSetting) bool { return e.Action.GetUnarchiveChats() }),
		"muted status":    happened(c, func(e *events.UserStatusMute) bool { return e.JID == chat && e.Action.GetMuted() }),
		"locale":          happened(c, func(e *events.AppState) bool { return e.GetLocaleSetting().GetLocale() == "pt_BR" }),
		"quick reply":     happened(c, func(e *events.AppState) bool { return e.GetQuickReplyAction().GetMessage() == "Hello!" }),
	} {
		if !ok {
			t.Errorf("no %s", what)
		}
	}
	if happened(c, func(*events.AppStateSyncError) bool { return true }) {
		t.Error("app state did not verify")
	}
	c.mu.Unlock()
	if s.Stats().MediaDownloads == 0 {
		t.Error("no snapshot was downloaded") // there were several
	}

	// And the other way.
	if err := c.client.SendAppState(t.Context(), appstate.BuildArchive(types.NewJID(echo, types.DefaultUserServer), true, time.Time{}, nil)); err != nil {
		t.Fatal(err)
	}
	noticedAs(t, s, anna, "appState", fmt.Sprintf(`{"action":"archive","chat":"%s","index":["archive","%s@s.whatsapp.net"]`, echo, echo))
	paid(t, s, anna)
}

// noticedAs waits until a phone has noticed something whose JSON begins in a way.
func noticedAs(t *testing.T, s *sandbox.Sandbox, number, kind, begins string) {
	t.Helper()
	var after int64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		found, err := s.Events(t.Context(), number, after, kind, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found {
			if after = e.Seq; len(e.Data) >= len(begins) && string(e.Data[:len(begins)]) == begins {
				return
			}
		}
	}
	t.Fatalf("phone %s noticed no %s %s", number, kind, begins)
}

func TestRefusesChangesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	for _, body := range []map[string]any{
		{"action": "paint", "chat": bert},
		{"action": "archive", "chat": "nobody"},
		{"action": "star", "chat": bert},
		{"action": "label", "name": "without an id"},
		{"action": "pushName"},
		{"action": "contact", "chat": "x@", "name": "X"},
	} {
		call(t, "POST", s.URL()+"/phones/"+anna+"/appstate", body, 422, nil)
	}
	call(t, "POST", s.URL()+"/phones/"+anna+"/contacts", map[string]string{"number": "1", "name": "X"}, 422, nil)
	call(t, "PUT", s.URL()+"/phones/"+anna+"/history", map[string]any{"mode": "paper"}, 422, nil)
	call(t, "PUT", s.URL()+"/phones/"+anna+"/history", map[string]any{"seed": map[string]int{"chats": 1000, "messages": 1000}}, 422, nil)
	call(t, "PUT", s.URL()+"/appstate", map[string]any{"page": -1}, 422, nil)
	call(t, "GET", s.URL()+"/phones/"+bert+"/history", nil, 404, nil)
}

// keyIDs are the ids of the newest key that a companion has.
func (c *companion) newestKey() string {
	id, err := c.client.Store.AppStateKeys.GetLatestAppStateSyncKeyID(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return fmt.Sprintf("%x", id)
}

func TestAKeyThatIsMissingIsAskedFor(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.client.EmitAppStateEventsOnFullSync = true
	c.link(s.URL(), anna)
	c.await("all collections", func() bool { return synced(c) })
	paid(t, s, anna)
	// A client that forgot its keys: a new one of the same device, whose process has none in its memory either.
	admin, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	if _, err := admin.Exec(t.Context(), `DELETE FROM companion.whatsmeow_app_state_sync_keys`); err != nil {
		t.Fatal(err)
	}
	again := c.reopen()
	change(t, s.URL(), map[string]any{"action": "pin", "chat": bert, "on": true})
	again.await("the change, once the key has come", func() bool {
		return happened(again, func(e *events.Pin) bool { return e.JID.User == bert && e.Action.GetPinned() })
	})
	noticedAs(t, s, anna, "peerRequest", `{"answers":1,"device":1,"id":"`)
	paid(t, s, anna)

	// And one that lost its place gets a collection from the phone in the clear.
	if err := again.client.Store.AppState.DeleteAppStateVersion(t.Context(), string(appstate.WAPatchRegularLow)); err != nil {
		t.Fatal(err)
	}
	if _, err := again.client.SendPeerMessage(t.Context(), whatsmeow.BuildAppStateRecoveryRequest(appstate.WAPatchRegularLow)); err != nil {
		t.Fatal(err)
	}
	again.await("the recovery", func() bool {
		return happened(again, func(e *events.AppStateSyncComplete) bool { return e.Recovery && e.Version == 1 })
	})
	change(t, s.URL(), map[string]any{"action": "pin", "chat": bert, "on": false})
	again.await("a change after the recovery, which verifies", func() bool {
		return happened(again, func(e *events.Pin) bool { return !e.Action.GetPinned() })
	})
}

func TestANewKeyFollowsARemovedDevice(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	stays, leaves := newCompanion(t, dsn, host(s.URL())), newCompanion(t, dsn, host(s.URL()))
	for _, c := range []*companion{stays, leaves} {
		c.client.EmitAppStateEventsOnFullSync = true
		c.link(s.URL(), anna)
		c.await("all collections", func() bool { return synced(c) })
	}
	paid(t, s, anna)
	change(t, s.URL(), map[string]any{"action": "pin", "chat": bert, "on": true})
	stays.await("a change", func() bool { return saw[*events.Pin](stays) })
	old := stays.newestKey()
	if err := leaves.client.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(10 * time.Millisecond); stays.newestKey() == old; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("no new key came")
		}
	}
	paid(t, s, anna)
	if err := stays.client.SendAppState(t.Context(), appstate.BuildPin(types.NewJID(bert, types.DefaultUserServer), false)); err != nil {
		t.Fatal(err)
	}
	noticedAs(t, s, anna, "appState", fmt.Sprintf(`{"action":"pin","chat":"%s","index":["pin_v1","%s@s.whatsapp.net"],"value":{"timestamp":`, bert, bert))
	// What was written with both keys is read by one that comes later; the later counts.
	call(t, "PUT", s.URL()+"/appstate", map[string]int{"snapshotAfter": 1}, 204, nil)
	late := newCompanion(t, dsn, host(s.URL()))
	late.client.EmitAppStateEventsOnFullSync = true
	late.link(s.URL(), anna)
	late.await("all collections", func() bool { return synced(late) })
	late.mu.Lock()
	defer late.mu.Unlock()
	pinned := true
	for _, event := range late.other {
		if e, ok := event.(*events.Pin); ok {
			pinned = e.Action.GetPinned()
		}
	}
	if pinned {
		t.Error("the older pin came last")
	}
}

// reopen replaces the companion's client by another of the same stored device, as a restarted process does.
func (c *companion) reopen() *companion {
	c.t.Helper()
	jid := *c.client.Store.ID
	c.client.Disconnect()
	device, err := c.container.Device(c.t.Context(), jid, signalstore.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	again := c.with(device)
	again.client.EmitAppStateEventsOnFullSync = true
	if err := again.connect(); err != nil {
		c.t.Fatal(err)
	}
	again.await("the login", func() bool { return saw[*events.Connected](again) })
	return again
}

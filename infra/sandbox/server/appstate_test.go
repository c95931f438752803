package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/appstate"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waServerSync"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	waLog "go.mau.fi/whatsmeow/util/log"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

var (
	appStateKeyID = []byte{0, 0, 0, 0, 0, 1}
	appStateKey   = store.AppStateSyncKey{Data: slices.Repeat([]byte{7}, 32), Fingerprint: []byte{}, Timestamp: 1}
)

// sharing makes clients able to read app state, each of them with events for all of it.
func sharing(t *testing.T, clients ...*client) {
	t.Helper()
	for _, c := range clients {
		c.EmitAppStateEventsOnFullSync = true
		c.SetMediaHTTPClient(&http.Client{Transport: c.n})
		if err := c.Store.AppStateKeys.PutAppStateSyncKey(t.Context(), appStateKeyID, appStateKey); err != nil {
			t.Fatal(err)
		}
	}
}

// change sends a patch, again when somebody else was faster. It leaves the conflict to FetchAppState: what whatsmeow does by itself applies
// the others' patches without the lock that applying them after a notification takes (sendAppState in appstate.go), so that both may apply
// the same ones, and the second fails in the store.
func (c *client) change(patch appstate.PatchInfo) {
	c.n.t.Helper()
	for {
		//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API always handles the conflict by itself
		err := c.DangerousInternals().SendAppState(c.n.t.Context(), patch, false)
		if err == nil {
			return
		}
		if !errors.Is(err, whatsmeow.ErrAppStateUpdate) {
			c.n.t.Error(err)
			return
		}
		if err := c.FetchAppState(c.n.t.Context(), patch.Type, false, false); err != nil {
			c.n.t.Error(err)
			return
		}
	}
}

// chat is one of many that app state can say something of.
func chat(i int) types.JID { return types.NewJID(fmt.Sprintf("55%09d", i), types.DefaultUserServer) }

// muted returns what a client was told last about each chat.
func (c *client) muted() map[types.JID]bool {
	state := map[types.JID]bool{}
	for _, e := range all[*events.Mute](c) {
		state[e.JID] = e.Action.GetMuted()
	}
	return state
}

func TestSharesAppStateBetweenDevices(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	web := n.companion(ana)
	sharing(t, ana, web)
	ana.change(appstate.BuildMute(ben.Store.LID, true, time.Hour))
	await(web, func(e *events.Mute) bool { return e.JID == ben.Store.LID && e.Action.GetMuted() })
	n.restart(ana, web)

	// A companion that has not looked at a patch yet writes on the old version, is told of the conflict, and writes again on top of it. It is
	// kept from looking by a message before, whose handler takes its time.
	held, release := make(chan struct{}), make(chan struct{})
	web.AddEventHandler(func(event any) {
		if m, ok := event.(*events.Message); ok && m.Message.GetConversation() == "wait" {
			close(held)
			<-release
		}
	})
	ben.text(*ana.Store.ID, "wait")
	<-held
	ana.change(appstate.BuildMute(ben.Store.LID, false, 0))
	if err := web.SendAppState(t.Context(), appstate.BuildMute(ana.Store.LID, true, time.Hour)); err != nil {
		t.Error(err)
	}
	close(release)
	await(ana, func(e *events.Mute) bool { return e.JID == ana.Store.LID && e.Action.GetMuted() })
	await(web, func(e *events.Mute) bool { return !e.Action.GetMuted() })
	n.settled()
}

func TestTwoWritersOfAppStateOverwriteNothing(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	web, desktop := n.companion(ana), n.companion(ana)
	sharing(t, ana, web, desktop)
	const each = 15
	var writers sync.WaitGroup
	for w, c := range []*client{web, desktop} {
		writers.Go(func() {
			for i := range each {
				c.change(appstate.BuildMute(chat(w*each+i), true, time.Hour))
			}
		})
	}
	writers.Wait()
	for _, c := range []*client{ana, web, desktop} {
		until(c, func() bool { return len(c.muted()) == 2*each })
		if failed := all[*events.AppStateSyncError](c); len(failed) > 0 {
			t.Errorf("app state did not verify: %v", failed[0].Error)
		}
	}
	fresh := n.companion(ana)
	sharing(t, fresh)
	if err := fresh.FetchAppState(t.Context(), appstate.WAPatchRegularHigh, true, false); err != nil {
		t.Fatal(err)
	}
	if got := fresh.muted(); len(got) != 2*each {
		t.Errorf("a full sync has %d chats, want %d", len(got), 2*each)
	}
	n.settled()
}

func TestGivesSnapshotsInsteadOfManyPatches(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	sharing(t, ana)
	n.Server().SetAppState(server.AppStateSettings{SnapshotAfter: 4, Page: 3})
	sync := func(patches int) {
		t.Helper()
		c := n.companion(ana)
		sharing(t, c)
		if err := c.FetchAppState(t.Context(), appstate.WAPatchRegularHigh, true, false); err != nil {
			t.Fatal(err)
		}
		last := all[*events.AppStateSyncComplete](c)
		if version := last[len(last)-1].Version; version != uint64(patches) {
			t.Errorf("synced to version %d, want %d", version, patches)
		}
		got, want := c.muted(), ana.muted()
		if len(got) != len(want) {
			t.Errorf("%d chats after %d patches, want %d", len(got), patches, len(want))
		}
		for jid, is := range want {
			if got[jid] != is {
				t.Errorf("%s is muted %t after %d patches", jid, got[jid], patches)
			}
		}
	}
	for i := range 30 {
		ana.change(appstate.BuildMute(chat(i%10), i%3 != 0, time.Hour)) // the same chats over and over
		if i == 3 || i == 4 || i == 6 || i == 18 {
			sync(i + 1) // patches, a snapshot, a snapshot with patches, a newer snapshot
		}
	}
	n.restart(ana)
	n.Server().SetAppState(server.AppStateSettings{SnapshotAfter: 15, Page: 3})
	sync(30) // the snapshot of 19 patches, and three pages and a half
	// It is counted when all of it was written, which is after the client has it.
	n.eventually("the one download since the restart", func() bool { return n.Server().Stats().MediaDownloads == 1 })
}

// raw encodes a patch for a client's newest version, to be changed and sent by hand.
func (c *client) raw(patch appstate.PatchInfo) (*waServerSync.SyncdPatch, uint64) {
	c.n.t.Helper()
	version, hash, err := c.Store.AppState.GetAppStateVersion(c.n.t.Context(), string(patch.Type))
	if err != nil {
		c.n.t.Fatal(err)
	}
	encoded, err := appstate.NewProcessor(c.Store, waLog.Noop).EncodePatch(c.n.t.Context(), appStateKeyID, appstate.HashState{Version: version, Hash: hash}, patch)
	if err != nil {
		c.n.t.Fatal(err)
	}
	var decoded waServerSync.SyncdPatch
	if err := proto.Unmarshal(encoded, &decoded); err != nil {
		c.n.t.Fatal(err)
	}
	return &decoded, version
}

func (c *client) push(name string, version uint64, patch *waServerSync.SyncdPatch) error {
	c.n.t.Helper()
	encoded, err := proto.Marshal(patch)
	if err != nil {
		c.n.t.Fatal(err)
	}
	_, err = c.query("w:sync:app:state", "set", waBinary.Node{Tag: "sync", Content: []waBinary.Node{{
		Tag: "collection", Attrs: waBinary.Attrs{"name": name, "version": version}, Content: []waBinary.Node{{Tag: "patch", Content: encoded}},
	}}})
	return err
}

func TestTakesPatchesWithExternalMutations(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	web := n.companion(ana)
	sharing(t, ana, web)
	large := appstate.PatchInfo{Type: appstate.WAPatchRegularHigh}
	for i := range 300 {
		large.Mutations = append(large.Mutations, appstate.BuildMute(chat(i), true, time.Hour).Mutations...)
	}
	patch, version := ana.raw(large)
	plain, err := proto.Marshal(&waServerSync.SyncdMutations{Mutations: patch.Mutations})
	if err != nil {
		t.Fatal(err)
	}
	file, err := ana.Upload(t.Context(), plain, whatsmeow.MediaAppState)
	if err != nil {
		t.Fatal(err)
	}
	patch.Mutations = nil
	patch.ExternalMutations = &waServerSync.ExternalBlobReference{
		MediaKey: file.MediaKey, DirectPath: &file.DirectPath, FileSizeBytes: &file.FileLength, FileSHA256: file.FileSHA256, FileEncSHA256: file.FileEncSHA256,
	}
	if err := ana.push(string(large.Type), version, patch); err != nil {
		t.Fatal(err)
	}
	until(web, func() bool { return len(web.muted()) == 300 })

	// The blob is gone some day; the snapshot has what it said.
	if _, err := n.Server().ForgetMedia(t.Context(), file.FileEncSHA256); err != nil {
		t.Fatal(err)
	}
	n.restart(ana, web)
	n.Server().SetAppState(server.AppStateSettings{SnapshotAfter: 1})
	web.change(appstate.BuildMute(chat(0), false, 0))
	fresh := n.companion(ana)
	sharing(t, fresh)
	if err := fresh.FetchAppState(t.Context(), large.Type, true, false); err != nil {
		t.Fatal(err)
	}
	if got := fresh.muted(); len(got) != 300 || got[chat(0)] || !got[chat(299)] {
		t.Errorf("a full sync has %d chats, the first %t, the last %t", len(got), got[chat(0)], got[chat(299)])
	}

	patch.ExternalMutations.FileEncSHA256 = slices.Repeat([]byte{1}, 32)
	if err := ana.push(string(large.Type), 2, patch); !errors.Is(err, whatsmeow.ErrIQBadRequest) {
		t.Errorf("a patch whose blob is not there: %v", err)
	}
}

func TestRefusesAppStateThatNobodyCouldRead(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	sharing(t, ana)
	mute := appstate.BuildMute(chat(1), true, time.Hour)
	refused := func(what string, name string, spoil func(*waServerSync.SyncdPatch)) {
		t.Helper()
		patch, version := ana.raw(mute)
		spoil(patch)
		if err := ana.push(name, version, patch); !errors.Is(err, whatsmeow.ErrIQBadRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
	good := string(mute.Type)
	refused("an unknown collection", "regular_middle", func(*waServerSync.SyncdPatch) {})
	refused("a collection without a name", "", func(*waServerSync.SyncdPatch) {})
	refused("no mutation", good, func(p *waServerSync.SyncdPatch) { p.Mutations = nil })
	refused("no MAC", good, func(p *waServerSync.SyncdPatch) { p.PatchMAC = nil })
	refused("a short value", good, func(p *waServerSync.SyncdPatch) { p.Mutations[0].Record.Value.Blob = make([]byte, 31) })
	refused("a large patch", good, func(p *waServerSync.SyncdPatch) { p.ClientDebugData = make([]byte, 1<<20) })
	ana.change(mute)
	if version, _, err := ana.Store.AppState.GetAppStateVersion(t.Context(), good); err != nil || version != 1 {
		t.Errorf("version %d, %v, want 1", version, err)
	}
}

func TestKnowsWhatCompanionsWant(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	web := n.companion(ana)
	for range 2 {
		linked := n.Server().Companions("5491100000001")
		if len(linked) != 1 || linked[0].JID != *web.Store.ID || linked[0].Identity != *web.Store.IdentityKey.Pub ||
			!linked[0].Props.GetHistorySyncConfig().GetInlineInitialPayloadInE2EeMsg() || linked[0].Props.GetOs() != store.DeviceProps.GetOs() {
			t.Errorf("companions are %+v", linked)
		}
		n.restart(ana, web)
	}
}

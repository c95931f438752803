package server_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox/keystore"
)

// query sends an iq that whatsmeow has no call for.
func (c *client) query(xmlns, kind string, children ...waBinary.Node) (*waBinary.Node, error) {
	//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; it has no other way to send an iq of one's own
	return c.DangerousInternals().SendIQ(c.n.t.Context(), whatsmeow.DangerousInfoQuery{
		Namespace: xmlns, Type: whatsmeow.DangerousInfoQueryType(kind), To: types.ServerJID, Content: children, Timeout: patience,
	})
}

func TestAnUnknownQueryIsAnsweredAndCounted(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	_, err := ana.query("w:nothing", "get", waBinary.Node{Tag: "nothing"})
	if refused := (*whatsmeow.IQError)(nil); !errors.As(err, &refused) || refused.Code != 501 {
		t.Errorf("answered with %v", err)
	}
	if got := n.Server().Stats().UnknownStanzas; got != 1 {
		t.Errorf("%d unknown", got)
	}
	n.unknown = -1 // the one that was meant
}

func TestKnowsNoGroups(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	if _, err := ana.GetGroupInfo(t.Context(), types.NewJID("120363025246125486", types.GroupServer)); !errors.Is(err, whatsmeow.ErrGroupNotFound) {
		t.Errorf("an unknown group: %v", err)
	}
	if groups, err := ana.GetJoinedGroups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("joined %v, %v", groups, err)
	}
}

func TestKnowsWhoIsOnWhatsApp(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	found, err := ana.IsOnWhatsApp(t.Context(), []string{"+5491100000002", "+5491100000003"})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || !found[0].IsIn || found[0].JID != ben.Store.LID || found[0].PhoneNumber != *ben.Store.ID || found[0].Query != "+5491100000002" ||
		found[1].IsIn || found[1].Query != "+5491100000003" {
		t.Errorf("found %+v", found)
	}
	if _, err := ben.query("status", "set", waBinary.Node{Tag: "status", Content: []byte("on holiday")}); err != nil {
		t.Fatal(err)
	}
	n.restart(ana, ben)
	unknown := types.NewJID("5491100000003", types.DefaultUserServer)
	info, err := ana.GetUserInfo(t.Context(), []types.JID{*ben.Store.ID, unknown})
	if err != nil {
		t.Fatal(err)
	}
	if got := info[*ben.Store.ID]; got.LID != ben.Store.LID || got.Status != "on holiday" || !slices.Equal(got.Devices, []types.JID{*ben.Store.ID}) {
		t.Errorf("info is %+v", got)
	}
	if got := info[unknown]; !got.LID.IsEmpty() || len(got.Devices) != 0 {
		t.Errorf("info of nobody is %+v", got)
	}
}

func TestKeepsPrivacySettings(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	web := n.companion(ana)
	if settings := ana.GetPrivacySettings(t.Context()); settings.ReadReceipts != types.PrivacySettingAll {
		t.Errorf("settings are %+v", settings)
	}
	if _, err := ana.SetPrivacySetting(t.Context(), types.PrivacySettingTypeReadReceipts, types.PrivacySettingNone); err != nil {
		t.Fatal(err)
	}
	await(web, func(e *events.PrivacySettings) bool { return e.ReadReceiptsChanged })
	n.restart(ana, web)
	settings, err := web.TryFetchPrivacySettings(t.Context(), true)
	if err != nil || settings.ReadReceipts != types.PrivacySettingNone || settings.LastSeen != types.PrivacySettingAll {
		t.Errorf("settings are %+v, %v", settings, err)
	}
}

func TestAsksForPreKeysWhenFewAreLeft(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	count := func() int { return n.Server().PreKeys("5491100000002") }
	if got := count(); got != keystore.MostPreKeys {
		t.Errorf("%d prekeys after the first login", got)
	}
	// Five are left, which is just enough not to make a fresh login upload more.
	n.restartAfter(func() {
		if _, err := n.pool.Exec(t.Context(), `DELETE FROM sandbox.records WHERE kind = 'prekey' AND substr(key, 10) > '000005'`); err != nil {
			t.Fatal(err)
		}
	}, ana, ben)
	if got := count(); got != 5 {
		t.Fatalf("%d prekeys left", got)
	}
	for want := uint32(1); want <= 2; want++ {
		answer, err := ana.query("encrypt", "get", waBinary.Node{Tag: "key", Content: []waBinary.Node{
			{Tag: "user", Attrs: waBinary.Attrs{"jid": *ben.Store.ID}},
			{Tag: "user", Attrs: waBinary.Attrs{"jid": types.NewJID("5491100000009", types.DefaultUserServer)}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		list := answer.GetChildByTag("list")
		users := list.GetChildren()
		id, _ := users[0].GetChildByTag("key", "id").Content.([]byte)
		if len(id) != 3 || binary.BigEndian.Uint32(append([]byte{0}, id...)) != want {
			t.Errorf("prekey id %x, want %d", id, want)
		}
		if _, missing := users[1].GetOptionalChildByTag("error"); !missing {
			t.Error("keys of nobody")
		}
	}
	n.eventually("upload", func() bool { return count() >= 50 })
}

func TestAnswersTheKeyQueriesOfOtherClients(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	answer, err := ana.query("encrypt", "get", waBinary.Node{Tag: "digest"})
	if err != nil {
		t.Fatal(err)
	}
	digest := answer.GetChildByTag("digest")
	list := digest.GetChildByTag("list")
	if identity, _ := digest.GetChildByTag("identity").Content.([]byte); !slices.Equal(identity, ana.Store.IdentityKey.Pub[:]) || len(list.GetChildren()) != keystore.MostPreKeys {
		t.Errorf("digest is %v", &digest)
	}
	fresh := ana.Store.IdentityKey.CreateSignedPreKey(7)
	skey := func(signature []byte) waBinary.Node {
		return waBinary.Node{Tag: "rotate", Content: []waBinary.Node{{Tag: "skey", Content: []waBinary.Node{
			{Tag: "id", Content: []byte{0, 0, 7}}, {Tag: "value", Content: fresh.Pub[:]}, {Tag: "signature", Content: signature},
		}}}}
	}
	if _, err := ana.query("encrypt", "set", skey(make([]byte, 64))); err == nil {
		t.Error("a wrong signature was taken")
	}
	if _, err := ana.query("encrypt", "set", skey(fresh.Signature[:])); err != nil {
		t.Fatal(err)
	}
	n.restart(ana)
	answer, err = ana.query("encrypt", "get", waBinary.Node{Tag: "key", Content: []waBinary.Node{{Tag: "user", Attrs: waBinary.Attrs{"jid": *ana.Store.ID}}}})
	if err != nil {
		t.Fatal(err)
	}
	if public, _ := answer.GetChildByTag("list", "user", "skey", "value").Content.([]byte); !slices.Equal(public, fresh.Pub[:]) {
		t.Error("the signed prekey was not replaced")
	}
	for _, q := range [][3]string{
		{"w:p", "get", ""}, {"w:p", "get", "ping"}, {"abt", "get", "props"}, {"w", "get", "props"}, {"urn:xmpp:whatsapp:dirty", "set", "clean"},
		{"w:stats", "set", "add"}, {"tos", "get", "request"}, {"urn:xmpp:whatsapp:push", "get", "settings"}, {"blocklist", "get", ""}, {"w:m", "set", "media_conn"},
	} {
		var children []waBinary.Node
		if q[2] != "" {
			children = []waBinary.Node{{Tag: q[2]}}
		}
		if _, err := ana.query(q[0], q[1], children...); err != nil {
			t.Errorf("%v: %v", q, err)
		}
	}
	if picture, err := ana.GetProfilePictureInfo(t.Context(), *ana.Store.ID, nil); picture != nil || !errors.Is(err, whatsmeow.ErrProfilePictureNotSet) {
		t.Errorf("picture is %v, %v", picture, err)
	}
}

func TestForwardsTyping(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	if err := ana.SendPresence(t.Context(), types.PresenceAvailable); err != nil {
		t.Fatal(err)
	}
	if err := ana.SendChatPresence(t.Context(), ben.Store.LID, types.ChatPresenceComposing, types.ChatPresenceMediaText); err != nil {
		t.Fatal(err)
	}
	await(ben, func(e *events.ChatPresence) bool {
		return e.Chat == ana.Store.LID && e.State == types.ChatPresenceComposing
	})
	ana.Store.PushName = "Ana María"
	if err := ana.SendPresence(t.Context(), types.PresenceAvailable); err != nil {
		t.Fatal(err)
	}
	ana.text(*ben.Store.ID, "with a new name")
	if m := ben.receives("with a new name"); m.Info.PushName != "Ana María" {
		t.Errorf("push name is %q", m.Info.PushName)
	}
}

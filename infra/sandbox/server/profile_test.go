package server_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

const (
	anaNumber = "5491100000001"
	benNumber = "5491100000002"
	eveNumber = "5491100000003"
)

// acquainted makes two phones that have written to each other.
func (n *network) acquainted() (ana, ben *client) {
	n.t.Helper()
	ana, ben = n.phone(anaNumber, "Ana"), n.phone(benNumber, "Ben")
	ana.text(*ben.Store.ID, "hello Ben")
	ben.receives("hello Ben")
	ben.text(*ana.Store.ID, "hello Ana")
	ana.receives("hello Ana")
	return ana, ben
}

func (c *client) allow(setting types.PrivacySettingType, value types.PrivacySetting) {
	c.n.t.Helper()
	if _, err := c.SetPrivacySetting(c.n.t.Context(), setting, value); err != nil {
		c.n.t.Fatal(err)
	}
}

func (c *client) show(presence types.Presence) {
	c.n.t.Helper()
	if err := c.SendPresence(c.n.t.Context(), presence); err != nil {
		c.n.t.Fatal(err)
	}
}

// sync waits until the server has handled all that the client sent.
func (c *client) sync() {
	c.n.t.Helper()
	if _, err := c.query("w:p", "get"); err != nil {
		c.n.t.Fatal(err)
	}
}

func TestTellsSubscribersWhoIsThere(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	web := n.companion(ben)
	web.Store.PushName = "Ben"
	if err := ana.SubscribePresence(t.Context(), ben.Store.LID); err != nil {
		t.Fatal(err)
	}
	ana.show(types.PresenceAvailable)
	await(ana, func(e *events.Presence) bool { return e.From == ben.Store.LID && e.Unavailable && e.LastSeen.IsZero() })
	ben.show(types.PresenceAvailable)
	await(ana, func(e *events.Presence) bool { return e.From == ben.Store.LID && !e.Unavailable })
	web.show(types.PresenceAvailable)
	web.sync()
	told := len(all[*events.Presence](ana))
	ben.show(types.PresenceUnavailable)
	ben.sync()
	ana.sync()
	if got := len(all[*events.Presence](ana)); got != told {
		t.Errorf("told of %d changes while another device is there", got-told)
	}
	web.show(types.PresenceUnavailable)
	seen := await(ana, func(e *events.Presence) bool { return e.Unavailable && !e.LastSeen.IsZero() }).LastSeen
	n.restart(ana, ben, web)
	ana.show(types.PresenceAvailable)
	before := len(all[*events.Presence](ana))
	if err := ana.SubscribePresence(t.Context(), *ben.Store.ID); err != nil {
		t.Fatal(err)
	}
	until(ana, func() bool { return len(all[*events.Presence](ana)) > before })
	if got := all[*events.Presence](ana)[before]; got.From != *ben.Store.ID || !got.LastSeen.Equal(seen) {
		t.Errorf("after the restart %+v, last seen before %v", got, seen)
	}
	ben.show(types.PresenceAvailable)
	await(ana, func(e *events.Presence) bool { return e.From == *ben.Store.ID && !e.Unavailable })
	before = len(all[*events.Presence](ana))
	n.Server().Disconnect("")
	until(ana, func() bool {
		told := all[*events.Presence](ana)[before:]
		return len(told) == 0 || told[0].Unavailable // its own connection may be cut first
	})
	n.eventually("all are back", func() bool { return ana.IsConnected() && ben.IsConnected() && web.IsConnected() })
}

func TestPresenceIsKeptFromThoseWhoMayNotKnowIt(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	ben.allow(types.PrivacySettingTypeLastSeen, types.PrivacySettingNone)
	ben.show(types.PresenceAvailable)
	ben.sync()
	ana.show(types.PresenceAvailable)
	if err := ana.SubscribePresence(t.Context(), *ben.Store.ID); err != nil {
		t.Fatal(err)
	}
	await(ana, func(e *events.Presence) bool { return !e.Unavailable })
	ben.show(types.PresenceUnavailable)
	await(ana, func(e *events.Presence) bool { return e.Unavailable && e.LastSeen.IsZero() })
	ben.allow(types.PrivacySettingTypeOnline, types.PrivacySettingMatchLastSeen)
	before := len(all[*events.Presence](ana))
	ben.show(types.PresenceAvailable)
	ben.sync()
	ana.sync()
	if got := len(all[*events.Presence](ana)); got != before {
		t.Error("told of a presence that is hidden")
	}
	// A stranger is nobody's contact.
	eve := n.phone(eveNumber, "Eve")
	ana.allow(types.PrivacySettingTypeLastSeen, types.PrivacySettingContacts)
	ana.allow(types.PrivacySettingTypeOnline, types.PrivacySettingMatchLastSeen)
	eve.show(types.PresenceAvailable)
	if err := eve.SubscribePresence(t.Context(), *ana.Store.ID); err != nil {
		t.Fatal(err)
	}
	eve.sync()
	ana.text(*eve.Store.ID, "hello Eve")
	eve.receives("hello Eve")
	if got := len(all[*events.Presence](eve)); got != 0 {
		t.Errorf("a stranger was told %d times", got)
	}
	ana.show(types.PresenceUnavailable)
	await(eve, func(e *events.Presence) bool { return e.Unavailable && !e.LastSeen.IsZero() })
}

func TestForwardsChatStates(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone(anaNumber, "Ana"), n.phone(benNumber, "Ben")
	web := n.companion(ben)
	made, err := ana.CreateGroup(t.Context(), whatsmeow.ReqCreateGroup{Name: "Typists", Participants: []types.JID{*ben.Store.ID}})
	if err != nil {
		t.Fatal(err)
	}
	group := made.JID
	for _, to := range []types.JID{*ben.Store.ID, ben.Store.LID} {
		if err := ana.SendChatPresence(t.Context(), to, types.ChatPresenceComposing, types.ChatPresenceMediaAudio); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*client{ben, web} {
			await(c, func(e *events.ChatPresence) bool {
				return e.Chat.Server == to.Server && e.State == types.ChatPresenceComposing && e.Media == types.ChatPresenceMediaAudio
			})
		}
	}
	if err := ana.SendChatPresence(t.Context(), group, types.ChatPresencePaused, ""); err != nil {
		t.Fatal(err)
	}
	await(web, func(e *events.ChatPresence) bool {
		return e.Chat == group && e.Sender == ana.Store.LID && e.SenderAlt == *ana.Store.ID && e.State == types.ChatPresencePaused
	})
	if got := all[*events.ChatPresence](ana); len(got) != 0 {
		t.Errorf("the author is told %+v", got)
	}
}

// photo is a JPEG of one colour.
func photo(t *testing.T, side int, shade uint8) []byte {
	t.Helper()
	picture := image.NewGray(image.Rect(0, 0, side, side))
	for i := range picture.Pix {
		picture.Pix[i] = shade
	}
	picture.SetGray(0, 0, color.Gray{Y: 255 - shade})
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fetch gets a URL of WhatsApp's.
func (n *network) fetch(url string) (status int, body []byte) {
	n.t.Helper()
	request, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	answer, err := n.RoundTrip(request)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		n.t.Fatal(err)
	}
	return answer.StatusCode, body
}

func TestShowsPictures(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	web := n.companion(ana)
	if _, err := ben.GetProfilePictureInfo(t.Context(), *ana.Store.ID, nil); !errors.Is(err, whatsmeow.ErrProfilePictureNotSet) {
		t.Errorf("no picture: %v", err)
	}
	if _, err := ana.SetGroupPhoto(t.Context(), types.EmptyJID, []byte("GIF89a")); !errors.Is(err, whatsmeow.ErrInvalidImageFormat) {
		t.Errorf("no JPEG: %v", err)
	}
	first := photo(t, 640, 10)
	id, err := ana.SetGroupPhoto(t.Context(), types.EmptyJID, first)
	if err != nil {
		t.Fatal(err)
	}
	await(ben, func(e *events.Picture) bool { return e.JID == *ana.Store.ID && e.PictureID == id && !e.Remove })
	await(web, func(e *events.Picture) bool { return e.JID == *ana.Store.ID })
	n.restart(ana, ben, web)
	info, err := ben.GetProfilePictureInfo(t.Context(), ana.Store.LID, nil)
	if err != nil || info.ID != id || info.Type != "image" {
		t.Fatalf("info %+v, %v", info, err)
	}
	if status, body := n.fetch(info.URL); status != 200 || !bytes.Equal(body, first) {
		t.Errorf("the picture is %d, %d bytes", status, len(body))
	}
	if err := n.Server().RenewPictures(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, _ := n.fetch(info.URL); status != 200 {
		t.Errorf("a picture that was renewed is %d", status)
	}
	if status, _ := n.fetch(info.URL + "0"); status != 403 {
		t.Errorf("a wrong signature is %d", status)
	}
	if info, err := ben.GetProfilePictureInfo(t.Context(), *ana.Store.ID, &whatsmeow.GetProfilePictureParams{ExistingID: id}); info != nil || err != nil {
		t.Errorf("the known picture: %+v, %v", info, err)
	}
	small, err := ben.GetProfilePictureInfo(t.Context(), *ana.Store.ID, &whatsmeow.GetProfilePictureParams{Preview: true})
	if err != nil || small.Type != "preview" {
		t.Fatalf("preview %+v, %v", small, err)
	}
	_, body := n.fetch(small.URL)
	if preview, err := jpeg.DecodeConfig(bytes.NewReader(body)); err != nil || preview.Width != 96 || preview.Height != 96 {
		t.Errorf("the preview is %+v, %v", preview, err)
	}
	infos, err := ben.GetUserInfo(t.Context(), []types.JID{*ana.Store.ID})
	if err != nil || infos[*ana.Store.ID].PictureID != id {
		t.Errorf("user info %+v, %v", infos, err)
	}
	second, err := ana.SetGroupPhoto(t.Context(), types.EmptyJID, photo(t, 50, 200))
	if err != nil || second <= id {
		t.Errorf("the second picture is %s after %s, %v", second, id, err)
	}
	ana.allow(types.PrivacySettingTypeProfile, types.PrivacySettingNone)
	if _, err := ben.GetProfilePictureInfo(t.Context(), *ana.Store.ID, nil); !errors.Is(err, whatsmeow.ErrProfilePictureUnauthorized) {
		t.Errorf("hidden: %v", err)
	}
	if own, err := ana.GetProfilePictureInfo(t.Context(), *ana.Store.ID, nil); err != nil || own.ID != second {
		t.Errorf("one's own: %+v, %v", own, err)
	}
	ana.allow(types.PrivacySettingTypeProfile, types.PrivacySettingContacts)
	if _, err := ana.SetGroupPhoto(t.Context(), types.EmptyJID, nil); err != nil {
		t.Fatal(err)
	}
	await(ben, func(e *events.Picture) bool { return e.Remove })
	if _, err := ben.GetProfilePictureInfo(t.Context(), *ana.Store.ID, nil); !errors.Is(err, whatsmeow.ErrProfilePictureNotSet) {
		t.Errorf("removed: %v", err)
	}
}

func TestShowsAboutTexts(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	if err := ana.SetStatusMessage(t.Context(), types.SetStatusInput{Text: proto.String("at sea")}); err != nil {
		t.Fatal(err)
	}
	await(ben, func(e *events.UserAbout) bool { return e.JID == *ana.Store.ID && e.Status == "at sea" })
	n.restart(ana, ben)
	about := func() string {
		t.Helper()
		info, err := ben.GetUserInfo(t.Context(), []types.JID{*ana.Store.ID})
		if err != nil {
			t.Fatal(err)
		}
		return info[*ana.Store.ID].Status
	}
	if got := about(); got != "at sea" {
		t.Errorf("about %q", got)
	}
	ana.allow(types.PrivacySettingTypeStatus, types.PrivacySettingNone)
	if got := about(); got != "" {
		t.Errorf("a hidden text is %q", got)
	}
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	web := n.companion(ana)
	list, err := ana.UpdateBlocklist(t.Context(), *ben.Store.ID, events.BlocklistChangeActionBlock)
	if err != nil || !slices.Equal(list.JIDs, []types.JID{ben.Store.LID}) {
		t.Fatalf("list %+v, %v", list, err)
	}
	await(web, func(e *events.Blocklist) bool {
		return len(e.Changes) == 1 && e.Changes[0].JID == ben.Store.LID && e.Changes[0].Action == events.BlocklistChangeActionBlock && e.DHash == list.DHash
	})
	n.restart(ana, ben, web)
	if got, err := web.GetBlocklist(t.Context()); err != nil || !slices.Equal(got.JIDs, list.JIDs) || got.DHash != list.DHash {
		t.Errorf("list %+v, %v", got, err)
	}
	ben.text(*ana.Store.ID, "unwanted")
	if err := ben.SendChatPresence(t.Context(), *ana.Store.ID, types.ChatPresenceComposing, ""); err != nil {
		t.Fatal(err)
	}
	ben.sync()
	if n.Server().MayCall(anaNumber, benNumber) || n.Server().MayAddToGroup(anaNumber, benNumber) {
		t.Error("he may call, or add to groups")
	}
	if list, err = ana.UpdateBlocklist(t.Context(), ben.Store.LID, events.BlocklistChangeActionUnblock); err != nil || len(list.JIDs) != 0 {
		t.Errorf("list %+v, %v", list, err)
	}
	ben.text(*ana.Store.ID, "welcome")
	ana.receives("welcome")
	if slices.Contains(ana.texts(), "unwanted") || len(all[*events.ChatPresence](ana)) != 0 {
		t.Errorf("received %q", ana.texts())
	}
}

func TestPrivacySettingsListPeople(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	n.phone(eveNumber, "Eve")
	may := func(by string, wanted bool) {
		t.Helper()
		if got := n.Server().MayAddToGroup(anaNumber, by); got != wanted {
			t.Errorf("%s may add: %v", by, got)
		}
	}
	may(eveNumber, true)
	ana.allow(types.PrivacySettingTypeGroupAdd, types.PrivacySettingContacts)
	may(benNumber, true)
	may(eveNumber, false)
	_, err := ana.query("privacy", "set", waBinary.Node{Tag: "privacy", Content: []waBinary.Node{{
		Tag: "category", Attrs: waBinary.Attrs{"name": "groupadd", "value": "contact_blacklist"},
		Content: []waBinary.Node{{Tag: "user", Attrs: waBinary.Attrs{"jid": *ben.Store.ID, "action": "add"}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	n.restart(ana)
	may(benNumber, false)
	answer, err := ana.query("privacy", "get", waBinary.Node{Tag: "privacy", Content: []waBinary.Node{{
		Tag: "list", Attrs: waBinary.Attrs{"name": "groupadd", "value": "contact_blacklist"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	list, _ := answer.GetOptionalChildByTag("privacy", "list")
	if users := list.GetChildren(); len(users) != 1 || users[0].Attrs["jid"] != *ben.Store.ID {
		t.Errorf("listed %v", users)
	}
	if _, err := ana.SetPrivacySetting(t.Context(), types.PrivacySettingTypeOnline, types.PrivacySettingNone); !errors.Is(err, whatsmeow.ErrIQBadRequest) {
		t.Errorf("a value that is none: %v", err)
	}
}

func TestKnowsDisappearingModes(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	if err := ana.SetDefaultDisappearingTimer(t.Context(), whatsmeow.DisappearingTimer7Days); err != nil {
		t.Fatal(err)
	}
	n.restart(ana, ben)
	answer, err := ben.query("usync", "get", waBinary.Node{Tag: "usync", Attrs: waBinary.Attrs{"sid": "1", "mode": "query", "last": "true", "index": "0", "context": "interactive"},
		Content: []waBinary.Node{
			{Tag: "query", Content: []waBinary.Node{{Tag: "disappearing_mode"}, {Tag: "business", Content: []waBinary.Node{{Tag: "verified_name"}}}}},
			{Tag: "list", Content: []waBinary.Node{{Tag: "user", Attrs: waBinary.Attrs{"jid": *ana.Store.ID}}}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	mode, ok := answer.GetOptionalChildByTag("usync", "list", "user", "disappearing_mode")
	if seconds := mode.AttrGetter().OptionalInt("duration"); !ok || seconds != 7*24*3600 {
		t.Errorf("%d seconds", seconds)
	}
}

func TestShowsBusinesses(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	if _, err := ben.GetBusinessProfile(t.Context(), *ana.Store.ID); err == nil {
		t.Error("an ordinary account has a business profile")
	}
	profile := server.Business{
		Name: "Ana's Bakery", Description: "bread", Address: "1 Main Street", Email: "ana@example.org", Websites: []string{"https://example.org"},
		Categories: []string{"Bakery"}, Timezone: "America/Argentina/Buenos_Aires",
		Hours: []server.BusinessHours{{Day: "mon", Mode: "specific_hours", Open: 480, Close: 1020}, {Day: "tue", Mode: "open_24h"}},
	}
	if err := n.Server().SetBusiness(t.Context(), anaNumber, &profile); err != nil {
		t.Fatal(err)
	}
	n.restart(ana, ben)
	got, err := ben.GetBusinessProfile(t.Context(), *ana.Store.ID)
	if err != nil || got.JID != *ana.Store.ID || got.Address != profile.Address || got.Email != profile.Email || got.BusinessHoursTimeZone != profile.Timezone ||
		len(got.Categories) != 1 || got.Categories[0].Name != "Bakery" || len(got.BusinessHours) != 2 || got.BusinessHours[0].OpenTime != "480" ||
		got.ProfileOptions["commerce_experience"] != "none" {
		t.Errorf("profile %+v, %v", got, err)
	}
	ana.text(*ben.Store.ID, "fresh bread")
	if m := ben.receives("fresh bread"); m.Info.VerifiedName == nil || m.Info.VerifiedName.Details.GetVerifiedName() != profile.Name {
		t.Errorf("the message's verified name is %+v", m.Info.VerifiedName)
	}
	await(ben, func(e *events.BusinessName) bool { return e.NewBusinessName == profile.Name })
	found, err := ben.IsOnWhatsApp(t.Context(), []string{"+" + anaNumber})
	if err != nil || len(found) != 1 || found[0].VerifiedName.Details.GetVerifiedName() != profile.Name {
		t.Errorf("found %+v, %v", found, err)
	}
	if web := n.companion(ana); web.Store.BusinessName != profile.Name {
		t.Errorf("linked to %q", web.Store.BusinessName)
	}
	if bots, err := ben.GetBotListV2(t.Context()); err != nil || len(bots) != 0 {
		t.Errorf("bots %v, %v", bots, err)
	}
	if _, err := ben.GetOrderDetails(t.Context(), "1", "dG9rZW4="); !errors.Is(err, whatsmeow.ErrIQNotFound) {
		t.Errorf("an order: %v", err)
	}
	for _, tag := range []string{"product_catalog", "collections"} {
		answer, err := ben.query("w:biz:catalog", "get", waBinary.Node{Tag: tag, Attrs: waBinary.Attrs{"jid": *ana.Store.ID}})
		if err != nil || len(answer.GetChildrenByTag(tag)) != 1 {
			t.Errorf("%s: %v", tag, err)
		}
	}
	_, err = ana.query("w:biz", "set", waBinary.Node{Tag: "business_profile", Attrs: waBinary.Attrs{"v": "3", "mutation_type": "delta"},
		Content: []waBinary.Node{{Tag: "website", Content: []byte("https://bread.example.org")}}})
	if p := n.Server().Business(anaNumber); err != nil || !slices.Equal(p.Websites, []string{"https://bread.example.org"}) || p.Email != profile.Email {
		t.Errorf("changed to %+v, %v", p, err)
	}
}

func TestResolvesLinks(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone(anaNumber, "Ana"), n.phone(benNumber, "Ben")
	code, err := ana.GetContactQRLink(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := n.Server().CreateMessageLink(t.Context(), anaNumber, "one loaf, please")
	if err != nil {
		t.Fatal(err)
	}
	n.restart(ana, ben)
	if again, err := ana.GetContactQRLink(t.Context(), false); err != nil || again != code {
		t.Errorf("%s became %s, %v", code, again, err)
	}
	if target, err := ben.ResolveContactQRLink(t.Context(), whatsmeow.ContactQRLinkPrefix+code); err != nil || target.JID != *ana.Store.ID || target.PushName != "Ana" || target.Type != "contact" {
		t.Errorf("resolved to %+v, %v", target, err)
	}
	if target, err := ben.ResolveBusinessMessageLink(t.Context(), text); err != nil || target.JID != *ana.Store.ID || target.Message != "one loaf, please" {
		t.Errorf("resolved to %+v, %v", target, err)
	}
	renewed, err := ana.GetContactQRLink(t.Context(), true)
	if err != nil || renewed == code {
		t.Errorf("revoked into %s, %v", renewed, err)
	}
	if _, err := ben.ResolveContactQRLink(t.Context(), code); !errors.Is(err, whatsmeow.ErrContactQRLinkNotFound) {
		t.Errorf("a revoked link: %v", err)
	}
}

func TestPushNamesComeWithTheNextMessage(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	ana.Store.PushName = "Ana Maria"
	ana.show(types.PresenceAvailable)
	ana.sync()
	n.restart(ana, ben)
	ana.text(*ben.Store.ID, "it is me")
	if m := ben.receives("it is me"); m.Info.PushName != "Ana Maria" || time.Since(m.Info.Timestamp) > patience {
		t.Errorf("from %+v", m.Info)
	}
	await(ben, func(e *events.PushName) bool { return e.OldPushName == "Ana" && e.NewPushName == "Ana Maria" })
}

package server_test

import (
	"bytes"
	"errors"
	"testing"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
)

func TestGroupsHavePicturesChatStatesAndRespectWhoMayAdd(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.acquainted()
	web, eve := n.companion(ben), n.phone(eveNumber, "Eve")
	ben.allow(types.PrivacySettingTypeGroupAdd, types.PrivacySettingContacts)
	eve.allow(types.PrivacySettingTypeGroupAdd, types.PrivacySettingContacts)
	group, err := ana.CreateGroup(t.Context(), whatsmeow.ReqCreateGroup{Name: "Bakers", Participants: []types.JID{*ben.Store.ID, *eve.Store.ID}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range group.Participants {
		if invited := p.PhoneNumber == *eve.Store.ID; invited != (p.Error == 403) {
			t.Errorf("participant %+v", p)
		}
	}
	await(ben, func(e *events.JoinedGroup) bool { return e.JID == group.JID })
	if err := ana.SendChatPresence(t.Context(), group.JID, types.ChatPresenceComposing, ""); err != nil {
		t.Fatal(err)
	}
	await(web, func(e *events.ChatPresence) bool { return e.Chat == group.JID && e.Sender == ana.Store.LID })

	face := photo(t, 100, 50)
	id, err := ben.SetGroupPhoto(t.Context(), group.JID, face)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{ana, web} {
		await(c, func(e *events.Picture) bool {
			return e.JID == group.JID && e.PictureID == id && e.Author == ben.Store.LID
		})
	}
	n.restart(ana, ben, web, eve)
	info, err := ana.GetProfilePictureInfo(t.Context(), group.JID, nil)
	if err != nil || info.ID != id {
		t.Fatalf("info %+v, %v", info, err)
	}
	if _, body := n.fetch(info.URL); !bytes.Equal(body, face) {
		t.Errorf("the picture has %d bytes", len(body))
	}
	if _, err := eve.GetProfilePictureInfo(t.Context(), group.JID, nil); !errors.Is(err, whatsmeow.ErrProfilePictureUnauthorized) {
		t.Errorf("a stranger's view: %v", err)
	}
	link, err := ana.GetGroupInviteLink(t.Context(), group.JID, false)
	if err != nil {
		t.Fatal(err)
	}
	invite := &whatsmeow.GetProfilePictureParams{InviteCode: link[len(whatsmeow.InviteLinkPrefix):]}
	if info, err := eve.GetProfilePictureInfo(t.Context(), group.JID, invite); err != nil || info.ID != id {
		t.Errorf("with a link: %+v, %v", info, err)
	}
	if err := ana.SetGroupLocked(t.Context(), group.JID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := ben.SetGroupPhoto(t.Context(), group.JID, nil); !errors.Is(err, whatsmeow.ErrIQNotAuthorized) {
		t.Errorf("in a locked group: %v", err)
	}
	if _, err := ana.SetGroupPhoto(t.Context(), group.JID, nil); err != nil {
		t.Fatal(err)
	}
	await(ben, func(e *events.Picture) bool { return e.JID == group.JID && e.Remove })

	community, err := ana.CreateGroup(t.Context(), whatsmeow.ReqCreateGroup{Name: "Town", GroupParent: types.GroupParent{IsParent: true}})
	if err != nil {
		t.Fatal(err)
	}
	if id, err = ana.SetGroupPhoto(t.Context(), community.JID, face); err != nil {
		t.Fatal(err)
	}
	info, err = ana.GetProfilePictureInfo(t.Context(), community.JID, &whatsmeow.GetProfilePictureParams{IsCommunity: true})
	if err != nil || info.ID != id {
		t.Errorf("the community's: %+v, %v", info, err)
	}
}

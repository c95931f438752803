package server_test

import (
	"slices"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
)

func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve, dan := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve"),
		n.phone("5491100000004", "Dan")
	introduce(ana, ben, eve, dan)
	group, ctx := n.group(ana, "Friends", ben), t.Context()

	results := must[[]types.GroupParticipant](t)(ben.UpdateGroupParticipants(ctx, group, append(pns(eve, ana), types.NewJID("5491199999999",
		types.DefaultUserServer)), whatsmeow.ParticipantChangeAdd))
	if len(results) != 3 || results[0].LID.User != eve.Store.LID.User || results[0].PhoneNumber.User != eve.Store.ID.User ||
		results[0].Error != 0 || results[1].Error != 409 || results[2].Error != 404 {
		t.Errorf("added %+v", results)
	}
	before := await(eve, func(j *events.JoinedGroup) bool { return j.JID == group })
	if before.Sender.User != ben.Store.LID.User || before.Type == "new" || members(&before.GroupInfo) != "1** 2 3" {
		t.Errorf("joined as %+v", before)
	}
	added := ana.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Join, lids(eve)) })
	if added.ParticipantVersionID == added.PrevParticipantVersionID || added.ParticipantVersionID != before.ParticipantVersionID ||
		added.SenderPN.User != ben.Store.ID.User {
		t.Errorf("added as %+v", added)
	}

	if _, err := ben.UpdateGroupParticipants(ctx, group, lids(eve), whatsmeow.ParticipantChangePromote); code(t, err) != 401 {
		t.Errorf("a member promoted: %v", err)
	}
	must[[]types.GroupParticipant](t)(ana.UpdateGroupParticipants(ctx, group, lids(eve), whatsmeow.ParticipantChangePromote))
	for _, c := range []*client{ana, ben, eve} {
		c.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Promote, lids(eve)) })
	}
	results = must[[]types.GroupParticipant](t)(eve.UpdateGroupParticipants(ctx, group, lids(ana), whatsmeow.ParticipantChangeDemote))
	if len(results) != 1 || results[0].Error != 403 {
		t.Errorf("the creator was demoted: %+v", results)
	}
	if got := members(ben.info(group)); got != "1** 2 3*" {
		t.Errorf("members are %s", got)
	}

	must[[]types.GroupParticipant](t)(eve.UpdateGroupParticipants(ctx, group, lids(ben), whatsmeow.ParticipantChangeRemove))
	for _, c := range []*client{ana, ben, eve} {
		removed := c.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Leave, lids(ben)) })
		if removed.Sender.User != eve.Store.LID.User {
			t.Errorf("removed by %s", removed.Sender)
		}
	}
	_, err := ben.GetGroupInfo(ctx, group)
	fails(t, err, whatsmeow.ErrNotInGroup)
	must[[]types.GroupParticipant](t)(ana.UpdateGroupParticipants(ctx, group, lids(eve), whatsmeow.ParticipantChangeDemote))
	eve.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Demote, lids(eve)) })

	// The last admin leaves: the oldest member takes over.
	n.restart(ana, ben, eve, dan)
	if err := ana.LeaveGroup(ctx, group); err != nil {
		t.Fatal(err)
	}
	left := ana.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Leave, lids(ana)) })
	if left.Sender.User != ana.Store.LID.User {
		t.Errorf("left as %+v", left)
	}
	eve.learns(group, func(e *events.GroupInfo) bool {
		return slices.Equal(e.Promote, lids(eve)) && e.Sender.User == ana.Store.LID.User
	})
	if got := members(eve.info(group)); got != "3*" {
		t.Errorf("members are %s", got)
	}
	if err := eve.LeaveGroup(ctx, group); err != nil {
		t.Fatal(err)
	}
	if err := dan.LeaveGroup(ctx, group); code(t, err) != 404 {
		t.Errorf("an empty group is left: %v", err)
	}
	n.settled()
	n.restart(ana, ben, eve, dan)
	if groups := n.Server().Groups("5491100000003"); len(groups) != 0 {
		t.Errorf("groups are %+v", groups)
	}
}

func TestOnlyAdminsAddWhereTheySaidSo(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	introduce(ana, ben, eve)
	group := n.create(ana, whatsmeow.ReqCreateGroup{Name: "Friends", Participants: lids(ben), MemberAddMode: types.GroupMemberAddModeAdmin}).JID
	if _, err := ben.UpdateGroupParticipants(t.Context(), group, pns(eve), whatsmeow.ParticipantChangeAdd); code(t, err) != 401 {
		t.Errorf("a member added: %v", err)
	}
	must[[]types.GroupParticipant](t)(ana.UpdateGroupParticipants(t.Context(), group, lids(eve), whatsmeow.ParticipantChangeAdd))
	await(eve, func(j *events.JoinedGroup) bool { return j.JID == group })
}

func TestPrivacySettingsForbidBeingAdded(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	introduce(ana, ben, eve)
	ctx := t.Context()
	ben.SetPrivacySetting(ctx, types.PrivacySettingTypeGroupAdd, types.PrivacySettingNone)
	eve.SetPrivacySetting(ctx, types.PrivacySettingTypeGroupAdd, types.PrivacySettingContacts)

	created := n.create(ana, whatsmeow.ReqCreateGroup{Name: "Friends", Participants: lids(ben)})
	refused := created.Participants[len(created.Participants)-1]
	if refused.Error != 403 || refused.LID.User != ben.Store.LID.User || refused.AddRequest == nil ||
		time.Until(refused.AddRequest.Expiration) < 71*time.Hour {
		t.Fatalf("added %+v", refused)
	}
	results := must[[]types.GroupParticipant](t)(ana.UpdateGroupParticipants(ctx, created.JID, lids(eve), whatsmeow.ParticipantChangeAdd))
	if results[0].Error != 403 {
		t.Errorf("added %+v", results)
	}
	// Whom Eve writes to has her token, which stands for being her contact.
	eve.text(ana.Store.LID, "hello")
	ana.receives("hello")
	n.eventually("token", func() bool {
		token, err := ana.Store.PrivacyTokens.GetPrivacyToken(ctx, eve.Store.LID.ToNonAD())
		return err == nil && token != nil && len(token.Token) > 0
	})
	results = must[[]types.GroupParticipant](t)(ana.UpdateGroupParticipants(ctx, created.JID, lids(eve), whatsmeow.ParticipantChangeAdd))
	if results[0].Error != 0 {
		t.Errorf("added %+v", results)
	}
	await(eve, func(j *events.JoinedGroup) bool { return j.JID == created.JID })

	n.restart(ana, ben, eve)
	invite := refused.AddRequest
	inviter := ana.Store.LID.ToNonAD()
	info := must[*types.GroupInfo](t)(ben.GetGroupInfoFromInvite(ctx, created.JID, inviter, invite.Code, invite.Expiration.Unix()))
	if info.Name != "Friends" || info.ParticipantCount != 2 {
		t.Errorf("group is %+v", info)
	}
	for name, err := range map[string]error{
		"code":       ben.JoinGroupWithInvite(ctx, created.JID, inviter, "x", invite.Expiration.Unix()),
		"inviter":    ben.JoinGroupWithInvite(ctx, created.JID, eve.Store.LID.ToNonAD(), invite.Code, invite.Expiration.Unix()),
		"expiration": ben.JoinGroupWithInvite(ctx, created.JID, inviter, invite.Code, invite.Expiration.Unix()+1),
	} {
		if code(t, err) == 0 {
			t.Errorf("joined with another %s", name)
		}
	}
	if err := ben.JoinGroupWithInvite(ctx, created.JID, ana.Store.ID.ToNonAD(), invite.Code, invite.Expiration.Unix()); err != nil {
		t.Fatal(err)
	}
	if joined := await(ben, func(j *events.JoinedGroup) bool { return j.JID == created.JID }); joined.Reason != "invite" {
		t.Errorf("joined as %+v", joined)
	}
	ana.learns(created.JID, func(e *events.GroupInfo) bool { return slices.Equal(e.Join, lids(ben)) && e.JoinReason == "invite" })
	if err := ben.JoinGroupWithInvite(ctx, created.JID, inviter, invite.Code, invite.Expiration.Unix()); code(t, err) != 409 {
		t.Errorf("joined twice: %v", err)
	}
}

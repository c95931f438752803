package server_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"
)

// group creates a group and waits until all of its first members have been told.
func (n *network) group(creator *client, name string, members ...*client) types.JID {
	n.t.Helper()
	info := n.create(creator, whatsmeow.ReqCreateGroup{Name: name, Participants: lids(members...)})
	for _, c := range append(members, creator) {
		await(c, func(j *events.JoinedGroup) bool { return j.JID == info.JID })
	}
	return info.JID
}

func (n *network) create(creator *client, request whatsmeow.ReqCreateGroup) *types.GroupInfo {
	n.t.Helper()
	info, err := creator.CreateGroup(n.t.Context(), request)
	if err != nil {
		n.t.Fatal(err)
	}
	return info
}

// introduce lets a client learn the LIDs of others.
func introduce(c *client, others ...*client) {
	c.n.t.Helper()
	var pns []types.JID
	for _, o := range others {
		pns = append(pns, o.Store.ID.ToNonAD())
	}
	if _, err := c.GetUserInfo(c.n.t.Context(), pns); err != nil {
		c.n.t.Fatal(err)
	}
}

func lids(clients ...*client) (jids []types.JID) {
	for _, c := range clients {
		jids = append(jids, c.Store.LID.ToNonAD())
	}
	return jids
}

func pns(clients ...*client) (jids []types.JID) {
	for _, c := range clients {
		jids = append(jids, c.Store.ID.ToNonAD())
	}
	return jids
}

// learns waits for a change of a group.
func (c *client) learns(group types.JID, change func(*events.GroupInfo) bool) *events.GroupInfo {
	c.n.t.Helper()
	return await(c, func(e *events.GroupInfo) bool { return e.JID == group && change(e) })
}

// must fails the test on an error.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// code is the code of the server's refusal, 0 without one.
func code(t testing.TB, err error) int {
	t.Helper()
	var refused *whatsmeow.IQError
	if err != nil && !errors.As(err, &refused) {
		t.Fatalf("not a refusal: %v", err)
	}
	if refused == nil {
		return 0
	}
	return refused.Code
}

func (c *client) info(group types.JID) *types.GroupInfo {
	c.n.t.Helper()
	return must[*types.GroupInfo](c.n.t)(c.GetGroupInfo(c.n.t.Context(), group))
}

// members are the phone numbers in a group, admins marked with a star and the creator with two.
func members(info *types.GroupInfo) string {
	var found []string
	for _, p := range info.Participants {
		mark := ""
		if p.IsAdmin {
			mark = "*"
		}
		if p.IsSuperAdmin {
			mark = "**"
		}
		found = append(found, p.PhoneNumber.User[len(p.PhoneNumber.User)-1:]+mark)
	}
	return strings.Join(found, " ")
}

func TestAGroupIsToldToEveryDeviceOfItsMembers(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	web := n.companion(ben)
	eve.Disconnect()

	created := n.create(ana, whatsmeow.ReqCreateGroup{Name: "Friends", Participants: pns(ben, eve), MemberAddMode: types.GroupMemberAddModeAdmin,
		GroupEphemeral: types.GroupEphemeral{IsEphemeral: true, DisappearingTimer: 86400}})
	n.restart(ana, ben, web)
	eve = eve.reopen()
	eve.connect()
	for _, c := range []*client{ana, ben, web, eve} {
		joined := await(c, func(j *events.JoinedGroup) bool { return j.JID == created.JID })
		if joined.Type != "new" || joined.Sender.User != ana.Store.LID.User || joined.SenderPN.User != ana.Store.ID.User || joined.Notify != "Ana" ||
			joined.Name != "Friends" || joined.AddressingMode != types.AddressingModeLID || joined.OwnerPN.User != ana.Store.ID.User ||
			members(&joined.GroupInfo) != "1** 2 3" ||
			joined.DisappearingTimer != 86400 || joined.MemberAddMode != types.GroupMemberAddModeAdmin || joined.ParticipantCount != 3 {
			t.Errorf("told as %+v", joined)
		}
	}
	if j := created.JID; len(j.User) != 18 || !strings.HasPrefix(j.User, "12036") || j.Server != types.GroupServer {
		t.Errorf("id is %s", j)
	}
	joined := must[[]*types.GroupInfo](t)(web.GetJoinedGroups(t.Context()))
	if len(joined) != 1 || joined[0].JID != created.JID || members(joined[0]) != "1** 2 3" || joined[0].NameSetByPN.User != ana.Store.ID.User {
		t.Errorf("joined groups are %+v", joined)
	}
	if groups := n.Server().Groups("5491100000002"); len(groups) != 1 || groups[0].Subject != "Friends" ||
		!slices.Equal(groups[0].Admins, []string{"5491100000001"}) {
		t.Errorf("groups are %+v", groups)
	}
	n.settled()
}

func TestGroupInfoIsForMembers(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	group := n.group(ana, "Mine")
	_, err := ben.GetGroupInfo(t.Context(), group)
	fails(t, err, whatsmeow.ErrNotInGroup)
	_, err = ben.GetGroupInfo(t.Context(), types.NewJID("120363000000000000", types.GroupServer))
	fails(t, err, whatsmeow.ErrGroupNotFound)
	_, err = ana.CreateGroup(t.Context(), whatsmeow.ReqCreateGroup{Name: strings.Repeat("x", 101)})
	if code(t, err) != 406 {
		t.Errorf("a long name: %v", err)
	}
}

func TestSettingsOfAGroupAreToldAndKept(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	web := n.companion(ben)
	introduce(ana, ben)
	group := n.group(ana, "Friends", ben)
	ctx := t.Context()

	for _, step := range []struct {
		name string
		do   func() error
		seen func(*events.GroupInfo) bool
	}{
		{"name", func() error { return ben.SetGroupName(ctx, group, "Best friends") }, func(e *events.GroupInfo) bool {
			return e.Name != nil && e.Name.Name == "Best friends" && e.Name.NameSetByPN.User == ben.Store.ID.User &&
				e.Sender.User == ben.Store.LID.User && e.Notify == "Ben"
		}},
		{"topic", func() error { return ben.SetGroupTopic(ctx, group, "", "T1", "we talk") }, func(e *events.GroupInfo) bool {
			return e.Topic != nil && e.Topic.Topic == "we talk" && e.Topic.TopicID == "T1" && e.Topic.TopicSetBy.User == ben.Store.LID.User
		}},
		{"another topic", func() error { return ana.SetGroupTopic(ctx, group, "T1", "T2", "we sing") }, func(e *events.GroupInfo) bool {
			return e.Topic != nil && e.Topic.Topic == "we sing"
		}},
		{"timer", func() error { return ben.SetDisappearingTimer(ctx, group, 7*24*time.Hour, time.Time{}) }, func(e *events.GroupInfo) bool {
			return e.Ephemeral != nil && e.Ephemeral.IsEphemeral && e.Ephemeral.DisappearingTimer == 604800
		}},
		{"announce", func() error { return ana.SetGroupAnnounce(ctx, group, true) }, func(e *events.GroupInfo) bool {
			return e.Announce != nil && e.Announce.IsAnnounce && e.Announce.AnnounceVersionID != ""
		}},
		{"locked", func() error { return ana.SetGroupLocked(ctx, group, true) }, func(e *events.GroupInfo) bool {
			return e.Locked != nil &&
				e.Locked.IsLocked
		}},
		{"approval", func() error { return ana.SetGroupJoinApprovalMode(ctx, group, true) }, func(e *events.GroupInfo) bool {
			return e.MembershipApprovalMode != nil
		}},
		{"who adds", func() error { return ana.SetGroupMemberAddMode(ctx, group, types.GroupMemberAddModeAdmin) }, func(e *events.GroupInfo) bool {
			return len(e.UnknownChanges) == 1 && e.UnknownChanges[0].Tag == "member_add_mode"
		}},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		for _, c := range []*client{ana, ben, web} {
			c.learns(group, step.seen)
		}
	}
	n.restart(ana, ben, web)
	info := web.info(group)
	if info.Name != "Best friends" || info.Topic != "we sing" || info.TopicID != "T2" || info.TopicSetByPN.User != ana.Store.ID.User ||
		info.DisappearingTimer != 604800 ||
		!info.IsAnnounce || !info.IsLocked || !info.IsJoinApprovalRequired || info.MemberAddMode != types.GroupMemberAddModeAdmin {
		t.Errorf("group is %+v", info)
	}

	for name, refused := range map[string]struct {
		err  error
		want int
	}{
		"name by a member":     {ben.SetGroupName(ctx, group, "x"), 401},
		"topic by a member":    {ben.SetGroupTopic(ctx, group, "T2", "", "x"), 401},
		"timer by a member":    {ben.SetDisappearingTimer(ctx, group, 0, time.Time{}), 401},
		"announce by a member": {ben.SetGroupAnnounce(ctx, group, false), 401},
		"unlock by a member":   {ben.SetGroupLocked(ctx, group, false), 401},
		"no name":              {ana.SetGroupName(ctx, group, ""), 406},
		"topic of before":      {ana.SetGroupTopic(ctx, group, "T1", "", "x"), 409},
		"long topic":           {ana.SetGroupTopic(ctx, group, "T2", "", strings.Repeat("x", 2049)), 406},
		"no id of topic":       {ana.SetGroupDescription(ctx, group, "x"), 409},
	} {
		if got := code(t, refused.err); got != refused.want {
			t.Errorf("%s: code %d, want %d", name, got, refused.want)
		}
	}
	fails(t, ana.SetDisappearingTimer(ctx, group, time.Hour, time.Time{}), whatsmeow.ErrInvalidDisappearingTimer)

	for _, step := range []struct {
		do   func() error
		seen func(*events.GroupInfo) bool
	}{
		{func() error { return ana.SetGroupTopic(ctx, group, "", "", "") }, func(e *events.GroupInfo) bool {
			return e.Topic != nil &&
				e.Topic.TopicDeleted
		}},
		{func() error { return ana.SetDisappearingTimer(ctx, group, 0, time.Time{}) }, func(e *events.GroupInfo) bool {
			return e.Ephemeral != nil && !e.Ephemeral.IsEphemeral
		}},
		{func() error { return ana.SetGroupAnnounce(ctx, group, false) }, func(e *events.GroupInfo) bool {
			return e.Announce != nil &&
				!e.Announce.IsAnnounce
		}},
		{func() error { return ana.SetGroupLocked(ctx, group, false) }, func(e *events.GroupInfo) bool { return e.Locked != nil && !e.Locked.IsLocked }},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		web.learns(group, step.seen)
	}
	if err := ana.SetGroupDescription(ctx, group, "without an id"); err != nil {
		t.Fatal(err)
	}
	if info := ben.info(group); info.Topic != "without an id" || info.TopicID == "" || info.IsLocked || info.IsAnnounce || info.IsEphemeral {
		t.Errorf("group is %+v", info)
	}
	n.settled()
}

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

func TestInviteLinks(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	introduce(ana, ben, eve)
	group, ctx := n.group(ana, "Friends", ben), t.Context()
	_, err := ben.GetGroupInviteLink(ctx, group, false)
	fails(t, err, whatsmeow.ErrGroupInviteLinkUnauthorized)
	_, err = eve.GetGroupInviteLink(ctx, group, false)
	fails(t, err, whatsmeow.ErrNotInGroup)
	first := must[string](t)(ana.GetGroupInviteLink(ctx, group, false))
	second := must[string](t)(ana.GetGroupInviteLink(ctx, group, true))
	ben.learns(group, func(e *events.GroupInfo) bool { return e.NewInviteLink != nil && *e.NewInviteLink == second })
	n.restart(ana, ben, eve)
	if again := must[string](t)(ana.GetGroupInviteLink(ctx, group, false)); again != second || first == second {
		t.Errorf("links are %s, %s, %s", first, second, again)
	}
	_, err = eve.GetGroupInfoFromLink(ctx, first)
	fails(t, err, whatsmeow.ErrInviteLinkRevoked)
	_, err = eve.JoinGroupWithLink(ctx, first)
	fails(t, err, whatsmeow.ErrInviteLinkRevoked)
	_, err = eve.JoinGroupWithLink(ctx, "nonsense")
	fails(t, err, whatsmeow.ErrInviteLinkInvalid)
	if info := must[*types.GroupInfo](t)(eve.GetGroupInfoFromLink(ctx, second)); info.JID != group || info.ParticipantCount != 2 {
		t.Errorf("group is %+v", info)
	}
	if joined := must[types.JID](t)(eve.JoinGroupWithLink(ctx, second)); joined != group {
		t.Errorf("joined %s", joined)
	}
	await(eve, func(j *events.JoinedGroup) bool { return j.JID == group && j.Reason == "invite" })
	ben.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Join, lids(eve)) && e.JoinReason == "invite" })
	if _, err := eve.JoinGroupWithLink(ctx, second); code(t, err) != 409 {
		t.Errorf("joined twice: %v", err)
	}
	must[[]types.GroupParticipant](t)(ana.UpdateGroupParticipants(ctx, group, lids(eve), whatsmeow.ParticipantChangeRemove))
	if _, err := eve.JoinGroupWithLink(ctx, second); code(t, err) != 405 {
		t.Errorf("came back: %v", err)
	}
}

func TestAdminsApproveWhoJoins(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve, dan := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve"),
		n.phone("5491100000004", "Dan")
	introduce(ana, ben, eve, dan)
	introduce(ben, dan)
	ctx := t.Context()
	group := n.create(ana, whatsmeow.ReqCreateGroup{Name: "Friends", Participants: lids(ben),
		GroupMembershipApprovalMode: types.GroupMembershipApprovalMode{IsJoinApprovalRequired: true}}).JID
	link := must[string](t)(ana.GetGroupInviteLink(ctx, group, false))
	change := func(tag string) func(*events.GroupInfo) bool {
		return func(e *events.GroupInfo) bool { return len(e.UnknownChanges) == 1 && e.UnknownChanges[0].Tag == tag }
	}

	if pending := must[types.JID](t)(eve.JoinGroupWithLink(ctx, link)); pending != group {
		t.Errorf("asked to join %s", pending)
	}
	eve.learns(group, change("membership_approval_request"))
	created := ana.learns(group, change("created_membership_requests"))
	if user := created.UnknownChanges[0].GetChildByTag("requested_user"); user.Attrs["jid"] != eve.Store.LID.ToNonAD() ||
		created.Sender.User != eve.Store.LID.User {
		t.Errorf("asked as %+v", created)
	}
	must[[]types.GroupParticipant](t)(ben.UpdateGroupParticipants(ctx, group, lids(dan), whatsmeow.ParticipantChangeAdd))
	ana.learns(group, func(e *events.GroupInfo) bool {
		return change("created_membership_requests")(e) && e.Sender.User == ben.Store.LID.User
	})

	n.restart(ana, ben, eve, dan)
	if _, err := ben.GetGroupRequestParticipants(ctx, group); code(t, err) != 401 {
		t.Errorf("a member sees who asks: %v", err)
	}
	waiting := must[[]types.GroupParticipantRequest](t)(ana.GetGroupRequestParticipants(ctx, group))
	if len(waiting) != 2 || waiting[0].JID != lids(eve)[0] || waiting[1].JID != lids(dan)[0] || time.Since(waiting[0].RequestedAt) > time.Hour {
		t.Errorf("waiting are %+v", waiting)
	}
	must[[]types.GroupParticipant](t)(ana.UpdateGroupRequestParticipants(ctx, group, lids(eve), whatsmeow.ParticipantChangeApprove))
	await(eve, func(j *events.JoinedGroup) bool { return j.JID == group })
	ben.learns(group, func(e *events.GroupInfo) bool { return slices.Equal(e.Join, lids(eve)) })
	results := must[[]types.GroupParticipant](t)(ana.UpdateGroupRequestParticipants(ctx, group, append(lids(dan), lids(eve)...),
		whatsmeow.ParticipantChangeReject))
	if len(results) != 2 || results[0].Error != 0 || results[1].Error != 404 {
		t.Errorf("rejected %+v", results)
	}
	ana.learns(group, change("revoked_membership_requests"))
	dan.learns(group, change("revoked_membership_requests"))
	if waiting := must[[]types.GroupParticipantRequest](t)(ana.GetGroupRequestParticipants(ctx, group)); len(waiting) != 0 {
		t.Errorf("waiting are %+v", waiting)
	}
	if got := members(ben.info(group)); got != "1** 2 3" {
		t.Errorf("members are %s", got)
	}
}

func TestCommunities(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	introduce(ana, ben, eve)
	ctx := t.Context()

	parent := n.create(ana, whatsmeow.ReqCreateGroup{Name: "Town", GroupParent: types.GroupParent{IsParent: true}})
	if !parent.IsParent || parent.DefaultMembershipApprovalMode != "request_required" {
		t.Errorf("community is %+v", parent)
	}
	subs := must[[]*types.GroupLinkTarget](t)(ana.GetSubGroups(ctx, parent.JID))
	if len(subs) != 1 || !subs[0].IsDefaultSubGroup || subs[0].Name != "Town" {
		t.Fatalf("groups are %+v", subs)
	}
	news := await(ana, func(j *events.JoinedGroup) bool { return j.JID == subs[0].JID })
	if !news.IsDefaultSubGroup || !news.IsAnnounce || news.LinkedParentJID != parent.JID {
		t.Errorf("announcement group is %+v", news)
	}

	// A group made inside: who is in it gets into the community too.
	chess := n.create(ana, whatsmeow.ReqCreateGroup{Name: "Chess", Participants: lids(ben),
		GroupLinkedParent: types.GroupLinkedParent{LinkedParentJID: parent.JID}})
	for _, jid := range []types.JID{chess.JID, parent.JID, news.JID} {
		await(ben, func(j *events.JoinedGroup) bool { return j.JID == jid })
	}
	linked := ana.learns(parent.JID, func(e *events.GroupInfo) bool { return e.Link != nil })
	if linked.Link.Type != types.GroupLinkChangeTypeSub || linked.Link.Group.JID != chess.JID || linked.Link.Group.Name != "Chess" {
		t.Errorf("linked as %+v", linked.Link)
	}
	if _, err := ben.CreateGroup(ctx, whatsmeow.ReqCreateGroup{Name: "x",
		GroupLinkedParent: types.GroupLinkedParent{LinkedParentJID: parent.JID}}); code(t, err) != 401 {
		t.Errorf("a member made a group: %v", err)
	}

	// A group that is there is linked, and unlinked.
	choir := n.group(ana, "Choir", eve)
	if err := ana.LinkGroup(ctx, parent.JID, choir); err != nil {
		t.Fatal(err)
	}
	if e := eve.learns(choir, func(e *events.GroupInfo) bool { return e.Link != nil }); e.Link.Type != types.GroupLinkChangeTypeParent ||
		e.Link.Group.JID != parent.JID {
		t.Errorf("linked as %+v", e.Link)
	}
	await(eve, func(j *events.JoinedGroup) bool { return j.JID == parent.JID && j.Reason == "linked_group_join" })
	n.restart(ana, ben, eve)
	subs = must[[]*types.GroupLinkTarget](t)(eve.GetSubGroups(ctx, parent.JID))
	if len(subs) != 3 || subs[1].JID != chess.JID || subs[2].JID != choir || subs[2].IsDefaultSubGroup {
		t.Errorf("groups are %+v", subs)
	}
	people := must[[]types.JID](t)(ben.GetLinkedGroupsParticipants(ctx, parent.JID))
	if len(people) != 3 {
		t.Errorf("people are %v", people)
	}
	if info := eve.info(choir); info.LinkedParentJID != parent.JID {
		t.Errorf("choir is %+v", info)
	}
	if err := ben.UnlinkGroup(ctx, parent.JID, choir); code(t, err) != 401 {
		t.Errorf("a member unlinked: %v", err)
	}
	if err := ana.LinkGroup(ctx, parent.JID, choir); code(t, err) != 409 {
		t.Errorf("linked twice: %v", err)
	}
	if err := ana.UnlinkGroup(ctx, parent.JID, choir); err != nil {
		t.Fatal(err)
	}
	if e := eve.learns(choir, func(e *events.GroupInfo) bool { return e.Unlink != nil }); e.Unlink.UnlinkReason != types.GroupUnlinkReasonDefault {
		t.Errorf("unlinked as %+v", e.Unlink)
	}

	// Announcements are for the admins to write; nobody writes in the community itself.
	_, err := ben.SendMessage(ctx, news.JID, &waE2E.Message{Conversation: proto.String("x")})
	fails(t, err, whatsmeow.ErrServerReturnedError)
	_, err = ana.SendMessage(ctx, parent.JID, &waE2E.Message{Conversation: proto.String("x")})
	fails(t, err, whatsmeow.ErrServerReturnedError)
	ana.text(news.JID, "all come")
	ben.receives("all come")
	eve.receives("all come")

	// Leaving the community leaves all of it.
	if err := ben.LeaveGroup(ctx, parent.JID); err != nil {
		t.Fatal(err)
	}
	for _, jid := range []types.JID{chess.JID, parent.JID, news.JID} {
		ben.learns(jid, func(e *events.GroupInfo) bool { return slices.Equal(e.Leave, lids(ben)) })
	}
	if groups := n.Server().Groups("5491100000002"); len(groups) != 0 {
		t.Errorf("still in %+v", groups)
	}
	link := must[string](t)(ana.GetGroupInviteLink(ctx, parent.JID, false))
	if joined := must[types.JID](t)(ben.JoinGroupWithLink(ctx, link)); joined != parent.JID {
		t.Errorf("joined %s", joined)
	}
	if groups := n.Server().Groups("5491100000002"); len(groups) != 2 {
		t.Errorf("in %+v", groups)
	}
	n.settled()
}

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

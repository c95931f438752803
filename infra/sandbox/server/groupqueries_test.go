package server_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
)

// askGroups sends an iq about groups as another client than whatsmeow makes it, and returns the answer and the code of a refusal.
func (c *client) askGroups(kind string, to types.JID, content waBinary.Node) (*waBinary.Node, int) {
	c.n.t.Helper()
	//nolint:staticcheck // SA1019: the public API sends no iq of one's own making
	answer, err := c.DangerousInternals().SendIQ(c.n.t.Context(), whatsmeow.DangerousInfoQuery{
		Namespace: "w:g2", Type: whatsmeow.DangerousInfoQueryType(kind), To: to, Content: []waBinary.Node{content},
	})
	var refused *whatsmeow.IQError
	if errors.As(err, &refused) {
		return nil, refused.Code
	}
	if err != nil {
		c.n.t.Fatal(err)
	}
	return answer, 0
}

func node(tag string, attrs waBinary.Attrs, children ...waBinary.Node) waBinary.Node {
	return waBinary.Node{Tag: tag, Attrs: attrs, Content: children}
}

// Baileys' and WhatsApp Web's queries, as far as whatsmeow does not make them.
func TestGroupQueriesOfOtherClients(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eve := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eve")
	everywhere := types.GroupServerJID

	// Baileys' communityCreate, with a description and a general group.
	made, _ := ana.askGroups("set", everywhere, node("create", waBinary.Attrs{"subject": "Town"},
		node("description", waBinary.Attrs{"id": "D1"}, waBinary.Node{Tag: "body", Content: []byte("all of us")}),
		node("parent", waBinary.Attrs{"default_membership_approval_mode": "request_required"}),
		node("allow_non_admin_sub_group_creation", nil), node("create_general_chat", nil)))
	group := made.GetChildByTag("group")
	town := types.NewJID(group.AttrGetter().String("id"), types.GroupServer)
	if info := ana.info(town); info.Topic != "all of us" || info.TopicID != "D1" || !info.IsParent {
		t.Errorf("community is %+v", info)
	}
	subs := must[[]*types.GroupLinkTarget](t)(ana.GetSubGroups(t.Context(), town))
	if len(subs) != 2 || subs[1].Name != "General" {
		t.Fatalf("groups are %+v", subs)
	}
	news, general := subs[0].JID, subs[1].JID

	link := must[string](t)(ana.GetGroupInviteLink(t.Context(), town, false))
	answer, _ := ben.askGroups("set", everywhere, node("invite", waBinary.Attrs{"code": strings.TrimPrefix(link, whatsmeow.InviteLinkPrefix)}))
	if community := answer.GetChildByTag("community"); community.Attrs["jid"] != town {
		t.Errorf("joined %v", answer)
	}
	await(ben, func(j *events.JoinedGroup) bool { return j.JID == news })
	answer, _ = ben.askGroups("get", town, node("query_linked", waBinary.Attrs{"type": "sub_group", "jid": general}))
	if linked := answer.GetChildByTag("linked_group", "group"); linked.Attrs["subject"] != "General" {
		t.Errorf("linked group is %v", answer)
	}
	if _, code := eve.askGroups("get", town, node("query_linked", waBinary.Attrs{"type": "sub_group", "jid": general})); code != 403 {
		t.Errorf("a stranger asked: %d", code)
	}
	answer, _ = ben.askGroups("set", town, node("join_linked_group", waBinary.Attrs{"jid": general}))
	if linked := answer.GetChildByTag("linked_group", "group"); linked.Attrs["id"] != general.User {
		t.Errorf("joined %v", answer)
	}
	ana.learns(general, func(e *events.GroupInfo) bool { return slices.Equal(e.Join, lids(ben)) })
	if _, code := ben.askGroups("set", town, node("join_linked_group", waBinary.Attrs{"jid": general})); code != 409 {
		t.Errorf("joined twice: %d", code)
	}

	// One's own request is taken back.
	if err := ana.SetGroupJoinApprovalMode(t.Context(), general, true); err != nil {
		t.Fatal(err)
	}
	link = must[string](t)(ana.GetGroupInviteLink(t.Context(), general, false))
	must[types.JID](t)(eve.JoinGroupWithLink(t.Context(), link))
	if waiting := must[[]types.GroupParticipantRequest](t)(ana.GetGroupRequestParticipants(t.Context(), general)); len(waiting) != 1 {
		t.Errorf("waiting are %+v", waiting)
	}
	if _, code := eve.askGroups("set", general, node("cancel_membership_requests", nil, node("participant",
		waBinary.Attrs{"jid": lids(eve)[0]}))); code != 0 {
		t.Errorf("not taken back: %d", code)
	}
	ana.learns(general, func(e *events.GroupInfo) bool {
		return len(e.UnknownChanges) == 1 && e.UnknownChanges[0].Tag == "revoked_membership_requests" && e.Sender.User == eve.Store.LID.User
	})
	if _, code := eve.askGroups("set", general, node("cancel_membership_requests", nil)); code != 404 {
		t.Errorf("taken back twice: %d", code)
	}

	// Several groups at once.
	mine := n.group(eve, "Mine")
	answer, _ = ana.askGroups("get", everywhere, node("query", nil, node("group", waBinary.Attrs{"jid": general}), node("group",
		waBinary.Attrs{"jid": mine}),
		node("group", waBinary.Attrs{"jid": types.NewJID("120363000000000000", types.GroupServer)})))
	groups := answer.GetChildByTag("groups")
	var codes []string
	for _, g := range groups.GetChildren() {
		codes = append(codes, g.AttrGetter().OptionalString("error"))
	}
	if !slices.Equal(codes, []string{"", "403", "404"}) {
		t.Errorf("groups are %v", answer)
	}

	// Who sees the link; an invitation that is taken back.
	if _, code := ana.askGroups("set", general, waBinary.Node{Tag: "member_link_mode", Content: []byte("all_member_link")}); code != 0 {
		t.Errorf("refused: %d", code)
	}
	if got := must[string](t)(ben.GetGroupInviteLink(t.Context(), general, false)); got != link {
		t.Errorf("link is %s", got)
	}
	eve.SetPrivacySetting(t.Context(), types.PrivacySettingTypeGroupAdd, types.PrivacySettingNone)
	introduce(ana, eve)
	added := must[[]types.GroupParticipant](t)(ana.UpdateGroupParticipants(t.Context(), general, lids(eve), whatsmeow.ParticipantChangeAdd))
	if added[0].AddRequest == nil {
		t.Fatalf("added %+v", added)
	}
	if _, code := ana.askGroups("set", general, node("revoke", nil, node("participant", waBinary.Attrs{"jid": lids(eve)[0]}))); code != 0 {
		t.Errorf("refused: %d", code)
	}
	err := eve.JoinGroupWithInvite(t.Context(), general, lids(ana)[0], added[0].AddRequest.Code, added[0].AddRequest.Expiration.Unix())
	if code(t, err) != 410 {
		t.Errorf("joined: %v", err)
	}

	// Out of the community with all its groups, and its end.
	n.restart(ana, ben, eve)
	if _, code := ana.askGroups("set", town, node("remove", waBinary.Attrs{"linked_groups": "true"}, node("participant",
		waBinary.Attrs{"jid": lids(ben)[0]}))); code != 0 {
		t.Errorf("refused: %d", code)
	}
	for _, jid := range []types.JID{town, news, general} {
		ben.learns(jid, func(e *events.GroupInfo) bool { return slices.Equal(e.Leave, lids(ben)) })
	}
	if _, code := ana.askGroups("set", everywhere, node("leave", nil, node("group", waBinary.Attrs{"id": news}))); code != 405 {
		t.Errorf("left the announcements alone: %d", code)
	}
	if _, code := ana.askGroups("set", town, node("delete_parent", nil)); code != 0 {
		t.Errorf("refused: %d", code)
	}
	for _, jid := range []types.JID{town, news} {
		ana.learns(jid, func(e *events.GroupInfo) bool { return e.Delete != nil && e.Delete.DeleteReason == "delete_parent" })
	}
	if e := ana.learns(general, func(e *events.GroupInfo) bool { return e.Unlink != nil }); e.Unlink.UnlinkReason != types.GroupUnlinkReasonDelete || e.Unlink.Group.JID != town {
		t.Errorf("unlinked as %+v", e.Unlink)
	}
	n.settled()
	n.restart(ana, ben, eve)
	if groups := n.Server().Groups("5491100000001"); len(groups) != 1 || groups[0].JID != general {
		t.Errorf("groups are %+v", groups)
	}
}

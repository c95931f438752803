package server_test

import (
	"slices"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
)

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

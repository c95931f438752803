package sandbox

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
)

// Group is a group or community as a phone sees it.
type Group struct {
	// JID ends in "@g.us".
	JID         string `json:"jid"`
	Subject     string `json:"subject"`
	Description string `json:"description"`
	// Creator is a phone number.
	Creator string    `json:"creator"`
	Created time.Time `json:"created"`
	GroupSettings
	// Community says that it is a community, which nobody writes in; Announcements that it is a community's announcement group.
	Community     bool `json:"community"`
	Announcements bool `json:"announcements"`
	// Parent is the JID of the community that the group belongs to, or "".
	Parent       string        `json:"parent"`
	Participants []GroupMember `json:"participants"`
}

// GroupSettings are what a group allows whom.
type GroupSettings struct {
	// Locked lets only admins change subject, description and picture.
	Locked bool `json:"locked"`
	// Announce lets only admins write.
	Announce bool `json:"announce"`
	// JoinApproval lets admins decide who joins.
	JoinApproval bool `json:"joinApproval"`
	// MemberAddMode is "all_member_add" or "admin_add"; "" is the former.
	MemberAddMode string `json:"memberAddMode"`
	// EphemeralSeconds is how long messages stay: 0 for ever, 86400, 604800 or 7776000.
	EphemeralSeconds uint32 `json:"ephemeralSeconds"`
}

// GroupMember is a member, or somebody who could not be added or changed.
type GroupMember struct {
	Number string `json:"number"`
	// Role is "member", "admin" or "superadmin", who is the creator.
	Role string `json:"role,omitempty"`
	// Error is WhatsApp's code for what was not done: 403 by his privacy settings, 404 not there, 409 is in already, 419 the group is full.
	Error int `json:"error,omitempty"`
	// InviteCode lets him join himself until InviteExpiration, in Unix seconds (JoinGroup).
	InviteCode       string `json:"inviteCode,omitempty"`
	InviteExpiration int64  `json:"inviteExpiration,omitempty"`
}

// NewGroup is what CreateGroup is given.
type NewGroup struct {
	Subject string `json:"subject"`
	// Participants are phone numbers, without the creator's.
	Participants []string `json:"participants"`
	// Community makes a community with its announcement group; Parent is the JID of a community that the group is made in.
	Community bool   `json:"community"`
	Parent    string `json:"parent"`
	GroupSettings
}

// GroupChange is what ChangeGroup is given; nil members stay as they are.
type GroupChange struct {
	Subject          *string `json:"subject"`
	Description      *string `json:"description"` // "" removes it
	Locked           *bool   `json:"locked"`
	Announce         *bool   `json:"announce"`
	JoinApproval     *bool   `json:"joinApproval"`
	MemberAddMode    *string `json:"memberAddMode"`
	EphemeralSeconds *uint32 `json:"ephemeralSeconds"`
}

// JoinRequest is somebody who asked to join a group.
type JoinRequest struct {
	Number      string    `json:"number"`
	RequestedAt time.Time `json:"requestedAt"`
}

// SubGroup is a group of a community.
type SubGroup struct {
	JID           string `json:"jid"`
	Subject       string `json:"subject"`
	Announcements bool   `json:"announcements"`
}

// Invitation is how a phone joins a group: by Link, or with what a personal invitation says.
type Invitation struct {
	Link string `json:"link"` // or the code in it

	Group      string `json:"group"`
	Inviter    string `json:"inviter"` // a phone number
	Code       string `json:"code"`
	Expiration int64  `json:"expiration"` // Unix seconds
}

// CreateGroup makes a group of which the phone is the creator. Who could not be added is among the participants, with the error.
func (s *Sandbox) CreateGroup(ctx context.Context, number string, g NewGroup) (made Group, err error) {
	request := whatsmeow.ReqCreateGroup{Name: g.Subject, MemberAddMode: types.GroupMemberAddMode(g.MemberAddMode)}
	if request.Participants, err = userJIDs(g.Participants); err != nil {
		return made, err
	}
	if g.Parent != "" {
		if request.LinkedParentJID, err = groupJID(g.Parent); err != nil {
			return made, err
		}
	}
	request.IsParent, request.IsLocked, request.IsAnnounce, request.IsJoinApprovalRequired = g.Community, g.Locked, g.Announce, g.JoinApproval
	request.IsEphemeral, request.DisappearingTimer = g.EphemeralSeconds != 0, g.EphemeralSeconds
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		info, err := client.CreateGroup(ctx, request)
		if err == nil {
			made = s.groupOf(info)
		}
		return err
	})
	return made, err
}

// Groups returns the groups that the phone is in.
func (s *Sandbox) Groups(ctx context.Context, number string) (groups []Group, err error) {
	groups = []Group{}
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		joined, err := client.GetJoinedGroups(ctx)
		for _, info := range joined {
			groups = append(groups, s.groupOf(info))
		}
		return err
	})
	return groups, err
}

// onGroup lets the phone do something with a group, which need not exist.
func (s *Sandbox) onGroup(ctx context.Context, number, jid string, do func(context.Context, *whatsmeow.Client, types.JID) error) error {
	group, err := groupJID(jid)
	if err != nil {
		return err
	}
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error { return do(ctx, client, group) })
}

// Group returns a group that the phone is in.
func (s *Sandbox) Group(ctx context.Context, number, jid string) (found Group, err error) {
	err = s.onGroup(ctx, number, jid, func(ctx context.Context, client *whatsmeow.Client, group types.JID) error {
		info, err := client.GetGroupInfo(ctx, group)
		if err == nil {
			found = s.groupOf(info)
		}
		return err
	})
	return found, err
}

// ChangeGroup changes a group one member after the other, in their order in GroupChange, until one is refused.
func (s *Sandbox) ChangeGroup(ctx context.Context, number, jid string, change GroupChange) error {
	return s.onGroup(ctx, number, jid, func(ctx context.Context, client *whatsmeow.Client, group types.JID) error {
		var steps []func() error
		if v := change.Subject; v != nil {
			steps = append(steps, func() error { return client.SetGroupName(ctx, group, *v) })
		}
		if v := change.Description; v != nil {
			steps = append(steps, func() error { return client.SetGroupTopic(ctx, group, "", "", *v) })
		}
		if v := change.Locked; v != nil {
			steps = append(steps, func() error { return client.SetGroupLocked(ctx, group, *v) })
		}
		if v := change.Announce; v != nil {
			steps = append(steps, func() error { return client.SetGroupAnnounce(ctx, group, *v) })
		}
		if v := change.JoinApproval; v != nil {
			steps = append(steps, func() error { return client.SetGroupJoinApprovalMode(ctx, group, *v) })
		}
		if v := change.MemberAddMode; v != nil {
			mode := types.GroupMemberAddMode(*v)
			if mode != types.GroupMemberAddModeAdmin && mode != types.GroupMemberAddModeAllMember {
				return failure(http.StatusUnprocessableEntity, "memberAddMode must be admin_add or all_member_add")
			}
			steps = append(steps, func() error { return client.SetGroupMemberAddMode(ctx, group, mode) })
		}
		if v := change.EphemeralSeconds; v != nil {
			steps = append(steps, func() error {
				return client.SetDisappearingTimer(ctx, group, time.Duration(*v)*time.Second, time.Time{})
			})
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
}

// ChangeMembers adds, removes, promotes or demotes people; action is one of these words. The result has each of them, some with errors.
func (s *Sandbox) ChangeMembers(ctx context.Context, number, jid, action string, numbers []string) (results []GroupMember, err error) {
	change := whatsmeow.ParticipantChange(action)
	switch change {
	case whatsmeow.ParticipantChangeAdd, whatsmeow.ParticipantChangeRemove, whatsmeow.ParticipantChangePromote, whatsmeow.ParticipantChangeDemote:
	default:
		return nil, failure(http.StatusUnprocessableEntity, "action must be add, remove, promote or demote")
	}
	people, err := userJIDs(numbers)
	if err != nil {
		return nil, err
	}
	err = s.onGroup(ctx, number, jid, func(ctx context.Context, client *whatsmeow.Client, group types.JID) error {
		changed, err := client.UpdateGroupParticipants(ctx, group, people, change)
		results = s.members(changed, false)
		return err
	})
	return results, err
}

// LeaveGroup lets the phone leave a group, or a community with all its groups.
func (s *Sandbox) LeaveGroup(ctx context.Context, number, jid string) error {
	return s.onGroup(ctx, number, jid, func(ctx context.Context, client *whatsmeow.Client, group types.JID) error {
		return client.LeaveGroup(ctx, group)
	})
}

// InviteLink returns a group's invite link; reset makes a new one, and the old one is gone.
func (s *Sandbox) InviteLink(ctx context.Context, number, jid string, reset bool) (link string, err error) {
	err = s.onGroup(ctx, number, jid, func(ctx context.Context, client *whatsmeow.Client, group types.JID) (err error) {
		link, err = client.GetGroupInviteLink(ctx, group, reset)
		return err
	})
	return link, err
}

// JoinGroup lets the phone join a group. pending says that an admin has to approve it first.
func (s *Sandbox) JoinGroup(ctx context.Context, number string, in Invitation) (jid string, pending bool, err error) {
	if in.Link != "" {
		err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
			group, err := client.JoinGroupWithLink(ctx, in.Link)
			if err != nil {
				return err
			}
			jid = group.String()
			_, err = client.GetGroupInfo(ctx, group)
			if pending = errors.Is(err, whatsmeow.ErrNotInGroup); pending {
				return nil
			}
			return err
		})
		return jid, pending, err
	}
	if err := checkNumber("inviter", in.Inviter); err != nil {
		return "", false, err
	}
	err = s.onGroup(ctx, number, in.Group, func(ctx context.Context, client *whatsmeow.Client, group types.JID) error {
		return client.JoinGroupWithInvite(ctx, group, types.NewJID(in.Inviter, types.DefaultUserServer), in.Code, in.Expiration)
	})
	return in.Group, false, err
}

// JoinRequests returns who waits for an admin's approval.
func (s *Sandbox) JoinRequests(ctx context.Context, number, jid string) (requests []JoinRequest, err error) {
	requests = []JoinRequest{}
	err = s.onGroup(ctx, number, jid, func(ctx context.Context, client *whatsmeow.Client, group types.JID) error {
		waiting, err := client.GetGroupRequestParticipants(ctx, group)
		for _, r := range waiting {
			requests = append(requests, JoinRequest{s.server.Number(r.JID), r.RequestedAt.UTC()})
		}
		return err
	})
	return requests, err
}

// AnswerJoinRequests approves or rejects people who asked to join; action is "approve" or "reject".
func (s *Sandbox) AnswerJoinRequests(ctx context.Context, number, jid, action string, numbers []string) (results []GroupMember, err error) {
	answer := whatsmeow.ParticipantRequestChange(action)
	if answer != whatsmeow.ParticipantChangeApprove && answer != whatsmeow.ParticipantChangeReject {
		return nil, failure(http.StatusUnprocessableEntity, "action must be approve or reject")
	}
	people, err := userJIDs(numbers)
	if err != nil {
		return nil, err
	}
	err = s.onGroup(ctx, number, jid, func(ctx context.Context, client *whatsmeow.Client, group types.JID) error {
		changed, err := client.UpdateGroupRequestParticipants(ctx, group, people, answer)
		results = s.members(changed, false)
		return err
	})
	return results, err
}

// SubGroups returns a community's groups.
func (s *Sandbox) SubGroups(ctx context.Context, number, jid string) (groups []SubGroup, err error) {
	groups = []SubGroup{}
	err = s.onGroup(ctx, number, jid, func(ctx context.Context, client *whatsmeow.Client, community types.JID) error {
		linked, err := client.GetSubGroups(ctx, community)
		for _, g := range linked {
			groups = append(groups, SubGroup{g.JID.String(), g.Name, g.IsDefaultSubGroup})
		}
		return err
	})
	return groups, err
}

// LinkGroup makes a group one of a community's, or ends that when linked is false.
func (s *Sandbox) LinkGroup(ctx context.Context, number, jid, group string, linked bool) error {
	child, err := groupJID(group)
	if err != nil {
		return err
	}
	return s.onGroup(ctx, number, jid, func(ctx context.Context, client *whatsmeow.Client, community types.JID) error {
		if linked {
			return client.LinkGroup(ctx, community, child)
		}
		return client.UnlinkGroup(ctx, community, child)
	})
}

// groupOf is a group in the control API's terms.
func (s *Sandbox) groupOf(info *types.GroupInfo) Group {
	g := Group{
		JID: info.JID.String(), Subject: info.Name, Description: info.Topic, Creator: s.server.Number(info.OwnerJID), Created: info.GroupCreated.UTC(),
		Community: info.IsParent, Announcements: info.IsDefaultSubGroup, Participants: s.members(info.Participants, true),
		GroupSettings: GroupSettings{Locked: info.IsLocked, Announce: info.IsAnnounce, JoinApproval: info.IsJoinApprovalRequired,
			MemberAddMode: string(info.MemberAddMode), EphemeralSeconds: info.DisappearingTimer},
	}
	if !info.LinkedParentJID.IsEmpty() {
		g.Parent = info.LinkedParentJID.String()
	}
	return g
}

// members are participants in the control API's terms. Only in a description of the group do they have roles.
func (s *Sandbox) members(participants []types.GroupParticipant, roles bool) []GroupMember {
	list := make([]GroupMember, len(participants))
	for i, p := range participants {
		list[i] = GroupMember{Number: cmp.Or(p.PhoneNumber.User, s.server.Number(p.JID)), Error: p.Error}
		switch {
		case !roles || p.Error != 0:
		case p.IsSuperAdmin:
			list[i].Role = "superadmin"
		case p.IsAdmin:
			list[i].Role = "admin"
		default:
			list[i].Role = "member"
		}
		if p.AddRequest != nil {
			list[i].InviteCode, list[i].InviteExpiration = p.AddRequest.Code, p.AddRequest.Expiration.Unix()
		}
	}
	return list
}

// userJIDs checks phone numbers and makes addresses of them.
func userJIDs(numbers []string) ([]types.JID, error) {
	jids := make([]types.JID, len(numbers))
	for i, number := range numbers {
		if err := checkNumber("each participant", number); err != nil {
			return nil, err
		}
		jids[i] = types.NewJID(number, types.DefaultUserServer)
	}
	return jids, nil
}

// groupJID reads a group's JID.
func groupJID(text string) (types.JID, error) {
	jid, err := types.ParseJID(text)
	if err != nil || jid.Server != types.GroupServer || jid.User == "" {
		return types.EmptyJID, failure(http.StatusUnprocessableEntity, "%q is not the JID of a group, as 120363012345678901@g.us", text)
	}
	return jid, nil
}

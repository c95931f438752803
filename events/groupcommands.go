package events

import (
	"time"

	"github.com/google/uuid"
)

// What is asked about groups.
var (
	// ListGroups asks for a page of the groups that the account is in, without their participants.
	ListGroups = Query[GroupsQuestion, GroupsPage]{"groups.list"}
	// GetGroup asks for one of them, with its participants.
	GetGroup = Query[GroupQuestion, Group]{"group.get"}
	// GetGroupInvite asks for the code of a group's link.
	GetGroupInvite = Query[GroupQuestion, GroupLink]{"group.invite"}
	// ListJoinRequests asks who waits for an admin's approval.
	ListJoinRequests = Query[GroupQuestion, JoinRequests]{"group.join-requests"}
	// ListSubgroups asks for the groups of a community.
	ListSubgroups = Query[GroupQuestion, Subgroups]{"group.subgroups"}
	// LookUpInvite asks which group a code leads to.
	LookUpInvite = Query[InviteQuestion, Group]{"group-invite.get"}
)

// What is changed about groups. What has changed is told by WhatsApp's notices, which the account's devices get of its own changes too; of a
// picture alone the device that set it gets none.
var (
	CreateGroup        = ChangeKind[NewGroup, GroupCreated]{"group.create", false}
	UpdateGroup        = ChangeKind[GroupUpdate, Group]{"group.update", false}
	LeaveGroup         = ChangeKind[GroupTarget, GroupDone]{"group.leave", false}
	SetGroupPicture    = ChangeKind[GroupPicture, GroupPictured]{"group.picture", false}
	AddParticipants    = ChangeKind[ParticipantsTarget, ParticipantsAdded]{"group.participants.add", false}
	RemoveParticipant  = ChangeKind[ParticipantTarget, GroupDone]{"group.participants.remove", false}
	SetParticipantRole = ChangeKind[ParticipantTarget, GroupDone]{"group.participants.role", false}
	RotateGroupInvite  = ChangeKind[GroupTarget, GroupLink]{"group.invite.rotate", false}
	JoinGroup          = ChangeKind[InviteQuestion, GroupJoining]{"group.join", false}
	AcceptInvite       = ChangeKind[PersonalInvite, GroupJoining]{"group.accept-invite", false}
	AnswerJoinRequest  = ChangeKind[ParticipantTarget, GroupDone]{"group.join-request.answer", false}
	LinkSubgroup       = ChangeKind[SubgroupTarget, GroupDone]{"group.subgroup", false}
)

// GroupsQuestion asks for groups whose ids are below After ("" for the first page), the greatest first.
type GroupsQuestion struct {
	After string `json:"after,omitempty"`
	Limit int    `json:"limit"`
}

// GroupsPage holds as many groups as fit into an answer; Next is the last one's id where more follow.
type GroupsPage struct {
	Data []Group `json:"data"`
	Next string  `json:"next,omitempty"`
}

// GroupQuestion names a group by its JID.
type GroupQuestion struct {
	GroupID string `json:"groupId"`
}

// InviteQuestion names a group by the code of its link.
type InviteQuestion struct {
	Code string `json:"code"`
}

// PersonalInvite is an invitation to a group that somebody sent as a message.
type PersonalInvite struct {
	GroupID   string `json:"groupId"`
	InviterID string `json:"inviterId"` // JID of whoever sent it
	Code      string `json:"code"`
	Expires   int64  `json:"expires"` // Unix seconds, as it says; 0 for never
}

// GroupTarget is what a change of a group is asked that has no more to say than which: the group stands in the change.
type GroupTarget struct{}

// A GroupLink lets whoever has it into a group.
type GroupLink struct {
	Code string `json:"code" example:"AbCdEfGhIjKlMnOpQrStUv"`
	URL  string `json:"url" example:"https://chat.whatsapp.com/AbCdEfGhIjKlMnOpQrStUv"`
}

// JoinRequests are the people who wait for an admin's approval.
type JoinRequests struct {
	Data []JoinRequest `json:"data"`
}

// A JoinRequest is somebody who wants to join a group.
type JoinRequest struct {
	From        Address   `json:"from"`
	RequestedAt time.Time `json:"requestedAt"`
}

// Subgroups are the groups of a community.
type Subgroups struct {
	Data []Subgroup `json:"data"`
}

// A Subgroup is a group of a community, whether the account is in it or not.
type Subgroup struct {
	ID              string `json:"id" doc:"JID." example:"120363025246125486@g.us"`
	Name            string `json:"name" example:"Neighbours"`
	DefaultSubgroup bool   `json:"defaultSubgroup" doc:"It is the group for the community's announcements."`
}

// NewGroup is what CreateGroup is asked. Participants are JIDs.
type NewGroup struct {
	Name                string   `json:"name"`
	Participants        []string `json:"participants,omitempty"`
	Announcement        bool     `json:"announcement,omitempty"`
	Locked              bool     `json:"locked,omitempty"`
	JoinApproval        bool     `json:"joinApproval,omitempty"`
	MemberAdd           string   `json:"memberAdd,omitempty"`
	DisappearingSeconds int      `json:"disappearingSeconds,omitempty"`
	Community           bool     `json:"community,omitempty"`
	ParentID            string   `json:"parentId,omitempty"`
}

// GroupCreated is the new group with its participants, and who could not be added.
type GroupCreated struct {
	Group
	NotAdded []NotAdded `json:"notAdded,omitempty" doc:"Who could not be added, and why."`
}

// NotAdded is somebody whom WhatsApp did not let into a group.
type NotAdded struct {
	Contact         Address    `json:"contact"`
	Code            string     `json:"code" doc:"Why; the list grows. invite_required: his settings let nobody add him, send him inviteCode as a message of type groupInvite. recipient_not_on_whatsapp, already_in_group, group_full, recently_left, blocked (he blocked the account), community_not_allowed, whatsapp_rejected." example:"invite_required"`
	WhatsAppCode    int        `json:"whatsappCode" doc:"WhatsApp's own code." example:"403"`
	InviteCode      string     `json:"inviteCode,omitempty" doc:"With it he can join by himself." example:"AbCdEfGhIjKlMnOp"`
	InviteExpiresAt *time.Time `json:"inviteExpiresAt,omitempty" doc:"Until when."`
}

// GroupUpdate is what UpdateGroup is asked; what is nil stays.
type GroupUpdate struct {
	Name                *string `json:"name,omitempty"`
	Description         *string `json:"description,omitempty"` // "" removes it
	Announcement        *bool   `json:"announcement,omitempty"`
	Locked              *bool   `json:"locked,omitempty"`
	MemberAdd           *string `json:"memberAdd,omitempty"`
	JoinApproval        *bool   `json:"joinApproval,omitempty"`
	DisappearingSeconds *int    `json:"disappearingSeconds,omitempty"`
}

// GroupDone names the group to which something was done.
type GroupDone struct {
	GroupID string `json:"groupId" example:"120363025246125486@g.us"`
}

// GroupPicture is what SetGroupPicture and SetProfilePicture are asked: a JPEG that is kept as a media, or none, which takes the picture away.
type GroupPicture struct {
	MediaID *uuid.UUID `json:"mediaId,omitempty"`
}

// GroupPictured names a group and its picture now.
type GroupPictured struct {
	GroupDone
	PictureID string `json:"pictureId,omitempty" doc:"WhatsApp's id of the picture, which changes with it; absent when there is none." example:"1637427843"`
}

// ParticipantsTarget names people by their JIDs.
type ParticipantsTarget struct {
	Participants []string `json:"participants"`
}

// ParticipantsAdded says who is in a group now, and who is not.
type ParticipantsAdded struct {
	Added    []Address  `json:"added" doc:"Who is in the group now, or waits for an admin's approval where one has to approve."`
	NotAdded []NotAdded `json:"notAdded,omitempty" doc:"Who could not be added, and why."`
}

// ParticipantTarget names somebody by his JID, and what becomes of him: the role that he is to have, or approve or reject.
type ParticipantTarget struct {
	Participant string `json:"participant"`
	Action      string `json:"action,omitempty"`
}

// The answers to somebody who wants to join.
const (
	ApproveJoin = "approve"
	RejectJoin  = "reject"
)

// GroupJoining is what has become of a wish to join a group.
type GroupJoining struct {
	GroupDone
	Pending bool   `json:"pending" doc:"An admin has to approve it first; group.joined follows then."`
	Group   *Group `json:"group,omitempty" doc:"The group, without its participants, unless pending."`
}

// SubgroupTarget names a group that is to belong to a community, or no more.
type SubgroupTarget struct {
	SubgroupID string `json:"subgroupId"`
	Linked     bool   `json:"linked"`
}

package events

import "time"

// The roles of a group's participants.
const (
	RoleMember     = "member"
	RoleAdmin      = "admin"
	RoleSuperAdmin = "superadmin" // who created it
)

// A Group is a group or a community, as WhatsApp describes it. Events that tell of a change hold what is known of it alone: hence the pointers.
type Group struct {
	ID                  string        `json:"id" doc:"JID." example:"120363025246125486@g.us"`
	Name                string        `json:"name" example:"Neighbours"`
	Description         string        `json:"description,omitempty" example:"For everybody in the house."`
	Owner               *Address      `json:"owner,omitempty" doc:"Who created it."`
	CreatedAt           *time.Time    `json:"createdAt,omitempty"`
	Announcement        *bool         `json:"announcement,omitempty" doc:"Only admins may send." example:"false"`
	Locked              *bool         `json:"locked,omitempty" doc:"Only admins may change name, description and picture." example:"false"`
	MemberAdd           string        `json:"memberAdd,omitempty" enum:"all,admins" doc:"Who may add participants." example:"all"`
	JoinApproval        *bool         `json:"joinApproval,omitempty" doc:"An admin has to approve who joins by link." example:"false"`
	DisappearingSeconds *int          `json:"disappearingSeconds,omitempty" doc:"After how many seconds new messages disappear; 0 is never." example:"0"`
	Community           bool          `json:"community,omitempty" doc:"It is a community, which holds groups."`
	ParentID            string        `json:"parentId,omitempty" doc:"JID of the community that it belongs to." example:"120363025246125487@g.us"`
	DefaultSubgroup     bool          `json:"defaultSubgroup,omitempty" doc:"It is the group for its community's announcements."`
	Suspended           bool          `json:"suspended,omitempty" doc:"WhatsApp suspended it."`
	AddressingMode      string        `json:"addressingMode,omitempty" enum:"pn,lid" doc:"Whether its participants know each other's phones." example:"lid"`
	ParticipantCount    int           `json:"participantCount,omitempty" example:"12"`
	Participants        []Participant `json:"participants,omitempty" doc:"In the answer for one group."`
}

// A Participant is somebody in a group.
type Participant struct {
	Address
	Role string `json:"role" enum:"member,admin,superadmin" example:"admin"`
}

// GroupData is the data of group.joined, group.left and group.updated.
type GroupData struct {
	Group Group    `json:"group" doc:"In group.updated and group.left at least its id and what has changed; participants are left out."`
	By    *Address `json:"by,omitempty" doc:"Who did it, where WhatsApp says so."`
	// Changed names members of group.
	Changed []string `json:"changed,omitempty" doc:"In group.updated: the members of group that have changed; also picture, invite (its link is another) and subgroups (of a community). One that is empty or not there now was taken away." example:"[\"name\"]"`
	Reason  string   `json:"reason,omitempty" enum:"left,removed,deleted" doc:"In group.left: why." example:"removed"`
}

// ParticipantsData is the data of group.participants.
type ParticipantsData struct {
	GroupID      string    `json:"groupId" example:"120363025246125486@g.us"`
	Action       string    `json:"action" enum:"added,joined,removed,left,promoted,demoted" doc:"joined: by a link, an invitation or an approved request." example:"added"`
	Participants []Address `json:"participants"`
	By           *Address  `json:"by,omitempty" doc:"Who did it, where WhatsApp says so."`
}

// JoinRequestData is the data of group.join-request.
type JoinRequestData struct {
	GroupID string  `json:"groupId" example:"120363025246125486@g.us"`
	Action  string  `json:"action" enum:"created,cancelled" example:"created"`
	From    Address `json:"from" doc:"Who wants to join."`
}

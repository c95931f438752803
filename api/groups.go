package api

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// GroupPath names a group of a session.
type GroupPath struct {
	SessionPath
	GroupID string `path:"groupId" maxLength:"64" doc:"The group's JID, with or without @g.us." example:"120363025246125486@g.us"`
}

// groupNoticesKept is how long it is remembered which notices about groups were told: WhatsApp keeps what it could not deliver for 30 days.
const groupNoticesKept = 31 * 24 * time.Hour

var (
	groupQueryCodes  = append(slices.Clone(queryCodes), GroupNotFound, NotInGroup, NotGroupAdmin)
	groupChangeCodes = append(slices.Clone(changeCodes), GroupNotFound, NotInGroup, NotGroupAdmin)
)

type createGroup struct {
	Name                string   `json:"name" minLength:"1" maxLength:"100" example:"Neighbours"`
	Participants        []string `json:"participants,omitempty" maxItems:"1023" doc:"Whom to put into it, beside the account: phone numbers or JIDs." example:"[\"5491123456789\"]"`
	Announcement        bool     `json:"announcement,omitempty" doc:"Only admins may send."`
	Locked              bool     `json:"locked,omitempty" doc:"Only admins may change name, description and picture."`
	JoinApproval        bool     `json:"joinApproval,omitempty" doc:"An admin has to approve who joins by link."`
	MemberAdd           string   `json:"memberAdd,omitempty" enum:"all,admins" doc:"Who may add participants; without it all." example:"all"`
	DisappearingSeconds int      `json:"disappearingSeconds,omitempty" enum:"0,86400,604800,7776000" doc:"After how many seconds new messages disappear; 0 is never." example:"86400"`
	Community           bool     `json:"community,omitempty" doc:"Make a community, with a group for its announcements."`
	ParentID            string   `json:"parentId,omitempty" maxLength:"64" doc:"JID of a community that the group is to belong to." example:"120363025246125487@g.us"`
}

type changeGroup struct {
	Name                *string `json:"name,omitempty" minLength:"1" maxLength:"100" example:"Good neighbours"`
	Description         *string `json:"description,omitempty" maxLength:"2048" doc:"An empty one takes it away." example:"For everybody in the house."`
	Announcement        *bool   `json:"announcement,omitempty" doc:"Only admins may send."`
	Locked              *bool   `json:"locked,omitempty" doc:"Only admins may change name, description and picture."`
	MemberAdd           *string `json:"memberAdd,omitempty" enum:"all,admins" doc:"Who may add participants." example:"all"`
	JoinApproval        *bool   `json:"joinApproval,omitempty" doc:"An admin has to approve who joins by link."`
	DisappearingSeconds *int    `json:"disappearingSeconds,omitempty" enum:"0,86400,604800,7776000" doc:"After how many seconds new messages disappear; 0 is never." example:"86400"`
}

var (
	groupWait      = maxPreferredWait * time.Second
	exampleMembers = []events.Participant{{Address: exampleMessage.From, Role: events.RoleSuperAdmin}, {Address: exampleMessage.To, Role: events.RoleMember}}
	exampleDone    = events.GroupDone{GroupID: exampleGroup.ID}
)

const groupPath = "/v1/sessions/{sessionId}/groups/{groupId}"

func (s *Server) addGroups() {
	whole, made := exampleGroup, exampleGroup
	whole.Participants = exampleMembers
	until := exampleTime.Add(72 * time.Hour)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/groups", id: "list-groups", tag: "Groups", status: 200, wait: groupWait,
		summary: "List groups", description: "The groups and communities that the account is in, without their participants, the greatest id first. WhatsApp is asked for the first page, " +
			"and always sends them all; further pages are of the same answer for a minute. A page may hold less than its limit.",
		response: List[events.Group]{Data: []events.Group{exampleGroup}}, codes: queryCodes,
	}, s.listGroups)
	register(s, operation{
		method: "GET", path: groupPath, id: "get-group", tag: "Groups", status: 200, wait: groupWait,
		summary: "Read a group", description: "A group that the account is in, with its participants.",
		response: whole, codes: groupQueryCodes,
	}, func(ctx context.Context, in *struct {
		GroupPath
		Asking
	}) (*asked[events.Group], error) {
		return s.askGroup(ctx, in.GroupPath, in.Asking)
	})
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/groups", id: "create-group", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
		summary: "Create a group",
		description: "Makes a group, or a community with its group for announcements. Who cannot be added is in notAdded, with the reason; whom his settings keep from being added gets an inviteCode, " +
			"to be sent to him as a message of type groupInvite. Repeat a POST without an answer with the same Idempotency-Key: WhatsApp itself would make another group.",
		request:  createGroup{Name: "Neighbours", Participants: []string{"5491123456789"}},
		response: events.GroupCreated{Group: made, NotAdded: []events.NotAdded{{Contact: exampleMessage.To, Code: "invite_required", WhatsAppCode: 403, InviteCode: "AbCdEfGhIjKlMnOp", InviteExpiresAt: &until}}},
		codes:    groupChangeCodes,
	}, s.createGroup)
	register(s, operation{
		method: "PATCH", path: groupPath, id: "change-group", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
		summary: "Change a group", description: "Changes what is given. WhatsApp takes one thing after the other: what comes before one that it refuses stays changed.",
		request: map[string]any{"name": "Good neighbours"}, response: exampleGroup, codes: groupChangeCodes,
	}, s.changeGroup)
	register(s, operation{
		method: "POST", path: groupPath + "/leave", id: "leave-group", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
		summary: "Leave a group", description: "The account leaves the group; a community with all its groups.",
		response: exampleDone, codes: groupChangeCodes,
	}, func(ctx context.Context, in *struct {
		GroupPath
		Changing
		Idempotent
	}) (*changed[events.GroupDone], error) {
		return onGroup(ctx, s, in.GroupPath, in.IdempotencyKey, in.Changing, events.LeaveGroup, events.GroupTarget{})
	})
}

// groupID reads the JID of a group.
func groupID(location, text string) (string, error) {
	if !strings.Contains(text, "@") {
		text += "@" + events.GroupServer
	}
	jid, err := events.ParseAddress(text)
	if err != nil || events.KindOf(jid) != events.KindGroup {
		return "", invalid(location, "expected the JID of a group, such as 120363025246125486@g.us")
	}
	return jid, nil
}

// askGroup asks for one group.
func (s *Server) askGroup(ctx context.Context, path GroupPath, in Asking) (*asked[events.Group], error) {
	return askAbout(ctx, s, path, in, events.GetGroup)
}

// askAbout asks something about a group.
func askAbout[A any](ctx context.Context, s *Server, path GroupPath, in Asking, query events.Query[events.GroupQuestion, A]) (*asked[A], error) {
	id, err := groupID("path.groupId", path.GroupID)
	if err != nil {
		return nil, err
	}
	return ask(ctx, s, path.SessionID, in, query, events.GroupQuestion{GroupID: id})
}

// onGroup changes something about a group.
func onGroup[P, R any](ctx context.Context, s *Server, path GroupPath, key string, in Changing, kind events.ChangeKind[P, R], parameters P) (*changed[R], error) {
	id, err := groupID("path.groupId", path.GroupID)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, path.SessionID, key, in, kind, func(context.Context, *queue.Tx) (wish[P], error) {
		return wish[P]{id, id, parameters}, nil
	})
}

// groupsListed is a page of groups, as WhatsApp says them.
type groupsListed struct {
	Link              string `header:"Link" doc:"The next page, as RFC 8288 has it: <...>; rel=\"next\"."`
	PreferenceApplied string `header:"Preference-Applied" doc:"wait=N, when Prefer asked for it."`
	Body              List[events.Group]
}

func (s *Server) listGroups(ctx context.Context, in *struct {
	SessionPath
	Page
	Asking
}) (*groupsListed, error) {
	question := events.GroupsQuestion{Limit: in.Limit}
	if in.Cursor != "" {
		var err error
		if question.After, err = groupID("query.cursor", in.Cursor); err != nil {
			return nil, err
		}
	}
	answer, err := ask(ctx, s, in.SessionID, in.Asking, events.ListGroups, question)
	if err != nil {
		return nil, err
	}
	out := &groupsListed{PreferenceApplied: answer.PreferenceApplied, Body: List[events.Group]{Data: answer.Body.Data, NextCursor: answer.Body.Next, HasMore: answer.Body.Next != ""}}
	if out.Body.HasMore {
		out.Link = nextLink("/v1/sessions/"+in.SessionID+"/groups", url.Values{}, "cursor", answer.Body.Next, in.Limit)
	}
	return out, nil
}

func (s *Server) createGroup(ctx context.Context, in *struct {
	SessionPath
	Changing
	Idempotent
	Body createGroup
}) (*changed[events.GroupCreated], error) {
	b := in.Body
	group := events.NewGroup{
		Name: b.Name, Announcement: b.Announcement, Locked: b.Locked, JoinApproval: b.JoinApproval, MemberAdd: b.MemberAdd,
		DisappearingSeconds: b.DisappearingSeconds, Community: b.Community,
	}
	if b.ParentID != "" {
		if b.Community {
			return nil, invalid("body.parentId", "a community belongs to no other")
		}
		var err error
		if group.ParentID, err = groupID("body.parentId", b.ParentID); err != nil {
			return nil, err
		}
	}
	return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.CreateGroup, func(ctx context.Context, tx *queue.Tx) (w wish[events.NewGroup], err error) {
		group.Participants, err = s.participants(ctx, tx, in.SessionID, b.Participants)
		return wish[events.NewGroup]{group.ParentID, group.ParentID, group}, err
	})
}

// participants reads the people whom a body names, each once.
func (s *Server) participants(ctx context.Context, tx *queue.Tx, sessionID string, list []string) ([]string, error) {
	people := make([]string, 0, len(list))
	seen := make(map[string]bool, len(list))
	for i, text := range list {
		id, err := s.personID(ctx, tx, sessionID, "body.participants["+strconv.Itoa(i)+"]", text)
		if err != nil {
			return nil, err
		}
		if !seen[id] {
			seen[id] = true
			people = append(people, id)
		}
	}
	return people, nil
}

// personID reads the address of a person.
func (s *Server) personID(ctx context.Context, tx *queue.Tx, sessionID, location, text string) (string, error) {
	id, err := s.addressed(ctx, tx, sessionID, location, text)
	if err == nil && events.KindOf(id) != events.KindUser {
		err = invalid(location, "expected a person")
	}
	return id, err
}

func (s *Server) changeGroup(ctx context.Context, in *struct {
	GroupPath
	Changing
	Body changeGroup
}) (*changed[events.Group], error) {
	if in.Body == (changeGroup{}) {
		return nil, invalid("body", "expected something to change")
	}
	return onGroup(ctx, s, in.GroupPath, "", in.Changing, events.UpdateGroup, events.GroupUpdate(in.Body))
}

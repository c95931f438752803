package sandbox

import (
	"net/http"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
)

func (s *Sandbox) groupOperations() map[string]operation {
	return map[string]operation{
		"POST /phones/{number}/groups":                           s.postGroup,
		"GET /phones/{number}/groups":                            s.getGroups,
		"POST /phones/{number}/groups/join":                      s.postJoin,
		"GET /phones/{number}/groups/{jid}":                      s.getGroup,
		"PATCH /phones/{number}/groups/{jid}":                    s.patchGroup,
		"POST /phones/{number}/groups/{jid}/participants":        s.postParticipants,
		"POST /phones/{number}/groups/{jid}/leave":               s.postLeave,
		"GET /phones/{number}/groups/{jid}/invite":               s.getInvite,
		"POST /phones/{number}/groups/{jid}/invite/reset":        s.postInviteReset,
		"GET /phones/{number}/groups/{jid}/requests":             s.getRequests,
		"POST /phones/{number}/groups/{jid}/requests":            s.postRequests,
		"GET /phones/{number}/groups/{jid}/subgroups":            s.getSubGroups,
		"PUT /phones/{number}/groups/{jid}/subgroups/{group}":    s.putSubGroup,
		"DELETE /phones/{number}/groups/{jid}/subgroups/{group}": s.deleteSubGroup,
	}
}

func (s *Sandbox) postGroup(r *http.Request) (int, any, error) {
	var in NewGroup
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	group, err := s.CreateGroup(r.Context(), r.PathValue("number"), in)
	return http.StatusCreated, group, err
}

func (s *Sandbox) getGroups(r *http.Request) (int, any, error) {
	groups, err := s.Groups(r.Context(), r.PathValue("number"))
	return http.StatusOK, map[string]any{"groups": groups}, err
}

func (s *Sandbox) postJoin(r *http.Request) (int, any, error) {
	var in Invitation
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	jid, pending, err := s.JoinGroup(r.Context(), r.PathValue("number"), in)
	return http.StatusOK, map[string]any{"jid": jid, "pending": pending}, err
}

func (s *Sandbox) getGroup(r *http.Request) (int, any, error) {
	group, err := s.Group(r.Context(), r.PathValue("number"), r.PathValue("jid"))
	return http.StatusOK, group, err
}

func (s *Sandbox) patchGroup(r *http.Request) (int, any, error) {
	var in GroupChange
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	number, jid := r.PathValue("number"), r.PathValue("jid")
	if err := s.ChangeGroup(r.Context(), number, jid, in); err != nil {
		return 0, nil, err
	}
	group, err := s.Group(r.Context(), number, jid)
	return http.StatusOK, group, err
}

// peopleChange is a change of members or of who asks to be one.
type peopleChange struct {
	Action  string   `json:"action"`
	Numbers []string `json:"numbers"`
}

func (s *Sandbox) postParticipants(r *http.Request) (int, any, error) {
	var in peopleChange
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	results, err := s.ChangeMembers(r.Context(), r.PathValue("number"), r.PathValue("jid"), in.Action, in.Numbers)
	return http.StatusOK, map[string]any{"participants": results}, err
}

func (s *Sandbox) postLeave(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.LeaveGroup(r.Context(), r.PathValue("number"), r.PathValue("jid"))
}

func (s *Sandbox) getInvite(r *http.Request) (int, any, error) {
	link, err := s.InviteLink(r.Context(), r.PathValue("number"), r.PathValue("jid"), false)
	return http.StatusOK, map[string]string{"link": link}, err
}

func (s *Sandbox) postInviteReset(r *http.Request) (int, any, error) {
	link, err := s.InviteLink(r.Context(), r.PathValue("number"), r.PathValue("jid"), true)
	return http.StatusOK, map[string]string{"link": link}, err
}

func (s *Sandbox) getRequests(r *http.Request) (int, any, error) {
	requests, err := s.JoinRequests(r.Context(), r.PathValue("number"), r.PathValue("jid"))
	return http.StatusOK, map[string]any{"requests": requests}, err
}

func (s *Sandbox) postRequests(r *http.Request) (int, any, error) {
	var in peopleChange
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	results, err := s.AnswerJoinRequests(r.Context(), r.PathValue("number"), r.PathValue("jid"), in.Action, in.Numbers)
	return http.StatusOK, map[string]any{"participants": results}, err
}

func (s *Sandbox) getSubGroups(r *http.Request) (int, any, error) {
	groups, err := s.SubGroups(r.Context(), r.PathValue("number"), r.PathValue("jid"))
	return http.StatusOK, map[string]any{"groups": groups}, err
}

func (s *Sandbox) putSubGroup(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.LinkGroup(r.Context(), r.PathValue("number"), r.PathValue("jid"), r.PathValue("group"), true)
}

func (s *Sandbox) deleteSubGroup(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.LinkGroup(r.Context(), r.PathValue("number"), r.PathValue("jid"), r.PathValue("group"), false)
}

// noteEntered notes that the phone is in a group now.
func (c *connection) noteEntered(e *events.JoinedGroup) {
	data := map[string]any{"group": e.JID, "entered": true, "subject": e.Name, "reason": e.Reason, "new": e.Type == "new"}
	if e.Sender != nil {
		data["by"] = c.phone.sandbox.server.Number(*e.Sender)
	}
	c.phone.events.note("group", data)
}

// noteGroup notes what changed of a group: a member of the event's data for each thing.
func (c *connection) noteGroup(e *events.GroupInfo) {
	numbers := func(jids []types.JID) []string {
		list := make([]string, len(jids))
		for i, jid := range jids {
			list[i] = c.phone.sandbox.server.Number(jid)
		}
		return list
	}
	data := map[string]any{"group": e.JID, "timestamp": e.Timestamp.UTC().Format(time.RFC3339)}
	if e.Sender != nil {
		data["by"] = c.phone.sandbox.server.Number(*e.Sender)
	}
	for name, jids := range map[string][]types.JID{"joined": e.Join, "left": e.Leave, "promoted": e.Promote, "demoted": e.Demote} {
		if len(jids) > 0 {
			data[name] = numbers(jids)
		}
	}
	if e.JoinReason != "" {
		data["reason"] = e.JoinReason
	}
	if e.Name != nil {
		data["subject"] = e.Name.Name
	}
	if e.Topic != nil {
		data["description"] = e.Topic.Topic
	}
	if e.Locked != nil {
		data["locked"] = e.Locked.IsLocked
	}
	if e.Announce != nil {
		data["announce"] = e.Announce.IsAnnounce
	}
	if e.Ephemeral != nil {
		data["ephemeralSeconds"] = e.Ephemeral.DisappearingTimer
	}
	if e.MembershipApprovalMode != nil {
		data["joinApproval"] = "changed" // whatsmeow takes "on" and "off" for the same (parseGroupChange in group.go)
	}
	if e.NewInviteLink != nil {
		data["inviteLink"] = *e.NewInviteLink
	}
	if e.Link != nil {
		data["linked"] = e.Link.Group.JID
	}
	if e.Unlink != nil {
		data["unlinked"] = e.Unlink.Group.JID
	}
	if e.Delete != nil {
		data["deleted"] = true
	}
	for _, change := range e.UnknownChanges {
		c.noteUnparsed(data, change, numbers)
	}
	c.phone.events.note("group", data)
}

// noteUnparsed adds to an event's data what whatsmeow hands over as it came.
func (c *connection) noteUnparsed(data map[string]any, change *waBinary.Node, numbers func([]types.JID) []string) {
	var people []types.JID
	for _, child := range change.GetChildren() {
		if jid, ok := child.Attrs["jid"].(types.JID); ok {
			people = append(people, jid)
		}
	}
	switch change.Tag {
	case "member_add_mode":
		if mode, ok := change.Content.([]byte); ok {
			data["memberAddMode"] = string(mode)
		}
	case "created_membership_requests":
		data["requested"] = numbers(people)
	case "revoked_membership_requests":
		data["requestsEnded"] = numbers(people)
	case "membership_approval_request":
		data["pending"] = true
	default:
		data["other"] = change.Tag
	}
}

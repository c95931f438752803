package api

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// InvitePath names a group by the code of its link.
type InvitePath struct {
	SessionPath
	Code string `path:"code" maxLength:"128" doc:"The code: what follows https://chat.whatsapp.com/ in the link." example:"AbCdEfGhIjKlMnOpQrStUv"`
}

// inviteCode is what a code is made of.
var inviteCode = regexp.MustCompile(`^[A-Za-z0-9_-]{4,64}$`)

func (p InvitePath) question() (events.InviteQuestion, error) {
	if !inviteCode.MatchString(p.Code) {
		return events.InviteQuestion{}, invalid("path.code", "expected the code of a link, such as AbCdEfGhIjKlMnOpQrStUv")
	}
	return events.InviteQuestion{Code: p.Code}, nil
}

// SubgroupPath names a group of a community.
type SubgroupPath struct {
	GroupPath
	SubgroupID string `path:"subgroupId" maxLength:"64" doc:"The JID of the group, with or without @g.us." example:"120363025246125486@g.us"`
}

// personalInvite is the invitation that a message to the account is.
func personalInvite(row db.MessageView) (p events.PersonalInvite, err error) {
	var content events.Content
	if err := json.Unmarshal(row.Content, &content); err != nil {
		return p, fmt.Errorf("decode content: %w", err)
	}
	invite := content.GroupInvite
	if row.Direction != events.Incoming || invite == nil {
		return p, invalid("path.messageId", "expected a message of type groupInvite that somebody sent to the account")
	}
	group, err := groupID("path.messageId", invite.GroupID)
	if err != nil || invite.Code == "" {
		return p, problem(InviteNotValid, "the invitation names no group, or has no code")
	}
	p = events.PersonalInvite{GroupID: group, InviterID: row.SenderID, Code: invite.Code}
	if at := invite.ExpiresAt; at != nil {
		if at.Before(time.Now()) {
			return p, problem(InviteNotValid, "the invitation expired at "+at.Format(time.RFC3339))
		}
		p.Expires = at.Unix()
	}
	return p, nil
}

func (s *Server) addGroupInvites() {
	const invites = "/v1/sessions/{sessionId}/group-invites/{code}"
	link := events.GroupLink{Code: "AbCdEfGhIjKlMnOpQrStUv", URL: "https://chat.whatsapp.com/AbCdEfGhIjKlMnOpQrStUv"}
	register(s, operation{
		method: "GET", path: groupPath + "/invite", id: "get-group-invite", tag: "Groups", status: 200, wait: groupWait,
		summary: "Read a group's link", description: "The link by which anybody can join the group. Only admins see it, unless the group lets everybody.",
		response: link, codes: groupQueryCodes,
	}, func(ctx context.Context, in *struct {
		GroupPath
		Asking
	}) (*asked[events.GroupLink], error) {
		return askAbout(ctx, s, in.GroupPath, in.Asking, events.GetGroupInvite)
	})
	register(s, operation{
		method: "POST", path: groupPath + "/invite/rotate", id: "rotate-group-invite", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
		summary: "Replace a group's link", description: "Makes a new link. The one before leads nowhere from then on. Where WhatsApp's answer was lost another is made: the one in the answer holds.",
		response: link, codes: groupChangeCodes,
	}, func(ctx context.Context, in *struct {
		GroupPath
		Changing
		Idempotent
	}) (*changed[events.GroupLink], error) {
		return onGroup(ctx, s, in.GroupPath, in.IdempotencyKey, in.Changing, events.RotateGroupInvite, events.GroupTarget{})
	})
	register(s, operation{
		method: "GET", path: invites, id: "look-up-group-invite", tag: "Groups", status: 200, wait: groupWait,
		summary: "Look up a link", description: "The group that a link leads to, without joining it and without its participants.",
		response: exampleGroup, codes: append(slices.Clone(queryCodes), InviteNotValid),
	}, func(ctx context.Context, in *struct {
		InvitePath
		Asking
	}) (*asked[events.Group], error) {
		question, err := in.question()
		if err != nil {
			return nil, err
		}
		return ask(ctx, s, in.SessionID, in.Asking, events.LookUpInvite, question)
	})
	register(s, operation{
		method: "POST", path: invites + "/join", id: "join-group", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
		summary: "Join a group by a link", description: "The account joins the group, or, with pending, waits for an admin's approval. Whoever is in it already has joined.",
		response: events.GroupJoining{GroupDone: exampleDone, Group: &exampleGroup}, codes: append(slices.Clone(groupChangeCodes), InviteNotValid),
	}, func(ctx context.Context, in *struct {
		InvitePath
		Changing
		Idempotent
	}) (*changed[events.GroupJoining], error) {
		question, err := in.question()
		if err != nil {
			return nil, err
		}
		return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.JoinGroup, func(context.Context, *queue.Tx) (wish[events.InviteQuestion], error) {
			return wish[events.InviteQuestion]{parameters: question}, nil
		})
	})
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/messages/{messageId}/accept-invite", id: "accept-group-invite", tag: "Groups", status: 200, also: queuedToo,
		wait: groupWait, summary: "Accept a personal invitation to a group",
		description: "The account joins the group that a message of type groupInvite, which somebody sent it, invites it to. Whoever is in it already has accepted.",
		response:    events.GroupJoining{GroupDone: exampleDone, Group: &exampleGroup}, codes: append(slices.Clone(groupChangeCodes), MessageNotFound, InviteNotValid),
	}, func(ctx context.Context, in *struct {
		MessagePath
		Changing
		Idempotent
	}) (*changed[events.GroupJoining], error) {
		return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.AcceptInvite, func(ctx context.Context, tx *queue.Tx) (w wish[events.PersonalInvite], err error) {
			row, err := s.messageRow(ctx, tx, in.MessagePath)
			if err != nil {
				return w, err
			}
			invite, err := personalInvite(row)
			return wish[events.PersonalInvite]{row.ID.String(), row.ChatID, invite}, err
		})
	})
	register(s, operation{
		method: "GET", path: groupPath + "/subgroups", id: "list-subgroups", tag: "Groups", status: 200, wait: groupWait,
		summary: "List the groups of a community", description: "All groups of a community, also those that the account is not in.",
		response: events.Subgroups{Data: []events.Subgroup{{ID: exampleGroup.ID, Name: exampleGroup.Name}}}, codes: groupQueryCodes,
	}, func(ctx context.Context, in *struct {
		GroupPath
		Asking
	}) (*asked[events.Subgroups], error) {
		return askAbout(ctx, s, in.GroupPath, in.Asking, events.ListSubgroups)
	})
	for _, o := range []struct {
		method, id, summary, description string
		linked                           bool
	}{
		{"PUT", "link-subgroup", "Put a group into a community", "Makes a group one of a community's. The account must be an admin of both; the group's participants get into the community.", true},
		{"DELETE", "unlink-subgroup", "Take a group out of a community", "The group goes on without the community, whose participants stay.", false},
	} {
		register(s, operation{
			method: o.method, path: groupPath + "/subgroups/{subgroupId}", id: o.id, tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
			summary: o.summary, description: o.description, response: exampleDone, codes: groupChangeCodes,
		}, func(ctx context.Context, in *struct {
			SubgroupPath
			Changing
		}) (*changed[events.GroupDone], error) {
			id, err := groupID("path.subgroupId", in.SubgroupID)
			if err != nil {
				return nil, err
			}
			return onGroup(ctx, s, in.GroupPath, "", in.Changing, events.LinkSubgroup, events.SubgroupTarget{SubgroupID: id, Linked: o.linked})
		})
	}
}

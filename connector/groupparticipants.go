package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// addParticipants makes events.AddParticipants.
func (c *connection) addParticipants(ctx context.Context, ch change, p events.ParticipantsTarget) (func(context.Context, *queue.Tx) (events.ParticipantsAdded, error), error) {
	jid, err := ch.group()
	if err != nil {
		return nil, err
	}
	asked, err := jids(p.Participants)
	if err != nil {
		return nil, err
	}
	results, err := c.client.UpdateGroupParticipants(ctx, jid, asked, whatsmeow.ParticipantChangeAdd)
	if err != nil {
		return nil, c.groupRefused(ctx, jid, err)
	}
	in, out, err := c.sorted(ctx, results, ch.begun)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *queue.Tx) (events.ParticipantsAdded, error) {
		list := whom(out)
		for i := range in {
			list = append(list, &in[i])
		}
		return events.ParticipantsAdded{Added: in, NotAdded: out}, c.nameThem(ctx, tx, list)
	}, nil
}

var notParticipant = &refusal{"not_found", "He is not in this group."}

// removeParticipant makes events.RemoveParticipant.
func (c *connection) removeParticipant(ctx context.Context, ch change, p events.ParticipantTarget) (func(context.Context, *queue.Tx) (events.GroupDone, error), error) {
	return c.oneParticipant(ctx, ch, p, func(group, who types.JID) ([]types.GroupParticipant, error) {
		return c.client.UpdateGroupParticipants(ctx, group, []types.JID{who}, whatsmeow.ParticipantChangeRemove)
	}, notParticipant)
}

// setParticipantRole makes events.SetParticipantRole. Who has the role already keeps it.
func (c *connection) setParticipantRole(ctx context.Context, ch change, p events.ParticipantTarget) (func(context.Context, *queue.Tx) (events.GroupDone, error), error) {
	how := whatsmeow.ParticipantChangeDemote
	if p.Action == events.RoleAdmin {
		how = whatsmeow.ParticipantChangePromote
	}
	ch.begun = false // nobody loses his place by it
	return c.oneParticipant(ctx, ch, p, func(group, who types.JID) ([]types.GroupParticipant, error) {
		return c.client.UpdateGroupParticipants(ctx, group, []types.JID{who}, how)
	}, notParticipant)
}

// answerJoinRequest makes events.AnswerJoinRequest.
func (c *connection) answerJoinRequest(ctx context.Context, ch change, p events.ParticipantTarget) (func(context.Context, *queue.Tx) (events.GroupDone, error), error) {
	how := whatsmeow.ParticipantChangeReject
	if p.Action == events.ApproveJoin {
		how = whatsmeow.ParticipantChangeApprove
	}
	return c.oneParticipant(ctx, ch, p, func(group, who types.JID) ([]types.GroupParticipant, error) {
		return c.client.UpdateGroupRequestParticipants(ctx, group, []types.JID{who}, how)
	}, &refusal{"not_found", "He does not wait for an approval in this group."})
}

// oneParticipant does something to one participant. absent is what WhatsApp's 404 for him means; where the change may have been made before a
// crash, it means that it was.
func (c *connection) oneParticipant(ctx context.Context, ch change, p events.ParticipantTarget, do func(group, who types.JID) ([]types.GroupParticipant, error), absent *refusal) (func(context.Context, *queue.Tx) (events.GroupDone, error), error) {
	group, err := ch.group()
	if err != nil {
		return nil, err
	}
	who, err := types.ParseJID(p.Participant)
	if err != nil {
		return nil, fmt.Errorf("parse participant: %w", err)
	}
	if who, err = c.participant(ctx, group, who); err != nil {
		return nil, c.groupRefused(ctx, group, err)
	}
	results, err := do(group, who)
	if err != nil {
		return nil, c.groupRefused(ctx, group, err)
	}
	code := 0
	for _, r := range results {
		code = r.Error
	}
	switch {
	case code == 0, code == 200, code == 409, code == 404 && ch.begun:
		return done(events.GroupDone{GroupID: ch.target}), nil
	case code == 404:
		return nil, absent
	case code == 403, code == 401, code == 405, code == 406:
		return nil, &refusal{"forbidden", fmt.Sprintf("WhatsApp does not let the account do this to him, as he created the group (code %d).", code)}
	case code == 419:
		return nil, &refusal{"whatsapp_rejected", "The group is full (code 419)."}
	}
	return nil, &refusal{"whatsapp_rejected", fmt.Sprintf("WhatsApp refused it with code %d.", code)}
}

// listJoinRequests answers events.ListJoinRequests.
func (c *connection) listJoinRequests(ctx context.Context, q events.GroupQuestion) (list events.JoinRequests, err error) {
	jid, err := groupJID(q.GroupID)
	if err != nil {
		return list, err
	}
	waiting, err := c.client.GetGroupRequestParticipants(ctx, jid)
	if err != nil {
		return list, c.groupRefused(ctx, jid, err)
	}
	list.Data = []events.JoinRequest{}
	for _, r := range waiting[:min(len(waiting), maxCommunity)] {
		who, err := c.person(ctx, r.JID, types.EmptyJID)
		if err != nil {
			return list, err
		}
		list.Data = append(list.Data, events.JoinRequest{From: who, RequestedAt: r.RequestedAt.UTC()})
	}
	named := make([]*events.Address, 0, len(list.Data))
	for i := range list.Data {
		named = append(named, &list.Data[i].From)
	}
	if err := c.nameThem(ctx, c.s.c.pool, named); err != nil {
		return list, err
	}
	return list, fit(list, named)
}

// link is a group's link by its code.
func link(code string) events.GroupLink {
	return events.GroupLink{Code: code, URL: whatsmeow.InviteLinkPrefix + code}
}

// invite asks for a group's link.
func (c *connection) invite(ctx context.Context, group types.JID, rotate bool) (events.GroupLink, error) {
	url, err := c.client.GetGroupInviteLink(ctx, group, rotate)
	if err != nil {
		return events.GroupLink{}, c.groupRefused(ctx, group, err)
	}
	return link(clipped(strings.TrimPrefix(url, whatsmeow.InviteLinkPrefix), maxID)), nil
}

// getGroupInvite answers events.GetGroupInvite.
func (c *connection) getGroupInvite(ctx context.Context, q events.GroupQuestion) (events.GroupLink, error) {
	jid, err := groupJID(q.GroupID)
	if err != nil {
		return events.GroupLink{}, err
	}
	return c.invite(ctx, jid, false)
}

// rotateGroupInvite makes events.RotateGroupInvite. Repeated, it takes back a link that nobody has been told of.
func (c *connection) rotateGroupInvite(ctx context.Context, ch change, _ events.GroupTarget) (func(context.Context, *queue.Tx) (events.GroupLink, error), error) {
	jid, err := ch.group()
	if err != nil {
		return nil, err
	}
	now, err := c.invite(ctx, jid, true)
	return done(now), err
}

// byInvite makes a refusal of an error that has to do with an invitation.
func byInvite(err error) error {
	switch {
	case errors.Is(err, whatsmeow.ErrInviteLinkInvalid), errors.Is(err, whatsmeow.ErrInviteLinkRevoked):
		return inviteNotValid
	}
	switch code := serverCode(err); code {
	case 400, 404, 406, 410:
		return inviteNotValid
	case 401, 403, 405:
		return &refusal{"forbidden", fmt.Sprintf("WhatsApp does not let the account into this group, as when it was removed from it (code %d).", code)}
	case 419:
		return &refusal{"whatsapp_rejected", "The group is full, or the account may have no more (code 419)."}
	}
	return err
}

// lookUpInvite answers events.LookUpInvite. WhatsApp names some of the participants, which are left out.
func (c *connection) lookUpInvite(ctx context.Context, q events.InviteQuestion) (g events.Group, err error) {
	info, err := c.client.GetGroupInfoFromLink(ctx, q.Code)
	if err != nil {
		return g, byInvite(err)
	}
	if g, err = c.groupOf(ctx, info, false); err != nil {
		return g, err
	}
	return g, c.nameThem(ctx, c.s.c.pool, people(&g))
}

// joinGroup makes events.JoinGroup. Whoever is in the group has joined it. whatsmeow does not say whether an admin has to approve it: then the
// account is not in the group yet.
func (c *connection) joinGroup(ctx context.Context, _ change, p events.InviteQuestion) (func(context.Context, *queue.Tx) (events.GroupJoining, error), error) {
	jid, err := c.client.JoinGroupWithLink(ctx, p.Code)
	if serverCode(err) == 409 {
		var preview *types.GroupInfo
		if preview, err = c.client.GetGroupInfoFromLink(ctx, p.Code); err == nil {
			jid = preview.JID
		}
	}
	if err != nil {
		return nil, byInvite(err)
	}
	return c.inGroup(ctx, jid)
}

// acceptInvite makes events.AcceptInvite. Whoever is in the group has accepted it.
func (c *connection) acceptInvite(ctx context.Context, _ change, p events.PersonalInvite) (func(context.Context, *queue.Tx) (events.GroupJoining, error), error) {
	jid, err := groupJID(p.GroupID)
	if err != nil {
		return nil, err
	}
	inviter, err := types.ParseJID(p.InviterID)
	if err != nil {
		return nil, fmt.Errorf("parse inviter: %w", err)
	}
	if err := c.client.JoinGroupWithInvite(ctx, jid, inviter, p.Code, p.Expires); err != nil && serverCode(err) != 409 {
		return nil, byInvite(err)
	}
	return c.inGroup(ctx, jid)
}

// inGroup looks at a group that the account has joined, or waits for.
func (c *connection) inGroup(ctx context.Context, jid types.JID) (func(context.Context, *queue.Tx) (events.GroupJoining, error), error) {
	joining := events.GroupJoining{GroupDone: events.GroupDone{GroupID: jid.String()}}
	info, err := c.client.GetGroupInfo(ctx, jid)
	if errors.Is(err, whatsmeow.ErrNotInGroup) {
		joining.Pending = true
		return done(joining), nil
	}
	if err != nil {
		return nil, c.groupRefused(ctx, jid, err)
	}
	g, err := c.groupOf(ctx, info, false)
	if err != nil {
		return nil, err
	}
	joining.Group = &g
	return shownGroup(c, &g, nil, func() events.GroupJoining { return joining }), nil
}

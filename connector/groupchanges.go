package connector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediastore"
)

const (
	// adoptSlack is by how much WhatsApp's clock may be behind the database's where a group is looked for that was made before a crash.
	adoptSlack = 2 * time.Minute
	// maxPicture bounds a picture of a group or of the account; the API makes one of 640 by 640 pixels.
	maxPicture = 2 << 20
)

// done is the end of a change that writes nothing: WhatsApp's notice tells what has changed.
func done[R any](result R) func(context.Context, *queue.Tx) (R, error) {
	return func(context.Context, *queue.Tx) (R, error) { return result, nil }
}

// shownGroup is the end of a change that answers a group: what is known of it is kept, and its people get their names.
func shownGroup[R any](c *connection, g *events.Group, more []*events.Address, result func() R) func(context.Context, *queue.Tx) (R, error) {
	return func(ctx context.Context, tx *queue.Tx) (r R, err error) {
		if err := c.keepGroups(ctx, tx, false, *g); err != nil {
			return r, err
		}
		if err := c.nameThem(ctx, tx, append(people(g), more...)); err != nil {
			return r, err
		}
		return result(), fit(g, people(g))
	}
}

// groupTarget is the group that a change is about.
func (ch change) group() (types.JID, error) { return groupJID(ch.target) }

// jids reads JIDs that the API has checked.
func jids(list []string) ([]types.JID, error) {
	out := make([]types.JID, len(list))
	for i, text := range list {
		var err error
		if out[i], err = types.ParseJID(text); err != nil {
			return nil, fmt.Errorf("parse participant: %w", err)
		}
	}
	return out, nil
}

// createGroup makes events.CreateGroup. WhatsApp makes another group each time, so that a change which may have made one before a crash
// looks for it: one with this name that the account has made since the change was accepted, and that no other change has made.
func (c *connection) createGroup(ctx context.Context, ch change, p events.NewGroup) (func(context.Context, *queue.Tx) (events.GroupCreated, error), error) {
	asked, err := jids(p.Participants)
	if err != nil {
		return nil, err
	}
	var info *types.GroupInfo
	if ch.begun {
		if info, err = c.adopted(ctx, ch, p); err != nil {
			return nil, err
		}
	}
	var refused []events.NotAdded
	if info != nil {
		refused, err = c.missing(ctx, info, asked)
	} else {
		request := whatsmeow.ReqCreateGroup{
			Name: p.Name, Participants: asked, GroupAnnounce: types.GroupAnnounce{IsAnnounce: p.Announcement}, GroupLocked: types.GroupLocked{IsLocked: p.Locked},
			GroupMembershipApprovalMode: types.GroupMembershipApprovalMode{IsJoinApprovalRequired: p.JoinApproval}, MemberAddMode: addMode(p.MemberAdd),
			GroupEphemeral: types.GroupEphemeral{IsEphemeral: p.DisappearingSeconds > 0, DisappearingTimer: uint32(p.DisappearingSeconds)},
			GroupParent:    types.GroupParent{IsParent: p.Community},
		}
		if p.ParentID != "" {
			if request.LinkedParentJID, err = groupJID(p.ParentID); err != nil {
				return nil, err
			}
		}
		if info, err = c.client.CreateGroup(ctx, request); err != nil {
			return nil, c.groupRefused(ctx, request.LinkedParentJID, err)
		}
		_, refused, err = c.sorted(ctx, info.Participants, false)
	}
	if err != nil {
		return nil, err
	}
	g, err := c.groupOf(ctx, info, true)
	if err != nil {
		return nil, err
	}
	g.ParticipantCount = len(g.Participants)
	return shownGroup(c, &g, whom(refused), func() events.GroupCreated { return events.GroupCreated{Group: g, NotAdded: refused} }), nil
}

func addMode(who string) types.GroupMemberAddMode {
	if who == "admins" {
		return types.GroupMemberAddModeAdmin
	}
	return types.GroupMemberAddModeAllMember
}

// adopted finds the group that a change has made before a crash, or nil.
func (c *connection) adopted(ctx context.Context, ch change, p events.NewGroup) (*types.GroupInfo, error) {
	groups, err := c.client.GetJoinedGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for group: %w", err)
	}
	for _, g := range groups {
		if g.Name != p.Name || g.IsDefaultSubGroup || g.IsParent != p.Community || !c.isOwn(g.OwnerJID) || g.GroupCreated.Before(ch.created.Add(-adoptSlack)) {
			continue
		}
		other, err := c.s.c.queries.GroupCreatedHere(ctx, c.s.c.pool, c.s.id, events.CreateGroup.Kind, g.JID.String())
		if err != nil {
			return nil, fmt.Errorf("look for group: %w", err)
		}
		if !other {
			return g, nil
		}
	}
	return nil, nil
}

// missing are the people who were asked into a group and are not in it; why is not known any more.
func (c *connection) missing(ctx context.Context, info *types.GroupInfo, asked []types.JID) (refused []events.NotAdded, err error) {
	in := map[string]bool{}
	for _, p := range info.Participants {
		who, err := c.groupMember(ctx, p)
		if err != nil {
			return nil, err
		}
		in[who.ID] = true
	}
	for _, jid := range asked {
		who, err := c.person(ctx, jid, types.EmptyJID)
		if err != nil {
			return nil, err
		}
		if !in[who.ID] && !c.isOwn(jid) {
			refused = append(refused, events.NotAdded{Contact: who, Code: "whatsapp_rejected"})
		}
	}
	return refused, nil
}

// updateGroup makes events.UpdateGroup. It changes only what is not so yet: repeated, it tells nobody twice. What was changed before one part
// is refused stays changed.
func (c *connection) updateGroup(ctx context.Context, ch change, p events.GroupUpdate) (func(context.Context, *queue.Tx) (events.Group, error), error) {
	jid, err := ch.group()
	if err != nil {
		return nil, err
	}
	info, err := c.client.GetGroupInfo(ctx, jid)
	if err != nil {
		return nil, c.groupRefused(ctx, jid, err)
	}
	timer := 0
	if info.IsEphemeral {
		timer = int(info.DisappearingTimer)
	}
	for _, step := range []struct {
		what string
		due  bool
		do   func() error
	}{
		{"name", p.Name != nil && *p.Name != info.Name, func() error { return c.client.SetGroupName(ctx, jid, *p.Name) }},
		{"description", p.Description != nil && *p.Description != info.Topic, func() error { return c.describe(ctx, info, *p.Description) }},
		{"announcement", p.Announcement != nil && *p.Announcement != info.IsAnnounce, func() error { return c.client.SetGroupAnnounce(ctx, jid, *p.Announcement) }},
		{"locked", p.Locked != nil && *p.Locked != info.IsLocked, func() error { return c.client.SetGroupLocked(ctx, jid, *p.Locked) }},
		{"memberAdd", p.MemberAdd != nil && *p.MemberAdd != memberAdd(info.MemberAddMode), func() error {
			return c.client.SetGroupMemberAddMode(ctx, jid, addMode(*p.MemberAdd))
		}},
		{"joinApproval", p.JoinApproval != nil && *p.JoinApproval != info.IsJoinApprovalRequired, func() error {
			return c.client.SetGroupJoinApprovalMode(ctx, jid, *p.JoinApproval)
		}},
		{"disappearingSeconds", p.DisappearingSeconds != nil && *p.DisappearingSeconds != timer, func() error {
			return c.client.SetDisappearingTimer(ctx, jid, time.Duration(*p.DisappearingSeconds)*time.Second, time.Time{})
		}},
	} {
		if !step.due {
			continue
		}
		if err := step.do(); err != nil {
			err = c.groupRefused(ctx, jid, err)
			var known *refusal
			if errors.As(err, &known) {
				return nil, &refusal{known.code, known.message + " It was " + step.what + " that was refused."}
			}
			return nil, err
		}
	}
	g, err := c.groupOf(ctx, info, false)
	if err != nil {
		return nil, err
	}
	if p.Name != nil {
		g.Name = *p.Name
	}
	if p.Description != nil {
		g.Description = *p.Description
	}
	for _, setting := range []struct{ to, from **bool }{{&g.Announcement, &p.Announcement}, {&g.Locked, &p.Locked}, {&g.JoinApproval, &p.JoinApproval}} {
		if *setting.from != nil {
			*setting.to = *setting.from
		}
	}
	if p.MemberAdd != nil {
		g.MemberAdd = *p.MemberAdd
	}
	if p.DisappearingSeconds != nil {
		g.DisappearingSeconds = p.DisappearingSeconds
	}
	return shownGroup(c, &g, nil, func() events.Group { return g }), nil
}

// describe changes a description. WhatsApp takes it only from who knows the one before (409 else), which may have changed a moment ago.
func (c *connection) describe(ctx context.Context, info *types.GroupInfo, text string) error {
	err := c.client.SetGroupTopic(ctx, info.JID, info.TopicID, "", text)
	if serverCode(err) == 409 {
		err = c.client.SetGroupTopic(ctx, info.JID, "", "", text) // which asks for it
	}
	return err
}

// leaveGroup makes events.LeaveGroup.
func (c *connection) leaveGroup(ctx context.Context, ch change, _ events.GroupTarget) (func(context.Context, *queue.Tx) (events.GroupDone, error), error) {
	jid, err := ch.group()
	if err != nil {
		return nil, err
	}
	if err := c.client.LeaveGroup(ctx, jid); err != nil {
		code := serverCode(err)
		if !ch.begun || code != 403 && code != 404 {
			return nil, c.groupRefused(ctx, jid, err)
		}
	}
	return done(events.GroupDone{GroupID: ch.target}), nil
}

// setGroupPicture makes events.SetGroupPicture. WhatsApp tells everybody but the device that set the picture, so that this change tells of it
// itself. Repeated, the others may see it come twice.
func (c *connection) setGroupPicture(ctx context.Context, ch change, p events.GroupPicture) (func(context.Context, *queue.Tx) (events.GroupPictured, error), error) {
	jid, err := ch.group()
	if err != nil {
		return nil, err
	}
	jpeg, err := c.jpeg(ctx, p.MediaID)
	if err != nil {
		return nil, err
	}
	id, err := c.client.SetGroupPhoto(ctx, jid, jpeg)
	if errors.Is(err, whatsmeow.ErrInvalidImageFormat) {
		return nil, pictureRefused
	}
	if err != nil {
		return nil, c.groupRefused(ctx, jid, err)
	}
	if jpeg == nil {
		id = ""
	}
	by, err := c.person(ctx, *c.device.ID, c.device.LID)
	if err != nil {
		return nil, err
	}
	at := time.Now()
	return func(ctx context.Context, tx *queue.Tx) (events.GroupPictured, error) {
		data := events.GroupData{Group: events.Group{ID: ch.target}, By: &by, Changed: []string{"picture"}}
		return events.GroupPictured{GroupDone: events.GroupDone{GroupID: ch.target}, PictureID: id}, c.tellGroup(ctx, tx, events.GroupUpdated, at, &data)
	}, nil
}

var pictureRefused = &refusal{"unsupported_media_type", "WhatsApp does not take this picture."}

// jpeg reads a picture that the API has made, whole, since whatsmeow sends it so; nil for none.
func (c *connection) jpeg(ctx context.Context, id *uuid.UUID) ([]byte, error) {
	if id == nil {
		return nil, nil
	}
	m, err := c.s.c.queries.MediaGet(ctx, c.s.c.pool, *id)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && m.Status != "ready" {
		return nil, &refusal{"media_expired", "The picture is kept no more."}
	}
	if err != nil {
		return nil, fmt.Errorf("read media: %w", err)
	}
	body, err := c.s.c.media.Open(ctx, m.Object, 0, -1)
	if errors.Is(err, mediastore.ErrNotFound) {
		return nil, &refusal{"media_expired", "The picture is kept no more."}
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	jpeg, err := io.ReadAll(io.LimitReader(body, maxPicture))
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	return jpeg, nil
}

// linkSubgroup makes events.LinkSubgroup. What is so already is done.
func (c *connection) linkSubgroup(ctx context.Context, ch change, p events.SubgroupTarget) (func(context.Context, *queue.Tx) (events.GroupDone, error), error) {
	community, err := ch.group()
	if err != nil {
		return nil, err
	}
	group, err := groupJID(p.SubgroupID)
	if err != nil {
		return nil, err
	}
	end := done(events.GroupDone{GroupID: p.SubgroupID})
	if p.Linked {
		if err = c.client.LinkGroup(ctx, community, group); serverCode(err) == 409 {
			return end, nil
		}
	} else if err = c.client.UnlinkGroup(ctx, community, group); serverCode(err) == 404 {
		if ch.begun {
			return end, nil
		}
		return nil, &refusal{"group_not_found", "The community has no such group."}
	}
	if err != nil {
		return nil, c.groupRefused(ctx, community, err)
	}
	return end, nil
}

// whom are the addresses of people who could not be added.
func whom(refused []events.NotAdded) (list []*events.Address) {
	for i := range refused {
		list = append(list, &refused[i].Contact)
	}
	return list
}

// notAdded says why somebody is not let into a group. The codes are WhatsApp Web's (pedroslopez/whatsapp-web.js, GroupChat.js, addParticipants;
// 401 is what it answers for who blocked the account).
var notAdded = map[int]string{
	401: "blocked", 403: "invite_required", 404: "recipient_not_on_whatsapp", 408: "recently_left", 409: "already_in_group", 417: "community_not_allowed",
	419: "group_full",
}

// sorted tells those who got into a group from those who did not. Where a change is repeated, who is in already has got in.
func (c *connection) sorted(ctx context.Context, results []types.GroupParticipant, begun bool) (in []events.Address, out []events.NotAdded, err error) {
	in = []events.Address{}
	for _, p := range results {
		who, err := c.groupMember(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		if p.Error == 0 || p.Error == 200 || begun && p.Error == 409 {
			in = append(in, who)
			continue
		}
		n := events.NotAdded{Contact: who, Code: notAdded[p.Error], WhatsAppCode: p.Error}
		if n.Code == "" {
			n.Code = "whatsapp_rejected"
		}
		if p.AddRequest != nil {
			at := p.AddRequest.Expiration.UTC()
			n.InviteCode, n.InviteExpiresAt = clipped(p.AddRequest.Code, maxID), &at
		}
		out = append(out, n)
	}
	return in, out, nil
}

package connector

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// WhatsApp tells every device of an account what becomes of its groups, the device that changed something included; of pictures, every device but
// that one. So it is the notice that tells clients, and only a change of a picture tells of itself.
//
// A notice that was told and not acknowledged, because the process died in between, comes again. whatsmeow does not show its id, so a digest of
// all that it says is kept with what was told: its time to the second, and in what changes the participants the version of their list. Two
// notices that are alike in all of it, as a name that is set, changed and set again within a second, are taken for one.

// notice keeps what a notice says and tells of it, in one transaction, unless it was told before.
func (c *connection) notice(ctx context.Context, said any, tell func(*queue.Tx) error) error {
	text, err := json.Marshal(said)
	if err != nil {
		return fmt.Errorf("encode notice: %w", err)
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "%T %s", said, text))
	return c.s.fenced(ctx, func(tx *queue.Tx) error {
		fresh, err := c.s.c.queries.GroupNoticePut(ctx, tx, c.s.id, digest[:])
		if err != nil {
			return fmt.Errorf("note notice: %w", err)
		}
		if fresh == 0 {
			return nil
		}
		return tell(tx)
	})
}

// tellGroup publishes an event about a group, which is named as the session knows it where the event does not say how.
func (c *connection) tellGroup(ctx context.Context, tx *queue.Tx, t events.Type, at time.Time, data *events.GroupData) error {
	group := events.Address{ID: data.Group.ID}
	list := append(people(&data.Group), &group)
	if data.By != nil {
		list = append(list, data.By)
	}
	if err := c.nameThem(ctx, tx, list); err != nil {
		return err
	}
	if data.Group.Name == "" {
		data.Group.Name = group.Name
	}
	_, err := events.Publish(tx, t, c.s.id, data.Group.ID, at, *data)
	return err
}

// joinedGroup handles the news that the account is in a group.
func (c *connection) joinedGroup(ctx context.Context, e *waevents.JoinedGroup) error {
	if e.JID.Server != types.GroupServer {
		return nil
	}
	g, err := c.groupOf(ctx, &e.GroupInfo, false)
	if err != nil {
		return err
	}
	by, err := c.author(ctx, e.Sender, e.SenderPN)
	if err != nil {
		return err
	}
	at := time.Now()
	if e.Type == "new" && !e.GroupCreated.IsZero() {
		at = e.GroupCreated
	}
	c.groups.cool(e.JID)
	return c.notice(ctx, e, func(tx *queue.Tx) error {
		if err := c.keepGroups(ctx, tx, true, g); err != nil {
			return err
		}
		return c.tellGroup(ctx, tx, events.GroupJoined, at, &events.GroupData{Group: g, By: by})
	})
}

// author is who did something, or nil where WhatsApp does not say.
func (c *connection) author(ctx context.Context, jid, phone *types.JID) (*events.Address, error) {
	if jid == nil || jid.IsEmpty() {
		return nil, nil
	}
	alt := types.EmptyJID
	if phone != nil {
		alt = *phone
	}
	who, err := c.person(ctx, *jid, alt)
	return &who, err
}

// groupChanged handles the news that something about a group is another.
func (c *connection) groupChanged(ctx context.Context, e *waevents.GroupInfo) error {
	if e.JID.Server != types.GroupServer {
		return nil
	}
	if len(e.Join) > 0 {
		c.groups.cool(e.JID)
	}
	told, approval, err := c.groupFacts(ctx, e)
	if err != nil || len(told) == 0 {
		return err
	}
	return c.notice(ctx, []any{e, approval}, func(tx *queue.Tx) error {
		for _, tell := range told {
			if err := tell(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// groupFacts are the events that a notice is worth, each as what publishes it, and what had to be asked for them.
func (c *connection) groupFacts(ctx context.Context, e *waevents.GroupInfo) (told []func(*queue.Tx) error, approval *bool, err error) {
	by, err := c.author(ctx, e.Sender, e.SenderPN)
	if err != nil {
		return nil, nil, err
	}
	g, changed, err := c.groupSettings(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	if len(changed) > 0 {
		told = append(told, func(tx *queue.Tx) error {
			if err := c.keepGroups(ctx, tx, false, g); err != nil {
				return err
			}
			return c.tellGroup(ctx, tx, events.GroupUpdated, e.Timestamp, &events.GroupData{Group: g, By: by, Changed: changed})
		})
	}
	gone := ""
	for _, move := range []struct {
		action, alone string // alone: by himself
		who           []types.JID
	}{
		{"added", "joined", e.Join}, {"removed", "left", e.Leave}, {"promoted", "promoted", e.Promote}, {"demoted", "demoted", e.Demote},
	} {
		moved := map[string][]events.Address{}
		for _, jid := range move.who[:min(len(move.who), maxCommunity)] {
			action := move.action
			if e.Sender != nil && user(*e.Sender) == user(jid) || action == "added" && e.JoinReason != "" {
				action = move.alone
			}
			if move.action == "removed" && c.isOwn(jid) {
				gone = action
				continue
			}
			who, err := c.person(ctx, jid, types.EmptyJID)
			if err != nil {
				return nil, nil, err
			}
			moved[action] = append(moved[action], who)
		}
		for _, action := range []string{move.action, move.alone} {
			list := moved[action]
			delete(moved, action) // they may be the same
			if len(list) == 0 {
				continue
			}
			told = append(told, func(tx *queue.Tx) error { return c.tellParticipants(ctx, tx, e, action, list, by) })
		}
	}
	if e.Delete != nil {
		gone = "deleted"
	}
	if gone != "" {
		told = append(told, func(tx *queue.Tx) error {
			return c.tellGroup(ctx, tx, events.GroupLeft, e.Timestamp, &events.GroupData{Group: events.Group{ID: e.JID.String()}, By: by, Reason: gone})
		})
	}
	requests, err := c.joinRequests(ctx, e)
	return append(told, requests...), g.JoinApproval, err
}

func (c *connection) tellParticipants(ctx context.Context, tx *queue.Tx, e *waevents.GroupInfo, action string, who []events.Address, by *events.Address) error {
	list := make([]*events.Address, 0, len(who)+1)
	for i := range who {
		list = append(list, &who[i])
	}
	if by != nil {
		list = append(list, by)
	}
	if err := c.nameThem(ctx, tx, list); err != nil {
		return err
	}
	data := events.ParticipantsData{GroupID: e.JID.String(), Action: action, Participants: who, By: by}
	if err := fit(data, list); err != nil {
		return err
	}
	_, err := events.Publish(tx, events.GroupParticipants, c.s.id, data.GroupID, e.Timestamp, data)
	return err
}

// groupSettings is what a notice says of a group itself, and which members of it have changed.
func (c *connection) groupSettings(ctx context.Context, e *waevents.GroupInfo) (g events.Group, changed []string, err error) {
	g.ID = e.JID.String()
	if e.Name != nil {
		g.Name, changed = clipped(e.Name.Name, maxSubject), append(changed, "name")
	}
	if e.Topic != nil {
		g.Description, changed = clipped(e.Topic.Topic, maxDescription), append(changed, "description")
	}
	if e.Locked != nil {
		g.Locked, changed = &e.Locked.IsLocked, append(changed, "locked")
	}
	if e.Announce != nil {
		g.Announcement, changed = &e.Announce.IsAnnounce, append(changed, "announcement")
	}
	if e.Ephemeral != nil {
		seconds := int(min(e.Ephemeral.DisappearingTimer, 1<<30))
		g.DisappearingSeconds, changed = &seconds, append(changed, "disappearingSeconds")
	}
	if e.MembershipApprovalMode != nil {
		changed = append(changed, "joinApproval")
		if g.JoinApproval, err = c.joinApproval(ctx, e.JID); err != nil {
			return g, nil, err
		}
	}
	if e.Suspended || e.Unsuspended {
		g.Suspended, changed = e.Suspended, append(changed, "suspended")
	}
	if e.NewInviteLink != nil {
		changed = append(changed, "invite")
	}
	for _, change := range []struct {
		*types.GroupLinkChange
		linked bool
	}{{e.Link, true}, {e.Unlink, false}} {
		switch {
		case change.GroupLinkChange == nil:
		case change.Type == types.GroupLinkChangeTypeParent:
			if changed = append(changed, "parentId"); change.linked {
				g.ParentID = change.Group.JID.String()
			}
		case change.Type == types.GroupLinkChangeTypeSub:
			changed = append(changed, "subgroups")
		}
	}
	for _, node := range e.UnknownChanges {
		if mode, ok := node.Content.([]byte); ok && node.Tag == "member_add_mode" {
			g.MemberAdd, changed = memberAdd(types.GroupMemberAddMode(mode)), append(changed, "memberAdd")
		}
	}
	return g, changed, nil
}

// joinApproval asks whether an admin has to approve who joins: of the notice, whatsmeow says only that it is another (group.go,
// parseGroupChange). Failure policy: where WhatsApp does not say, the event does not either.
func (c *connection) joinApproval(ctx context.Context, group types.JID) (*bool, error) {
	info, err := c.client.GetGroupInfo(ctx, group)
	switch {
	case err == nil:
		return &info.IsJoinApprovalRequired, nil
	case c.ctx.Err() != nil:
		return nil, err
	}
	c.s.log.InfoContext(ctx, "WhatsApp does not say whether joining has to be approved", "error", err)
	return nil, nil
}

// joinRequests are the events of people who ask to join, or do so no more: approved, rejected, or of their own will. whatsmeow hands the nodes
// over as they came.
func (c *connection) joinRequests(ctx context.Context, e *waevents.GroupInfo) (told []func(*queue.Tx) error, err error) {
	actions := map[string]string{"created_membership_requests": "created", "revoked_membership_requests": "cancelled"}
	for _, node := range e.UnknownChanges {
		action := actions[node.Tag]
		children := node.GetChildren()
		if action == "" {
			continue
		}
		for _, child := range children[:min(len(children), maxCommunity)] {
			jid, ok := child.Attrs["jid"].(types.JID)
			if !ok {
				continue
			}
			who, err := c.person(ctx, jid, phoneOf(child))
			if err != nil {
				return nil, err
			}
			told = append(told, func(tx *queue.Tx) error {
				if err := c.nameThem(ctx, tx, []*events.Address{&who}); err != nil {
					return err
				}
				data := events.JoinRequestData{GroupID: e.JID.String(), Action: action, From: who}
				_, err := events.Publish(tx, events.GroupJoinRequested, c.s.id, data.GroupID, e.Timestamp, data)
				return err
			})
		}
	}
	return told, nil
}

func phoneOf(node waBinary.Node) types.JID {
	jid, _ := node.Attrs["phone_number"].(types.JID)
	return jid
}

// groupPictured handles the news that a group's picture is another. A person's is no concern of this.
func (c *connection) groupPictured(ctx context.Context, e *waevents.Picture) error {
	var by *events.Address
	if !e.Author.IsEmpty() {
		who, err := c.person(ctx, e.Author, types.EmptyJID)
		if err != nil {
			return err
		}
		by = &who
	}
	return c.notice(ctx, e, func(tx *queue.Tx) error {
		return c.tellGroup(ctx, tx, events.GroupUpdated, e.Timestamp, &events.GroupData{Group: events.Group{ID: e.JID.String()}, By: by, Changed: []string{"picture"}})
	})
}

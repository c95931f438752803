package connector

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxSubject and maxDescription bound what a group's admins choose, in bytes: WhatsApp takes 100 and 2,048 characters.
	maxSubject, maxDescription = 400, 8 << 10
	// groupsKept is how long the list of an account's groups serves its further pages. WhatsApp always sends it whole, with every participant.
	groupsKept = time.Minute
	// answerRoom is what the frame of an answer and one more item may take of MaxAnswer.
	answerRoom = 128 << 10
	// maxCommunity is how many people a community may have, which is the most that is told of any group.
	maxCommunity = 5000
)

// groupMemory is what a connection remembers of groups.
type groupMemory struct {
	mu     sync.Mutex
	listed []events.Group // the groups, for the pages after the first; nil when they are forgotten
	forget *time.Timer
	warm   map[types.JID]bool // see groupwarm.go
}

// groupOf is a group in its public form, apart from names. Unknown participants' phones and LIDs are looked up.
func (c *connection) groupOf(ctx context.Context, info *types.GroupInfo, participants bool) (g events.Group, err error) {
	seconds := 0
	if info.IsEphemeral {
		seconds = int(min(info.DisappearingTimer, 1<<30))
	}
	g = events.Group{
		ID: info.JID.String(), Name: clipped(info.Name, maxSubject), Description: clipped(info.Topic, maxDescription), Announcement: &info.IsAnnounce,
		Locked: &info.IsLocked, MemberAdd: memberAdd(info.MemberAddMode), JoinApproval: &info.IsJoinApprovalRequired, DisappearingSeconds: &seconds,
		Community: info.IsParent, DefaultSubgroup: info.IsDefaultSubGroup, Suspended: info.Suspended,
		ParticipantCount: cmp.Or(info.ParticipantCount, len(info.Participants)),
	}
	if !info.GroupCreated.IsZero() {
		at := info.GroupCreated.UTC()
		g.CreatedAt = &at
	}
	if !info.LinkedParentJID.IsEmpty() {
		g.ParentID = info.LinkedParentJID.String()
	}
	if mode := string(info.AddressingMode); mode == "pn" || mode == "lid" {
		g.AddressingMode = mode
	}
	if !info.OwnerJID.IsEmpty() {
		owner, err := c.person(ctx, info.OwnerJID, info.OwnerPN)
		if err != nil {
			return g, err
		}
		g.Owner = &owner
	}
	if !participants {
		return g, nil
	}
	g.Participants = make([]events.Participant, 0, len(info.Participants))
	for _, p := range info.Participants[:min(len(info.Participants), maxCommunity)] {
		if p.Error != 0 {
			continue
		}
		who, err := c.groupMember(ctx, p)
		if err != nil {
			return g, err
		}
		role := events.RoleMember
		switch {
		case p.IsSuperAdmin:
			role = events.RoleSuperAdmin
		case p.IsAdmin:
			role = events.RoleAdmin
		}
		g.Participants = append(g.Participants, events.Participant{Address: who, Role: role})
	}
	return g, nil
}

// person is somebody's address, without a name.
func (c *connection) person(ctx context.Context, jid, alt types.JID) (events.Address, error) {
	a, err := c.address(ctx, jid, alt)
	return events.NewAddress(a.id, a.phone, a.lid, ""), err
}

// groupMember is person for a participant of a group.
func (c *connection) groupMember(ctx context.Context, p types.GroupParticipant) (events.Address, error) {
	alt := p.PhoneNumber
	if p.JID.Server == types.DefaultUserServer {
		alt = p.LID
	}
	return c.person(ctx, p.JID, alt)
}

// isOwn says whether a JID is the session's own account.
func (c *connection) isOwn(jid types.JID) bool {
	jid = user(jid)
	return c.device.ID != nil && jid == user(*c.device.ID) || !c.device.LID.IsEmpty() && jid == user(c.device.LID)
}

func memberAdd(mode types.GroupMemberAddMode) string {
	switch mode {
	case types.GroupMemberAddModeAdmin:
		return "admins"
	case types.GroupMemberAddModeAllMember:
		return "all"
	}
	return ""
}

// clipped makes a text of a stranger's fit to be kept, in at most so many bytes.
func clipped(text string, most int) string {
	text = printable(text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// people are the addresses in a group.
func people(g *events.Group) (list []*events.Address) {
	if g.Owner != nil {
		list = append(list, g.Owner)
	}
	for i := range g.Participants {
		list = append(list, &g.Participants[i].Address)
	}
	return list
}

// nameThem gives addresses the names by which the session knows them.
func (c *connection) nameThem(ctx context.Context, from db.DBTX, list []*events.Address) error {
	ids := make([]string, len(list))
	for i, a := range list {
		ids[i] = a.ID
	}
	rows, err := c.s.c.queries.ContactNameMany(ctx, from, c.s.id, ids)
	if err != nil {
		return fmt.Errorf("read names: %w", err)
	}
	names := make(map[string]string, len(rows))
	for _, r := range rows {
		names[r.ID] = r.Name
	}
	for _, a := range list {
		a.Name = names[a.ID]
	}
	return nil
}

// keepGroups keeps the names and the timers of groups, behind the fence of the caller's transaction. With make their chats are made as well.
func (c *connection) keepGroups(ctx context.Context, tx *queue.Tx, make bool, groups ...events.Group) error {
	var ids, names, timed []string
	var seconds []int32
	seen := map[string]bool{}
	for _, g := range groups {
		if seen[g.ID] {
			continue
		}
		seen[g.ID] = true
		ids, names = append(ids, g.ID), append(names, g.Name)
		if g.DisappearingSeconds != nil {
			timed, seconds = append(timed, g.ID), append(seconds, int32(*g.DisappearingSeconds))
		}
	}
	if err := c.s.c.queries.GroupNameMany(ctx, tx, c.s.id, ids, names); err != nil {
		return fmt.Errorf("write names of groups: %w", err)
	}
	if err := c.s.c.queries.GroupTimerMany(ctx, tx, c.s.id, make, timed, seconds); err != nil {
		return fmt.Errorf("write timers of groups: %w", err)
	}
	return nil
}

// learned is keepGroups for the answer to a question. Failure policy: best effort; the next answer or notice has it again.
func (c *connection) learned(ctx context.Context, groups ...events.Group) {
	err := c.s.fenced(ctx, func(tx *queue.Tx) error {
		return c.keepGroups(ctx, tx, false, groups...)
	})
	if err != nil && ctx.Err() == nil {
		c.s.log.WarnContext(ctx, "what WhatsApp says of groups is not kept", "error", err)
	}
}

// groupJID reads the JID of a group that the API has checked.
func groupJID(text string) (types.JID, error) {
	jid, err := types.ParseJID(text)
	if err != nil {
		return jid, fmt.Errorf("parse group id: %w", err)
	}
	return jid, nil
}

// groupInfo asks for a group.
func (c *connection) groupInfo(ctx context.Context, id string) (*types.GroupInfo, error) {
	jid, err := groupJID(id)
	if err != nil {
		return nil, err
	}
	info, err := c.client.GetGroupInfo(ctx, jid)
	if err != nil {
		return nil, c.groupRefused(ctx, jid, err)
	}
	return info, nil
}

// getGroup answers events.GetGroup.
func (c *connection) getGroup(ctx context.Context, q events.GroupQuestion) (g events.Group, err error) {
	info, err := c.groupInfo(ctx, q.GroupID)
	if err != nil {
		return g, err
	}
	if g, err = c.groupOf(ctx, info, true); err != nil {
		return g, err
	}
	c.learned(ctx, g)
	if err := c.nameThem(ctx, c.s.c.pool, people(&g)); err != nil {
		return g, err
	}
	return g, fit(&g, people(&g))
}

// fit takes the names of people away again from an answer or an event that would be too large with them, which takes hundreds who chose the
// longest.
func fit(whole any, list []*events.Address) error {
	text, err := json.Marshal(whole)
	if err != nil {
		return fmt.Errorf("encode people: %w", err)
	}
	if len(text) <= events.MaxAnswer-answerRoom {
		return nil
	}
	for _, a := range list {
		a.Name = ""
	}
	return nil
}

// listGroups answers events.ListGroups. The first page asks WhatsApp, those that follow within a minute are of the same answer.
func (c *connection) listGroups(ctx context.Context, q events.GroupsQuestion) (page events.GroupsPage, err error) {
	all := c.groups.recall()
	if q.After == "" || all == nil {
		if all, err = c.joinedGroups(ctx); err != nil {
			return page, err
		}
	}
	from, found := slices.BinarySearchFunc(all, q.After, func(g events.Group, after string) int { return strings.Compare(after, g.ID) })
	if q.After == "" {
		from = 0
	} else if found {
		from++
	}
	page.Data = []events.Group{}
	size := 0
	for _, g := range all[from:] {
		text, err := json.Marshal(g)
		if err != nil {
			return page, fmt.Errorf("encode group: %w", err)
		}
		if size += len(text) + 1; len(page.Data) == q.Limit || size > events.MaxAnswer-answerRoom {
			page.Next = page.Data[len(page.Data)-1].ID
			break
		}
		page.Data = append(page.Data, g)
	}
	owners := []*events.Address{}
	for i := range page.Data {
		if page.Data[i].Owner != nil {
			owner := *page.Data[i].Owner // the remembered list is everybody's
			page.Data[i].Owner = &owner
			owners = append(owners, &owner)
		}
	}
	return page, c.nameThem(ctx, c.s.c.pool, owners)
}

// joinedGroups asks for all groups, the greatest id first.
func (c *connection) joinedGroups(ctx context.Context) ([]events.Group, error) {
	infos, err := c.client.GetJoinedGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for groups: %w", err)
	}
	all := make([]events.Group, len(infos))
	for i, info := range infos {
		if all[i], err = c.groupOf(ctx, info, false); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b events.Group) int { return strings.Compare(b.ID, a.ID) })
	c.learned(ctx, all...)
	c.groups.remember(all)
	return all, nil
}

func (m *groupMemory) remember(all []events.Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.forget != nil {
		m.forget.Stop()
	}
	m.listed = all
	m.forget = time.AfterFunc(groupsKept, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.listed = nil
	})
}

func (m *groupMemory) recall() []events.Group {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.listed
}

// listSubgroups answers events.ListSubgroups.
func (c *connection) listSubgroups(ctx context.Context, q events.GroupQuestion) (list events.Subgroups, err error) {
	jid, err := groupJID(q.GroupID)
	if err != nil {
		return list, err
	}
	found, err := c.client.GetSubGroups(ctx, jid)
	if err != nil {
		return list, c.groupRefused(ctx, jid, err)
	}
	list.Data = []events.Subgroup{}
	for _, g := range found {
		list.Data = append(list.Data, events.Subgroup{ID: g.JID.String(), Name: clipped(g.Name, maxSubject), DefaultSubgroup: g.IsDefaultSubGroup})
	}
	return list, nil
}

// groupRefused makes a refusal of an error with which WhatsApp answered a question about a group, or a change of it. whatsmeow names the codes
// (errors.go; group.go): 401 without the right to the invite link, 403 for who is not in the group, 404 for no such group, 406 and 410 for an
// invitation that is wrong or gone. WhatsApp Web's are 405 for who was removed, 409 for what is so already, 419 for a full group
// (pedroslopez/whatsapp-web.js, GroupChat.js, has those of participants). 401 is also its answer to who is no admin.
func (c *connection) groupRefused(ctx context.Context, group types.JID, err error) error {
	switch code := serverCode(err); code {
	case 401:
		return notGroupAdmin
	case 403:
		if why := c.membership(ctx, group); why != nil {
			return why
		}
		return &refusal{"forbidden", "WhatsApp does not allow this account to know or do it (code 403)."}
	case 404:
		return groupNotFound
	case 405:
		return &refusal{"forbidden", "WhatsApp does not allow it in this group (code 405)."}
	case 400, 406:
		return &refusal{"validation_failed", fmt.Sprintf("WhatsApp does not accept it for this group (code %d).", code)}
	case 409:
		return &refusal{"whatsapp_rejected", "Somebody else changed the group at the same moment, or it is so already (code 409)."}
	case 410:
		return inviteNotValid
	case 419:
		return &refusal{"whatsapp_rejected", "The group is full, or the account may have no more (code 419)."}
	}
	return err
}

var (
	groupNotFound  = &refusal{"group_not_found", "WhatsApp knows no such group."}
	notInGroup     = &refusal{"not_in_group", "The account is not in this group."}
	notGroupAdmin  = &refusal{"not_group_admin", "Only an admin of the group may do this."}
	inviteNotValid = &refusal{"invite_not_valid", "The code leads to no group: it was revoked, has expired, or was never valid."}
)

// membership says why WhatsApp forbids something in a group: that there is none, that the account is not in it, or is no admin of it. nil is
// none of these, or not to be found out.
func (c *connection) membership(ctx context.Context, group types.JID) error {
	info, err := c.client.GetGroupInfo(ctx, group)
	switch {
	case errors.Is(err, whatsmeow.ErrNotInGroup):
		return notInGroup
	case errors.Is(err, whatsmeow.ErrGroupNotFound):
		return groupNotFound
	case err == nil && !c.isAdmin(info):
		return notGroupAdmin
	}
	return nil
}

// isAdmin says whether the account is an admin of a group.
func (c *connection) isAdmin(info *types.GroupInfo) bool {
	return slices.ContainsFunc(info.Participants, func(p types.GroupParticipant) bool { return p.IsAdmin && c.isOwn(p.JID) })
}

// notSent finds out why a group does not take a message of the account's: 420 is the code for whoever may not write in it, for whatever reason.
func (c *connection) notSent(ctx context.Context, to types.JID, err error) error {
	if to.Server != types.GroupServer {
		return err
	}
	code := serverCode(err)
	switch {
	case errors.Is(err, whatsmeow.ErrNotInGroup):
		return notInGroup
	case errors.Is(err, whatsmeow.ErrGroupNotFound), code == 404:
		return groupNotFound
	case code != 401 && code != 403 && code != 405 && code != 420:
		return err
	}
	info, asked := c.client.GetGroupInfo(ctx, to)
	switch {
	case errors.Is(asked, whatsmeow.ErrNotInGroup):
		return notInGroup
	case errors.Is(asked, whatsmeow.ErrGroupNotFound):
		return groupNotFound
	case asked != nil:
	case info.IsParent:
		return &refusal{"whatsapp_rejected", "Nobody writes in a community itself, but in its groups."}
	case info.IsAnnounce && !c.isAdmin(info):
		return &refusal{"not_group_admin", "Only admins may write in this group, and the account is none."}
	}
	return err
}

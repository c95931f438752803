package server

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	waBinary "go.mau.fi/whatsmeow/binary"
)

// inviteLife is how long a personal invitation holds: three days, as phones say in the message that carries it.
const inviteLife = 3 * 24 * time.Hour

// handleGroupCreate makes a group, or a community with its announcement group.
func handleGroupCreate(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, asked := c.s, iq.GetChildByTag("create")
	subject := attr(&asked, "subject")
	if utf8.RuneCountInString(subject) > maxSubject {
		return nil, errNotAcceptable
	}
	var answer waBinary.Node
	err := s.changeGroups(ctx, c.device.account, func(ch *groupChange) error {
		g, st := ch.create(subject)
		if err := configure(st, ch, &asked); err != nil {
			return err
		}
		key := attr(&asked, "key")
		if _, isParent := asked.GetOptionalChildByTag("parent"); isParent {
			ch.createCommunity(g, &asked, key)
		} else if parent, inside := asked.GetOptionalChildByTag("linked_parent"); inside {
			if err := ch.createInside(g, s.group(jidAttr(&parent, "jid"))); err != nil {
				return err
			}
		}
		joiners, refused := ch.invitees(g, asked.GetChildrenByTag("participant"))
		for _, a := range joiners {
			st.add(a.keys.Phone, noRole)
		}
		ch.tellCreated(g, st.phones(), "new", key, "")
		ch.joinCommunity(g, joiners)
		answer = s.groupNode(g.jid, st, true, true)
		answer.Content = append(answer.GetChildren(), refused...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []waBinary.Node{answer}, nil
}

// configure takes the settings that a group is created with.
func configure(st *groupState, ch *groupChange, asked *waBinary.Node) error {
	for _, child := range asked.GetChildren() {
		switch child.Tag {
		case "locked":
			st.Locked = true
		case "announcement":
			st.Announce = true
		case "allow_non_admin_sub_group_creation":
			st.MembersCreate = true
		case "member_add_mode":
			st.AdminsAdd = string(content(child)) == "admin_add"
		case "member_link_mode":
			st.MembersLink = string(content(child)) == "all_member_link"
		case "membership_approval_mode":
			join := child.GetChildByTag("group_join")
			st.Approval = attr(&join, "state") == "on"
		case "ephemeral":
			seconds, err := expiration(&child)
			if err != nil {
				return err
			}
			st.Expiration = seconds
		case "description":
			body := string(content(child.GetChildByTag("body")))
			if utf8.RuneCountInString(body) > maxDescription {
				return errNotAcceptable
			}
			if body != "" {
				st.describe(ch, cmp.Or(attr(&child, "id"), newID()), body)
			}
		}
	}
	return nil
}

// expiration reads for how long messages are to stay, in seconds. WhatsApp takes the values that its apps offer, and 0 for ever
// (SetDisappearingTimer in send.go).
func expiration(n *waBinary.Node) (uint32, error) {
	seconds, err := strconv.ParseUint(attr(n, "expiration"), 10, 32)
	if err != nil || !slices.Contains([]uint64{0, 86400, 604800, 7776000}, seconds) {
		return 0, errBadRequest
	}
	return uint32(seconds), nil
}

// invitees sorts whom a member wants in the group into those who come in, and nodes for the others with the reason, as parseParticipant
// (group.go) reads it: 404 for a number without account, 409 for a member, 419 when the group is full, and 403 for somebody whose privacy
// settings forbid it, with a code by which he may join himself.
func (ch *groupChange) invitees(g *group, asked []waBinary.Node) (joiners []*account, refused []waBinary.Node) {
	st := ch.edit(g)
	room := st.limit() - len(st.Members)
	if parent := ch.community(st); parent != nil {
		room = min(room, ch.see(parent).limit()-len(ch.see(parent).Members))
	}
	seen := make(map[*account]bool, len(asked))
	for i := range asked {
		jid := jidAttr(&asked[i], "jid").ToNonAD()
		a := ch.s.user(jid)
		if a == nil {
			refused = append(refused, waBinary.Node{Tag: "participant", Attrs: waBinary.Attrs{"jid": jid, "error": errItemNotFound.code}})
			continue
		}
		if seen[a] || a == ch.by {
			continue
		}
		seen[a] = true
		node := participant(a, noRole)
		switch {
		case st.has(a.keys.Phone):
			node.Attrs["error"] = errConflict.code
		case len(joiners) >= room:
			node.Attrs["error"] = errGroupFull.code
		case !ch.s.mayAddToGroup(a, ch.by):
			invite := invited{Phone: a.keys.Phone, By: ch.by.keys.Phone, Code: randomText(16), Expires: ch.at.Add(inviteLife).Unix()}
			st.Invited = bounded(append(slices.DeleteFunc(st.Invited, func(i invited) bool { return i.Phone == invite.Phone }), invite), maxWaiting)
			node.Attrs["error"] = errForbidden.code
			node.Content = []waBinary.Node{{Tag: "add_request", Attrs: waBinary.Attrs{"code": invite.Code, "expiration": unix(invite.Expires)}}}
		default:
			joiners = append(joiners, a)
			continue
		}
		refused = append(refused, node)
	}
	return joiners, refused
}

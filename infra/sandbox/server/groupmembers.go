package server

import (
	"context"
	"slices"

	waBinary "go.mau.fi/whatsmeow/binary"
)

func registerGroupMembers(r *registry) {
	r.queries[query{"w:g2", "set", "create"}] = handleGroupCreate
	r.queries[query{"w:g2", "set", "add"}] = handleAdd
	r.queries[query{"w:g2", "set", "remove"}] = handleRemove
	r.queries[query{"w:g2", "set", "promote"}] = handleRole
	r.queries[query{"w:g2", "set", "demote"}] = handleRole
	r.queries[query{"w:g2", "set", "leave"}] = handleLeave
}

// admit makes people members who are not yet, tells them and the others, and takes them into the group's community too.
func (ch *groupChange) admit(g *group, who []*account, reason string) {
	st := ch.edit(g)
	who = slices.DeleteFunc(slices.Clone(who), func(a *account) bool { return st.has(a.keys.Phone) })
	if len(who) == 0 {
		return
	}
	others := st.phones()
	for _, a := range who {
		st.add(a.keys.Phone, noRole)
	}
	ch.tellMembership(g, others, "add", reason, who)
	ch.tellCreated(g, numbers(who), "", "", reason)
	ch.joinCommunity(g, who)
}

// expel ends memberships, and tells those who go and those who stay. A group without admin gets its oldest member for one, a group without
// member ends.
func (ch *groupChange) expel(g *group, who []*account) {
	st := ch.edit(g)
	who = slices.DeleteFunc(slices.Clone(who), func(a *account) bool { return !st.has(a.keys.Phone) })
	if len(who) == 0 {
		return
	}
	everyone := st.phones()
	st.remove(numbers(who)...)
	ch.tellMembership(g, everyone, "remove", "", who)
	switch {
	case len(st.Members) == 0 && st.Parent:
		ch.endCommunity(g)
	case len(st.Members) == 0:
		ch.forgetSubGroup(g)
		ch.drop(g)
	case len(st.admins()) == 0:
		st.Members[0].Role = groupAdmin
		ch.tellMembership(g, st.phones(), "promote", "", ch.s.accountsOf([]string{st.Members[0].Phone}))
	}
}

// handleAdd adds people. In a group that admins approve joining to, whom another member adds has to be approved.
func handleAdd(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("add")
	answer := waBinary.Node{Tag: "add"}
	err := c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		st, admin := ch.edit(g), ch.see(g).admin(ch.by.keys.Phone)
		if st.AdminsAdd && !admin {
			return errNotAuthorized
		}
		joiners, refused := ch.invitees(g, asked.GetChildrenByTag("participant"))
		if st.Approval && !admin {
			ch.ask(g, joiners, "non_admin_add")
		} else {
			ch.admit(g, joiners, "")
		}
		answer.Content = append(participants(joiners), refused...)
		return nil
	})
	return []waBinary.Node{answer}, err
}

// handleRemove removes people, who then cannot come back by the invite link.
func handleRemove(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("remove")
	answer := waBinary.Node{Tag: "remove"}
	err := c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		st := ch.see(g)
		if !st.admin(ch.by.keys.Phone) {
			return errNotAuthorized
		}
		if st.DefaultSubGroup {
			return errNotAllowed // one leaves it with the community
		}
		leaving, nodes := ch.chosen(st, asked.GetChildrenByTag("participant"))
		answer.Content = nodes
		if len(leaving) == 0 {
			return nil
		}
		st = ch.edit(g)
		for _, a := range leaving {
			st.Removed = append(st.Removed, a.keys.Phone)
		}
		st.Removed = bounded(st.Removed, maxWaiting)
		ch.leaveCommunity(g, leaving, attr(&asked, "linked_groups") == "true")
		return nil
	})
	return []waBinary.Node{answer}, err
}

// chosen sorts the people that an admin names into members and nodes for all of them, with an error for those that nothing happens to: 404
// for who is no member, 403 for the creator, whom other admins have no power over.
func (ch *groupChange) chosen(st *groupState, asked []waBinary.Node) (members []*account, nodes []waBinary.Node) {
	for i := range asked {
		jid := jidAttr(&asked[i], "jid").ToNonAD()
		a := ch.s.user(jid)
		if a == nil || !st.has(a.keys.Phone) {
			nodes = append(nodes, waBinary.Node{Tag: "participant", Attrs: waBinary.Attrs{"jid": jid, "error": errItemNotFound.code}})
			continue
		}
		node := participant(a, noRole)
		if st.role(a.keys.Phone) == groupOwner && a != ch.by {
			node.Attrs["error"] = errForbidden.code
		} else if !slices.Contains(members, a) {
			members = append(members, a)
		}
		nodes = append(nodes, node)
	}
	return members, nodes
}

// handleRole makes members admins, and admins members.
func handleRole(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildren()[0]
	role, has := groupAdmin, func(role string) bool { return role != noRole }
	if asked.Tag == "demote" {
		role, has = noRole, func(role string) bool { return role == noRole }
	}
	answer := waBinary.Node{Tag: asked.Tag}
	err := c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		st := ch.see(g)
		if !st.admin(ch.by.keys.Phone) {
			return errNotAuthorized
		}
		if st.DefaultSubGroup {
			return errNotAllowed // its admins are the community's
		}
		who, nodes := ch.chosen(st, asked.GetChildrenByTag("participant"))
		answer.Content = nodes
		groups := []*group{g}
		if st.Parent && len(st.SubGroups) > 0 {
			groups = append(groups, ch.subGroups(st)[0])
		}
		for _, g := range groups {
			st := ch.edit(g)
			changed := slices.DeleteFunc(slices.Clone(who), func(a *account) bool { return !st.has(a.keys.Phone) || has(st.role(a.keys.Phone)) })
			if len(changed) == 0 {
				continue
			}
			for _, a := range changed {
				st.Members[st.places[a.keys.Phone]].Role = role
			}
			ch.tellMembership(g, st.phones(), asked.Tag, "", changed)
		}
		return nil
	})
	return []waBinary.Node{answer}, err
}

// handleLeave ends one's own membership of groups, or of communities with all their groups.
func handleLeave(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("leave")
	answer := waBinary.Node{Tag: "leave"}
	err := c.s.changeGroups(ctx, c.device.account, func(ch *groupChange) error {
		var nodes []waBinary.Node
		for _, child := range asked.GetChildren() {
			jid := jidAttr(&child, "id")
			g := ch.s.group(jid)
			if g == nil {
				return errItemNotFound
			}
			st := ch.see(g)
			if st == nil || !st.has(ch.by.keys.Phone) {
				return errForbidden
			}
			if st.DefaultSubGroup {
				return errNotAllowed
			}
			ch.leaveCommunity(g, []*account{ch.by}, true)
			nodes = append(nodes, waBinary.Node{Tag: child.Tag, Attrs: waBinary.Attrs{"id": jid}})
		}
		answer.Content = nodes
		return nil
	})
	return []waBinary.Node{answer}, err
}

package server

import (
	"cmp"
	"context"
	"slices"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// A community is a group that nobody writes in, with groups that are linked to it: the first is the announcement group, which everybody in
// the community is in, the others hold a part of them each. Who gets into one of the groups gets into the community and its announcement
// group too.

func registerCommunities(r *registry) {
	r.queries[query{"w:g2", "get", "sub_groups"}] = handleSubGroups
	r.queries[query{"w:g2", "get", "linked_groups_participants"}] = handleLinkedParticipants
	r.queries[query{"w:g2", "get", "query_linked"}] = handleQueryLinked
	r.queries[query{"w:g2", "set", "links"}] = handleLink
	r.queries[query{"w:g2", "set", "unlink"}] = handleUnlink
	r.queries[query{"w:g2", "set", "join_linked_group"}] = handleJoinLinked
	r.queries[query{"w:g2", "set", "delete_parent"}] = handleDeleteParent
}

// createCommunity makes a new group a community, with its announcement group, and a general one if that is asked for.
func (ch *groupChange) createCommunity(g *group, asked *waBinary.Node, key string) {
	st, parent := ch.edit(g), asked.GetChildByTag("parent")
	st.Parent, st.DefaultApproval = true, cmp.Or(attr(&parent, "default_membership_approval_mode"), "request_required")
	news, announcements := ch.create(st.Subject)
	announcements.Community, announcements.DefaultSubGroup, announcements.Announce = g.jid.User, true, true
	st.SubGroups = append(st.SubGroups, news.jid.User)
	ch.tellCreated(news, announcements.phones(), "new", key, "")
	if _, ok := asked.GetOptionalChildByTag("create_general_chat"); ok {
		general, talk := ch.create("General")
		talk.Community, talk.GeneralChat = g.jid.User, true
		st.SubGroups = append(st.SubGroups, general.jid.User)
		ch.tellCreated(general, talk.phones(), "new", key, "")
	}
}

// createInside links a new group to a community.
func (ch *groupChange) createInside(g, parent *group) error {
	if parent == nil {
		return errItemNotFound
	}
	st, community := ch.edit(g), ch.see(parent)
	switch {
	case !community.Parent:
		return errNotAcceptable
	case !community.has(ch.by.keys.Phone):
		return errForbidden
	case !community.admin(ch.by.keys.Phone) && !community.MembersCreate:
		return errNotAuthorized
	case len(community.SubGroups) >= maxSubGroups:
		return errNotAcceptable
	}
	st.Community = parent.jid.User
	community = ch.edit(parent)
	community.SubGroups = append(community.SubGroups, g.jid.User)
	ch.tellMembers(parent, linkNode("link", "sub_group", "", g, st))
	return nil
}

// linkNode tells of a link between groups, as parseGroupChange (group.go) reads it: other is the one at its other end.
func linkNode(tag, kind, reason string, other *group, st *groupState) waBinary.Node {
	target := waBinary.Node{Tag: "group", Attrs: waBinary.Attrs{"jid": other.jid, "subject": st.Subject, "s_t": unix(st.SubjectTime)}}
	if st.DefaultSubGroup {
		target.Content = []waBinary.Node{{Tag: "default_sub_group"}}
	}
	return waBinary.Node{Tag: tag, Attrs: waBinary.Attrs{tag + "_type": kind, tag + "_reason": reason}, Content: []waBinary.Node{target}}
}

// community finds the community that a group belongs to, or nil.
func (ch *groupChange) community(st *groupState) *group {
	return ch.find(st.Community)
}

// find finds a group by its id, also one that the change makes, but not one that it ends.
func (ch *groupChange) find(id string) *group {
	for _, g := range ch.touched {
		if g.jid.User == id && ch.next[g] != nil {
			return g
		}
	}
	g := ch.s.group(types.NewJID(id, types.GroupServer))
	if g == nil || ch.see(g) == nil {
		return nil
	}
	return g
}

// subGroups finds a community's groups.
func (ch *groupChange) subGroups(st *groupState) (found []*group) {
	for _, id := range st.SubGroups {
		if g := ch.find(id); g != nil {
			found = append(found, g)
		}
	}
	return found
}

// joinCommunity takes those who got into a group into its community, and those who got into a community into its announcement group.
func (ch *groupChange) joinCommunity(g *group, who []*account) {
	st := ch.see(g)
	if len(who) == 0 {
		return
	}
	if parent := ch.community(st); parent != nil {
		ch.admit(parent, who, "linked_group_join")
	}
	if st.Parent {
		for _, sub := range ch.subGroups(st) {
			if ch.see(sub).DefaultSubGroup {
				ch.admit(sub, who, "linked_group_join")
			}
		}
	}
}

// leaveCommunity ends memberships of a group. Out of a community goes out of its announcement group too, and when linked, out of all its
// groups.
func (ch *groupChange) leaveCommunity(g *group, who []*account, linked bool) {
	if st := ch.see(g); st.Parent {
		for _, sub := range ch.subGroups(st) {
			if linked || ch.see(sub).DefaultSubGroup {
				ch.expel(sub, who)
			}
		}
	}
	ch.expel(g, who)
}

// forgetSubGroup takes a group that ends out of its community.
func (ch *groupChange) forgetSubGroup(g *group) {
	if parent := ch.community(ch.see(g)); parent != nil {
		st := ch.edit(parent)
		st.SubGroups = slices.DeleteFunc(st.SubGroups, func(id string) bool { return id == g.jid.User })
	}
}

// endCommunity ends a community and its announcement group; the other groups stay, on their own.
func (ch *groupChange) endCommunity(g *group) {
	st := ch.edit(g)
	end := waBinary.Node{Tag: "delete", Attrs: waBinary.Attrs{"reason": string(types.GroupUnlinkReasonDelete)}}
	for _, sub := range ch.subGroups(st) {
		inner := ch.edit(sub)
		if inner.DefaultSubGroup {
			ch.tellMembers(sub, end)
			ch.drop(sub)
			continue
		}
		inner.Community = ""
		ch.tellMembers(sub, linkNode("unlink", "parent_group", string(types.GroupUnlinkReasonDelete), g, st))
	}
	ch.tellMembers(g, end)
	ch.drop(g)
}

// parentOf finds the community that an iq is addressed to, for a member of it.
func (s *Server) parentOf(iq *waBinary.Node, a *account) (*group, *groupState, error) {
	g, err := s.forMember(iq, a)
	if err != nil {
		return nil, nil, err
	}
	st := g.now()
	if !st.Parent {
		return nil, nil, errNotAcceptable
	}
	return g, st, nil
}

// linkedGroups are a community's groups with their states.
func (s *Server) linkedGroups(st *groupState) (groups []*group, states []*groupState) {
	for _, id := range st.SubGroups {
		if g := s.group(types.NewJID(id, types.GroupServer)); g != nil {
			groups, states = append(groups, g), append(states, g.now())
		}
	}
	return groups, states
}

// handleSubGroups lists a community's groups for its members (parseGroupLinkTargetNode in group.go).
func handleSubGroups(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	_, st, err := c.s.parentOf(iq, c.device.account)
	if err != nil {
		return nil, err
	}
	nodes := []waBinary.Node{}
	groups, states := c.s.linkedGroups(st)
	for i, g := range groups {
		node := c.s.groupNode(g.jid, states[i], false, false)
		for _, name := range []string{"addressing_mode", "a_v_id", "p_v_id"} {
			delete(node.Attrs, name)
		}
		nodes = append(nodes, node)
	}
	return []waBinary.Node{{Tag: "sub_groups", Content: nodes}}, nil
}

// handleLinkedParticipants lists who is in any of a community's groups.
func handleLinkedParticipants(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	_, st, err := c.s.parentOf(iq, c.device.account)
	if err != nil {
		return nil, err
	}
	seen, phones := map[string]bool{}, []string{}
	_, states := c.s.linkedGroups(st)
	for _, st := range append(states, st) {
		for _, m := range st.Members {
			if !seen[m.Phone] {
				seen[m.Phone] = true
				phones = append(phones, m.Phone)
			}
		}
	}
	return []waBinary.Node{{Tag: "linked_groups_participants", Content: participants(c.s.accountsOf(phones))}}, nil
}

// linkedGroup finds one of a community's groups.
func (s *Server) linkedGroup(st *groupState, jid types.JID) *group {
	if !slices.Contains(st.SubGroups, jid.User) {
		return nil
	}
	return s.group(jid)
}

// handleQueryLinked describes one of a community's groups to a member of the community who need not be in it.
func handleQueryLinked(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	_, st, err := c.s.parentOf(iq, c.device.account)
	if err != nil {
		return nil, err
	}
	asked := iq.GetChildByTag("query_linked")
	g := c.s.linkedGroup(st, jidAttr(&asked, "jid"))
	if g == nil {
		return nil, errItemNotFound
	}
	return []waBinary.Node{{Tag: "linked_group", Content: []waBinary.Node{c.s.groupPreview(g, g.now())}}}, nil
}

// handleJoinLinked takes a member of a community into one of its groups, or lets him wait for approval.
func handleJoinLinked(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("join_linked_group")
	var answer []waBinary.Node
	err := c.changeGroup(ctx, iq, func(ch *groupChange, parent *group) error {
		g := c.s.linkedGroup(ch.see(parent), jidAttr(&asked, "jid"))
		if g == nil {
			return errItemNotFound
		}
		st := ch.see(g)
		switch {
		case st.has(ch.by.keys.Phone):
			return errConflict
		case slices.Contains(st.Removed, ch.by.keys.Phone):
			return errNotAllowed
		case len(st.Members) >= st.limit():
			return errGroupFull
		case st.Approval:
			ch.ask(g, []*account{ch.by}, "linked_group_join")
			answer = []waBinary.Node{{Tag: "membership_approval_request", Attrs: waBinary.Attrs{"jid": g.jid}}}
			return nil
		}
		ch.admit(g, []*account{ch.by}, "linked_group_join")
		answer = []waBinary.Node{{Tag: "linked_group", Content: []waBinary.Node{c.s.groupNode(g.jid, ch.see(g), true, true)}}}
		return nil
	})
	return answer, err
}

// handleLink links groups to a community, of which the client is an admin as of each group; their members get into the community.
func handleLink(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("links", "link")
	answer := waBinary.Node{Tag: "link", Attrs: waBinary.Attrs{"link_type": "sub_group"}}
	err := c.changeGroup(ctx, iq, func(ch *groupChange, parent *group) error {
		community := ch.see(parent)
		if !community.Parent || attr(&asked, "link_type") != string(types.GroupLinkChangeTypeSub) {
			return errNotAcceptable
		}
		if !community.admin(ch.by.keys.Phone) {
			return errNotAuthorized
		}
		var nodes []waBinary.Node
		for _, child := range asked.GetChildrenByTag("group") {
			jid := jidAttr(&child, "jid")
			node := waBinary.Node{Tag: "group", Attrs: waBinary.Attrs{"jid": jid}}
			if code := ch.link(parent, c.s.group(jid)); code != 0 {
				node.Attrs["error"] = code
			}
			nodes = append(nodes, node)
		}
		if len(nodes) == 1 && nodes[0].Attrs["error"] != nil { // whatsmeow and Baileys look at the whole answer alone
			return queryError{nodes[0].Attrs["error"].(int), "link-refused"}
		}
		answer.Content = nodes
		return nil
	})
	return []waBinary.Node{{Tag: "links", Content: []waBinary.Node{answer}}}, err
}

// link links a group to a community and returns 0, or why not.
func (ch *groupChange) link(parent, g *group) int {
	if g == nil {
		return errItemNotFound.code
	}
	st, community := ch.see(g), ch.see(parent)
	switch {
	case !st.has(ch.by.keys.Phone):
		return errForbidden.code
	case !st.admin(ch.by.keys.Phone):
		return errNotAuthorized.code
	case st.Parent || st.Community != "" && st.Community != parent.jid.User:
		return errNotAcceptable.code
	case st.Community == parent.jid.User:
		return errConflict.code
	case len(community.SubGroups) >= maxSubGroups || len(community.Members)+len(st.Members) > maxCommunityMembers:
		return errNotAcceptable.code
	}
	st, community = ch.edit(g), ch.edit(parent)
	st.Community = parent.jid.User
	community.SubGroups = append(community.SubGroups, g.jid.User)
	ch.tellMembers(parent, linkNode("link", "sub_group", "", g, st))
	ch.tellMembers(g, linkNode("link", "parent_group", "", parent, community))
	ch.joinCommunity(g, ch.s.accountsOf(st.phones()))
	return 0
}

// handleUnlink takes groups out of a community; who is in them stays in the community.
func handleUnlink(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("unlink")
	answer := waBinary.Node{Tag: "unlink", Attrs: waBinary.Attrs{"unlink_type": "sub_group"}}
	err := c.changeGroup(ctx, iq, func(ch *groupChange, parent *group) error {
		community := ch.see(parent)
		if !community.Parent || attr(&asked, "unlink_type") != string(types.GroupLinkChangeTypeSub) {
			return errNotAcceptable
		}
		if !community.admin(ch.by.keys.Phone) {
			return errNotAuthorized
		}
		var nodes []waBinary.Node
		reason := string(types.GroupUnlinkReasonDefault)
		for _, child := range asked.GetChildrenByTag("group") {
			g := c.s.linkedGroup(ch.see(parent), jidAttr(&child, "jid"))
			if g == nil {
				return errItemNotFound
			}
			if ch.see(g).DefaultSubGroup {
				return errNotAcceptable
			}
			ch.forgetSubGroup(g)
			st := ch.edit(g)
			st.Community, st.GeneralChat = "", false
			ch.tellMembers(parent, linkNode("unlink", "sub_group", reason, g, st))
			ch.tellMembers(g, linkNode("unlink", "parent_group", reason, parent, community))
			nodes = append(nodes, waBinary.Node{Tag: "group", Attrs: waBinary.Attrs{"jid": g.jid}})
		}
		answer.Content = nodes
		return nil
	})
	return []waBinary.Node{answer}, err
}

// handleDeleteParent ends a community at its creator's wish.
func handleDeleteParent(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	return nil, c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		st := ch.see(g)
		if !st.Parent {
			return errNotAcceptable
		}
		if st.role(ch.by.keys.Phone) != groupOwner {
			return errNotAuthorized
		}
		ch.endCommunity(g)
		return nil
	})
}

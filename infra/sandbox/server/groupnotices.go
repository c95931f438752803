package server

import (
	"slices"
	"strconv"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// reached are the devices that stanzas are made for: not those of stubs, which would drop them.
func reached(devices []*device) []*device {
	return slices.DeleteFunc(devices, func(d *device) bool { return d.account.level == Stub })
}

// devicesOfAll returns the devices of the accounts with these numbers.
func (s *Server) devicesOfAll(phones []string) (devices []*device) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, phone := range phones {
		if a := s.byPhone[phone]; a != nil {
			devices = append(devices, a.devices...)
		}
	}
	return devices
}

// accountsOf returns the accounts with these numbers; one that is not there is left out.
func (s *Server) accountsOf(phones []string) []*account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := make([]*account, 0, len(phones))
	for _, phone := range phones {
		if a := s.byPhone[phone]; a != nil {
			found = append(found, a)
		}
	}
	return found
}

// numbers are the phone numbers of accounts.
func numbers(accounts []*account) []string {
	phones := make([]string, len(accounts))
	for i, a := range accounts {
		phones[i] = a.keys.Phone
	}
	return phones
}

// tell sends a notice of the group to every device of the people named, the one that made the change included: clients learn of their own
// changes by it (parseGroupNotification in group.go).
func (ch *groupChange) tell(g *group, phones []string, what ...waBinary.Node) {
	ch.s.mu.RLock()
	name := ch.by.name
	ch.s.mu.RUnlock()
	stanza := waBinary.Node{Tag: "notification", Content: what, Attrs: waBinary.Attrs{
		"from": g.jid, "type": "w:gp2", "id": newID(), "t": unix(ch.at.Unix()), "notify": name, "addressing_mode": "lid",
		"participant": ch.by.lid(), "participant_pn": ch.by.pn(),
	}}
	for _, d := range reached(ch.s.devicesOfAll(phones)) {
		ch.notices = append(ch.notices, queued{d, stanza})
	}
}

// tellMembers is tell for everybody who is in the group, and those who were until now.
func (ch *groupChange) tellMembers(g *group, what waBinary.Node, formerly ...string) {
	ch.tell(g, append(ch.see(g).phones(), formerly...), what)
}

// tellMembership tells of members added, removed, promoted or demoted, with the version of the list before and after.
func (ch *groupChange) tellMembership(g *group, to []string, what, reason string, who []*account) {
	st := ch.edit(g)
	before := st.Version
	st.Version++
	ch.tell(g, to, waBinary.Node{Tag: what, Content: participants(who), Attrs: waBinary.Attrs{
		"v_id": strconv.FormatInt(st.Version, 10), "prev_v_id": strconv.FormatInt(before, 10), "reason": reason,
	}})
}

// tellCreated tells people that they are in a group now, with all that is to be known of it. kind is "new" for a group that is.
func (ch *groupChange) tellCreated(g *group, phones []string, kind, key, reason string) {
	ch.tell(g, phones, waBinary.Node{Tag: "create", Attrs: waBinary.Attrs{"type": kind, "key": key, "reason": reason},
		Content: []waBinary.Node{ch.s.groupNode(g.jid, ch.see(g), true, true)}})
}

// participants names people by LID, with their phone numbers.
func participants(who []*account) []waBinary.Node {
	nodes := make([]waBinary.Node, len(who))
	for i, a := range who {
		nodes[i] = participant(a, noRole)
	}
	return nodes
}

func participant(a *account, role string) waBinary.Node {
	attrs := waBinary.Attrs{"jid": a.lid(), "phone_number": a.pn()}
	if role != noRole {
		attrs["type"] = role
	}
	return waBinary.Node{Tag: "participant", Attrs: attrs}
}

// groupNode describes a group as parseGroupNode (group.go) reads it.
func (s *Server) groupNode(jid types.JID, st *groupState, members, description bool) waBinary.Node {
	people := s.peopleOf(st)
	attrs := waBinary.Attrs{
		"id": jid.User, "subject": st.Subject, "s_t": unix(st.SubjectTime), "creation": unix(st.Created), "addressing_mode": "lid",
		"size": len(st.Members), "a_v_id": strconv.FormatInt(st.AnnounceVersion, 10), "p_v_id": strconv.FormatInt(st.Version, 10),
	}
	if a := people[st.Creator]; a != nil {
		attrs["creator"], attrs["creator_pn"] = a.lid(), a.pn()
	}
	if a := people[st.SubjectBy]; a != nil {
		attrs["s_o"], attrs["s_o_pn"] = a.lid(), a.pn()
	}
	var parts []waBinary.Node
	if members {
		parts = make([]waBinary.Node, 0, len(st.Members)+8)
		for _, m := range st.Members {
			if a := people[m.Phone]; a != nil {
				parts = append(parts, participant(a, m.Role))
			}
		}
	}
	if description && st.DescriptionID != "" {
		node := waBinary.Node{Tag: "description", Attrs: waBinary.Attrs{"id": st.DescriptionID, "t": unix(st.DescriptionTime)},
			Content: []waBinary.Node{{Tag: "body", Content: []byte(st.Description)}}}
		if a := people[st.DescriptionBy]; a != nil {
			node.Attrs["participant"], node.Attrs["participant_pn"] = a.lid(), a.pn()
		}
		parts = append(parts, node)
	}
	return waBinary.Node{Tag: "group", Attrs: attrs, Content: append(parts, settingNodes(st)...)}
}

// settingNodes are a group's settings, of which most are told by being there.
func settingNodes(st *groupState) (nodes []waBinary.Node) {
	for _, flag := range []struct {
		set bool
		tag string
	}{
		{st.Locked, "locked"}, {st.Announce, "announcement"}, {st.DefaultSubGroup, "default_sub_group"}, {st.GeneralChat, "general_chat"},
		{st.MembersCreate, "allow_non_admin_sub_group_creation"},
	} {
		if flag.set {
			nodes = append(nodes, waBinary.Node{Tag: flag.tag})
		}
	}
	if st.Expiration != 0 {
		nodes = append(nodes, waBinary.Node{Tag: "ephemeral", Attrs: waBinary.Attrs{"expiration": int(st.Expiration)}})
	}
	if st.Approval {
		nodes = append(nodes, approvalNode("on"))
	}
	if st.Parent {
		nodes = append(nodes, waBinary.Node{Tag: "parent", Attrs: waBinary.Attrs{"default_membership_approval_mode": st.DefaultApproval}})
	}
	if st.Community != "" {
		nodes = append(nodes, waBinary.Node{Tag: "linked_parent", Attrs: waBinary.Attrs{"jid": types.NewJID(st.Community, types.GroupServer)}})
	}
	return append(nodes, addModeNode(st), linkModeNode(st))
}

// The contents below are bytes because whatsmeow reads them as such alone.

func addModeNode(st *groupState) waBinary.Node {
	mode := types.GroupMemberAddModeAllMember
	if st.AdminsAdd {
		mode = types.GroupMemberAddModeAdmin
	}
	return waBinary.Node{Tag: "member_add_mode", Content: []byte(mode)}
}

func linkModeNode(st *groupState) waBinary.Node {
	mode := "admin_link"
	if st.MembersLink {
		mode = "all_member_link"
	}
	return waBinary.Node{Tag: "member_link_mode", Content: []byte(mode)}
}

func approvalNode(state string) waBinary.Node {
	return waBinary.Node{Tag: "membership_approval_mode", Content: []waBinary.Node{{Tag: "group_join", Attrs: waBinary.Attrs{"state": state}}}}
}

// peopleOf finds the accounts that a group's state names.
func (s *Server) peopleOf(st *groupState) map[string]*account {
	people := make(map[string]*account, len(st.Members)+3)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range st.Members {
		people[m.Phone] = s.byPhone[m.Phone]
	}
	for _, phone := range []string{st.Creator, st.SubjectBy, st.DescriptionBy} {
		people[phone] = s.byPhone[phone]
	}
	return people
}

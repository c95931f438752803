package server

import (
	"context"
	"slices"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

func registerGroupInvites(r *registry) {
	r.queries[query{"w:g2", "get", "invite"}] = handleInvite
	r.queries[query{"w:g2", "set", "invite"}] = handleInviteSet
	r.queries[query{"w:g2", "set", "accept"}] = handleAccept
	r.queries[query{"w:g2", "set", "revoke"}] = handleRevoke
	r.queries[query{"w:g2", "get", "membership_approval_requests"}] = handleRequests
	r.queries[query{"w:g2", "set", "membership_requests_action"}] = handleRequestsAction
	r.queries[query{"w:g2", "set", "cancel_membership_requests"}] = handleRequestsCancel
}

// byCode finds the group of an invite link. A code that was reset is gone (410), any other unknown one is not acceptable (406), as whatsmeow
// tells them apart (GetGroupInfoFromLink in group.go).
func (s *Server) byCode(code string) (*group, error) {
	s.groups.mu.RLock()
	g := s.groups.byCode[code]
	s.groups.mu.RUnlock()
	if g == nil || code == "" {
		return nil, errNotAcceptable
	}
	if g.now().Code != code {
		return nil, errGone
	}
	return g, nil
}

// handleInvite gives a group's invite code to an admin; without an addressee it describes the group that a code is for.
func handleInvite(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	if to, _ := iq.Attrs["to"].(types.JID); to.User == "" {
		asked := iq.GetChildByTag("invite")
		g, err := c.s.byCode(attr(&asked, "code"))
		if err != nil {
			return nil, err
		}
		return []waBinary.Node{c.s.groupPreview(g, g.now())}, nil
	}
	g, err := c.s.forMember(iq, c.device.account)
	if err != nil {
		return nil, err
	}
	st := g.now()
	if !st.admin(c.device.account.keys.Phone) && !st.MembersLink {
		return nil, errNotAuthorized
	}
	return []waBinary.Node{{Tag: "invite", Attrs: waBinary.Attrs{"code": st.Code}}}, nil
}

// handleInviteSet makes a new invite code; without an addressee it takes the client into the group that a code is for.
func handleInviteSet(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	if to, _ := iq.Attrs["to"].(types.JID); to.User == "" {
		asked := iq.GetChildByTag("invite")
		return c.joinByCode(ctx, attr(&asked, "code"))
	}
	var code string
	err := c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		if !ch.see(g).admin(ch.by.keys.Phone) {
			return errNotAuthorized
		}
		st := ch.edit(g)
		code = inviteCode()
		st.OldCodes, st.Code = bounded(append(st.OldCodes, st.Code), maxOldCodes), code
		ch.tellMembers(g, waBinary.Node{Tag: "invite", Attrs: waBinary.Attrs{"code": code}})
		return nil
	})
	return []waBinary.Node{{Tag: "invite", Attrs: waBinary.Attrs{"code": code}}}, err
}

// joinByCode takes a client into a group, or lets it wait for an admin's approval. The codes of the errors are those that WhatsApp Web
// knows: 405 for who was removed, 409 for who is in, 419 for a full group.
func (c *conn) joinByCode(ctx context.Context, code string) ([]waBinary.Node, error) {
	var answer []waBinary.Node
	err := c.s.changeGroups(ctx, c.device.account, func(ch *groupChange) error {
		g, err := c.s.byCode(code)
		if err != nil {
			return err
		}
		st, phone := ch.see(g), ch.by.keys.Phone
		switch {
		case st.has(phone):
			return errConflict
		case slices.Contains(st.Removed, phone):
			return errNotAllowed
		case len(st.Members) >= st.limit():
			return errGroupFull
		case st.Approval:
			ch.ask(g, []*account{ch.by}, "invite_link")
			answer = []waBinary.Node{{Tag: "membership_approval_request", Attrs: waBinary.Attrs{"jid": g.jid}}}
			return nil
		}
		ch.admit(g, []*account{ch.by}, "invite")
		answer = []waBinary.Node{{Tag: "group", Attrs: waBinary.Attrs{"jid": g.jid}}}
		if st.Parent { // Baileys looks for it under this name
			answer = append(answer, waBinary.Node{Tag: "community", Attrs: waBinary.Attrs{"jid": g.jid}})
		}
		return nil
	})
	return answer, err
}

// invitation finds the personal invitation that a client shows: a code, when it ends, and who gave it.
func (s *Server) invitation(st *groupState, a *account, proof *waBinary.Node, at time.Time) (*invited, error) {
	for i := range st.Invited {
		in := &st.Invited[i]
		if in.Phone != a.keys.Phone || in.Code != attr(proof, "code") {
			continue
		}
		by := s.user(jidAttr(proof, "admin").ToNonAD())
		if by == nil || by.keys.Phone != in.By || strconv.FormatInt(in.Expires, 10) != attr(proof, "expiration") {
			return nil, errBadRequest
		}
		if at.Unix() > in.Expires {
			return nil, errGone
		}
		return in, nil
	}
	return nil, errGone
}

// handleAccept takes somebody into a group who was invited personally, by a message.
func handleAccept(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("accept")
	return nil, c.s.changeGroups(ctx, c.device.account, func(ch *groupChange) error {
		g, err := c.s.groupOf(iq)
		if err != nil {
			return err
		}
		st := ch.see(g)
		if st.has(ch.by.keys.Phone) {
			return errConflict
		}
		if _, err := c.s.invitation(st, ch.by, &asked, ch.at); err != nil {
			return err
		}
		if len(st.Members) >= st.limit() {
			return errGroupFull
		}
		ch.admit(g, []*account{ch.by}, "invite")
		return nil
	})
}

// handleRevoke takes personal invitations back.
func handleRevoke(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("revoke")
	answer := waBinary.Node{Tag: "revoke"}
	err := c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		st := ch.edit(g)
		var nodes []waBinary.Node
		for _, child := range asked.GetChildrenByTag("participant") {
			jid := jidAttr(&child, "jid").ToNonAD()
			node := waBinary.Node{Tag: "participant", Attrs: waBinary.Attrs{"jid": jid}}
			a := c.s.user(jid)
			i := slices.IndexFunc(st.Invited, func(i invited) bool { return a != nil && i.Phone == a.keys.Phone })
			if i < 0 || st.Invited[i].By != ch.by.keys.Phone && !st.admin(ch.by.keys.Phone) {
				node.Attrs["error"] = errItemNotFound.code
			} else {
				st.Invited = slices.Delete(st.Invited, i, i+1)
			}
			nodes = append(nodes, node)
		}
		answer.Content = nodes
		return nil
	})
	return []waBinary.Node{answer}, err
}

// ask lets people wait for an admin's approval, and tells the admins and those who asked.
func (ch *groupChange) ask(g *group, who []*account, method string) {
	st := ch.edit(g)
	var users []waBinary.Node
	for _, a := range who {
		st.Waiting = slices.DeleteFunc(st.Waiting, func(r request) bool { return r.Phone == a.keys.Phone })
		st.Waiting = bounded(append(st.Waiting, request{Phone: a.keys.Phone, By: ch.by.keys.Phone, Time: ch.at.Unix(), Method: method}), maxWaiting)
		users = append(users, waBinary.Node{Tag: "requested_user", Attrs: waBinary.Attrs{"jid": a.lid(), "phone_number": a.pn()}})
	}
	if len(users) == 0 {
		return
	}
	attrs := waBinary.Attrs{"request_method": method}
	if st.Community != "" {
		attrs["parent_group_jid"] = types.NewJID(st.Community, types.GroupServer)
	}
	ch.tell(g, st.admins(), waBinary.Node{Tag: "created_membership_requests", Attrs: attrs, Content: users})
	if !st.admin(ch.by.keys.Phone) {
		ch.tell(g, []string{ch.by.keys.Phone}, waBinary.Node{Tag: "membership_approval_request", Attrs: attrs})
	}
}

// handleRequests lists for an admin who waits for approval.
func handleRequests(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	g, err := c.s.forMember(iq, c.device.account)
	if err != nil {
		return nil, err
	}
	st := g.now()
	if !st.admin(c.device.account.keys.Phone) {
		return nil, errNotAuthorized
	}
	nodes := []waBinary.Node{}
	for _, r := range st.Waiting {
		for _, a := range c.s.accountsOf([]string{r.Phone}) {
			node := waBinary.Node{Tag: "membership_approval_request", Attrs: waBinary.Attrs{
				"jid": a.lid(), "phone_number": a.pn(), "request_time": unix(r.Time), "request_method": r.Method,
			}}
			for _, by := range c.s.accountsOf([]string{r.By}) {
				node.Attrs["requestor"], node.Attrs["requestor_pn"] = by.lid(), by.pn()
			}
			nodes = append(nodes, node)
		}
	}
	return []waBinary.Node{{Tag: "membership_approval_requests", Content: nodes}}, nil
}

// handleRequestsAction lets an admin approve or reject who waits.
func handleRequestsAction(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("membership_requests_action")
	var answers []waBinary.Node
	err := c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		if !ch.see(g).admin(ch.by.keys.Phone) {
			return errNotAuthorized
		}
		for _, action := range asked.GetChildren() {
			if action.Tag != "approve" && action.Tag != "reject" {
				return errBadRequest
			}
			who, nodes := ch.waiting(g, action.GetChildrenByTag("participant"))
			answers = append(answers, waBinary.Node{Tag: action.Tag, Content: nodes})
			if action.Tag == "reject" {
				ch.dismiss(g, who)
				continue
			}
			ch.admit(g, who, "invite")
		}
		return nil
	})
	return []waBinary.Node{{Tag: "membership_requests_action", Content: answers}}, err
}

// waiting sorts the people that are named into those who wait for approval, and nodes for all of them: 404 for who does not wait, 419 for
// whom there is no room.
func (ch *groupChange) waiting(g *group, asked []waBinary.Node) (who []*account, nodes []waBinary.Node) {
	st := ch.edit(g)
	for i := range asked {
		jid := jidAttr(&asked[i], "jid").ToNonAD()
		a := ch.s.user(jid)
		node := waBinary.Node{Tag: "participant", Attrs: waBinary.Attrs{"jid": jid}}
		switch {
		case a == nil || !slices.ContainsFunc(st.Waiting, func(r request) bool { return r.Phone == a.keys.Phone }):
			node.Attrs["error"] = errItemNotFound.code
		case len(st.Members)+len(who) >= st.limit():
			node.Attrs["error"] = errGroupFull.code
		default:
			node = participant(a, noRole)
			who = append(who, a)
		}
		nodes = append(nodes, node)
	}
	return who, nodes
}

// dismiss ends the wait of people, and tells the admins and them.
func (ch *groupChange) dismiss(g *group, who []*account) {
	if len(who) == 0 {
		return
	}
	st := ch.edit(g)
	for _, a := range who {
		st.Waiting = slices.DeleteFunc(st.Waiting, func(r request) bool { return r.Phone == a.keys.Phone })
	}
	ch.tell(g, append(st.admins(), numbers(who)...), waBinary.Node{Tag: "revoked_membership_requests", Content: participants(who)})
}

// handleRequestsCancel lets somebody take his own request back.
func handleRequestsCancel(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	answer := waBinary.Node{Tag: "cancel_membership_requests"}
	err := c.s.changeGroups(ctx, c.device.account, func(ch *groupChange) error {
		g, err := c.s.groupOf(iq)
		if err != nil {
			return err
		}
		mine := func(r request) bool { return r.By == ch.by.keys.Phone }
		var phones []string
		for _, r := range ch.see(g).Waiting {
			if mine(r) {
				phones = append(phones, r.Phone)
			}
		}
		who := ch.s.accountsOf(phones)
		if len(who) == 0 {
			return errItemNotFound
		}
		ch.dismiss(g, who)
		answer.Content = participants(who)
		return nil
	})
	return []waBinary.Node{answer}, err
}

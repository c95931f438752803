package server

import (
	"context"
	"slices"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// maxBatch bounds the groups of one query (WhatsApp Web asks for 10,000 at most).
const maxBatch = 10_000

// The errors of group queries. What whatsmeow names (errors.go): 401 without the right to the invite link, 403 for who is not in the group,
// 404 for no such group. Here 401 is the answer to every lack of a right; the real server's cannot be seen from here.
var (
	errNotAuthorized = queryError{401, "not-authorized"}
	errNotAcceptable = queryError{406, "not-acceptable"}
	errConflict      = queryError{409, "conflict"}
	errGone          = queryError{410, "gone"}
	errGroupFull     = queryError{419, "resource-limit"}
)

func registerGroupQueries(r *registry) {
	r.queries[query{"w:g2", "get", "query"}] = handleGroupQuery
	r.queries[query{"w:g2", "get", "participating"}] = handleParticipating
}

// groupOf finds the group that an iq is addressed to.
func (s *Server) groupOf(iq *waBinary.Node) (*group, error) {
	to, _ := iq.Attrs["to"].(types.JID)
	if g := s.group(to); g != nil {
		return g, nil
	}
	return nil, errItemNotFound
}

// forMember finds the group that an iq is addressed to, for a member of it.
func (s *Server) forMember(iq *waBinary.Node, a *account) (*group, error) {
	g, err := s.groupOf(iq)
	if err != nil {
		return nil, err
	}
	if !g.now().has(a.keys.Phone) {
		return nil, errForbidden
	}
	return g, nil
}

// handleGroupQuery describes a group to a member, and to someone who was invited to it personally; without an addressee it describes several.
func handleGroupQuery(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, a, asked := c.s, c.device.account, iq.GetChildByTag("query")
	if to, _ := iq.Attrs["to"].(types.JID); to.User == "" {
		return s.groupBatch(a, asked.GetChildrenByTag("group"))
	}
	g, err := s.groupOf(iq)
	if err != nil {
		return nil, err
	}
	st := g.now()
	if proof, ok := asked.GetOptionalChildByTag("add_request"); ok {
		if _, err := s.invitation(st, a, &proof, time.Now()); err != nil {
			return nil, err
		}
		return []waBinary.Node{s.groupPreview(g, st)}, nil
	}
	if !st.has(a.keys.Phone) {
		return nil, errForbidden
	}
	return []waBinary.Node{s.groupNode(g.jid, st, true, true)}, nil
}

func (s *Server) groupBatch(a *account, asked []waBinary.Node) ([]waBinary.Node, error) {
	if len(asked) == 0 || len(asked) > maxBatch {
		return nil, errBadRequest
	}
	var nodes []waBinary.Node
	for i := range asked {
		jid := jidAttr(&asked[i], "jid")
		refused := waBinary.Node{Tag: "group", Attrs: waBinary.Attrs{"id": jid.User, "error": errItemNotFound.code}}
		g := s.group(jid)
		if g == nil {
			nodes = append(nodes, refused)
			continue
		}
		st := g.now()
		if !st.has(a.keys.Phone) {
			refused.Attrs["error"] = errForbidden.code
			nodes = append(nodes, refused)
			continue
		}
		nodes = append(nodes, s.groupNode(g.jid, st, true, true))
	}
	return []waBinary.Node{{Tag: "groups", Content: nodes}}, nil
}

// groupPreview describes a group to somebody outside, with some of its members.
func (s *Server) groupPreview(g *group, st *groupState) waBinary.Node {
	const shown = 10 // as reported of the real one
	few := st.clone()
	few.Members = few.Members[:min(shown, len(few.Members))]
	node := s.groupNode(g.jid, few, true, true)
	node.Attrs["size"] = len(st.Members)
	return node
}

// handleParticipating lists the account's groups.
func handleParticipating(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, asked := c.s, iq.GetChildByTag("participating")
	_, members := asked.GetOptionalChildByTag("participants")
	_, description := asked.GetOptionalChildByTag("description")
	nodes := []waBinary.Node{}
	for _, g := range s.groupsOf(c.device.account) {
		nodes = append(nodes, s.groupNode(g.jid, g.now(), members, description))
	}
	return []waBinary.Node{{Tag: "groups", Content: nodes}}, nil
}

// Group is a group as the server has it.
type Group struct {
	JID     types.JID
	Subject string
	// Members are phone numbers, in the order of joining.
	Members []string
	Admins  []string
}

// Groups returns the groups that a phone number is in, ordered by id.
func (s *Server) Groups(phone string) []Group {
	s.mu.RLock()
	a := s.byPhone[phone]
	s.mu.RUnlock()
	if a == nil {
		return nil
	}
	var all []Group
	for _, g := range s.groupsOf(a) {
		st := g.now()
		all = append(all, Group{JID: g.jid, Subject: st.Subject, Members: st.phones(), Admins: slices.Clone(st.admins())})
	}
	return all
}

// Number returns the phone number that a user's JID belongs to, which may be a LID; "" for nobody's.
func (s *Server) Number(jid types.JID) string {
	if a := s.user(jid); a != nil {
		return a.keys.Phone
	}
	return ""
}

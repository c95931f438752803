package server

import (
	"cmp"
	"context"
	"strconv"
	"time"
	"unicode/utf8"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

func registerGroupSettings(r *registry) {
	r.queries[query{"w:g2", "set", "subject"}] = handleSubject
	r.queries[query{"w:g2", "set", "description"}] = handleDescription
	for tag := range groupSettings {
		r.queries[query{"w:g2", "set", tag}] = handleSetting
	}
}

// groupSetting takes a setting from what a client asks for and returns what the members are told of it.
type groupSetting struct {
	adminsOnly bool // also in a group that all members edit
	apply      func(st *groupState, asked *waBinary.Node) (waBinary.Node, error)
}

var groupSettings = map[string]groupSetting{
	"locked": {true, func(st *groupState, _ *waBinary.Node) (waBinary.Node, error) { return flag("locked", &st.Locked, true) }},
	"unlocked": {true, func(st *groupState, _ *waBinary.Node) (waBinary.Node, error) {
		return flag("unlocked", &st.Locked, false)
	}},
	"announcement": {true, func(st *groupState, _ *waBinary.Node) (waBinary.Node, error) {
		return announce(st, "announcement", true)
	}},
	"not_announcement": {true, func(st *groupState, _ *waBinary.Node) (waBinary.Node, error) {
		return announce(st, "not_announcement", false)
	}},
	"allow_non_admin_sub_group_creation": {true, func(st *groupState, _ *waBinary.Node) (waBinary.Node, error) {
		return flag("allow_non_admin_sub_group_creation", &st.MembersCreate, true)
	}},
	"not_allow_non_admin_sub_group_creation": {true, func(st *groupState, _ *waBinary.Node) (waBinary.Node, error) {
		return flag("not_allow_non_admin_sub_group_creation", &st.MembersCreate, false)
	}},
	"ephemeral": {false, func(st *groupState, asked *waBinary.Node) (waBinary.Node, error) {
		seconds, err := expiration(asked)
		if st.Expiration = seconds; seconds == 0 {
			return waBinary.Node{Tag: "not_ephemeral"}, err
		}
		return waBinary.Node{Tag: "ephemeral", Attrs: waBinary.Attrs{"expiration": int(seconds)}}, err
	}},
	"not_ephemeral": {false, func(st *groupState, _ *waBinary.Node) (waBinary.Node, error) {
		st.Expiration = 0
		return waBinary.Node{Tag: "not_ephemeral"}, nil
	}},
	"member_add_mode": {true, func(st *groupState, asked *waBinary.Node) (waBinary.Node, error) {
		mode := string(content(*asked))
		if mode != string(types.GroupMemberAddModeAdmin) && mode != string(types.GroupMemberAddModeAllMember) {
			return *asked, errBadRequest
		}
		st.AdminsAdd = mode == string(types.GroupMemberAddModeAdmin)
		return addModeNode(st), nil
	}},
	"member_link_mode": {true, func(st *groupState, asked *waBinary.Node) (waBinary.Node, error) {
		mode := string(content(*asked))
		if mode != "admin_link" && mode != "all_member_link" {
			return *asked, errBadRequest
		}
		st.MembersLink = mode == "all_member_link"
		return linkModeNode(st), nil
	}},
	"membership_approval_mode": {true, func(st *groupState, asked *waBinary.Node) (waBinary.Node, error) {
		join, ok := asked.GetOptionalChildByTag("group_join")
		if !ok {
			join = asked.GetChildByTag("community_join") // Baileys' word for it in a community
		}
		state := attr(&join, "state")
		if state != "on" && state != "off" {
			return *asked, errBadRequest
		}
		st.Approval = state == "on"
		return approvalNode(state), nil
	}},
}

func flag(tag string, setting *bool, value bool) (waBinary.Node, error) {
	*setting = value
	return waBinary.Node{Tag: tag}, nil
}

func announce(st *groupState, tag string, on bool) (waBinary.Node, error) {
	before := st.AnnounceVersion
	st.Announce, st.AnnounceVersion = on, before+1
	return waBinary.Node{Tag: tag, Attrs: waBinary.Attrs{
		"v_id": strconv.FormatInt(st.AnnounceVersion, 10), "prev_v_id": strconv.FormatInt(before, 10),
	}}, nil
}

// mayEdit says whether somebody may change a group's subject, description, picture and how long messages stay.
func (st *groupState) mayEdit(phone string) bool {
	return st.admin(phone) || st.has(phone) && !st.Locked && !st.Parent
}

// handleSetting changes one of groupSettings.
func handleSetting(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildren()[0]
	return nil, c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		setting, phone := groupSettings[asked.Tag], ch.by.keys.Phone
		if st := ch.see(g); setting.adminsOnly && !st.admin(phone) || !st.mayEdit(phone) {
			return errNotAuthorized
		} else if st.DefaultSubGroup && asked.Tag == "not_announcement" {
			return errNotAllowed
		}
		told, err := setting.apply(ch.edit(g), &asked)
		if err != nil {
			return err
		}
		ch.tellMembers(g, told)
		return nil
	})
}

func handleSubject(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	subject := string(content(iq.GetChildByTag("subject")))
	if subject == "" || utf8.RuneCountInString(subject) > maxSubject {
		return nil, errNotAcceptable
	}
	return nil, c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		if !ch.see(g).mayEdit(ch.by.keys.Phone) {
			return errNotAuthorized
		}
		st := ch.edit(g)
		st.Subject, st.SubjectBy, st.SubjectTime = subject, ch.by.keys.Phone, ch.at.Unix()
		ch.tellMembers(g, waBinary.Node{Tag: "subject", Attrs: waBinary.Attrs{
			"subject": subject, "s_t": unix(st.SubjectTime), "s_o": ch.by.lid(), "s_o_pn": ch.by.pn(),
		}})
		return nil
	})
}

// describe sets a description, or removes it when there is no text.
func (st *groupState) describe(ch *groupChange, id, body string) {
	if body == "" {
		id = ""
	}
	st.Description, st.DescriptionID, st.DescriptionBy, st.DescriptionTime = body, id, ch.by.keys.Phone, ch.at.Unix()
}

// handleDescription changes the description if the client knows the present one, by its id: else someone else was faster.
func handleDescription(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	asked := iq.GetChildByTag("description")
	body := string(content(asked.GetChildByTag("body")))
	if utf8.RuneCountInString(body) > maxDescription {
		return nil, errNotAcceptable
	}
	return nil, c.changeGroup(ctx, iq, func(ch *groupChange, g *group) error {
		st := ch.see(g)
		if !st.mayEdit(ch.by.keys.Phone) {
			return errNotAuthorized
		}
		if attr(&asked, "prev") != st.DescriptionID {
			return errConflict
		}
		id := cmp.Or(attr(&asked, "id"), newID())
		told := waBinary.Node{Tag: "description", Attrs: waBinary.Attrs{"id": id}, Content: []waBinary.Node{{Tag: "body", Content: []byte(body)}}}
		if body == "" {
			told.Content = []waBinary.Node{{Tag: "delete"}}
		}
		ch.edit(g).describe(ch, id, body)
		ch.tellMembers(g, told)
		return nil
	})
}

// setGroupPicture commits a change of a group's picture, which the records are that the caller keeps of it, and tells the members
// (handlePictureNotification in notification.go). id is the new picture's; "" when it is removed. Errors are queryErrors: 404 for no such
// group, 403 for who is not in it, 401 for who may not edit it.
func (s *Server) setGroupPicture(ctx context.Context, by *account, jid types.JID, id string, records ...journal.Record) error {
	s.groups.change.Lock() // so that nobody loses the right meanwhile
	defer s.groups.change.Unlock()
	g := s.group(jid)
	if g == nil {
		return errItemNotFound
	}
	st := g.now()
	if !st.has(by.keys.Phone) {
		return errForbidden
	}
	if !st.mayEdit(by.keys.Phone) {
		return errNotAuthorized
	}
	what := waBinary.Node{Tag: "set", Attrs: waBinary.Attrs{"jid": jid, "id": id, "author": by.lid()}}
	if id == "" {
		what.Tag = "delete"
	}
	var notices []queued
	stanza := waBinary.Node{Tag: "notification", Content: []waBinary.Node{what}, Attrs: waBinary.Attrs{
		"from": jid, "type": "picture", "id": newID(), "t": unix(time.Now().Unix()), "participant": by.lid(), "participant_pn": by.pn(),
	}}
	for _, d := range reached(s.devicesOfAll(st.phones())) {
		notices = append(notices, queued{d, stanza})
	}
	return s.commit(ctx, records, notices)
}

// maySeeGroupPicture answers who asks for a group's picture: nil for a member, also of its community, and for who has its invite code.
func (s *Server) maySeeGroupPicture(a *account, jid types.JID, code string) error {
	g := s.group(jid)
	if g == nil {
		return errItemNotFound
	}
	st := g.now()
	parent := s.group(types.NewJID(st.Community, types.GroupServer))
	if st.has(a.keys.Phone) || parent != nil && parent.now().has(a.keys.Phone) || code != "" && code == st.Code {
		return nil
	}
	return errNotAuthorized
}

package server

import (
	"cmp"
	"context"
	"strconv"
	"time"
	"unicode/utf8"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
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

// editGroupPicture answers who wants to change a group's picture: nil when he may. So does seeGroupPicture for who asks for it, which
// everybody in the group's community may as well.
func editGroupPicture(s *Server, by *account, jid types.JID) error {
	g := s.group(jid)
	if g == nil {
		return errItemNotFound
	}
	switch st := g.now(); {
	case !st.has(by.keys.Phone):
		return errForbidden
	case !st.mayEdit(by.keys.Phone):
		return errNotAuthorized
	}
	return nil
}

func seeGroupPicture(s *Server, by *account, jid types.JID) error {
	g := s.group(jid)
	if g == nil {
		return errItemNotFound
	}
	st := g.now()
	parent := s.group(types.NewJID(st.Community, types.GroupServer))
	if st.has(by.keys.Phone) || parent != nil && parent.now().has(by.keys.Phone) {
		return nil
	}
	return errNotAuthorized
}

// groupPictureNotices tells the members' devices of a changed picture (handlePictureNotification in notification.go); change has the tag set
// or delete.
func groupPictureNotices(s *Server, by *device, jid types.JID, change waBinary.Node) (notices []queued) {
	g := s.group(jid)
	if g == nil {
		return nil
	}
	stanza := waBinary.Node{Tag: "notification", Content: []waBinary.Node{change}, Attrs: waBinary.Attrs{
		"from": jid, "type": "picture", "id": newID(), "t": unix(time.Now().Unix()),
		"participant": by.account.lid(), "participant_pn": by.account.pn(),
	}}
	for _, d := range reached(s.devicesOfAll(g.now().phones())) {
		notices = append(notices, queued{d, stanza})
	}
	return notices
}

// membersOfGroup lists a group's members for one of them, and is nil for anybody else.
func membersOfGroup(s *Server, jid types.JID, by *account) []*account {
	g := s.group(jid)
	if g == nil {
		return nil
	}
	st := g.now()
	if !st.has(by.keys.Phone) {
		return nil
	}
	return s.accountsOf(st.phones())
}

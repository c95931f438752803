package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxMembers and maxCommunityMembers are what WhatsApp's help pages name for a group and for a community, maxSubGroups likewise.
	maxMembers          = 1024
	maxCommunityMembers = 2000
	maxSubGroups        = 100
	// maxSubject and maxDescription are WhatsApp Web's own limits, in characters (its properties group_max_subject and
	// group_description_length; whatsmeow's comment on 25 characters is older).
	maxSubject     = 100
	maxDescription = 2048
	// maxWaiting bounds each list of people that a group keeps beside its members: who asked to join, who was invited, who was removed.
	maxWaiting = 1024
	// maxOldCodes is how many invite codes a group remembers after they were reset, to answer that they are gone and not wrong.
	maxOldCodes = 20
)

// The roles in a group, as the type of a participant is written; an ordinary member's is empty.
const (
	noRole     = ""
	groupAdmin = "admin"
	groupOwner = "superadmin"
)

// group is a group chat or a community.
type group struct {
	jid types.JID

	// mu guards state. It is held for writing from before a change is durable until it is here: whoever was told of the change finds it.
	mu    sync.RWMutex
	state *groupState
}

// groupState is a group at one moment and its record in the journal. It does not change any more once others can see it. People are named
// by their phone numbers, times are Unix seconds.
type groupState struct {
	Creator     string `json:"creator"`
	Created     int64  `json:"created"`
	Subject     string `json:"subject"`
	SubjectBy   string `json:"subjectBy"`
	SubjectTime int64  `json:"subjectTime"`

	Description     string `json:"description,omitempty"`
	DescriptionID   string `json:"descriptionId,omitempty"` // "" when there is no description
	DescriptionBy   string `json:"descriptionBy,omitempty"`
	DescriptionTime int64  `json:"descriptionTime,omitempty"`

	Locked      bool   `json:"locked,omitempty"`      // only admins edit
	Announce    bool   `json:"announce,omitempty"`    // only admins send
	AdminsAdd   bool   `json:"adminsAdd,omitempty"`   // only admins add members
	MembersLink bool   `json:"membersLink,omitempty"` // members see the invite link too
	Approval    bool   `json:"approval,omitempty"`    // admins approve who joins
	Expiration  uint32 `json:"expiration,omitempty"`  // of messages, in seconds; 0 is never

	Parent          bool     `json:"parent,omitempty"`          // it is a community
	DefaultApproval string   `json:"defaultApproval,omitempty"` // what a community was created with; only told
	MembersCreate   bool     `json:"membersCreate,omitempty"`   // members of the community may add groups to it
	SubGroups       []string `json:"subGroups,omitempty"`       // of a community: ids, the announcement group first
	Community       string   `json:"community,omitempty"`       // id of the community that the group belongs to
	DefaultSubGroup bool     `json:"defaultSubGroup,omitempty"` // it is the announcement group
	GeneralChat     bool     `json:"generalChat,omitempty"`

	Members []groupMember `json:"members"` // in the order of joining
	Removed []string      `json:"removed,omitempty"`
	Waiting []request     `json:"waiting,omitempty"`
	Invited []invited     `json:"invited,omitempty"`

	Code     string   `json:"code"` // of the invite link
	OldCodes []string `json:"oldCodes,omitempty"`

	Version         int64 `json:"version"`         // of the members, rising
	AnnounceVersion int64 `json:"announceVersion"` // of Announce, rising

	places map[string]int // where in Members somebody is
}

type groupMember struct {
	Phone string `json:"phone"`
	Role  string `json:"role,omitempty"`
}

// request is somebody's wish to join, which an admin has to approve.
type request struct {
	Phone  string `json:"phone"`
	By     string `json:"by"` // who asked: the same, or a member who wants to add him
	Time   int64  `json:"time"`
	Method string `json:"method"` // "invite_link", "non_admin_add" or "linked_group_join"
}

// invited is somebody who may join with a code of his own, because his privacy settings did not let him be added.
type invited struct {
	Phone   string `json:"phone"`
	By      string `json:"by"`
	Code    string `json:"code"`
	Expires int64  `json:"expires"`
}

// groupIndex finds groups. Its zero value is ready.
type groupIndex struct {
	// change is held over every change of a group, of which there are few: those of a community touch several groups at once.
	change sync.Mutex

	mu       sync.RWMutex // guards the rest; no other lock is taken while it is held
	byID     map[string]*group
	byMember map[string]map[*group]struct{} // by phone number
	byCode   map[string]*group              // present and old invite codes
}

func registerGroups(r *registry) {
	r.loaders["group"] = loadGroup
	registerGroupQueries(r)
	registerGroupMembers(r)
	registerGroupSettings(r)
	registerGroupInvites(r)
	registerCommunities(r)
	r.routes[types.GroupServer] = routeGroup
}

func loadGroup(s *Server, r journal.Record) error {
	st := &groupState{}
	if err := json.Unmarshal(r.Value, st); err != nil {
		return err
	}
	st.index()
	g := &group{jid: types.NewJID(r.Key, types.GroupServer), state: st}
	s.groups.replace(g, nil, st)
	return nil
}

// replace brings the index to a group's new state; before is nil for a new group, after for one that is no more.
func (x *groupIndex) replace(g *group, before, after *groupState) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byID == nil {
		x.byID, x.byMember, x.byCode = map[string]*group{}, map[string]map[*group]struct{}{}, map[string]*group{}
	}
	if before != nil {
		for _, code := range append(slices.Clone(before.OldCodes), before.Code) {
			delete(x.byCode, code)
		}
		for _, m := range before.Members {
			if after == nil || !after.has(m.Phone) {
				delete(x.byMember[m.Phone], g)
			}
		}
	}
	if after == nil {
		delete(x.byID, g.jid.User)
		return
	}
	x.byID[g.jid.User] = g
	for _, code := range append(slices.Clone(after.OldCodes), after.Code) {
		x.byCode[code] = g
	}
	for _, m := range after.Members {
		if before != nil && before.has(m.Phone) {
			continue
		}
		if x.byMember[m.Phone] == nil {
			x.byMember[m.Phone] = map[*group]struct{}{}
		}
		x.byMember[m.Phone][g] = struct{}{}
	}
}

// group finds a group by its JID.
func (s *Server) group(jid types.JID) *group {
	if jid.Server != types.GroupServer {
		return nil
	}
	s.groups.mu.RLock()
	defer s.groups.mu.RUnlock()
	return s.groups.byID[jid.User]
}

// groupsOf returns the groups of an account, ordered by id.
func (s *Server) groupsOf(a *account) []*group {
	s.groups.mu.RLock()
	found := slices.Collect(maps.Keys(s.groups.byMember[a.keys.Phone]))
	s.groups.mu.RUnlock()
	slices.SortFunc(found, func(x, y *group) int { return strings.Compare(x.jid.User, y.jid.User) })
	return found
}

// now is the group's state.
func (g *group) now() *groupState {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.state
}

func (st *groupState) index() {
	st.places = make(map[string]int, len(st.Members))
	for i, m := range st.Members {
		st.places[m.Phone] = i
	}
}

func (st *groupState) has(phone string) bool {
	_, ok := st.places[phone]
	return ok
}

func (st *groupState) role(phone string) string {
	if i, ok := st.places[phone]; ok {
		return st.Members[i].Role
	}
	return noRole
}

func (st *groupState) admin(phone string) bool { return st.role(phone) != noRole }

// limit is how many members the group may have.
func (st *groupState) limit() int {
	if st.Parent || st.DefaultSubGroup {
		return maxCommunityMembers
	}
	return maxMembers
}

func (st *groupState) phones() []string {
	phones := make([]string, len(st.Members))
	for i, m := range st.Members {
		phones[i] = m.Phone
	}
	return phones
}

func (st *groupState) admins() (phones []string) {
	for _, m := range st.Members {
		if m.Role != noRole {
			phones = append(phones, m.Phone)
		}
	}
	return phones
}

// clone is a copy that may be changed.
func (st *groupState) clone() *groupState {
	c := *st
	c.SubGroups, c.Members, c.Removed = slices.Clone(st.SubGroups), slices.Clone(st.Members), slices.Clone(st.Removed)
	c.Waiting, c.Invited, c.OldCodes = slices.Clone(st.Waiting), slices.Clone(st.Invited), slices.Clone(st.OldCodes)
	c.places = maps.Clone(st.places)
	return &c
}

// add makes somebody a member, who is then neither waited for nor barred.
func (st *groupState) add(phone, role string) {
	st.places[phone] = len(st.Members)
	st.Members = append(st.Members, groupMember{phone, role})
	st.forget(phone)
}

func (st *groupState) forget(phone string) {
	st.Removed = slices.DeleteFunc(st.Removed, func(p string) bool { return p == phone })
	st.Waiting = slices.DeleteFunc(st.Waiting, func(r request) bool { return r.Phone == phone })
	st.Invited = slices.DeleteFunc(st.Invited, func(i invited) bool { return i.Phone == phone })
}

func (st *groupState) remove(phones ...string) {
	st.Members = slices.DeleteFunc(st.Members, func(m groupMember) bool { return slices.Contains(phones, m.Phone) })
	st.index()
}

// bounded keeps the newest of a list.
func bounded[T any](list []T, most int) []T { return list[max(0, len(list)-most):] }

// groupChange is a change of one or more groups while it is worked out; nobody sees anything of it before it is durable.
type groupChange struct {
	s       *Server
	by      *account // who does it
	at      time.Time
	touched []*group
	next    map[*group]*groupState // nil for a group that is to be no more
	notices []queued
}

// changeGroups works a change out and commits it, with the notices of it. An error of work is returned as it is, and nothing happens.
func (s *Server) changeGroups(ctx context.Context, by *account, work func(*groupChange) error) error {
	s.groups.change.Lock()
	defer s.groups.change.Unlock()
	ch := &groupChange{s: s, by: by, at: time.Now(), next: map[*group]*groupState{}}
	if err := work(ch); err != nil {
		return err
	}
	if len(ch.touched) == 0 && len(ch.notices) == 0 {
		return nil
	}
	records := make([]journal.Record, 0, len(ch.touched))
	for _, g := range ch.touched {
		if st := ch.next[g]; st != nil {
			records = append(records, record("group", g.jid.User, st))
		} else {
			records = append(records, journal.Record{Kind: "group", Key: g.jid.User})
		}
	}
	// No one waits for a second group's lock while holding one, but for this, and of this there is one at a time.
	for _, g := range ch.touched {
		g.mu.Lock()
		defer g.mu.Unlock()
	}
	if err := s.commit(ctx, records, ch.notices); err != nil {
		return fmt.Errorf("change group: %w", err)
	}
	for _, g := range ch.touched {
		before := g.state
		if after := ch.next[g]; after != nil {
			g.state = after
		}
		s.groups.replace(g, before, ch.next[g])
	}
	return nil
}

// changeGroup is changeGroups for the group that an iq is addressed to, by one of its members.
func (c *conn) changeGroup(ctx context.Context, iq *waBinary.Node, work func(*groupChange, *group) error) error {
	return c.s.changeGroups(ctx, c.device.account, func(ch *groupChange) error {
		g, err := c.s.forMember(iq, c.device.account)
		if err != nil {
			return err
		}
		return work(ch, g)
	})
}

// see is a group's state as the change leaves it, nil when it is no more.
func (ch *groupChange) see(g *group) *groupState {
	if st, ok := ch.next[g]; ok {
		return st
	}
	return g.now()
}

// edit is see for changing it.
func (ch *groupChange) edit(g *group) *groupState {
	if _, ok := ch.next[g]; !ok {
		ch.next[g] = g.now().clone()
		ch.touched = append(ch.touched, g)
	}
	return ch.next[g]
}

// create makes a group with its creator as the only member.
func (ch *groupChange) create(subject string) (*group, *groupState) {
	by, at := ch.by.keys.Phone, ch.at.Unix()
	st := &groupState{
		Creator: by, Created: at, Subject: subject, SubjectBy: by, SubjectTime: at, Code: inviteCode(),
		Version: ch.at.UnixMicro(), AnnounceVersion: ch.at.UnixMicro(), places: map[string]int{},
	}
	st.add(by, groupOwner)
	g := &group{jid: types.NewJID(newGroupID(), types.GroupServer)}
	ch.next[g], ch.touched = st, append(ch.touched, g)
	return g, st
}

// drop ends a group that nobody is in any more.
func (ch *groupChange) drop(g *group) {
	ch.edit(g)
	ch.next[g] = nil
}

// newGroupID has the form of ids seen in the wild: 18 digits that begin with 12036.
func newGroupID() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1e13)) // it never fails
	return "12036" + fmt.Sprintf("%013d", n)
}

// inviteCode has the form of those seen in links: 22 letters and digits.
func inviteCode() string { return randomText(22) }

func randomText(length int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	text := make([]byte, length)
	for i := range text {
		n, _ := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet)))) // it never fails
		text[i] = alphabet[n.Int64()]
	}
	return string(text)
}

// jidAttr reads an attribute that holds a JID, which some clients write as text.
func jidAttr(n *waBinary.Node, name string) types.JID {
	switch v := n.Attrs[name].(type) {
	case types.JID:
		return v
	case string:
		if jid, err := types.ParseJID(v); err == nil {
			return jid
		}
	}
	return types.EmptyJID
}

func unix(t int64) string { return strconv.FormatInt(t, 10) }

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// privacyValues are what each setting may be (types.PrivacySettingType in whatsmeow).
var privacyValues = map[string][]string{
	"groupadd": peopleValues, "last": peopleValues, "status": peopleValues, "profile": peopleValues, "readreceipts": {"all", "none"},
	"online": {"all", "match_last_seen"}, "calladd": {"all", "known"}, "messages": {"all", "contacts"}, "defense": {"on_standard", "off"},
	"stickers": {"contacts", "contact_allowlist", "none"},
}

var peopleValues = []string{"all", "contacts", "contact_blacklist", "none"}

// maxExcept bounds the people listed for one setting.
const maxExcept = 10_000

// setting is a privacy setting's value. The caller holds Server.mu, as for all that follows here.
func (a *account) setting(name string) string {
	if value, ok := a.privacy[name]; ok {
		return value
	}
	return privacyDefaults[name]
}

// allows says whether a setting lets another do or see what it is about.
func (a *account) allows(name string, other *account) bool {
	switch a.setting(name) {
	case "all":
		return true
	case "contacts", "known":
		return a.knows(other)
	case "contact_blacklist":
		return a.knows(other) && !slices.Contains(a.except[name], other)
	case "contact_allowlist":
		return slices.Contains(a.except[name], other)
	case "match_last_seen":
		return a.allows("last", other)
	}
	return false
}

// shows is allows for what is seen: one sees all of oneself, and who is blocked sees nothing.
func (a *account) shows(name string, viewer *account) bool {
	return a == viewer || !a.blocks(viewer) && a.allows(name, viewer)
}

// mayAddToGroup says whether an account's setting groupadd lets another add it to a group without an invitation.
func (s *Server) mayAddToGroup(a, by *account) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return a.shows("groupadd", by)
}

// mayCall says whether a call of another's rings: not when he is blocked, nor when calladd keeps out those whom the account does not know.
func (s *Server) mayCall(a, by *account) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return a.shows("calladd", by)
}

// The people that a setting contact_blacklist or contact_allowlist speaks of are a record "privacylist": their phone numbers, under the
// account's phone number and the setting's name.
func loadPrivacyList(s *Server, rec journal.Record) error {
	phone, name, _ := strings.Cut(rec.Key, " ")
	a, err := s.recordOwner(phone)
	if err != nil {
		return err
	}
	var phones []string
	if err := json.Unmarshal(rec.Value, &phones); err != nil {
		return err
	}
	var people []*account
	for _, phone := range phones {
		other, err := s.recordOwner(phone)
		if err != nil {
			return err
		}
		people = append(people, other)
	}
	a.setExcept(name, people)
	return nil
}

func (a *account) setExcept(name string, people []*account) {
	if a.except == nil {
		a.except = map[string][]*account{}
	}
	a.except[name] = people
}

// setPrivacyLists takes the people that come with a setting: <user jid action=add|remove/> each.
func (c *conn) setPrivacyLists(ctx context.Context, settings []waBinary.Node) error {
	s, a := c.s, c.device.account
	a.editing.Lock()
	defer a.editing.Unlock()
	s.mu.RLock()
	lists := maps.Clone(a.except)
	s.mu.RUnlock()
	var records []journal.Record
	changed := map[string][]*account{}
	for _, category := range settings {
		name := attr(&category, "name")
		users := category.GetChildrenByTag("user")
		if len(users) == 0 {
			continue
		}
		people := slices.Clone(lists[name])
		for _, user := range users {
			jid, _ := user.Attrs["jid"].(types.JID)
			other := s.user(jid)
			if other == nil {
				return errItemNotFound
			}
			people = slices.DeleteFunc(people, func(p *account) bool { return p == other })
			if attr(&user, "action") != "remove" {
				people = append(people, other)
			}
		}
		if len(people) > maxExcept {
			return queryError{419, "resource-limit"}
		}
		phones := []string{}
		for _, p := range people {
			phones = append(phones, p.keys.Phone)
		}
		records = append(records, record("privacylist", a.keys.Phone+" "+name, phones))
		changed[name] = people
	}
	if len(records) == 0 {
		return nil
	}
	if err := s.commit(ctx, records, nil); err != nil {
		return fmt.Errorf("store privacy lists: %w", err)
	}
	s.mu.Lock()
	for name, people := range changed {
		a.setExcept(name, people)
	}
	s.mu.Unlock()
	return nil
}

// privacyList answers with the people that a setting speaks of.
func (c *conn) privacyList(name, value string) ([]waBinary.Node, error) {
	var users []waBinary.Node
	c.s.mu.RLock()
	for _, other := range c.device.account.except[name] {
		users = append(users, waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": other.pn()}})
	}
	c.s.mu.RUnlock()
	return []waBinary.Node{{Tag: "privacy", Content: []waBinary.Node{
		{Tag: "list", Attrs: waBinary.Attrs{"name": name, "value": value}, Content: users},
	}}}, nil
}

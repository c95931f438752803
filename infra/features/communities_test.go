package features

import (
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// Feature: Communities and their groups
func TestCommunities(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	var town, inside group
	s.must(200, "POST", "/groups", map[string]any{"name": "Town", "community": true}, &town)
	if !town.Community {
		t.Errorf("the community is %+v", town)
	}
	type subgroups struct {
		Data []struct {
			ID, Name        string
			DefaultSubgroup bool
		}
	}
	var list subgroups
	s.must(200, "GET", town.path()+"/subgroups", nil, &list)
	if len(list.Data) != 1 || !list.Data[0].DefaultSubgroup {
		t.Fatalf("its groups are %+v", list)
	}
	news := list.Data[0].ID
	s.must(200, "POST", "/groups", map[string]any{"name": "Street", "parentId": town.ID, "participants": []string{bert.number}}, &inside)
	if inside.ParentID != town.ID {
		t.Errorf("the group is %+v", inside)
	}
	s.gets("group.updated", changedIn(town.ID, "subgroups"))
	if data := s.gets("group.joined", ofGroup(inside.ID)); dig(data, "group", "parentId") != town.ID {
		t.Errorf("the event is %v", data)
	}
	if data := s.gets("group.joined", ofGroup(news)); dig(data, "group", "defaultSubgroup") != true {
		t.Errorf("the event is %v", data)
	}
	bert.notices("group", func(data map[string]any) bool { return data["group"] == town.ID && data["entered"] == true }) // with the group he got into the community

	park := s.group("Park", bert)
	s.must(200, "PUT", town.path()+"/subgroups/"+park.ID, nil, nil)
	if data := s.gets("group.updated", changedIn(park.ID, "parentId")); dig(data, "group", "parentId") != town.ID || dig(data, "group", "name") != "Park" {
		t.Errorf("the event is %v", data)
	}
	s.must(200, "PUT", town.path()+"/subgroups/"+park.ID, nil, nil) // as it is already
	if s.must(200, "GET", town.path()+"/subgroups", nil, &list); len(list.Data) != 3 {
		t.Errorf("its groups are %+v", list)
	}
	var seen struct{ Groups []sandbox.SubGroup }
	bert.act("GET", town.path()+"/subgroups", nil, &seen)
	if len(seen.Groups) != 3 {
		t.Errorf("the phone sees %+v", seen)
	}
	s.must(200, "DELETE", town.path()+"/subgroups/"+park.ID, nil, nil)
	s.gets("group.updated", func(data map[string]any) bool {
		return changedIn(park.ID, "parentId")(data) && dig(data, "group", "parentId") == nil
	})
	s.refused("group_not_found", "DELETE", town.path()+"/subgroups/"+park.ID, nil)
	s.refused("validation_failed", "DELETE", town.path()+"/subgroups/"+news, nil) // the announcements stay
	s.refused("whatsapp_rejected", "POST", "/messages", map[string]any{"to": town.ID, "content": map[string]any{"type": "text", "text": "hello"}}, "Prefer", "wait=20")
	s.send(news, map[string]any{"type": "text", "text": "market on Sunday"})
	bert.sees("the announcement", func(m sandbox.Message) bool { return m.Text == "market on Sunday" })
	s.refused("validation_failed", "POST", "/groups", map[string]any{"name": "x", "community": true, "parentId": town.ID})
	s.refused("group_not_found", "POST", "/groups", map[string]any{"name": "x", "parentId": "120363000000000009@g.us"})
	s.must(200, "POST", town.path()+"/leave", nil, nil)
	for _, id := range []string{town.ID, news, inside.ID} {
		s.gets("group.left", ofGroup(id))
	}
}

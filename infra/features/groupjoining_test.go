package features

import (
	"bytes"
	"fmt"
	"testing"
)

// Feature: Invitations: read, rotate, look up, join
func TestGroupInvites(t *testing.T) {
	t.Parallel()
	s, other, bert := newSession(t), newSession(t), newPhone(t, "Bert")
	g := s.group("Open house", bert)
	var first, second struct{ Code, URL string }
	s.must(200, "GET", g.path()+"/invite", nil, &first)
	if first.URL != "https://chat.whatsapp.com/"+first.Code || first.Code == "" {
		t.Errorf("the link is %+v", first)
	}
	var preview, is group
	other.must(200, "GET", "/group-invites/"+first.Code, nil, &preview)
	if preview.ID != g.ID || preview.Name != "Open house" || preview.ParticipantCount != 2 || preview.Participants != nil {
		t.Errorf("the preview is %+v", preview)
	}
	s.must(200, "POST", g.path()+"/invite/rotate", nil, &second)
	if second.Code == first.Code || second.Code == "" {
		t.Errorf("the link is %+v", second)
	}
	if data := s.gets("group.updated", changedIn(g.ID, "invite")); bytes.Contains(fmt.Append(nil, data), []byte(second.Code)) {
		t.Errorf("the event holds the code: %v", data)
	}
	other.refused("invite_not_valid", "GET", "/group-invites/"+first.Code, nil)
	other.refused("invite_not_valid", "POST", "/group-invites/"+first.Code+"/join", nil)
	other.refused("invite_not_valid", "GET", "/group-invites/AbCdEfGhIjKlMnOpQrStUv", nil)
	other.refused("validation_failed", "GET", "/group-invites/a%20b", nil)

	var joined struct {
		GroupID string
		Pending bool
		Group   group
	}
	other.must(200, "POST", "/group-invites/"+second.Code+"/join", nil, &joined)
	if joined.GroupID != g.ID || joined.Pending || joined.Group.Name != "Open house" {
		t.Errorf("joined: %+v", joined)
	}
	other.gets("group.joined", ofGroup(g.ID))
	s.gets("group.participants", func(data map[string]any) bool {
		people, _ := data["participants"].([]any)
		return data["groupId"] == g.ID && data["action"] == "joined" && dig(people[0], "phone") == other.phone.number
	})
	other.must(200, "POST", "/group-invites/"+second.Code+"/join", nil, &joined) // it is in it already
	if s.must(200, "GET", g.path(), nil, &is); is.role(other.phone.number) != "member" {
		t.Errorf("the group is %+v", is)
	}
	// Who was removed cannot come back by the link.
	s.must(200, "DELETE", g.path()+"/participants/"+other.phone.number, nil, nil)
	if data := other.gets("group.left", ofGroup(g.ID)); data["reason"] != "removed" || dig(data, "by", "phone") != s.phone.number || dig(data, "group", "name") != "Open house" {
		t.Errorf("the event is %v", data)
	}
	other.refused("forbidden", "POST", "/group-invites/"+second.Code+"/join", nil)
}

// Feature: Join requests: list, approve, reject
func TestJoinRequests(t *testing.T) {
	t.Parallel()
	s, other, eve := newSession(t), newSession(t), newPhone(t, "Eve")
	var g group
	s.must(200, "POST", "/groups", map[string]any{"name": "By the door", "joinApproval": true}, &g)
	var link struct{ Code, URL string }
	s.must(200, "GET", g.path()+"/invite", nil, &link)
	var joining struct{ Pending bool }
	other.must(200, "POST", "/group-invites/"+link.Code+"/join", nil, &joining)
	if !joining.Pending {
		t.Error("it is not pending")
	}
	var asked struct{ Pending bool }
	eve.act("POST", "/groups/join", map[string]any{"link": link.URL}, &asked)
	for _, p := range []phone{other.phone, eve} {
		s.gets("group.join-request", func(data map[string]any) bool {
			return data["groupId"] == g.ID && data["action"] == "created" && dig(data, "from", "phone") == p.number
		})
	}
	var list struct {
		Data []struct {
			From        address
			RequestedAt string
		}
	}
	s.must(200, "GET", g.path()+"/join-requests", nil, &list)
	if len(list.Data) != 2 || list.Data[0].From.Phone != other.phone.number || list.Data[0].RequestedAt == "" {
		t.Errorf("who waits: %+v", list)
	}
	s.must(200, "POST", g.path()+"/join-requests/"+other.phone.number+"/approve", nil, nil)
	other.gets("group.joined", ofGroup(g.ID))
	s.gets("group.participants", func(data map[string]any) bool { return data["groupId"] == g.ID && data["action"] == "joined" })
	s.must(200, "POST", g.path()+"/join-requests/"+eve.number+"/reject", nil, nil)
	s.gets("group.join-request", func(data map[string]any) bool {
		return data["groupId"] == g.ID && data["action"] == "cancelled" && dig(data, "from", "phone") == eve.number
	})
	if s.must(200, "GET", g.path()+"/join-requests", nil, &list); len(list.Data) != 0 {
		t.Errorf("who waits: %+v", list)
	}
	s.refused("not_found", "POST", g.path()+"/join-requests/"+eve.number+"/approve", nil)
	other.refused("not_group_admin", "GET", g.path()+"/join-requests", nil)
}

// Feature: Leave a group
func TestLeaveGroup(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	g := bert.creates(map[string]any{"subject": "Party", "participants": []string{s.phone.number}})
	s.gets("group.joined", ofGroup(g.JID))
	s.must(200, "POST", "/groups/"+g.JID+"/leave", nil, nil)
	bert.notices("group", func(data map[string]any) bool { return data["group"] == g.JID && data["left"] != nil })
	if data := s.gets("group.left", ofGroup(g.JID)); data["reason"] != "left" || dig(data, "group", "name") != "Party" {
		t.Errorf("the event is %v", data)
	}
	s.refused("not_in_group", "POST", "/groups/"+g.JID+"/leave", nil)
	s.refused("not_in_group", "GET", "/groups/"+g.JID, nil)
	if n := s.countOf("group.participants", ofGroup(g.JID)); n != 0 {
		t.Errorf("it was told %d times more", n)
	}
}

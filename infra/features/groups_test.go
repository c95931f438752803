package features

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// group is a group as clients get it.
type group struct {
	ID                  string `json:"id"`
	Name                string `json:"name"`
	Description         string `json:"description"`
	Announcement        *bool  `json:"announcement"`
	Locked              *bool  `json:"locked"`
	MemberAdd           string `json:"memberAdd"`
	JoinApproval        *bool  `json:"joinApproval"`
	DisappearingSeconds *int   `json:"disappearingSeconds"`
	Community           bool   `json:"community"`
	ParentID            string `json:"parentId"`
	DefaultSubgroup     bool   `json:"defaultSubgroup"`
	ParticipantCount    int    `json:"participantCount"`
	Participants        []struct {
		address
		Role string `json:"role"`
	} `json:"participants"`
	NotAdded []struct {
		Contact    address `json:"contact"`
		Code       string  `json:"code"`
		InviteCode string  `json:"inviteCode"`
	} `json:"notAdded"`
}

func (g group) path() string { return "/groups/" + g.ID }

// role is a participant's, by his phone; "" for who is not there.
func (g group) role(number string) string {
	for _, p := range g.Participants {
		if p.Phone == number {
			return p.Role
		}
	}
	return ""
}

// group makes a group with phones in it.
func (s session) group(name string, with ...phone) (g group) {
	s.t.Helper()
	s.must(200, "POST", "/groups", map[string]any{"name": name, "participants": numbers(with)}, &g)
	return g
}

func numbers(phones []phone) []string {
	list := make([]string, len(phones))
	for i, p := range phones {
		list[i] = p.number
	}
	return list
}

// creates makes a group, as the sandbox takes it.
func (p phone) creates(more map[string]any) (g sandbox.Group) {
	p.t.Helper()
	p.act("POST", "/groups", more, &g)
	return g
}

// countOf counts the events of a type that there are.
func (s session) countOf(eventType string, want func(data map[string]any) bool) (n int) {
	s.t.Helper()
	var page struct {
		Data []struct{ Data map[string]any }
	}
	s.must(200, "GET", "/v1/events?limit=200&type="+eventType+"&sessionId="+s.id, nil, &page)
	for _, e := range page.Data {
		if want(e.Data) {
			n++
		}
	}
	return n
}

func ofGroup(id string) func(map[string]any) bool {
	return func(data map[string]any) bool { return dig(data, "group", "id") == id || data["groupId"] == id }
}

func changedIn(id, member string) func(map[string]any) bool {
	return func(data map[string]any) bool {
		changed, _ := data["changed"].([]any)
		return ofGroup(id)(data) && slices.Contains(changed, any(member))
	}
}

// Feature: List, read and create groups
func TestGroups(t *testing.T) {
	t.Parallel()
	s, bert, carla, eve := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla"), newPhone(t, "Eve")
	eve.act("PUT", "/privacy/groupadd", map[string]any{"value": "none"}, nil)
	var g group
	s.must(200, "POST", "/groups", map[string]any{
		"name": "Neighbours", "participants": []string{"+" + bert.number, carla.jid(), eve.number, "5491199999999"}, "announcement": true, "locked": true,
		"memberAdd": "admins", "joinApproval": true, "disappearingSeconds": 86400,
	}, &g)
	if !*g.Announcement || !*g.Locked || !*g.JoinApproval || g.MemberAdd != "admins" || *g.DisappearingSeconds != 86400 || g.ParticipantCount != 3 ||
		g.role(s.phone.number) != "superadmin" || g.role(bert.number) != "member" {
		t.Errorf("the group is %+v", g)
	}
	codes := map[string]string{}
	for _, n := range g.NotAdded {
		codes[n.Code] = n.InviteCode
	}
	if len(g.NotAdded) != 2 || codes["invite_required"] == "" || codes["recipient_not_on_whatsapp"] != "" {
		t.Errorf("not added: %+v", g.NotAdded)
	}
	bert.notices("group", func(data map[string]any) bool {
		return data["group"] == g.ID && data["new"] == true && data["subject"] == "Neighbours"
	})
	s.gets("group.joined", ofGroup(g.ID))
	// With the code of his own Eve comes in by herself.
	invited := slices.IndexFunc(g.NotAdded, func(n struct {
		Contact    address `json:"contact"`
		Code       string  `json:"code"`
		InviteCode string  `json:"inviteCode"`
	}) bool {
		return n.InviteCode != ""
	})
	if g.NotAdded[invited].Contact.Phone != eve.number {
		t.Errorf("invited was %+v", g.NotAdded[invited])
	}

	var read group
	s.must(200, "GET", g.path(), nil, &read)
	if read.Name != "Neighbours" || len(read.Participants) != 3 || read.Participants[0].LID == "" || read.Participants[0].ID != read.Participants[0].Phone+"@s.whatsapp.net" {
		t.Errorf("read: %+v", read)
	}
	var who struct{ Data []struct{ address } }
	s.must(200, "GET", g.path()[:len(g.path())-len("@g.us")]+"/participants", nil, &who) // without the server
	if len(who.Data) != 3 {
		t.Errorf("participants: %+v", who)
	}
	// Bert's name is what he calls himself in a message.
	other := bert.creates(map[string]any{"subject": "Football", "participants": []string{s.phone.number}})
	s.received(bert.send(map[string]any{"to": other.JID, "type": "text", "text": "who plays?"}))
	s.must(200, "GET", g.path(), nil, &read)
	if i := slices.IndexFunc(read.Participants, func(p struct {
		address
		Role string `json:"role"`
	}) bool {
		return p.Phone == bert.number
	}); read.Participants[i].Name != "Bert" {
		t.Errorf("Bert is %+v", read.Participants[i])
	}

	third := s.group("Third", carla)
	seen := map[string]string{}
	for path, pages := "/groups?limit=2", 0; path != ""; pages++ {
		var page struct {
			Data       []group
			NextCursor string
			HasMore    bool
		}
		s.must(200, "GET", path, nil, &page)
		if len(page.Data) > 2 || page.HasMore != (page.NextCursor != "") || pages > 2 {
			t.Fatalf("page %d is %+v", pages, page)
		}
		for _, g := range page.Data {
			seen[g.ID] = g.Name
			if g.Participants != nil {
				t.Errorf("participants in the list: %+v", g)
			}
		}
		if path = ""; page.HasMore {
			path = "/groups?limit=2&cursor=" + page.NextCursor
		}
	}
	if len(seen) != 3 || seen[g.ID] != "Neighbours" || seen[other.JID] != "Football" || seen[third.ID] != "Third" {
		t.Errorf("the groups are %v", seen)
	}
	// Names of groups are shown where chats are.
	if m := s.send(other.JID, map[string]any{"type": "text", "text": "I do"}); m.To.Name != "Football" || m.To.Kind != "group" {
		t.Errorf("to %+v", m.To)
	}
	bert.sees("the text in the group", func(m sandbox.Message) bool { return m.Text == "I do" })

	s.refused("group_not_found", "GET", "/groups/120363000000000009@g.us", nil)
	s.refused("validation_failed", "GET", "/groups/"+bert.jid(), nil)
	s.refused("validation_failed", "POST", "/groups", map[string]any{"name": ""})
	s.refused("validation_failed", "POST", "/groups", map[string]any{"name": "x", "participants": []string{g.ID}})
	s.refused("validation_failed", "POST", "/groups", map[string]any{"name": "x", "disappearingSeconds": 5})
	s.refused("validation_failed", "GET", "/groups?cursor=nonsense", nil)
	s.stop()
	s.refused("session_not_connected", "GET", "/groups", nil)
	s.refused("session_not_connected", "GET", g.path(), nil)
	var c struct{ ID, Status string }
	s.must(202, "POST", "/groups", map[string]any{"name": "Later", "participants": []string{carla.number}}, &c)
	s.start()
	carla.notices("group", func(data map[string]any) bool { return data["subject"] == "Later" })
}

// Feature: Change a group's name, description, settings and picture
func TestGroupSettings(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	g := s.group("Old", bert)
	var is group
	s.must(200, "PATCH", g.path(), map[string]any{
		"name": "New", "description": "What it is for.", "announcement": true, "locked": true, "memberAdd": "admins", "joinApproval": true, "disappearingSeconds": 604800,
	}, &is)
	if is.Name != "New" || is.Description != "What it is for." || !*is.Announcement || !*is.Locked || is.MemberAdd != "admins" || !*is.JoinApproval || *is.DisappearingSeconds != 604800 {
		t.Errorf("the group is %+v", is)
	}
	for _, member := range []string{"subject", "description", "announce", "locked", "memberAddMode", "joinApproval", "ephemeralSeconds"} {
		bert.notices("group", func(data map[string]any) bool { return data["group"] == g.ID && data[member] != nil })
	}
	for member, value := range map[string]any{
		"name": "New", "description": "What it is for.", "announcement": true, "locked": true, "memberAdd": "admins", "joinApproval": true, "disappearingSeconds": 604800.0,
	} {
		data := s.gets("group.updated", changedIn(g.ID, member))
		if dig(data, "group", member) != value || dig(data, "by", "phone") != s.phone.number {
			t.Errorf("of %s the event says %v", member, data)
		}
	}
	var there sandbox.Group
	bert.act("GET", g.path(), nil, &there)
	if there.Subject != "New" || there.Description != "What it is for." || !there.Announce || !there.Locked || !there.JoinApproval || there.EphemeralSeconds != 604800 {
		t.Errorf("the phone sees %+v", there)
	}
	s.must(200, "PATCH", g.path(), map[string]any{"description": "", "announcement": false, "disappearingSeconds": 0}, &is)
	s.gets("group.updated", func(data map[string]any) bool {
		return changedIn(g.ID, "description")(data) && dig(data, "group", "description") == nil && dig(data, "group", "name") == "New"
	})
	s.gets("group.updated", func(data map[string]any) bool {
		return changedIn(g.ID, "announcement")(data) && dig(data, "group", "announcement") == false
	})
	// What is so already changes nothing, and nobody is told of it.
	s.must(200, "PATCH", g.path(), map[string]any{"name": "New"}, &is)
	s.must(200, "PATCH", g.path(), map[string]any{"name": "Newer"}, &is)
	s.gets("group.updated", func(data map[string]any) bool {
		return dig(data, "group", "name") == "Newer" && changedIn(g.ID, "name")(data)
	})
	if n := s.countOf("group.updated", changedIn(g.ID, "name")); n != 2 {
		t.Errorf("of its name was told %d times", n)
	}
	s.refused("validation_failed", "PATCH", g.path(), map[string]any{})
	s.refused("validation_failed", "PATCH", g.path(), map[string]any{"memberAdd": "none"})

	// A picture of any shape comes out as a square JPEG.
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 1000, 800))); err != nil {
		t.Fatal(err)
	}
	var set struct{ GroupID, PictureID string }
	s.must(200, "PUT", g.path()+"/picture", map[string]any{"media": map[string]any{"base64": base64.StdEncoding.EncodeToString(file.Bytes())}}, &set)
	if set.PictureID == "" || set.GroupID != g.ID {
		t.Errorf("the picture is %+v", set)
	}
	shown := bert.picture(g.ID)
	if got, err := jpeg.Decode(bytes.NewReader(shown)); err != nil || got.Bounds() != image.Rect(0, 0, 640, 640) {
		t.Errorf("the phone sees %d bytes, %v", len(shown), err)
	}
	if data := s.gets("group.updated", changedIn(g.ID, "picture")); dig(data, "by", "phone") != s.phone.number {
		t.Errorf("the event is %v", data)
	}
	s.must(200, "DELETE", g.path()+"/picture", nil, &set)
	eventually(t, "the picture to be gone", func() error {
		if n := len(bert.picture(g.ID)); n > 0 {
			return fmt.Errorf("it has %d bytes", n)
		}
		return nil
	})
	s.refused("unsupported_media_type", "PUT", g.path()+"/picture", map[string]any{"media": map[string]any{"base64": base64.StdEncoding.EncodeToString([]byte("this is no picture at all"))}})
	s.refused("validation_failed", "PUT", g.path()+"/picture", map[string]any{"media": map[string]any{}})
}

// picture is a group's picture as a member sees it; nil for none.
func (p phone) picture(of string) []byte {
	p.t.Helper()
	var shown struct{ Data []byte }
	if status, raw := call(p.t, "GET", running.SandboxURL+"/phones/"+p.number+"/picture?of="+of, nil, &shown); status != 200 && status != 404 {
		p.t.Fatalf("picture: %d %s", status, raw)
	}
	return shown.Data
}

// Feature: Add, remove, promote and demote participants
func TestParticipants(t *testing.T) {
	t.Parallel()
	s, bert, carla, eve := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla"), newPhone(t, "Eve")
	eve.act("PUT", "/privacy/groupadd", map[string]any{"value": "none"}, nil)
	g := s.group("Moving", bert)
	var added struct {
		Added    []address
		NotAdded []struct {
			Contact address
			Code    string
		}
	}
	s.must(200, "POST", g.path()+"/participants", map[string]any{"participants": []string{carla.number, eve.number, bert.number}}, &added)
	if len(added.Added) != 1 || added.Added[0].Phone != carla.number || added.Added[0].LID == "" || len(added.NotAdded) != 2 {
		t.Errorf("added: %+v", added)
	}
	for _, n := range added.NotAdded {
		if want := map[string]string{eve.number: "invite_required", bert.number: "already_in_group"}[n.Contact.Phone]; n.Code != want {
			t.Errorf("not added: %+v", n)
		}
	}
	moved := func(action string, who phone) func(map[string]any) bool {
		return func(data map[string]any) bool {
			people, _ := data["participants"].([]any)
			return data["groupId"] == g.ID && data["action"] == action && len(people) == 1 && dig(people[0], "phone") == who.number
		}
	}
	if data := s.gets("group.participants", moved("added", carla)); dig(data, "by", "phone") != s.phone.number {
		t.Errorf("the event is %v", data)
	}
	person := g.path() + "/participants/" + carla.number
	s.must(200, "PATCH", person, map[string]any{"role": "admin"}, nil)
	bert.notices("group", func(data map[string]any) bool { return data["group"] == g.ID && data["promoted"] != nil })
	s.gets("group.participants", moved("promoted", carla))
	s.must(200, "PATCH", person, map[string]any{"role": "admin"}, nil) // as he is already
	var is group
	if s.must(200, "GET", g.path(), nil, &is); is.role(carla.number) != "admin" {
		t.Errorf("the group is %+v", is)
	}
	lid := added.Added[0].LID + "@lid"
	s.must(200, "PATCH", g.path()+"/participants/"+lid, map[string]any{"role": "member"}, nil)
	s.gets("group.participants", moved("demoted", carla))
	s.must(200, "DELETE", person, nil, nil)
	s.gets("group.participants", moved("removed", carla))
	carla.notices("group", func(data map[string]any) bool { return data["group"] == g.ID && data["left"] != nil })
	s.refused("not_found", "DELETE", person, nil)
	s.refused("not_found", "PATCH", person, map[string]any{"role": "admin"})
	s.refused("validation_failed", "PATCH", person, map[string]any{"role": "superadmin"})
	s.refused("validation_failed", "POST", g.path()+"/participants", map[string]any{"participants": []string{}})
	bert.act("POST", g.path()+"/leave", nil, nil)
	s.gets("group.participants", moved("left", bert))
	for action, who := range map[string]phone{"added": carla, "promoted": carla, "demoted": carla, "removed": carla, "left": bert} {
		if n := s.countOf("group.participants", moved(action, who)); n != 1 {
			t.Errorf("%s was told %d times", action, n)
		}
	}
}

// Feature: Group events
func TestGroupEvents(t *testing.T) {
	t.Parallel()
	s, bert, carla := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla")
	g := bert.creates(map[string]any{"subject": "Trip", "participants": []string{s.phone.number}, "ephemeralSeconds": 86400})
	data := s.gets("group.joined", ofGroup(g.JID))
	if dig(data, "group", "name") != "Trip" || dig(data, "by", "phone") != bert.number || dig(data, "group", "participantCount") != 2.0 ||
		dig(data, "group", "disappearingSeconds") != 86400.0 || dig(data, "group", "participants") != nil || dig(data, "group", "owner", "phone") != bert.number {
		t.Errorf("joined: %v", data)
	}
	here := "/groups/" + g.JID
	bert.act("PATCH", here, map[string]any{
		"subject": "The trip", "description": "To the sea", "locked": true, "announce": true, "memberAddMode": "admin_add", "ephemeralSeconds": 0,
	}, nil)
	for member, value := range map[string]any{
		"name": "The trip", "description": "To the sea", "locked": true, "announcement": true, "memberAdd": "admins", "disappearingSeconds": 0.0,
	} {
		if data := s.gets("group.updated", changedIn(g.JID, member)); dig(data, "group", member) != value || dig(data, "by", "phone") != bert.number {
			t.Errorf("of %s the event says %v", member, data)
		}
	}
	for _, on := range []bool{true, false} { // WhatsApp's library does not tell them apart
		bert.act("PATCH", here, map[string]any{"joinApproval": on}, nil)
		s.gets("group.updated", func(data map[string]any) bool {
			return changedIn(g.JID, "joinApproval")(data) && dig(data, "group", "joinApproval") == on
		})
	}
	bert.act("POST", here+"/invite/reset", nil, nil)
	s.gets("group.updated", changedIn(g.JID, "invite"))
	var file bytes.Buffer
	if err := jpeg.Encode(&file, image.NewGray(image.Rect(0, 0, 640, 640)), nil); err != nil {
		t.Fatal(err)
	}
	bert.act("PUT", "/picture?of="+g.JID, map[string]any{"data": file.Bytes()}, nil)
	if data := s.gets("group.updated", changedIn(g.JID, "picture")); dig(data, "by", "phone") != bert.number || dig(data, "group", "name") != "The trip" {
		t.Errorf("the picture's event is %v", data)
	}
	act := func(action string, who phone) {
		bert.act("POST", here+"/participants", map[string]any{"action": action, "numbers": []string{who.number}}, nil)
	}
	act("add", carla)
	s.gets("group.participants", func(data map[string]any) bool { return data["groupId"] == g.JID && data["action"] == "added" })
	act("promote", s.phone)
	s.gets("group.participants", func(data map[string]any) bool {
		people, _ := data["participants"].([]any)
		return data["action"] == "promoted" && dig(people[0], "phone") == s.phone.number
	})
	act("remove", s.phone)
	if data := s.gets("group.left", ofGroup(g.JID)); data["reason"] != "removed" || dig(data, "by", "phone") != bert.number {
		t.Errorf("left: %v", data)
	}
	// Each was told once.
	for _, member := range []string{"name", "description", "locked", "announcement", "memberAdd", "disappearingSeconds", "invite", "picture"} {
		if n := s.countOf("group.updated", changedIn(g.JID, member)); n != 1 {
			t.Errorf("%s was told %d times", member, n)
		}
	}
	if joined, left := s.countOf("group.joined", ofGroup(g.JID)), s.countOf("group.left", ofGroup(g.JID)); joined != 1 || left != 1 {
		t.Errorf("joined %d times, left %d times", joined, left)
	}
	// Who is offline is told when he is back.
	other := bert.creates(map[string]any{"subject": "Later", "participants": []string{s.phone.number}})
	s.gets("group.joined", ofGroup(other.JID))
	s.stop()
	bert.act("PATCH", "/groups/"+other.JID, map[string]any{"subject": "Even later"}, nil)
	s.start()
	s.gets("group.updated", func(data map[string]any) bool { return dig(data, "group", "name") == "Even later" })
}

// Feature: Only an admin may: typed refusals
func TestGroupRefusals(t *testing.T) {
	t.Parallel()
	s, bert, carla := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla")
	g := bert.creates(map[string]any{"subject": "Bert's", "participants": []string{s.phone.number, carla.number}, "locked": true, "announce": true, "memberAddMode": "admin_add"})
	s.gets("group.joined", ofGroup(g.JID))
	here := "/groups/" + g.JID
	for _, try := range []struct {
		method, path string
		body         any
	}{
		{"PATCH", "", map[string]any{"name": "Mine"}}, {"PATCH", "", map[string]any{"description": "x"}}, {"PATCH", "", map[string]any{"announcement": false}},
		{"PATCH", "", map[string]any{"joinApproval": true}}, {"POST", "/participants", map[string]any{"participants": []string{"5491199999998"}}},
		{"DELETE", "/participants/" + carla.number, nil}, {"PATCH", "/participants/" + carla.number, map[string]any{"role": "admin"}}, {"GET", "/invite", nil},
		{"POST", "/invite/rotate", nil}, {"GET", "/join-requests", nil}, {"DELETE", "/picture", nil},
	} {
		s.refused("not_group_admin", try.method, here+try.path, try.body)
	}
	s.refused("not_group_admin", "POST", "/messages", map[string]any{"to": g.JID, "content": map[string]any{"type": "text", "text": "hello"}}, "Prefer", "wait=20")
	bert.act("PATCH", here, map[string]any{"announce": false}, nil)
	s.gets("group.updated", changedIn(g.JID, "announcement"))
	s.send(g.JID, map[string]any{"type": "text", "text": "now I may"})
	bert.act("POST", here+"/participants", map[string]any{"action": "promote", "numbers": []string{s.phone.number}}, nil)
	s.gets("group.participants", func(data map[string]any) bool { return data["action"] == "promoted" })
	s.refused("forbidden", "DELETE", here+"/participants/"+bert.number, nil) // nobody removes who made the group
	bert.act("POST", here+"/participants", map[string]any{"action": "remove", "numbers": []string{s.phone.number}}, nil)
	s.gets("group.left", ofGroup(g.JID))
	s.refused("not_in_group", "PATCH", here, map[string]any{"name": "Mine"})
	s.refused("not_in_group", "GET", here+"/invite", nil)
	s.refused("not_in_group", "POST", here+"/participants", map[string]any{"participants": []string{carla.number}})
	s.refused("not_in_group", "POST", "/messages", map[string]any{"to": g.JID, "content": map[string]any{"type": "text", "text": "hello"}}, "Prefer", "wait=20")
	s.refused("group_not_found", "POST", "/messages", map[string]any{"to": "120363000000000009@g.us", "content": map[string]any{"type": "text", "text": "hello"}}, "Prefer", "wait=20")
}

// Feature: A group of 1,024 delays no other chat
func TestBigGroup(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	const crowd = 5491170000000
	s.phone.do("POST", running.SandboxURL+"/phones", map[string]any{"number": fmt.Sprint(crowd), "name": "Crowd", "level": "stub", "count": 1022}, nil)
	people := []string{bert.number}
	for i := range 1022 {
		people = append(people, fmt.Sprint(crowd+i))
	}
	g := s.phone.creates(map[string]any{"subject": "Everybody", "participants": people})
	s.gets("group.joined", ofGroup(g.JID))
	var read group
	if s.must(200, "GET", "/groups/"+g.JID, nil, &read); len(read.Participants) != 1024 {
		t.Fatalf("%d participants", len(read.Participants))
	}
	text := func(text string) map[string]any { return map[string]any{"type": "text", "text": text} }
	s.send(bert.number, text("before"))

	// A send to the group asks WhatsApp for devices and keys, and each answer takes a second here. Whoever is written to meanwhile does not wait.
	s.phone.act("PUT", "/faults", map[string]any{"queryDelayMs": 1000}, nil)
	for _, m := range []struct{ to, text string }{{g.JID, "1"}, {bert.number, "2"}, {g.JID, "3"}, {bert.number, "4"}} {
		s.must(202, "POST", "/messages", map[string]any{"to": m.to, "content": text(m.text)}, nil)
	}
	var order []any
	for _, want := range []string{"1", "2", "3", "4"} {
		s.gets("message.sent", func(data map[string]any) bool { return dig(data, "message", "content", "text") == want })
	}
	s.countOf("message.sent", func(data map[string]any) bool {
		if text := dig(data, "message", "content", "text"); text != "before" {
			order = append(order, text)
		}
		return false
	})
	if fmt.Sprint(order) != "[2 4 1 3]" {
		t.Errorf("they were sent in the order %v", order)
	}
	for _, want := range []string{"1", "3"} {
		bert.sees("the group's text "+want, func(m sandbox.Message) bool { return m.Text == want })
	}
	// Once it has asked, it asks for nothing any more: an answer would not come before the test is over.
	s.phone.act("PUT", "/faults", map[string]any{"queryDelayMs": 60000}, nil)
	for _, m := range []struct{ to, text string }{{g.JID, "5"}, {bert.number, "6"}} {
		s.must(202, "POST", "/messages", map[string]any{"to": m.to, "content": text(m.text)}, nil)
	}
	for _, want := range []string{"5", "6"} {
		s.gets("message.sent", func(data map[string]any) bool { return dig(data, "message", "content", "text") == want })
	}
}

package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

// noticed waits for an event of a kind whose data has a member with a value, both as JSON.
func noticed(t *testing.T, url, number, kind, member, value string) map[string]json.RawMessage {
	t.Helper()
	var after int64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		var p struct {
			Events []sandbox.Event `json:"events"`
			Next   int64           `json:"next"`
		}
		call(t, "GET", fmt.Sprintf("%s/phones/%s/events?kind=%s&after=%d&wait=5", url, number, kind, after), nil, 200, &p)
		after = p.Next
		for _, e := range p.Events {
			data := map[string]json.RawMessage{}
			if err := json.Unmarshal(e.Data, &data); err != nil {
				t.Fatal(err)
			}
			if string(data[member]) == value {
				return data
			}
		}
	}
	t.Fatalf("phone %s noticed no %s with %s %s", number, kind, member, value)
	return nil
}

func TestPhonesHaveGroups(t *testing.T) {
	t.Parallel()
	const ana, ben, eve = "5491100000001", "5491100000002", "5491100000003"
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	for number, name := range map[string]string{ana: "Ana", ben: "Ben", eve: "Eve"} {
		call(t, "POST", s.URL()+"/phones", map[string]string{"number": number, "name": name}, 201, nil)
	}
	groups := func(number string) string { return s.URL() + "/phones/" + number + "/groups" }

	var made sandbox.Group
	call(t, "POST", groups(ana), map[string]any{"subject": "Friends", "participants": []string{ben, "5491199999999"}, "joinApproval": true}, 201, &made)
	if made.Subject != "Friends" || made.Creator != ana || !made.JoinApproval || len(made.Participants) != 3 ||
		made.Participants[0].Role != "superadmin" ||
		made.Participants[1].Number != ben || made.Participants[2].Error != 404 {
		t.Errorf("made %+v", made)
	}
	jid := `"` + made.JID + `"`
	entered := noticed(t, s.URL(), ben, "group", "group", jid)
	if string(entered["entered"]) != "true" || string(entered["by"]) != `"`+ana+`"` || string(entered["new"]) != "true" {
		t.Errorf("entered as %s", entered)
	}
	group := func(number string) string { return groups(number) + "/" + url.PathEscape(made.JID) }

	call(t, "POST", s.URL()+"/phones/"+ana+"/messages", map[string]string{"to": made.JID, "type": "text", "text": "hello all"}, 201, nil)
	got := shown(t, s.URL(), ben, 1, func(m sandbox.Message) bool { return m.Chat == made.JID })
	if got[0].Text != "hello all" || got[0].From != ana {
		t.Errorf("shown %+v", got[0])
	}

	var changed sandbox.Group
	call(t, "PATCH", group(ana), map[string]any{"subject": "All friends", "description": "who we are", "locked": true, "announce": true,
		"memberAddMode": "admin_add", "ephemeralSeconds": 86400}, 200, &changed)
	if changed.Subject != "All friends" || changed.Description != "who we are" || !changed.Locked || !changed.Announce ||
		changed.MemberAddMode != "admin_add" || changed.EphemeralSeconds != 86400 {
		t.Errorf("changed to %+v", changed)
	}
	for member, value := range map[string]string{"subject": `"All friends"`, "description": `"who we are"`, "locked": "true", "announce": "true",
		"memberAddMode": `"admin_add"`, "ephemeralSeconds": "86400"} {
		noticed(t, s.URL(), ben, "group", member, value)
	}
	call(t, "PATCH", group(ben), map[string]any{"subject": "x"}, 409, nil)
	call(t, "PATCH", group(ana), map[string]any{"memberAddMode": "x"}, 422, nil)
	call(t, "GET", group(eve), nil, 409, nil)
	call(t, "GET", groups(eve)+"/123", nil, 422, nil)

	var link struct{ Link string }
	call(t, "GET", group(ana)+"/invite", nil, 200, &link)
	old := link.Link
	call(t, "POST", group(ana)+"/invite/reset", nil, 200, &link)
	if !strings.HasPrefix(link.Link, "https://chat.whatsapp.com/") || old == link.Link {
		t.Errorf("links are %s and %s", old, link.Link)
	}
	call(t, "POST", groups(eve)+"/join", map[string]string{"link": old}, 409, nil)
	var joined struct {
		JID     string
		Pending bool
	}
	call(t, "POST", groups(eve)+"/join", map[string]string{"link": link.Link}, 200, &joined)
	if joined.JID != made.JID || !joined.Pending {
		t.Errorf("joined %+v", joined)
	}
	noticed(t, s.URL(), ana, "group", "requested", `["`+eve+`"]`)
	noticed(t, s.URL(), eve, "group", "pending", "true")
	var waiting struct{ Requests []sandbox.JoinRequest }
	call(t, "GET", group(ana)+"/requests", nil, 200, &waiting)
	if len(waiting.Requests) != 1 || waiting.Requests[0].Number != eve {
		t.Errorf("waiting are %+v", waiting)
	}
	call(t, "POST", group(ana)+"/requests", map[string]any{"action": "reject", "numbers": []string{eve}}, 200, nil)
	noticed(t, s.URL(), eve, "group", "requestsEnded", `["`+eve+`"]`)
	call(t, "POST", groups(eve)+"/join", map[string]string{"link": link.Link}, 200, &joined)
	call(t, "POST", group(ana)+"/requests", map[string]any{"action": "approve", "numbers": []string{eve}}, 200, nil)
	noticed(t, s.URL(), eve, "group", "entered", "true")
	noticed(t, s.URL(), ben, "group", "joined", `["`+eve+`"]`)

	var results struct{ Participants []sandbox.GroupMember }
	call(t, "POST", group(ana)+"/participants", map[string]any{"action": "promote", "numbers": []string{ben}}, 200, &results)
	noticed(t, s.URL(), ben, "group", "promoted", `["`+ben+`"]`)
	call(t, "POST", group(ben)+"/participants", map[string]any{"action": "remove", "numbers": []string{eve, ana}}, 200, &results)
	if len(results.Participants) != 2 || results.Participants[0].Error != 0 || results.Participants[1].Error != 403 {
		t.Errorf("removed %+v", results)
	}
	noticed(t, s.URL(), eve, "group", "left", `["`+eve+`"]`)
	call(t, "POST", group(ana)+"/participants", map[string]any{"action": "x", "numbers": []string{ben}}, 422, nil)
	call(t, "POST", group(ana)+"/participants", map[string]any{"action": "add", "numbers": []string{"12"}}, 422, nil)

	// A community takes the group in, and lets it go.
	var town sandbox.Group
	call(t, "POST", groups(ana), map[string]any{"subject": "Town", "community": true}, 201, &town)
	if !town.Community {
		t.Errorf("made %+v", town)
	}
	subgroups := groups(ana) + "/" + url.PathEscape(town.JID) + "/subgroups"
	call(t, "PUT", subgroups+"/"+url.PathEscape(made.JID), nil, 204, nil)
	noticed(t, s.URL(), ben, "group", "linked", `"`+town.JID+`"`)
	var inside struct{ Groups []sandbox.SubGroup }
	call(t, "GET", subgroups, nil, 200, &inside)
	if len(inside.Groups) != 2 || !inside.Groups[0].Announcements || inside.Groups[1].JID != made.JID {
		t.Errorf("groups are %+v", inside)
	}
	var list struct{ Groups []sandbox.Group }
	call(t, "GET", groups(ben), nil, 200, &list)
	if len(list.Groups) != 3 {
		t.Errorf("groups of Ben are %+v", list)
	}
	call(t, "DELETE", subgroups+"/"+url.PathEscape(made.JID), nil, 204, nil)
	noticed(t, s.URL(), ben, "group", "unlinked", `"`+town.JID+`"`)
	call(t, "POST", group(ben)+"/leave", nil, 204, nil)
	noticed(t, s.URL(), ana, "group", "left", `["`+ben+`"]`)
}

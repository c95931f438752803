package sandbox_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

// heard waits for an event of a kind that is wanted and returns its data.
func heard(t *testing.T, url, number, kind string, wanted func(map[string]any) bool) map[string]any {
	t.Helper()
	var after int64
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		var page struct {
			Events []sandbox.Event
			Next   int64
		}
		call(t, "GET", fmt.Sprintf("%s/phones/%s/events?kind=%s&after=%d&wait=5", url, number, kind, after), nil, 200, &page)
		after = page.Next
		for _, e := range page.Events {
			var data map[string]any
			if err := json.Unmarshal(e.Data, &data); err != nil {
				t.Fatal(err)
			}
			if wanted(data) {
				return data
			}
		}
	}
	t.Fatalf("phone %s did not notice the %s", number, kind)
	return nil
}

func TestPhonesRunAChannel(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	for _, number := range []string{anna, bert, echo} {
		createPhone(t, s.URL(), number, "")
	}
	phones := s.URL() + "/phones/"
	var made sandbox.Channel
	call(t, "POST", phones+anna+"/channels", map[string]any{"name": "News", "description": "of the day"}, 201, &made)
	if made.Role != "owner" || made.Name != "News" || made.Followers != 1 {
		t.Errorf("made %+v", made)
	}
	at := func(number string) string { return phones + number + "/channels/" + made.ID }
	var found sandbox.Channel
	call(t, "GET", phones+bert+"/channels/"+made.Invite, nil, 200, &found)
	if found.ID != made.ID || found.Description != "of the day" {
		t.Errorf("found %+v", found)
	}
	call(t, "POST", at(bert)+"/follow", nil, 204, nil)
	call(t, "POST", at(bert)+"/unmute", nil, 204, nil)
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), bert)

	var sent struct {
		ID       string
		ServerID int
	}
	call(t, "POST", at(anna)+"/messages", map[string]any{"type": "text", "text": "hello all"}, 201, &sent)
	is := func(change string) func(map[string]any) bool {
		return func(data map[string]any) bool { return data["change"] == change && data["id"] == sent.ID }
	}
	if data := heard(t, s.URL(), bert, "channel-message", is("message")); data["text"] != "hello all" || data["channel"] != made.ID {
		t.Errorf("noticed %v", data)
	}
	c.await("the channel's message", func() bool { return len(c.texts()) == 1 && c.texts()[0] == "hello all" })
	call(t, "POST", at(anna)+"/live", nil, 200, nil)
	call(t, "POST", at(bert)+"/views", map[string]any{"serverIds": []int{sent.ServerID}}, 204, nil)
	call(t, "PUT", fmt.Sprint(at(bert), "/messages/", sent.ServerID, "/reaction"), map[string]any{"reaction": "👍"}, 204, nil)
	heard(t, s.URL(), anna, "channel-update", func(data map[string]any) bool {
		return data["views"] == 1.0 && data["reactions"].(map[string]any)["👍"] == 1.0
	})
	call(t, "PATCH", at(anna)+"/messages/"+sent.ID, map[string]any{"text": "hello everybody"}, 204, nil)
	heard(t, s.URL(), bert, "channel-message", is("edit"))

	call(t, "POST", at(bert)+"/messages", map[string]any{"type": "text", "text": "no"}, 409, nil)
	call(t, "DELETE", at(bert), nil, 409, nil)
	call(t, "PUT", at(anna)+"/admins/"+bert, nil, 204, nil)
	call(t, "POST", at(bert)+"/accept-admin", nil, 204, nil)
	call(t, "PATCH", at(bert), map[string]any{"name": "Old news", "picture": []byte("picture")}, 204, nil)
	call(t, "POST", at(bert)+"/messages", map[string]any{"type": "image", "data": []byte("an image"), "caption": "look"}, 201, nil)
	var list struct{ Messages []sandbox.ChannelMessage }
	call(t, "GET", at(echo)+"/messages?count=10", nil, 200, &list)
	if len(list.Messages) != 2 || list.Messages[0].Text != "hello everybody" || list.Messages[0].Views != 1 || list.Messages[0].Reactions["👍"] != 1 ||
		list.Messages[1].Type != "image" || list.Messages[1].Text != "look" {
		t.Errorf("listed %+v", list.Messages)
	}
	call(t, "DELETE", at(anna)+"/messages/"+sent.ID, nil, 204, nil)
	heard(t, s.URL(), bert, "channel-message", is("revoke"))
	var followers struct{ Followers []sandbox.Follower }
	call(t, "GET", at(anna)+"/followers", nil, 200, &followers)
	if len(followers.Followers) != 2 {
		t.Errorf("followers %+v", followers)
	}
	call(t, "POST", s.URL()+"/channels/"+made.ID+"/followers", map[string]any{"numbers": []string{echo}}, 204, nil)
	call(t, "POST", s.URL()+"/channels/1@newsletter/followers", map[string]any{"numbers": []string{echo}}, 404, nil)
	call(t, "PUT", at(anna)+"/owner/"+bert, nil, 204, nil)
	call(t, "DELETE", at(bert)+"/admins/"+anna, nil, 204, nil)
	call(t, "POST", at(anna)+"/unfollow", nil, 204, nil)
	var own struct{ Channels []sandbox.Channel }
	call(t, "GET", phones+bert+"/channels", nil, 200, &own)
	if len(own.Channels) != 1 || own.Channels[0].Name != "Old news" || own.Channels[0].PictureURL == "" || own.Channels[0].Role != "owner" || own.Channels[0].Followers != 2 {
		t.Errorf("Bert's channels are %+v", own)
	}
	call(t, "DELETE", at(bert), nil, 204, nil)
	call(t, "GET", at(anna), nil, 409, nil)
	call(t, "POST", phones+anna+"/channels/nonsense@g.us/follow", nil, 422, nil)
}

func TestPhonesCallEachOther(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := startWith(t, sandbox.Config{DSN: dsn, Addr: "127.0.0.1:0", Logger: quiet(), RingTime: 2 * time.Second})
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), bert)
	phones := s.URL() + "/phones/"
	dial := func(video bool) string {
		t.Helper()
		var made struct{ ID string }
		call(t, "POST", phones+anna+"/calls", map[string]any{"to": bert, "video": video}, 201, &made)
		return made.ID
	}
	state := func(id, state string) func(map[string]any) bool {
		return func(data map[string]any) bool { return data["id"] == id && data["state"] == state }
	}
	id := dial(true)
	if data := heard(t, s.URL(), bert, "call", state(id, "ringing")); data["from"] != anna || data["to"] != bert || data["video"] != true {
		t.Errorf("rings as %v", data)
	}
	call(t, "POST", phones+anna+"/calls/"+id+"/accept", nil, 409, nil)
	call(t, "POST", phones+bert+"/calls/"+id+"/accept", nil, 204, nil)
	heard(t, s.URL(), anna, "call", state(id, "accepted"))
	c.await("the end of ringing", func() bool { return saw[*events.CallOffer](c) && saw[*events.CallTerminate](c) })
	call(t, "POST", phones+anna+"/calls/"+id+"/terminate", nil, 204, nil)
	heard(t, s.URL(), bert, "call", state(id, "ended"))

	id = dial(false)
	heard(t, s.URL(), bert, "call", state(id, "ringing"))
	call(t, "POST", phones+bert+"/calls/"+id+"/reject", nil, 204, nil)
	heard(t, s.URL(), anna, "call", state(id, "rejected"))

	id = dial(false)
	if data := heard(t, s.URL(), bert, "call", state(id, "ended")); data["reason"] != "timeout" {
		t.Errorf("missed as %v", data)
	}
	heard(t, s.URL(), anna, "call", state(id, "ended"))
	call(t, "POST", phones+bert+"/calls/"+id+"/accept", nil, 409, nil)
	call(t, "POST", phones+bert+"/calls/nonsense/accept", nil, 404, nil)
	call(t, "POST", phones+anna+"/calls", map[string]any{"to": "5491100000009"}, 422, nil)
	var list struct{ Calls []sandbox.Call }
	call(t, "GET", phones+anna+"/calls", nil, 200, &list)
	if len(list.Calls) != 3 || list.Calls[0].State != "ended" || list.Calls[1].State != "rejected" {
		t.Errorf("calls are %+v", list.Calls)
	}

	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	call(t, "PUT", phones+bert+"/restriction", map[string]any{"until": until, "type": "BIZ_QUALITY"}, 204, nil)
	c.await("the restriction", func() bool { return saw[*events.NotifyAccountReachoutTimelock](c) })
}

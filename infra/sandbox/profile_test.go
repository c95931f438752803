package sandbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"slices"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/server"
	"github.com/chasqui/chasqui/infra/testdb"
)

// notices waits for an event of a phone's whose data have these members; a nil value stands for any.
func notices(t *testing.T, url, number, kind string, wanted map[string]any) map[string]any {
	t.Helper()
	after := int64(0)
	for range 20 { // waits of 5 s, until patience is over
		var page struct {
			Events []sandbox.Event `json:"events"`
			Next   int64           `json:"next"`
		}
		call(t, "GET", fmt.Sprintf("%s/phones/%s/events?kind=%s&after=%d&wait=5", url, number, kind, after), nil, 200, &page)
		after = page.Next
		for _, e := range page.Events {
			var data map[string]any
			if err := json.Unmarshal(e.Data, &data); err != nil {
				t.Fatal(err)
			}
			match := true
			for name, value := range wanted {
				got, there := data[name]
				match = match && there && (value == nil || got == value)
			}
			if match {
				return data
			}
		}
	}
	t.Fatalf("phone %s noticed no %s with %v", number, kind, wanted)
	return nil
}

func TestPhonesShowTheirUsersToEachOther(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	url := s.URL()
	createPhone(t, url, anna, "")
	createPhone(t, url, bert, "")
	phone := func(number string) string { return url + "/phones/" + number }
	for _, pair := range [][2]string{{anna, bert}, {bert, anna}} {
		call(t, "POST", phone(pair[0])+"/messages", map[string]string{"to": pair[1], "type": "text", "text": "hello"}, 201, nil)
	}

	call(t, "PUT", phone(bert)+"/presence", map[string]bool{"available": true}, 204, nil)
	call(t, "POST", phone(bert)+"/subscriptions", map[string]string{"number": anna}, 204, nil)
	call(t, "PUT", phone(anna)+"/presence", map[string]bool{"available": true}, 204, nil)
	notices(t, url, bert, "presence", map[string]any{"from": anna, "available": true})
	for _, state := range []string{"typing", "recording", "paused"} {
		call(t, "POST", phone(anna)+"/chatstate", map[string]string{"to": bert, "state": state}, 204, nil)
		notices(t, url, bert, "chatState", map[string]any{"from": anna, "state": state})
	}
	call(t, "POST", phone(anna)+"/chatstate", map[string]string{"to": bert, "state": "dozing"}, 422, nil)
	call(t, "PUT", phone(anna)+"/presence", map[string]bool{"available": false}, 204, nil)
	notices(t, url, bert, "presence", map[string]any{"from": anna, "available": false, "lastSeen": nil})

	var face bytes.Buffer
	if err := jpeg.Encode(&face, image.NewGray(image.Rect(0, 0, 200, 100)), nil); err != nil {
		t.Fatal(err)
	}
	var picture struct {
		ID   string `json:"id"`
		Data []byte `json:"data"`
	}
	call(t, "GET", phone(bert)+"/picture?of="+anna, nil, 404, nil)
	call(t, "PUT", phone(anna)+"/picture", map[string][]byte{"data": []byte("no JPEG")}, 422, nil)
	call(t, "PUT", phone(anna)+"/picture", map[string][]byte{"data": face.Bytes()}, 200, &picture)
	notices(t, url, bert, "picture", map[string]any{"from": anna, "id": picture.ID, "removed": false})
	call(t, "GET", phone(bert)+"/picture?of="+anna, nil, 200, &picture)
	if !bytes.Equal(picture.Data, face.Bytes()) {
		t.Errorf("the picture has %d bytes", len(picture.Data))
	}
	call(t, "PUT", phone(anna)+"/privacy/profile", map[string]any{"value": "contact_blacklist", "numbers": []string{bert}}, 204, nil)
	call(t, "GET", phone(bert)+"/picture?of="+anna, nil, 403, nil)
	var settings map[string]string
	call(t, "GET", phone(anna)+"/privacy", nil, 200, &settings)
	if settings["profile"] != "contact_blacklist" || settings["last"] != "all" {
		t.Errorf("settings %v", settings)
	}
	call(t, "PUT", phone(anna)+"/privacy/profile", map[string]any{"value": "nobody"}, 409, nil)
	call(t, "DELETE", phone(anna)+"/picture", nil, 204, nil)
	var group struct{ JID string }
	call(t, "POST", phone(anna)+"/groups", map[string]any{"subject": "Faces", "participants": []string{bert}}, 201, &group)
	call(t, "GET", phone(bert)+"/picture?of="+group.JID, nil, 404, nil)
	call(t, "PUT", phone(anna)+"/picture?of="+group.JID, map[string][]byte{"data": face.Bytes()}, 200, &picture)
	call(t, "GET", phone(bert)+"/picture?of="+group.JID, nil, 200, &picture)
	if !bytes.Equal(picture.Data, face.Bytes()) {
		t.Errorf("the group's picture has %d bytes", len(picture.Data))
	}
	call(t, "DELETE", phone(anna)+"/picture?of="+group.JID, nil, 204, nil)
	call(t, "PUT", phone(anna)+"/picture?of="+bert, map[string][]byte{"data": face.Bytes()}, 422, nil)

	var about struct{ Text string }
	call(t, "PUT", phone(anna)+"/about", map[string]string{"text": "at sea"}, 204, nil)
	notices(t, url, bert, "about", map[string]any{"from": anna, "text": "at sea"})
	if call(t, "GET", phone(bert)+"/about?of="+anna, nil, 200, &about); about.Text != "at sea" {
		t.Errorf("about %q", about.Text)
	}
	call(t, "PUT", phone(anna)+"/name", map[string]string{"name": "Anna Maria"}, 204, nil)
	call(t, "POST", phone(anna)+"/messages", map[string]string{"to": bert, "type": "text", "text": "a new name"}, 201, nil)
	notices(t, url, bert, "nameChanged", map[string]any{"from": anna, "name": "Anna Maria"})
	call(t, "PUT", phone(anna)+"/disappearing", map[string]int{"seconds": 86400}, 204, nil)

	bakery := server.Business{Name: "Anna's Bakery", Email: "anna@example.org", Hours: []server.BusinessHours{{Day: "mon", Mode: "open_24h"}}}
	call(t, "GET", phone(anna)+"/business", nil, 404, nil)
	call(t, "PUT", phone(anna)+"/business", bakery, 200, nil)
	call(t, "PUT", phone(anna)+"/business", map[string]any{"name": "x", "hours": []map[string]string{{"day": "someday", "mode": "open_24h"}}}, 422, nil)
	call(t, "POST", phone(anna)+"/messages", map[string]string{"to": bert, "type": "text", "text": "bread"}, 201, nil)
	notices(t, url, bert, "businessName", map[string]any{"from": anna, "name": bakery.Name})
	call(t, "DELETE", phone(anna)+"/business", nil, 204, nil)
	var link, again struct{ Link string }
	call(t, "GET", phone(anna)+"/link", nil, 200, &link)
	if call(t, "DELETE", phone(anna)+"/link", nil, 200, &again); link.Link == "" || again.Link == link.Link {
		t.Errorf("links %q, %q", link.Link, again.Link)
	}
	call(t, "POST", phone(anna)+"/links", map[string]string{"text": "a loaf, please"}, 201, &link)

	call(t, "PUT", phone(anna)+"/blocked/"+bert, nil, 204, nil)
	var blocked struct{ Numbers []string }
	if call(t, "GET", phone(anna)+"/blocked", nil, 200, &blocked); !slices.Equal(blocked.Numbers, []string{bert}) {
		t.Errorf("blocked %v", blocked.Numbers)
	}
	call(t, "DELETE", phone(anna)+"/blocked/"+bert, nil, 204, nil)
}

func TestPhonesPostStatuses(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	url := s.URL()
	createPhone(t, url, anna, "")
	createPhone(t, url, bert, "")
	audience := sandbox.Audience{Type: "whitelist", Numbers: []string{bert}}
	call(t, "PUT", url+"/phones/"+anna+"/status/audience", audience, 200, nil)
	var got sandbox.Audience
	if call(t, "GET", url+"/phones/"+anna+"/status/audience", nil, 200, &got); got.Type != audience.Type || !slices.Equal(got.Numbers, audience.Numbers) {
		t.Errorf("audience %+v", got)
	}
	var text, photo struct{ ID string }
	call(t, "POST", url+"/phones/"+anna+"/messages", map[string]string{"to": sandbox.StatusBroadcast, "type": "text", "text": "good morning"}, 201, &text)
	call(t, "POST", url+"/phones/"+anna+"/messages",
		map[string]any{"to": sandbox.StatusBroadcast, "type": "image", "data": []byte("pixels"), "caption": "the sea"}, 201, &photo)
	statuses := shown(t, url, bert, 2, everything)
	if m := statuses[0]; m.ID != text.ID || m.From != anna || m.Text != "good morning" || !m.Broadcast || m.Chat != sandbox.StatusBroadcast {
		t.Errorf("the first status is %+v", m)
	}
	if m := statuses[1]; m.ID != photo.ID || m.Type != "image" || m.Caption != "the sea" {
		t.Errorf("the second status is %+v", m)
	}
	call(t, "POST", url+"/phones/"+bert+"/read", map[string]string{"from": anna}, 200, nil)
	notices(t, url, anna, "receipt", map[string]any{"type": "read", "chat": sandbox.StatusBroadcast})
	revoke := map[string]any{"to": sandbox.StatusBroadcast, "type": "revoke", "target": map[string]string{"id": text.ID}}
	call(t, "POST", url+"/phones/"+anna+"/messages", revoke, 201, nil)
	if m := shown(t, url, bert, 3, everything)[2]; m.Type != "revoke" || m.Target == nil || m.Target.ID != text.ID {
		t.Errorf("the revocation is %+v", m)
	}
}

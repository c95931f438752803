package features

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// somebody is a contact as clients get it.
type somebody struct {
	address
	SavedName    string `json:"savedName"`
	PushName     string `json:"pushName"`
	BusinessName string `json:"businessName"`
	Blocked      bool   `json:"blocked"`
	About        string `json:"about"`
	PictureID    string `json:"pictureId"`
}

type everybody struct {
	Data       []somebody
	NextCursor string
	HasMore    bool
}

// numberedPhone makes a phone with a number of its own choosing; the last digits are of no other test.
func numberedPhone(t *testing.T, format, name string) phone {
	t.Helper()
	p := phone{t, fmt.Sprintf(format, lastNumber.Add(1))}
	p.do("POST", running.SandboxURL+"/phones", map[string]any{"number": p.number, "name": name}, nil)
	return p
}

// photoOf is a JPEG of a size of its own.
func photoOf(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, side, side)), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// changed waits for contact.updated of some kind about somebody.
func (s session) changed(kind, id string) map[string]any {
	s.t.Helper()
	return s.gets("contact.updated", func(data map[string]any) bool { return data["changed"] == kind && dig(data, "contact", "id") == id })
}

// countChanged is how many such events there are in the log.
func (s session) countChanged(kind, id string) (n int) {
	s.t.Helper()
	var page struct {
		Data []struct{ Data map[string]any }
	}
	s.must(200, "GET", "/v1/events?"+url.Values{"type": {"contact.updated"}, "sessionId": {s.id}, "limit": {"200"}}.Encode(), nil, &page)
	for _, e := range page.Data {
		if e.Data["changed"] == kind && dig(e.Data, "contact", "id") == id {
			n++
		}
	}
	return n
}

// Feature: List of contacts
func TestListOfContacts(t *testing.T) {
	t.Parallel()
	s, bert, cleo := newSession(t), newPhone(t, "Bert 100%"), newPhone(t, "Cleo")
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	s.received(cleo.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	s.must(200, "PATCH", "/contacts/"+cleo.number, map[string]any{"savedName": "Cleopatra"}, nil)
	s.must(200, "PUT", "/blocklist/"+bert.number, nil, nil)

	ids := func(query string) (ids []string) {
		t.Helper()
		var list everybody
		s.must(200, "GET", "/contacts?"+query, nil, &list)
		for _, p := range list.Data {
			ids = append(ids, p.ID)
		}
		return ids
	}
	both := []string{bert.jid(), cleo.jid()}
	for query, want := range map[string][]string{
		"": both, "q=ERT+100%25": {bert.jid()}, "q=patra": {cleo.jid()}, "q=%25": {bert.jid()}, "q=" + bert.number[3:]: {bert.jid()}, "q=nobody": nil, "blocked=true": {bert.jid()},
		"blocked=false": {cleo.jid()}, "saved=true": {cleo.jid()}, "saved=false&q=Bert": {bert.jid()}, "phone=%2B" + cleo.number: {cleo.jid()}, "lid=" + bert.lid(): {bert.jid()},
	} {
		if got := ids(query); !slices.Equal(got, want) {
			t.Errorf("%q lists %q, want %q", query, got, want)
		}
	}
	var first, second everybody
	s.must(200, "GET", "/contacts?limit=1", nil, &first)
	s.must(200, "GET", "/contacts?limit=1&cursor="+url.QueryEscape(first.NextCursor), nil, &second)
	if !first.HasMore || second.HasMore || len(second.Data) != 1 || second.Data[0].ID != cleo.jid() {
		t.Errorf("the pages are %+v and %+v", first, second)
	}
	if p := second.Data[0]; p.Name != "Cleopatra" || p.SavedName != "Cleopatra" || p.PushName != "Cleo" || p.LID == "" || p.Phone != cleo.number || p.Kind != "user" {
		t.Errorf("Cleo is %+v", p)
	}
	s.refused("validation_failed", "GET", "/contacts?cursor=nonsense", nil)
	s.refused("session_not_found", "GET", "/v1/sessions/none/contacts", nil)
}

// Feature: Picture, about and business profile of a contact
func TestPictureAboutAndBusinessProfile(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	s.refused("not_found", "GET", "/contacts/"+bert.number+"/picture", nil)
	s.refused("not_found", "GET", "/contacts/"+bert.number+"/business-profile", nil)
	s.send(bert.number, map[string]any{"type": "text", "text": "hello"}) // WhatsApp tells of him those who know him
	var set struct{ ID string }
	bert.act("PUT", "/picture", map[string]any{"data": photoOf(t, 64)}, &set)
	bert.act("PUT", "/about", map[string]any{"text": "Reading"}, nil)
	s.changed("picture", bert.jid())
	s.changed("about", bert.jid())

	var p somebody
	s.must(200, "GET", "/contacts/"+bert.number, nil, &p)
	if p.About != "Reading" || p.PictureID != set.ID || p.ID != bert.jid() || p.PushName != "Bert" || p.LID != bert.lid() {
		t.Errorf("Bert is %+v, his picture %s", p, set.ID)
	}
	for query, kind := range map[string]string{"": "image", "?preview=true": "preview"} {
		var picture struct{ ID, URL, Type string }
		s.must(200, "GET", "/contacts/"+bert.lid()+"@lid/picture"+query, nil, &picture)
		if picture.ID != set.ID || picture.Type != kind || !strings.HasPrefix(picture.URL, "http") {
			t.Errorf("the picture%s is %+v", query, picture)
		}
	}
	bert.act("PUT", "/privacy/profile", map[string]any{"value": "none"}, nil)
	s.refused("not_found", "GET", "/contacts/"+bert.number+"/picture", nil)
	bert.act("DELETE", "/picture", nil, nil)

	bert.act("PUT", "/business", map[string]any{
		"name": "Bert's Books", "description": "Old books", "address": "Av. Corrientes 1", "email": "bert@example.com", "websites": []string{"https://example.com"},
		"categories": []string{"Bookshop"}, "timezone": "America/Argentina/Buenos_Aires", "hours": []map[string]any{{"day": "mon", "mode": "specific_hours", "open": 540, "close": 1080}},
	}, nil)
	var profile map[string]any
	s.must(200, "GET", "/contacts/"+bert.number+"/business-profile", nil, &profile)
	if profile["description"] != "Old books" || profile["address"] != "Av. Corrientes 1" || profile["email"] != "bert@example.com" ||
		fmt.Sprint(profile["websites"]) != "[https://example.com]" || fmt.Sprint(profile["categories"]) != "[Bookshop]" ||
		fmt.Sprint(profile["hours"]) != "[map[close:1080 day:mon mode:specific_hours open:540]]" || profile["timezone"] != "America/Argentina/Buenos_Aires" {
		t.Errorf("the profile is %v", profile)
	}
	s.must(200, "GET", "/contacts/"+bert.number, nil, &p)
	if p.BusinessName != "Bert's Books" || p.Name != "Bert" {
		t.Errorf("the business is %+v", p)
	}
	// Somebody unknown is asked for, and kept.
	cleo := newPhone(t, "Cleo")
	s.must(200, "GET", "/contacts/"+cleo.number, nil, &p)
	if p.ID != cleo.jid() || p.LID != cleo.lid() {
		t.Errorf("Cleo is %+v", p)
	}
	s.refused("contact_not_found", "GET", "/contacts/4915188888888", nil)
	s.refused("contact_not_found", "GET", "/contacts/123456789@lid", nil)
	s.refused("validation_failed", "GET", "/contacts/120363025246125486@g.us", nil)
}

// Feature: Save a contact
func TestSaveAContact(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	var p somebody
	s.must(200, "PATCH", "/contacts/"+bert.number, map[string]any{"savedName": "Bert the plumber"}, &p)
	if p.SavedName != "Bert the plumber" || p.Name != "Bert the plumber" || p.ID != bert.jid() {
		t.Errorf("the answer is %+v", p)
	}
	s.phone.notices("appState", func(data map[string]any) bool {
		return data["action"] == "contact" && dig(data, "value", "contactAction", "fullName") == "Bert the plumber" && dig(data, "value", "contactAction", "firstName") == "Bert" &&
			dig(data, "value", "contactAction", "saveOnPrimaryAddressbook") == true && fmt.Sprint(data["index"]) == "[contact "+bert.jid()+"]"
	})
	s.changed("name", bert.jid())
	s.must(200, "PATCH", "/contacts/"+bert.number, map[string]any{"savedName": "Bert the plumber"}, nil) // nothing new: no event
	// The phone saves, too.
	s.phone.act("POST", "/contacts", map[string]any{"number": bert.number, "name": "Bertram", "firstName": "Bert"}, nil)
	s.gets("contact.updated", func(data map[string]any) bool {
		return data["changed"] == "name" && dig(data, "contact", "savedName") == "Bertram" && dig(data, "contact", "id") == bert.jid()
	})
	p = somebody{}
	s.must(200, "PATCH", "/contacts/"+bert.number, map[string]any{"savedName": ""}, &p)
	if p.SavedName != "" {
		t.Errorf("taken away, the name is %+v", p)
	}
	s.phone.notices("appState", func(data map[string]any) bool {
		name, there := dig(data, "value", "contactAction", "fullName").(string)
		return data["action"] == "contact" && (!there || name == "")
	})
	s.gets("contact.updated", func(data map[string]any) bool {
		return data["changed"] == "name" && dig(data, "contact", "savedName") == nil && dig(data, "contact", "id") == bert.jid()
	})
	if n := s.countChanged("name", bert.jid()); n != 3 {
		t.Errorf("there are %d events for three changes", n)
	}
	s.refused("contact_not_found", "PATCH", "/contacts/4915177777777", map[string]any{"savedName": "Nobody"})
	s.refused("validation_failed", "PATCH", "/contacts/"+bert.number, map[string]any{})
	s.refused("validation_failed", "PATCH", "/contacts/120363025246125486@g.us", map[string]any{"savedName": "A group"})
}

// Feature: Save a contact
func TestTheAddressBookOfANewlyLinkedPhone(t *testing.T) {
	t.Parallel()
	owner, bert := newPhone(t, "Owner"), newPhone(t, "Bert")
	owner.act("POST", "/contacts", map[string]any{"number": bert.number, "name": "Bert from school"}, nil)
	owner.act("PUT", "/blocked/"+bert.number, nil, nil)
	s := linked(t, owner)
	eventually(t, "the address book", func() error {
		var list everybody
		s.must(200, "GET", "/contacts?saved=true&blocked=true", nil, &list)
		if len(list.Data) != 1 || list.Data[0].SavedName != "Bert from school" || list.Data[0].ID != bert.jid() {
			return fmt.Errorf("it is %+v", list.Data)
		}
		return nil
	})
	if n := s.countChanged("name", bert.jid()) + s.countChanged("blocked", bert.jid()); n != 0 {
		t.Errorf("the first reading told of %d changes", n)
	}
}

// Feature: List of contacts
func TestANewPushName(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	bert.act("PUT", "/name", map[string]any{"name": "Bertram"}, nil)
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "new name"}))
	data := s.changed("name", bert.jid())
	if dig(data, "contact", "pushName") != "Bertram" {
		t.Errorf("the event says %v", data)
	}
	if n := s.countChanged("name", bert.jid()); n != 1 {
		t.Errorf("there are %d events for one change", n)
	}
}

// Feature: Block list
func TestBlocklist(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	list := func() (ids []string) {
		t.Helper()
		var out struct{ Data []address }
		s.must(200, "GET", "/blocklist", nil, &out)
		for _, a := range out.Data {
			ids = append(ids, a.ID)
		}
		return ids
	}
	if got := list(); len(got) != 0 {
		t.Errorf("at first %q are blocked", got)
	}
	var p somebody
	s.must(200, "PUT", "/blocklist/"+bert.number, nil, &p)
	if !p.Blocked || p.ID != bert.jid() {
		t.Errorf("the answer is %+v", p)
	}
	s.phone.notices("blocklist", func(map[string]any) bool { return true })
	var blocked struct{ Numbers []string }
	s.phone.act("GET", "/blocked", nil, &blocked)
	if !slices.Equal(blocked.Numbers, []string{bert.number}) {
		t.Errorf("the phone has blocked %q", blocked.Numbers)
	}
	s.changed("blocked", bert.jid())
	if got := list(); !slices.Equal(got, []string{bert.jid()}) {
		t.Errorf("%q are blocked", got)
	}
	s.must(200, "DELETE", "/blocklist/"+bert.lid()+"@lid", nil, &p)
	if p.Blocked || len(list()) != 0 {
		t.Errorf("unblocked, he is %+v", p)
	}
	// On the phone.
	s.phone.act("PUT", "/blocked/"+bert.number, nil, nil)
	eventually(t, "the block list of the phone to be told", func() error {
		if n := s.countChanged("blocked", bert.jid()); n != 3 {
			return fmt.Errorf("there are %d events", n)
		}
		return nil
	})
	s.must(200, "GET", "/contacts/"+bert.number, nil, &p, "Prefer", "wait=0")
	if !p.Blocked {
		t.Errorf("blocked on the phone, he is %+v", p)
	}
	// What happens while the session is offline is found when the list is read.
	s.stop()
	s.phone.act("DELETE", "/blocked/"+bert.number, nil, nil)
	s.start()
	if got := list(); len(got) != 0 {
		t.Errorf("after all %q are blocked", got)
	}
	eventually(t, "the contact to be unblocked", func() error {
		if n := s.countChanged("blocked", bert.jid()); n != 4 {
			return fmt.Errorf("there are %d events", n)
		}
		return nil
	})
	s.refused("contact_not_found", "PUT", "/blocklist/4915166666666", nil)
}

// Feature: Erase a contact
func TestEraseAContact(t *testing.T) {
	t.Parallel()
	s, bert, cleo := newSession(t), newPhone(t, "Bert"), newPhone(t, "Cleo")
	var group struct{ JID string }
	cleo.act("POST", "/groups", map[string]any{"subject": "Friends", "participants": []string{s.phone.number, bert.number}}, &group)
	direct := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "image", "data": photoOf(t, 32), "mimetype": "image/jpeg", "caption": "my secret"}))
	inGroup := s.received(bert.send(map[string]any{"to": group.JID, "type": "text", "text": "also secret"}))
	kept := s.received(cleo.send(map[string]any{"to": group.JID, "type": "text", "text": "hello, all"}))
	private := s.received(cleo.send(map[string]any{"to": s.phone.number, "type": "text", "text": "to you alone"}))
	answer := s.send(bert.number, map[string]any{"type": "text", "text": "an answer"})
	s.gets("message.status", func(data map[string]any) bool { return data["messageId"] == answer.ID && data["status"] == "delivered" })
	mediaID, _ := dig(direct.Content, "media", "id").(string)
	s.must(200, "GET", "/v1/media/"+mediaID, nil, nil)
	s.stop() // it needs no connection, and what waits is cancelled
	var waiting message
	s.must(202, "POST", "/messages", map[string]any{"to": bert.number, "content": map[string]any{"type": "text", "text": "too late"}}, &waiting)
	var change struct{ ID string }
	s.must(202, "PATCH", "/contacts/"+bert.number, map[string]any{"savedName": "Secret"}, &change)
	var before struct{ Data []struct{ ID string } }
	s.must(200, "GET", "/v1/events?limit=200&sessionId="+s.id, nil, &before)

	s.refused("validation_failed", "DELETE", "/contacts/"+bert.number, nil)
	s.refused("validation_failed", "DELETE", "/contacts/"+s.phone.number+"?erase=true", nil)
	var erased struct{ Messages, Events int }
	s.must(200, "DELETE", "/contacts/"+bert.number+"?erase=true", nil, &erased)
	if erased.Messages != 4 || erased.Events < 4 {
		t.Errorf("erased were %+v", erased)
	}
	for _, id := range []string{direct.ID, inGroup.ID, waiting.ID} {
		s.refused("message_not_found", "GET", "/messages/"+id, nil)
	}
	s.refused("contact_not_found", "GET", "/contacts/"+bert.number, nil, "Prefer", "wait=0")
	s.refused("contact_not_found", "DELETE", "/contacts/"+bert.number+"?erase=true", nil)
	s.refused("not_found", "GET", "/changes/"+change.ID, nil)
	s.refused("media_not_found", "GET", "/v1/media/"+mediaID, nil)
	for _, id := range []string{kept.ID, private.ID} {
		s.must(200, "GET", "/messages/"+id, nil, nil)
	}
	data := s.changed("erased", bert.jid())
	if contact, _ := data["contact"].(map[string]any); len(contact) != 3 || contact["kind"] != "user" || contact["blocked"] != false {
		t.Errorf("the event says more than who it was: %v", data)
	}
	// The log has forgotten him, and every place in it is still one to go on from.
	told := 0
	for _, e := range before.Data {
		status, raw := call(t, "GET", s.url("/v1/events/"+e.ID), nil, nil)
		if status == 200 && strings.Contains(string(raw), bert.number) || strings.Contains(string(raw), "secret") {
			t.Errorf("the log still says %s", raw)
		}
		if status == 404 {
			told++
			s.must(200, "GET", "/v1/events?limit=1&sessionId="+s.id+"&after="+e.ID, nil, nil)
		}
	}
	if told == 0 {
		t.Error("no event was erased")
	}
	s.gets("message.received", func(data map[string]any) bool { return dig(data, "message", "id") == private.ID })
	s.start()
	// Nothing of what waited has gone out, and who writes again is somebody new.
	s.send(cleo.number, map[string]any{"type": "text", "text": "after"})
	again := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "me again"}))
	var page struct{ Data []message }
	s.must(200, "GET", "/messages?chatId="+bert.number, nil, &page)
	if len(page.Data) != 1 || page.Data[0].ID != again.ID {
		t.Errorf("the chat has %+v", page.Data)
	}
}

// Feature: Queries wait, and a session that is offline answers at once
func TestQueriesAboutContacts(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	bert.act("PUT", "/about", map[string]any{"text": "At work"}, nil)
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	var p somebody
	s.must(200, "GET", "/contacts/"+bert.number, nil, &p, "Prefer", "wait=20")
	if p.About != "At work" {
		t.Errorf("Bert is %+v", p)
	}
	// A slow WhatsApp is waited for; one that is too slow is not.
	s.phone.act("PUT", "/faults", map[string]any{"queryDelayMs": 1500}, nil)
	s.must(200, "GET", "/contacts/"+bert.number, nil, &p)
	s.refused("whatsapp_timeout", "GET", "/blocklist", nil, "Prefer", "wait=1")
	s.must(200, "GET", "/blocklist", nil, nil, "Prefer", "wait=20")
	s.phone.act("DELETE", "/faults", nil, nil)
	s.stop()
	for _, path := range []string{"/blocklist", "/contacts/" + bert.number + "/picture", "/contacts/" + bert.number + "/business-profile", "/contacts/4915155555555"} {
		s.refused("session_not_connected", "GET", path, nil)
	}
	s.refused("session_not_connected", "POST", "/contacts/check", map[string]any{"numbers": []string{bert.number}})
	p = somebody{}
	s.must(200, "GET", "/contacts/"+bert.number, nil, &p)
	if p.About != "At work" || p.PushName != "Bert" {
		t.Errorf("offline, Bert is %+v", p)
	}
	var c struct{ ID, Status, Kind, Target string }
	s.must(202, "PUT", "/blocklist/"+bert.number, nil, &c) // a change waits
	if c.Kind != "contact.block" || c.Target != bert.jid() {
		t.Errorf("the change is %+v", c)
	}
	s.start()
	s.changed("blocked", bert.jid())
}

package features

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/jpeg"
	"slices"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// profile is what an account shows of itself, as clients get it.
type profile struct {
	address
	BusinessName string `json:"businessName"`
	About        string `json:"about"`
	Picture      *struct {
		ID, URL, Type string
	} `json:"picture"`
}

// profile asks for the account's profile until it is as it is wanted.
func (s session) profile(what string, want func(profile) bool) (p profile) {
	s.t.Helper()
	eventually(s.t, "a profile with "+what, func() error {
		p = profile{}
		if s.must(200, "GET", "/profile", nil, &p); !want(p) {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	return p
}

// about is what somebody says about himself, as the phone sees it.
func (p phone) about(of phone) string {
	p.t.Helper()
	var is struct{ Text string }
	p.act("GET", "/about?of="+of.number, nil, &is)
	return is.Text
}

// seesPicture is the answer to the phone's asking for somebody's picture: 404 for none, 403 for one that is hidden.
func (p phone) seesPicture(of phone) int {
	p.t.Helper()
	status, _ := call(p.t, "GET", running.SandboxURL+"/phones/"+p.number+"/picture?of="+of.number, nil, nil)
	return status
}

// Feature: Profile and privacy
func TestProfile(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	p := s.profile("the owner's name", func(p profile) bool { return p.Name == "Owner" })
	if p.ID != s.phone.jid() || p.Phone != s.phone.number || p.LID != s.phone.lid() || p.Kind != "user" || p.About != "" || p.Picture != nil || p.BusinessName != "" {
		t.Errorf("the profile is %+v", p)
	}
	s.send(bert.number, map[string]any{"type": "text", "text": "hello"}) // from then on Bert knows his name
	bert.sees("the message", func(m sandbox.Message) bool { return m.Text == "hello" })
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"})) // and is told what becomes of him

	s.must(200, "PATCH", "/profile", map[string]any{"name": "Olga Öwner 🙂", "about": "At work"}, &p)
	if p.Name != "Olga Öwner 🙂" || p.About != "At work" || p.Phone != s.phone.number {
		t.Errorf("the profile is %+v", p)
	}
	s.profile("the new name", func(p profile) bool { return p.Name == "Olga Öwner 🙂" && p.About == "At work" })
	s.phone.notices("appState", func(data map[string]any) bool {
		return data["action"] == "pushName" && dig(data, "value", "pushNameSetting", "name") == "Olga Öwner 🙂"
	})
	bert.notices("about", func(data map[string]any) bool { return data["from"] == s.phone.number && data["text"] == "At work" })
	if about := bert.about(s.phone); about != "At work" {
		t.Errorf("Bert reads %q", about)
	}
	s.send(bert.number, map[string]any{"type": "text", "text": "it is me"})
	bert.notices("nameChanged", func(data map[string]any) bool {
		return data["from"] == s.phone.number && data["name"] == "Olga Öwner 🙂"
	})
	if data := s.changed("name", s.phone.jid()); dig(data, "contact", "pushName") != "Olga Öwner 🙂" {
		t.Errorf("the event is %v", data)
	}
	if data := s.changed("about", s.phone.jid()); dig(data, "contact", "about") != "At work" || dig(data, "contact", "aboutAt") == nil {
		t.Errorf("the event is %v", data)
	}

	// What is left out stays, and an empty about is none.
	p = profile{}
	if s.must(200, "PATCH", "/profile", map[string]any{"about": ""}, &p); p.Name != "Olga Öwner 🙂" || p.About != "" {
		t.Errorf("the profile is %+v", p)
	}
	s.gets("contact.updated", func(data map[string]any) bool {
		return data["changed"] == "about" && dig(data, "contact", "id") == s.phone.jid() && dig(data, "contact", "about") == nil
	})

	// The same by the owner's hand.
	s.phone.act("POST", "/appstate", map[string]any{"action": "pushName", "name": "Olga"}, nil)
	s.phone.act("PUT", "/about", map[string]any{"text": "On holiday"}, nil)
	s.gets("contact.updated", func(data map[string]any) bool {
		return data["changed"] == "name" && dig(data, "contact", "id") == s.phone.jid() && dig(data, "contact", "pushName") == "Olga"
	})
	s.gets("contact.updated", func(data map[string]any) bool {
		return data["changed"] == "about" && dig(data, "contact", "id") == s.phone.jid() && dig(data, "contact", "about") == "On holiday"
	})
	s.profile("what the owner wrote", func(p profile) bool { return p.Name == "Olga" && p.About == "On holiday" })
	if names, abouts := s.countChanged("name", s.phone.jid()), s.countChanged("about", s.phone.jid()); names != 2 || abouts != 3 {
		t.Errorf("told of %d names and %d abouts, want 2 and 3", names, abouts)
	}

	for _, bad := range []map[string]any{
		{}, {"name": ""}, {"name": strings.Repeat("é", 26)}, {"name": " - "}, {"about": strings.Repeat("é", 140)}, {"phone": "5491199999999"},
	} {
		s.refused("validation_failed", "PATCH", "/profile", bad)
	}
	s.refused("session_not_found", "GET", "/v1/sessions/none/profile", nil)
	s.refused("session_not_found", "PATCH", "/v1/sessions/none/profile", map[string]any{"about": "x"})

	s.stop()
	s.refused("session_not_connected", "GET", "/profile", nil)
	var queued struct{ ID, Status, Kind, Target string }
	s.must(202, "PATCH", "/profile", map[string]any{"name": strings.Repeat("é", 25), "about": strings.Repeat("é", 139)}, &queued)
	if queued.Status != "queued" || queued.Kind != "profile.update" || queued.Target != s.phone.jid() {
		t.Errorf("the change is %+v", queued)
	}
	s.start()
	s.profile("what was wanted meanwhile", func(p profile) bool {
		return p.Name == strings.Repeat("é", 25) && p.About == strings.Repeat("é", 139)
	})
}

// Feature: Profile and privacy
func TestProfilePicture(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	inline := func(file []byte) map[string]any {
		return map[string]any{"media": map[string]any{"base64": base64.StdEncoding.EncodeToString(file)}}
	}
	for name, file := range map[string][]byte{"PNG": picture(t), "JPEG": photoOf(t, 1000), "WebP": sample(t, "lossy.webp")} {
		var set struct{ PictureID string }
		s.must(200, "PUT", "/profile/picture", inline(file), &set)
		is := s.profile("the picture", func(p profile) bool { return p.Picture != nil }).Picture
		if set.PictureID == "" || is.ID != set.PictureID || is.URL == "" || is.Type != "image" {
			t.Errorf("%s: set %+v, shown %+v", name, set, is)
		}
		shown, err := jpeg.Decode(bytes.NewReader(bert.picture(s.phone.number)))
		if err != nil {
			t.Errorf("%s: Bert sees %v", name, err)
		} else if size := shown.Bounds(); size.Dx() != size.Dy() || size.Dx() > 640 || name == "JPEG" && size != image.Rect(0, 0, 640, 640) {
			t.Errorf("%s: Bert sees %v", name, size)
		}
		s.gets("contact.updated", func(data map[string]any) bool {
			return data["changed"] == "picture" && dig(data, "contact", "id") == s.phone.jid() && dig(data, "contact", "pictureId") == set.PictureID
		})
	}
	var none map[string]any
	if s.must(200, "DELETE", "/profile/picture", nil, &none); len(none) > 0 {
		t.Errorf("the answer is %v", none)
	}
	s.must(200, "DELETE", "/profile/picture", nil, nil) // there is none
	if status := bert.seesPicture(s.phone); status != 404 {
		t.Errorf("Bert gets %d for the picture", status)
	}
	s.profile("no picture", func(p profile) bool { return p.Picture == nil })

	// The same by the owner's hand, of which WhatsApp only tells that something has changed. Its ids are seconds, and one may come again.
	told := func(n int) {
		t.Helper()
		eventually(t, "news of the picture", func() error {
			if got := s.countChanged("picture", s.phone.jid()); got != n {
				return fmt.Errorf("it was told %d times, want %d", got, n)
			}
			return nil
		})
	}
	told(5)
	var set struct{ ID string }
	s.phone.act("PUT", "/picture", map[string]any{"data": photoOf(t, 100)}, &set)
	told(6)
	s.gets("contact.updated", func(data map[string]any) bool {
		return data["changed"] == "picture" && dig(data, "contact", "id") == s.phone.jid() && dig(data, "contact", "pictureId") == set.ID
	})
	s.phone.act("DELETE", "/picture", nil, nil)
	told(7)

	s.refused("unsupported_media_type", "PUT", "/profile/picture", inline([]byte("this is no picture at all")))
	s.refused("validation_failed", "PUT", "/profile/picture", map[string]any{"media": map[string]any{}})
	s.refused("media_not_found", "PUT", "/profile/picture", map[string]any{"media": map[string]any{"mediaId": "med_01932f0c5d6b7a10b1f4d0c4a8e2f001"}})
	s.refused("session_not_found", "PUT", "/v1/sessions/none/profile/picture", inline(photoOf(t, 100)))
	s.refused("session_not_found", "DELETE", "/v1/sessions/none/profile/picture", nil)

	s.stop()
	var queued struct{ Status, Kind string }
	if s.must(202, "PUT", "/profile/picture", inline(photoOf(t, 300)), &queued); queued.Status != "queued" || queued.Kind != "profile.picture" {
		t.Errorf("the change is %+v", queued)
	}
	s.start()
	s.profile("the picture that was wanted meanwhile", func(p profile) bool { return p.Picture != nil })
}

// Feature: Profile and privacy
func TestPrivacy(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	read := func() (is map[string]any) {
		t.Helper()
		s.must(200, "GET", "/privacy", nil, &is)
		return is
	}
	defaults := map[string]any{
		"lastSeen": "all", "online": "all", "picture": "all", "about": "all", "groupAdd": "all", "callAdd": "all", "readReceipts": "all", "messages": "all",
		"defense": "off", "stickers": "contacts", "disappearingSeconds": 0.0,
	}
	if is := read(); fmt.Sprint(is) != fmt.Sprint(defaults) {
		t.Errorf("a new account has %v, want %v", is, defaults)
	}
	// What one may see and do to the account before and after.
	s.must(200, "PUT", "/profile/picture", map[string]any{"media": map[string]any{"base64": base64.StdEncoding.EncodeToString(photoOf(t, 100))}}, nil)
	s.must(200, "PATCH", "/profile", map[string]any{"about": "At work"}, nil)
	added := func() bool {
		t.Helper()
		var g sandbox.Group
		bert.act("POST", "/groups", map[string]any{"subject": "Crew", "participants": []string{s.phone.number}}, &g)
		return slices.ContainsFunc(g.Participants, func(m sandbox.GroupMember) bool { return m.Number == s.phone.number && m.Error == 0 })
	}
	if status, about := bert.seesPicture(s.phone), bert.about(s.phone); status != 200 || about != "At work" || !added() {
		t.Errorf("before, Bert gets %d for the picture, reads %q", status, about)
	}
	var is map[string]any
	wanted := map[string]any{
		"lastSeen": "none", "online": "match_last_seen", "picture": "none", "about": "none", "groupAdd": "none", "callAdd": "known", "readReceipts": "none",
		"messages": "contacts", "defense": "on_standard", "stickers": "none", "disappearingSeconds": 604800.0,
	}
	s.must(200, "PATCH", "/privacy", wanted, &is)
	if fmt.Sprint(is) != fmt.Sprint(wanted) {
		t.Errorf("it answers %v, want %v", is, wanted)
	}
	if is := read(); fmt.Sprint(is) != fmt.Sprint(wanted) {
		t.Errorf("it is %v, want %v", is, wanted)
	}
	var phone map[string]string
	s.phone.act("GET", "/privacy", nil, &phone)
	for setting, value := range map[string]string{
		"last": "none", "online": "match_last_seen", "profile": "none", "status": "none", "groupadd": "none", "calladd": "known", "readreceipts": "none",
		"messages": "contacts", "defense": "on_standard", "stickers": "none",
	} {
		if phone[setting] != value {
			t.Errorf("the phone has %q for %s, want %q", phone[setting], setting, value)
		}
	}
	if status, about := bert.seesPicture(s.phone), bert.about(s.phone); status != 403 || about != "" || added() {
		t.Errorf("after, Bert gets %d for the picture, reads %q", status, about)
	}
	// Receipts go by the setting at once: the first message is read in secret, the second for Bert to know.
	reads := func(text string) string {
		t.Helper()
		id := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": text})
		s.received(id)
		s.chatAfter("POST", "/chats/"+bert.number+"/read", nil)
		return id
	}
	secret := reads("one")
	s.must(200, "PATCH", "/privacy", map[string]any{"readReceipts": "all"}, nil)
	open, secretly := reads("two"), true
	bert.notices("receipt", func(data map[string]any) bool {
		ids, _ := data["ids"].([]any)
		if data["type"] == "read" && slices.Contains(ids, any(secret)) {
			secretly = false
		}
		return data["type"] == "read" && slices.Contains(ids, any(open))
	})
	if !secretly {
		t.Error("Bert learnt of the message that was read in secret")
	}
	// What is left out stays, and what the owner sets on the phone is seen.
	is = nil
	if s.must(200, "PATCH", "/privacy", map[string]any{"picture": "contact_blacklist", "stickers": "contact_allowlist", "disappearingSeconds": 0}, &is); is["picture"] != "contact_blacklist" ||
		is["stickers"] != "contact_allowlist" || is["lastSeen"] != "none" || is["disappearingSeconds"] != 0.0 {
		t.Errorf("it is %v", is)
	}
	s.phone.act("PUT", "/privacy/last", map[string]any{"value": "contacts"}, nil)
	s.phone.act("PUT", "/disappearing", map[string]any{"seconds": 86400}, nil)
	if is := read(); is["lastSeen"] != "contacts" || is["disappearingSeconds"] != 86400.0 || is["picture"] != "contact_blacklist" {
		t.Errorf("after the owner's change it is %v", is)
	}

	for _, bad := range []map[string]any{
		{}, {"lastSeen": "known"}, {"online": "contacts"}, {"picture": ""}, {"about": "match_last_seen"}, {"groupAdd": "off"}, {"callAdd": "none"}, {"readReceipts": "contacts"},
		{"messages": "none"}, {"defense": "on"}, {"stickers": "all"}, {"disappearingSeconds": 5}, {"status": "all"}, {"lastSeen": nil, "online": 1},
	} {
		s.refused("validation_failed", "PATCH", "/privacy", bad)
	}
	s.refused("session_not_found", "GET", "/v1/sessions/none/privacy", nil)
	s.refused("session_not_found", "PATCH", "/v1/sessions/none/privacy", map[string]any{"about": "all"})

	s.stop()
	s.refused("session_not_connected", "GET", "/privacy", nil)
	var queued struct{ Status, Kind string }
	if s.must(202, "PATCH", "/privacy", map[string]any{"groupAdd": "all"}, &queued); queued.Status != "queued" || queued.Kind != "privacy.update" {
		t.Errorf("the change is %+v", queued)
	}
	s.start()
	eventually(t, "what was wanted meanwhile", func() error {
		if is := read(); is["groupAdd"] != "all" {
			return fmt.Errorf("%v", is)
		}
		return nil
	})
}

// Feature: Profile and privacy
func TestOwnBusinessProfile(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.refused("not_found", "GET", "/business-profile", nil)
	s.phone.act("PUT", "/business", map[string]any{"name": "The Shop", "description": "All you need.", "email": "shop@example.com", "websites": []string{"https://example.com"}}, nil)
	var b struct {
		Description, Email string
		Websites           []string
	}
	s.must(200, "GET", "/business-profile", nil, &b)
	if b.Description != "All you need." || b.Email != "shop@example.com" || !slices.Equal(b.Websites, []string{"https://example.com"}) {
		t.Errorf("the business is %+v", b)
	}
	s.profile("the business's name", func(p profile) bool { return p.BusinessName == "The Shop" && p.Name == "Owner" })
	s.refused("session_not_found", "GET", "/v1/sessions/none/business-profile", nil)
	s.stop()
	s.refused("session_not_connected", "GET", "/business-profile", nil)
}

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

	"github.com/chasqui/chasqui/infra/sandbox"
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

// checkNumbers asks for numbers.
func (s session) checkNumbers(numbers ...string) (found []struct {
	Number     string
	OnWhatsApp bool
	Contact    *address
}) {
	s.t.Helper()
	var out struct {
		Data []struct {
			Number     string
			OnWhatsApp bool
			Contact    *address
		}
	}
	s.must(200, "POST", "/contacts/check", map[string]any{"numbers": numbers}, &out)
	if len(out.Data) != len(numbers) {
		s.t.Fatalf("%d answers for %d numbers", len(out.Data), len(numbers))
	}
	return out.Data
}

// Feature: Check numbers, with the number that WhatsApp resolved
func TestNumbersAreChecked(t *testing.T) {
	t.Parallel()
	s, bert, shop := newSession(t), newPhone(t, "Bert"), newPhone(t, "Shop")
	shop.act("PUT", "/business", map[string]any{"name": "The Shop"}, nil)
	const nobody = "4915199999999"
	found := s.checkNumbers("+"+bert.number, nobody, shop.jid())
	if b := found[0]; !b.OnWhatsApp || b.Number != "+"+bert.number || b.Contact.ID != bert.jid() || b.Contact.Phone != bert.number || b.Contact.LID != bert.lid() {
		t.Errorf("Bert is %+v %+v", b, b.Contact)
	}
	if found[1].OnWhatsApp || found[1].Contact != nil {
		t.Errorf("nobody is %+v", found[1])
	}
	if found[2].Contact == nil || found[2].Contact.Name != "The Shop" {
		t.Errorf("the shop is %+v", found[2].Contact)
	}
	// What was learnt is kept.
	var known somebody
	s.must(200, "GET", "/contacts/"+shop.lid()+"@lid", nil, &known, "Prefer", "wait=0")
	if known.Phone != shop.number || known.BusinessName != "The Shop" || known.Name != "The Shop" {
		t.Errorf("the shop is kept as %+v", known)
	}
	s.refused("validation_failed", "POST", "/contacts/check", map[string]any{"numbers": []string{"120363025246125486@g.us"}})
	s.refused("validation_failed", "POST", "/contacts/check", map[string]any{"numbers": []string{}})
}

// Feature: National number rules: Brazil, Mexico, Argentina
func TestNationalNumbers(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for _, c := range []struct{ country, account, written string }{
		{"Brazil, registered before the ninth digit", "554178%06d", "5541978%06d"},
		{"Brazil, registered with it", "5511976%06d", "551176%06d"},
		{"Mexico, registered with the 1", "5215534%06d", "525534%06d"},
		{"Mexico, registered without it", "525535%06d", "5215535%06d"},
		{"Argentina, written without the 9", "5491145%06d", "541145%06d"},
		{"Argentina, written with the 15", "5491146%06d", "54111546%06d"},
	} {
		last := lastNumber.Add(1)
		account := phone{t, fmt.Sprintf(c.account, last)}
		account.do("POST", running.SandboxURL+"/phones", map[string]any{"number": account.number, "name": c.country}, nil)
		written := fmt.Sprintf(c.written, last)
		found := s.checkNumbers(written)[0]
		if !found.OnWhatsApp || found.Contact == nil || found.Contact.Phone != account.number || found.Number != written {
			t.Errorf("%s: %s is %+v %+v, want %s", c.country, written, found, found.Contact, account.number)
			continue
		}
		var known somebody
		s.must(200, "GET", "/contacts/"+written, nil, &known)
		if known.ID != account.jid() {
			t.Errorf("%s: %s is %+v", c.country, written, known)
		}
	}
	if found := s.checkNumbers("5511988887777", "5511"+"32223333"); found[0].OnWhatsApp || found[1].OnWhatsApp {
		t.Errorf("numbers without an account in any form are %+v", found)
	}
}

// Feature: National number rules: Brazil, Mexico, Argentina
func TestAMessageFindsTheNumberThatHasTheAccount(t *testing.T) {
	t.Parallel()
	s, ana := newSession(t), numberedPhone(t, "554179%06d", "Ana")
	written := "55419" + ana.number[4:]
	m := s.send(written, map[string]any{"type": "text", "text": "found you"})
	ana.sees("the message", func(m sandbox.Message) bool { return m.Text == "found you" })
	if m.To.Phone != ana.number || m.ChatID != ana.jid() {
		t.Errorf("the message went to %+v in %s, want %s", m.To, m.ChatID, ana.number)
	}
	s.gets("message.sent", func(data map[string]any) bool {
		return dig(data, "message", "id") == m.ID && dig(data, "message", "to", "phone") == ana.number
	})
	// Nothing is left under the number as it was written, and the next message finds its way without asking.
	s.refused("contact_not_found", "GET", "/contacts/"+written+"0", nil, "Prefer", "wait=0")
	var list everybody
	s.must(200, "GET", "/contacts?phone="+written, nil, &list)
	if len(list.Data) != 0 {
		t.Errorf("the number as it was written is kept as %+v", list.Data)
	}
	second := s.send("+"+written, map[string]any{"type": "text", "text": "and again"})
	if second.ChatID != ana.jid() {
		t.Errorf("the second message went to %s", second.ChatID)
	}
	var page struct{ Data []message }
	s.must(200, "GET", "/messages?chatId="+ana.number, nil, &page)
	if len(page.Data) != 2 {
		t.Errorf("the chat has %d messages", len(page.Data))
	}
	s.refused("recipient_not_on_whatsapp", "POST", "/messages",
		map[string]any{"to": "5541988880000", "content": map[string]any{"type": "text", "text": "nobody"}}, "Prefer", "wait=20")
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

// Feature: Phone and LID together, corrected when the phone becomes known
func TestAPhoneBecomesKnown(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	lid := bert.lid() + "@lid"
	bert.act("PATCH", "", map[string]any{"hidden": true}, nil)
	var group struct{ JID string }
	bert.act("POST", "/groups", map[string]any{"subject": "Strangers", "participants": []string{s.phone.number}}, &group)
	inGroup := s.received(bert.send(map[string]any{"to": group.JID, "type": "text", "text": "to all"}))
	direct := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "to you"}))
	if inGroup.From.ID != lid || inGroup.From.Phone != "" || direct.ChatID != lid || direct.From.LID != bert.lid() || direct.From.Name != "Bert" {
		t.Fatalf("at first he is %+v and %+v in %s", inGroup.From, direct.From, direct.ChatID)
	}
	answer := s.send(lid, map[string]any{"type": "text", "text": "who are you?"})
	bert.sees("the answer", func(m sandbox.Message) bool { return m.Text == "who are you?" })
	bert.send(map[string]any{"to": s.phone.number, "type": "reaction", "emoji": "😀", "target": map[string]any{"id": answer.WhatsAppID}})

	// He shows his number with the next message.
	bert.act("PATCH", "", map[string]any{"hidden": false}, nil)
	last := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "it is me"}))
	if last.ChatID != bert.jid() || last.From.Phone != bert.number || last.From.LID != bert.lid() {
		t.Errorf("then he is %+v in %s", last.From, last.ChatID)
	}
	data := s.changed("address", bert.jid())
	if data["previousId"] != lid || dig(data, "contact", "phone") != bert.number || dig(data, "contact", "lid") != bert.lid() || dig(data, "contact", "name") != "Bert" {
		t.Errorf("the event says %v", data)
	}
	for _, chat := range []string{bert.number, lid, bert.jid()} { // under whichever name one asks
		var page struct{ Data []message }
		s.must(200, "GET", "/messages?chatId="+url.QueryEscape(chat), nil, &page)
		var texts []any
		for _, m := range page.Data {
			texts = append(texts, m.Content["text"])
			if m.ChatID != bert.jid() {
				t.Errorf("a message of %s is in %s", chat, m.ChatID)
			}
		}
		if fmt.Sprint(texts) != "[it is me who are you? to you]" {
			t.Errorf("the chat %s has %v", chat, texts)
		}
	}
	s.must(200, "GET", "/messages/"+inGroup.ID, nil, &inGroup)
	if inGroup.From.ID != bert.jid() || inGroup.From.LID != bert.lid() || inGroup.ChatID != group.JID {
		t.Errorf("in the group he is %+v", inGroup.From)
	}
	var list everybody
	s.must(200, "GET", "/contacts", nil, &list)
	if len(list.Data) != 1 || list.Data[0].ID != bert.jid() {
		t.Errorf("the contacts are %+v", list.Data)
	}
	if n := s.countChanged("address", bert.jid()); n != 1 {
		t.Errorf("there are %d events", n)
	}
}

// Feature: Phone and LID together, corrected when the phone becomes known
func TestAPhoneIsAskedFor(t *testing.T) {
	t.Parallel()
	s, other, bert := newSession(t), newSession(t), newPhone(t, "Bert")
	lid := bert.lid() + "@lid"
	bert.act("PATCH", "", map[string]any{"hidden": true}, nil)
	for _, s := range []session{s, other} {
		if m := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "guess"})); m.ChatID != lid {
			t.Fatalf("at first the chat is %s", m.ChatID)
		}
	}
	other.stop()
	// Whoever asks for the number learns whose it is.
	if found := s.checkNumbers(bert.number)[0]; found.Contact == nil || found.Contact.LID != bert.lid() {
		t.Fatalf("the number is of %+v", found.Contact)
	}
	if data := s.changed("address", bert.jid()); data["previousId"] != lid {
		t.Errorf("the event says %v", data)
	}
	// The other session was offline, and was told by nobody: it finds out when it is back.
	other.start()
	if data := other.changed("address", bert.jid()); data["previousId"] != lid {
		t.Errorf("the event of the other session says %v", data)
	}
	m := other.received(bert.send(map[string]any{"to": other.phone.number, "type": "text", "text": "still hidden"}))
	if m.ChatID != bert.jid() || m.From.Phone != bert.number {
		t.Errorf("then he is %+v in %s", m.From, m.ChatID)
	}
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

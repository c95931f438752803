package features

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
)

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

package features

import (
	"fmt"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
)

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

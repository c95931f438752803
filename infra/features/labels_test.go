package features

import (
	"fmt"
	"slices"
	"testing"
)

// Feature: Labels
func TestLabels(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.send(bert.number, map[string]any{"type": "text", "text": "hello"})
	type label struct {
		ID, Name string
		Color    int
	}
	list := func() (labels []label) {
		t.Helper()
		var page struct{ Data []label }
		s.must(200, "GET", "/labels", nil, &page)
		return page.Data
	}
	sees := func(action string, want func(map[string]any) bool) {
		t.Helper()
		s.phone.notices("appState", func(data map[string]any) bool { return data["action"] == action && want(data) })
	}
	told := func(want func(map[string]any) bool) {
		t.Helper()
		s.gets("label.updated", want)
	}
	var made label
	s.must(200, "POST", "/labels", map[string]any{"name": "New customer", "color": 3}, &made)
	if made != (label{"1", "New customer", 3}) || !slices.Equal(list(), []label{made}) {
		t.Errorf("made %+v; there are %+v", made, list())
	}
	sees("label", func(data map[string]any) bool {
		return dig(data, "value", "labelEditAction", "name") == "New customer" && dig(data, "value", "labelEditAction", "color") == 3.0
	})
	told(func(data map[string]any) bool {
		return dig(data, "label", "name") == "New customer" && data["chatId"] == nil
	})
	s.must(200, "PATCH", "/labels/1", map[string]any{"name": "Customer"}, &made)
	if made != (label{"1", "Customer", 3}) {
		t.Errorf("changed to %+v", made)
	}
	sees("label", func(data map[string]any) bool { return dig(data, "value", "labelEditAction", "name") == "Customer" })

	c := s.chatAfter("PUT", "/chats/"+bert.number+"/labels/1", nil)
	if !slices.Equal(c.Labels, []string{"1"}) {
		t.Errorf("the chat has %q", c.Labels)
	}
	sees("labelChat", func(data map[string]any) bool {
		return data["chat"] == bert.number && dig(data, "value", "labelAssociationAction", "labeled") == true
	})
	told(func(data map[string]any) bool {
		return data["chatId"] == bert.jid() && data["labeled"] == true && dig(data, "label", "name") == "Customer"
	})
	if _, ids := s.chats("labelId=1"); !slices.Equal(ids, []string{bert.jid()}) {
		t.Errorf("labelled are %q", ids)
	}
	c = s.chatAfter("DELETE", "/chats/"+bert.number+"/labels/1", nil)
	if len(c.Labels) != 0 {
		t.Errorf("the chat has %q", c.Labels)
	}
	told(func(data map[string]any) bool { return data["chatId"] == bert.jid() && data["labeled"] == false })

	s.must(200, "PUT", "/chats/"+bert.number+"/labels/1", nil, nil)
	s.must(200, "DELETE", "/labels/1", nil, &made)
	if len(list()) != 0 || made.Name != "Customer" {
		t.Errorf("there are %+v", list())
	}
	sees("label", func(data map[string]any) bool { return dig(data, "value", "labelEditAction", "deleted") == true })
	told(func(data map[string]any) bool { return data["deleted"] == true })
	s.awaitChat(bert.number, "without a label", func(c chat) bool { return len(c.Labels) == 0 })
	// Its id is not another's: the phone remembers which chats had it.
	if s.must(200, "POST", "/labels", map[string]any{"name": "Paid"}, &made); made.ID != "2" {
		t.Errorf("the next label is %+v", made)
	}

	// By the owner's hand.
	s.phone.act("POST", "/appstate", map[string]any{"action": "label", "label": "7", "name": "Urgent", "color": 5}, nil)
	told(func(data map[string]any) bool { return dig(data, "label", "name") == "Urgent" && data["chatId"] == nil }) // each change comes by itself
	s.phone.act("POST", "/appstate", map[string]any{"action": "labelChat", "label": "7", "chat": bert.number, "on": true}, nil)
	s.awaitChat(bert.number, "labelled", func(c chat) bool { return slices.Equal(c.Labels, []string{"7"}) })
	told(func(data map[string]any) bool {
		return data["chatId"] == bert.jid() && dig(data, "label", "name") == "Urgent" && data["labeled"] == true
	})
	s.phone.act("POST", "/appstate", map[string]any{"action": "label", "label": "7", "name": "Urgent", "deleted": true}, nil)
	eventually(t, "the label to be gone", func() error {
		if now := list(); !slices.Equal(now, []label{{"2", "Paid", 0}}) {
			return fmt.Errorf("there are %+v", now)
		}
		return nil
	})
	told(func(data map[string]any) bool { return data["deleted"] == true && dig(data, "label", "id") == "7" })

	s.refused("label_not_found", "PATCH", "/labels/7", map[string]any{"name": "x"})
	s.refused("label_not_found", "DELETE", "/labels/none", nil)
	s.refused("label_not_found", "PUT", "/chats/"+bert.number+"/labels/7", nil)
	s.refused("chat_not_found", "PUT", "/chats/5491199999999/labels/2", nil)
	s.refused("validation_failed", "POST", "/labels", map[string]any{"name": ""})
	s.refused("validation_failed", "POST", "/labels", map[string]any{"name": "x", "color": 20})
	s.refused("validation_failed", "PATCH", "/labels/2", map[string]any{})
}

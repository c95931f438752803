package features

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// chat is a chat as clients get it.
type chat struct {
	address
	LastMessage         *message   `json:"lastMessage"`
	LastMessageAt       *time.Time `json:"lastMessageAt"`
	Unread              int        `json:"unread"`
	MarkedUnread        bool       `json:"markedUnread"`
	Archived            bool       `json:"archived"`
	Pinned              bool       `json:"pinned"`
	MutedUntil          *time.Time `json:"mutedUntil"`
	DisappearingSeconds int        `json:"disappearingSeconds"`
	Labels              []string   `json:"labels"`
}

// chats lists a session's chats, by their ids.
func (s session) chats(query string) (list []chat, ids []string) {
	s.t.Helper()
	var page struct{ Data []chat }
	s.must(200, "GET", "/chats?"+query, nil, &page)
	for _, c := range page.Data {
		ids = append(ids, c.ID)
	}
	return page.Data, ids
}

// awaitChat waits until a chat is as it is wanted.
func (s session) awaitChat(id, what string, want func(chat) bool) chat {
	s.t.Helper()
	var c chat
	eventually(s.t, "the chat to be "+what, func() error {
		c = chat{}
		if status, raw := call(s.t, "GET", s.url("/chats/"+id), nil, &c); status != 200 || !want(c) {
			return fmt.Errorf("%d %s", status, raw)
		}
		return nil
	})
	return c
}

// chatAfter is the chat that a change of it answers.
func (s session) chatAfter(method, path string, in any) (c chat) {
	s.t.Helper()
	s.must(200, method, path, in, &c)
	return c
}

// Feature: List of chats with last message and unread
func TestChatList(t *testing.T) {
	t.Parallel()
	s, bert, anna := newSession(t), newPhone(t, "Bert"), newPhone(t, "Anna")
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "one"}))
	last := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "two"}))
	list, ids := s.chats("")
	if !slices.Equal(ids, []string{bert.jid()}) || list[0].Unread != 2 || list[0].Name != "Bert" || list[0].LastMessage == nil || list[0].LastMessage.ID != last.ID {
		t.Errorf("the list is %+v", list)
	}
	// A later second, by which the chats are ordered.
	eventually(t, "the next second", func() error {
		if time.Since(*list[0].LastMessageAt) < 1100*time.Millisecond {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	sent := s.send(anna.number, map[string]any{"type": "text", "text": "hello"})
	list, ids = s.chats("")
	if !slices.Equal(ids, []string{anna.jid(), bert.jid()}) || list[0].Unread != 0 || list[0].LastMessage.ID != sent.ID {
		t.Errorf("the list is %+v", list)
	}
	var page struct {
		Data       []chat
		NextCursor string
		HasMore    bool
	}
	s.must(200, "GET", "/chats?limit=1", nil, &page)
	if !page.HasMore || page.Data[0].ID != anna.jid() {
		t.Errorf("the first page is %+v", page)
	}
	cursor := page.NextCursor
	s.must(200, "GET", "/chats?limit=1&cursor="+url.QueryEscape(cursor), nil, &page)
	if page.HasMore || page.Data[0].ID != bert.jid() {
		t.Errorf("the second page is %+v", page)
	}
	for query, want := range map[string][]string{
		"unread=true": {bert.jid()}, "unread=false": {anna.jid()}, "q=BER": {bert.jid()}, "q=" + anna.number[5:]: {anna.jid()}, "q=%25": nil, "kind=group": nil,
		"archived=true": nil, "pinned=false&kind=user": {anna.jid(), bert.jid()}, "labelId=1": nil,
	} {
		if _, ids := s.chats(query); !slices.Equal(ids, want) {
			t.Errorf("%s lists %q, want %q", query, ids, want)
		}
	}
	var messages struct{ Data []message }
	s.must(200, "GET", "/chats/"+bert.number+"/messages", nil, &messages)
	if len(messages.Data) != 2 || messages.Data[0].ID != last.ID {
		t.Errorf("the messages are %+v", messages.Data)
	}
	if c := s.awaitChat("+"+bert.number, "read", func(c chat) bool { return c.Unread == 2 }); c.LastMessage.ID != last.ID {
		t.Errorf("the chat is %+v", c)
	}
	s.send(bert.number, map[string]any{"type": "text", "text": "an answer"}) // whoever answers has read
	s.awaitChat(bert.jid(), "read", func(c chat) bool { return c.Unread == 0 })

	s.refused("chat_not_found", "GET", "/chats/5491199999999", nil)
	s.refused("chat_not_found", "GET", "/chats/5491199999999/messages", nil)
	s.refused("validation_failed", "GET", "/chats/nobody", nil)
	s.refused("validation_failed", "GET", "/chats?cursor=x", nil)
	s.refused("session_not_found", "GET", "/v1/sessions/none/chats", nil)
}

// Feature: Archive, pin, mute and mark a chat as unread
func TestChatSettings(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	path := "/chats/" + bert.number
	sees := func(action string, member string, want any) {
		t.Helper()
		s.phone.notices("appState", func(data map[string]any) bool {
			return data["action"] == action && data["chat"] == bert.number && dig(data, "value", action0(action), member) == want
		})
	}
	told := func(what func(map[string]any) bool) {
		t.Helper()
		s.gets("chat.updated", func(data map[string]any) bool {
			c, _ := data["chat"].(map[string]any)
			return c["id"] == bert.jid() && what(c)
		})
	}
	c := s.chatAfter("PATCH", path, map[string]any{"pinned": true})
	if !c.Pinned || c.Archived {
		t.Errorf("the chat is %+v", c)
	}
	sees("pin", "pinned", true)
	told(func(c map[string]any) bool { return c["pinned"] == true })
	c = s.chatAfter("PATCH", path, map[string]any{"archived": true, "mutedUntil": "9999-12-31T00:00:00Z", "unread": true})
	if c.Pinned || !c.Archived || c.MutedUntil == nil || c.MutedUntil.Year() != 9999 || !c.MarkedUnread {
		t.Errorf("the chat is %+v", c)
	}
	sees("archive", "archived", true)
	sees("pin", "pinned", false)
	sees("mute", "muted", true)
	sees("markRead", "read", false)
	told(func(c map[string]any) bool {
		return c["archived"] == true && c["markedUnread"] == true && c["mutedUntil"] != nil
	})
	c = s.chatAfter("PATCH", path, map[string]any{"archived": false, "mutedUntil": nil, "unread": false})
	if c.Archived || c.MutedUntil != nil || c.MarkedUnread || c.Unread != 0 {
		t.Errorf("the chat is %+v", c)
	}
	sees("mute", "muted", false)
	sees("markRead", "read", true)
	until := time.Now().Add(8 * time.Hour).UTC().Truncate(time.Millisecond)
	c = s.chatAfter("PATCH", path, map[string]any{"mutedUntil": until})
	if c.MutedUntil == nil || !c.MutedUntil.Equal(until) {
		t.Errorf("it is muted until %v, want %v", c.MutedUntil, until)
	}

	told(func(c map[string]any) bool { return c["mutedUntil"] != nil && c["archived"] == false })
	// Each change is told once, though its mutations come back from WhatsApp.
	var page struct{ Data []json.RawMessage }
	s.must(200, "GET", "/v1/events?limit=200&type=chat.updated&sessionId="+s.id, nil, &page)
	if len(page.Data) != 4 {
		t.Errorf("%d events, want 4: %s", len(page.Data), page.Data)
	}

	// The same by the owner's hand.
	for _, step := range []struct {
		change map[string]any
		want   func(chat) bool
	}{
		{map[string]any{"action": "pin", "on": true}, func(c chat) bool { return c.Pinned }},
		{map[string]any{"action": "archive", "on": true}, func(c chat) bool { return c.Archived && !c.Pinned }},
		{map[string]any{"action": "archive", "on": false}, func(c chat) bool { return !c.Archived }},
		{map[string]any{"action": "mute", "on": true}, func(c chat) bool { return c.MutedUntil != nil && c.MutedUntil.Year() == 9999 }},
		{map[string]any{"action": "mute", "on": false}, func(c chat) bool { return c.MutedUntil == nil }},
		{map[string]any{"action": "markRead", "on": false}, func(c chat) bool { return c.MarkedUnread }},
		{map[string]any{"action": "markRead", "on": true}, func(c chat) bool { return !c.MarkedUnread }},
	} {
		step.change["chat"] = bert.number
		s.phone.act("POST", "/appstate", step.change, nil)
		s.awaitChat(bert.number, fmt.Sprint(step.change), step.want)
		told(func(got map[string]any) bool {
			var c chat
			raw, _ := json.Marshal(got)
			return json.Unmarshal(raw, &c) == nil && step.want(c)
		})
	}

	s.refused("chat_not_found", "PATCH", "/chats/5491199999999", map[string]any{"pinned": true})
	s.refused("validation_failed", "PATCH", path, map[string]any{})
	s.refused("validation_failed", "PATCH", path, map[string]any{"archived": true, "pinned": true})
	s.refused("validation_failed", "PATCH", path, map[string]any{"mutedUntil": "2020-01-01T00:00:00Z"})
	s.refused("validation_failed", "PATCH", path, map[string]any{"disappearingSeconds": 5})

	s.stop()
	var queued struct{ ID, Status, Kind, Target string }
	s.must(202, "PATCH", path, map[string]any{"pinned": true}, &queued)
	if queued.Status != "queued" || queued.Kind != "chat.update" || queued.Target != bert.jid() {
		t.Errorf("the change is %+v", queued)
	}
	s.start()
	s.awaitChat(bert.number, "pinned", func(c chat) bool { return c.Pinned })
}

// action0 is the member of a mutation's value that an action of the sandbox's sets.
func action0(action string) string {
	return map[string]string{"pin": "pinAction", "archive": "archiveChatAction", "mute": "muteAction", "markRead": "markChatAsReadAction"}[action]
}

// What was set on the phone before the device was linked is there, and is not told.
//
// Feature: Archive, pin, mute and mark a chat as unread
func TestSettingsFromBeforeTheLink(t *testing.T) {
	t.Parallel()
	owner, bert := newPhone(t, "Owner"), newPhone(t, "Bert")
	owner.act("POST", "/appstate", map[string]any{"action": "pin", "chat": bert.number, "on": true}, nil)
	owner.act("POST", "/appstate", map[string]any{"action": "mute", "chat": bert.number, "on": true}, nil)
	owner.act("POST", "/appstate", map[string]any{"action": "label", "label": "3", "name": "Old customer", "color": 2}, nil)
	owner.act("POST", "/appstate", map[string]any{"action": "labelChat", "label": "3", "chat": bert.number, "on": true}, nil)
	s := linked(t, owner)
	s.awaitChat(bert.number, "pinned, muted and labelled", func(c chat) bool { return c.Pinned && c.MutedUntil != nil && slices.Equal(c.Labels, []string{"3"}) })
	eventually(t, "the label", func() error {
		var labels struct {
			Data []struct {
				ID, Name string
				Color    int
			}
		}
		if s.must(200, "GET", "/labels", nil, &labels); len(labels.Data) != 1 || labels.Data[0].Name != "Old customer" || labels.Data[0].Color != 2 {
			return fmt.Errorf("%+v", labels)
		}
		return nil
	})
	var page struct{ Data []json.RawMessage }
	s.must(200, "GET", "/v1/events?type=chat.updated,label.updated&sessionId="+s.id, nil, &page)
	if len(page.Data) > 0 {
		t.Errorf("told %s", page.Data)
	}
}

// Feature: Mark as read
func TestReadChat(t *testing.T) {
	t.Parallel()
	s, bert, anna := newSession(t), newPhone(t, "Bert"), newPhone(t, "Anna")
	reads := func(p phone, id string) {
		t.Helper()
		p.notices("receipt", func(data map[string]any) bool {
			ids, _ := data["ids"].([]any)
			return data["type"] == "read" && slices.Contains(ids, any(id))
		})
	}
	first := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "one"})
	second := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "two"})
	s.received(first)
	s.received(second)
	c := s.chatAfter("POST", "/chats/"+bert.number+"/read", nil)
	if c.Unread != 0 {
		t.Errorf("the chat is %+v", c)
	}
	reads(bert, first)
	reads(bert, second)
	s.phone.notices("appState", func(data map[string]any) bool {
		return data["action"] == "markRead" && data["chat"] == bert.number && dig(data, "value", "markChatAsReadAction", "read") == true
	})
	s.gets("chat.updated", func(data map[string]any) bool {
		return dig(data, "chat", "id") == bert.jid() && dig(data, "chat", "unread") == 0.0
	})

	// In a group, each sender learns of it.
	var group struct{ JID string }
	bert.act("POST", "/groups", map[string]any{"subject": "Crew", "participants": []string{s.phone.number, anna.number}}, &group)
	ofBert := bert.send(map[string]any{"to": group.JID, "type": "text", "text": "a"})
	ofAnna := anna.send(map[string]any{"to": group.JID, "type": "text", "text": "b"})
	s.received(ofBert)
	s.received(ofAnna)
	if c := s.awaitChat(group.JID, "unread", func(c chat) bool { return c.Unread == 2 }); c.Kind != "group" {
		t.Errorf("the chat is %+v", c)
	}
	c = s.chatAfter("POST", "/chats/"+group.JID+"/read", nil)
	if c.Unread != 0 {
		t.Errorf("the group is %+v", c)
	}
	reads(bert, ofBert)
	reads(anna, ofAnna)

	// What the owner reads on the phone is read here.
	id := anna.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"})
	s.received(id)
	s.awaitChat(anna.number, "unread", func(c chat) bool { return c.Unread == 1 })
	s.phone.sees("the message", func(m sandbox.Message) bool { return m.ID == id })
	s.phone.act("POST", "/read", map[string]any{"from": anna.number}, nil)
	s.awaitChat(anna.number, "read", func(c chat) bool { return c.Unread == 0 })
	s.gets("chat.updated", func(data map[string]any) bool {
		return dig(data, "chat", "id") == anna.jid() && dig(data, "chat", "unread") == 0.0
	})
	// And so is a chat that the owner answers.
	s.received(anna.send(map[string]any{"to": s.phone.number, "type": "text", "text": "again"}))
	s.received(s.phone.send(map[string]any{"to": anna.number, "type": "text", "text": "an answer"}))
	s.awaitChat(anna.number, "read", func(c chat) bool { return c.Unread == 0 })

	s.refused("chat_not_found", "POST", "/chats/5491199999999/read", nil)
}

// Feature: Disappearing timer of a chat
func TestDisappearingTimer(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.send(bert.number, map[string]any{"type": "text", "text": "hello"})
	c := s.chatAfter("PATCH", "/chats/"+bert.number, map[string]any{"disappearingSeconds": 604800})
	if c.DisappearingSeconds != 604800 {
		t.Errorf("the chat is %+v", c)
	}
	bert.sees("the timer", func(m sandbox.Message) bool { return m.Type == "ephemeral" && m.EphemeralSeconds == 604800 })
	s.gets("chat.updated", func(data map[string]any) bool { return dig(data, "chat", "disappearingSeconds") == 604800.0 })
	bert.send(map[string]any{"to": s.phone.number, "type": "ephemeral", "ephemeralSeconds": 86400})
	s.awaitChat(bert.number, "with the other's timer", func(c chat) bool { return c.DisappearingSeconds == 86400 })
	s.gets("chat.updated", func(data map[string]any) bool { return dig(data, "chat", "disappearingSeconds") == 86400.0 })

	var group struct{ JID string }
	bert.act("POST", "/groups", map[string]any{"subject": "Crew", "participants": []string{s.phone.number}}, &group)
	s.received(bert.send(map[string]any{"to": group.JID, "type": "text", "text": "hello"}))
	if c = s.chatAfter("PATCH", "/chats/"+group.JID, map[string]any{"disappearingSeconds": 86400}); c.DisappearingSeconds != 86400 {
		t.Errorf("the group is %+v", c)
	}
	bert.notices("group", func(data map[string]any) bool {
		return data["group"] == group.JID && data["ephemeralSeconds"] == 86400.0
	})
	bert.act("PATCH", "/groups/"+group.JID, map[string]any{"ephemeralSeconds": 0}, nil)
	s.awaitChat(group.JID, "without a timer", func(c chat) bool { return c.DisappearingSeconds == 0 })
}

// Feature: Clear and delete a chat
func TestClearAndDelete(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	write := func() {
		t.Helper()
		s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
		s.send(bert.number, map[string]any{"type": "text", "text": "hello"})
	}
	count := func() int {
		t.Helper()
		var page struct{ Data []message }
		s.must(200, "GET", "/messages?chatId="+bert.number, nil, &page)
		return len(page.Data)
	}
	write()
	c := s.chatAfter("DELETE", "/chats/"+bert.number+"/messages", nil)
	if n := count(); n != 0 || c.ID != bert.jid() || c.Unread != 0 {
		t.Errorf("%d messages are left, the chat is %+v", n, c)
	}
	s.awaitChat(bert.number, "empty", func(c chat) bool { return c.LastMessage == nil })
	s.phone.notices("appState", func(data map[string]any) bool { return data["action"] == "clearChat" && data["chat"] == bert.number })
	s.gets("chat.updated", func(data map[string]any) bool {
		return data["cleared"] == true && data["deleted"] == nil && dig(data, "chat", "id") == bert.jid()
	})

	write()
	c = s.chatAfter("DELETE", "/chats/"+bert.number, nil)
	if n := count(); n != 0 || c.Name != "Bert" {
		t.Errorf("%d messages are left, the chat was %+v", n, c)
	}
	s.phone.notices("appState", func(data map[string]any) bool { return data["action"] == "deleteChat" && data["chat"] == bert.number })
	s.gets("chat.updated", func(data map[string]any) bool { return data["deleted"] == true })
	s.refused("chat_not_found", "GET", "/chats/"+bert.number, nil)
	s.refused("chat_not_found", "DELETE", "/chats/"+bert.number, nil)
	s.refused("chat_not_found", "DELETE", "/chats/"+bert.number+"/messages", nil)

	// By the owner's hand.
	write()
	s.phone.act("POST", "/appstate", map[string]any{"action": "clearChat", "chat": bert.number}, nil)
	s.awaitChat(bert.number, "empty", func(c chat) bool { return c.LastMessage == nil && c.Unread == 0 })
	write()
	s.phone.act("POST", "/appstate", map[string]any{"action": "deleteChat", "chat": bert.number}, nil)
	eventually(t, "the chat to be gone", func() error {
		if status, raw := call(t, "GET", s.url("/chats/"+bert.number), nil, nil); status != 404 {
			return fmt.Errorf("%d %s", status, raw)
		}
		return nil
	})
	deleted := 0
	s.gets("chat.updated", func(data map[string]any) bool {
		if data["deleted"] == true {
			deleted++
		}
		return deleted == 2
	})
	if n := count(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

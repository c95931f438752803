package features

import (
	"fmt"
	"testing"
)

// presence is a contact's presence as clients get it.
type presence struct {
	Contact    address
	State      string
	LastSeen   string
	Typing     string
	Subscribed bool
	UpdatedAt  string
}

// awaitPresence waits until the API shows a presence as it is wanted.
func (s session) awaitPresence(id, what string, want func(presence) bool) presence {
	s.t.Helper()
	var p presence
	eventually(s.t, "the presence to be "+what, func() error {
		p = presence{}
		if status, raw := call(s.t, "GET", s.url("/presence/"+id), nil, &p); status != 200 || !want(p) {
			return fmt.Errorf("%d %s", status, raw)
		}
		return nil
	})
	return p
}

// watches lets the phone be told of another's presence.
func (p phone) watches(other phone) {
	p.t.Helper()
	p.act("PUT", "/presence", map[string]any{"available": true}, nil)
	p.act("POST", "/subscriptions", map[string]any{"number": other.number}, nil)
}

// comesOrGoes waits until the phone is told, after a moment in its events, that another is there, or no more. It returns the next moment.
func (p phone) comesOrGoes(other phone, available bool, after int64) int64 {
	p.t.Helper()
	var next int64
	eventually(p.t, fmt.Sprintf("%s to be available: %t", other.number, available), func() error {
		var page struct {
			Events []struct {
				Seq  int64
				Data map[string]any
			}
		}
		p.act("GET", fmt.Sprintf("/events?kind=presence&after=%d", after), nil, &page)
		for _, e := range page.Events {
			if e.Data["from"] == other.number && e.Data["available"] == available {
				next = e.Seq
				return nil
			}
		}
		return fmt.Errorf("there were %v", page.Events)
	})
	return next
}

// Feature: Presence
// Feature: Mark read and presence mode as settings
func TestOwnPresence(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	bert.watches(s.phone)
	seq := bert.comesOrGoes(s.phone, false, 0) // by default nobody is there

	var own struct{ State string }
	s.must(200, "PUT", "/presence", map[string]any{"state": "available"}, &own)
	if own.State != "available" {
		t.Errorf("the answer is %+v", own)
	}
	seq = bert.comesOrGoes(s.phone, true, seq)
	var shown struct{ Settings struct{ Presence string } }
	if s.must(200, "GET", "", nil, &shown); shown.Settings.Presence != "available" {
		t.Errorf("the setting is %+v", shown)
	}

	// It holds over a reconnect, and ends with the connection.
	s.stop()
	seq = bert.comesOrGoes(s.phone, false, seq)
	s.start()
	seq = bert.comesOrGoes(s.phone, true, seq)

	// The setting is the same by PATCH. Who types is there all the same.
	s.must(200, "PATCH", "", map[string]any{"settings": map[string]any{"presence": "unavailable"}}, nil)
	seq = bert.comesOrGoes(s.phone, false, seq)
	s.must(200, "PUT", "/chats/"+bert.number+"/typing", map[string]any{"state": "typing"}, nil)
	bert.comesOrGoes(s.phone, true, seq)

	s.refused("validation_failed", "PUT", "/presence", map[string]any{"state": "away"})
	s.refused("validation_failed", "PATCH", "", map[string]any{"settings": map[string]any{"presence": "away"}})
	session{t, "nobody", s.phone}.refused("session_not_found", "PUT", "/presence", map[string]any{"state": "available"})
}

// Feature: Presence
func TestPresenceOfOthers(t *testing.T) {
	t.Parallel()
	s, bert, anna := newSession(t), newPhone(t, "Bert"), newPhone(t, "Anna")
	of := "/presence/" + bert.number
	if p := s.awaitPresence(bert.number, "unknown", func(p presence) bool { return p.State == "unknown" }); p.Subscribed || p.Contact.ID != bert.jid() {
		t.Errorf("of a stranger it is %+v", p)
	}
	var p presence
	s.must(200, "PUT", of+"/subscription", nil, &p)
	if !p.Subscribed || p.Contact.ID != bert.jid() {
		t.Errorf("subscribed it is %+v", p)
	}
	s.must(200, "PUT", of+"/subscription", nil, &p) // twice is once
	bert.act("PUT", "/presence", map[string]any{"available": true}, nil)
	anna.act("PUT", "/presence", map[string]any{"available": true}, nil)

	// An account that is not there itself is told nothing; once it is, WhatsApp tells.
	s.must(200, "PUT", "/presence", map[string]any{"state": "available"}, nil)
	about := func(state string) func(map[string]any) bool {
		return func(data map[string]any) bool {
			return dig(data, "presence", "contact", "id") == bert.jid() && dig(data, "presence", "state") == state
		}
	}
	s.gets("presence.updated", about("available"))
	s.awaitPresence(bert.number, "available", func(p presence) bool { return p.State == "available" && p.Subscribed && p.UpdatedAt != "" })
	bert.act("PUT", "/presence", map[string]any{"available": false}, nil)
	if gone := s.gets("presence.updated", about("unavailable")); dig(gone, "presence", "lastSeen") == nil {
		t.Errorf("without a last seen time: %v", gone)
	}

	// Offline nothing is known; the subscription holds over the reconnect.
	s.stop()
	s.awaitPresence(bert.number, "unknown", func(p presence) bool { return p.State == "unknown" && p.Subscribed && p.LastSeen != "" })
	bert.act("PUT", "/presence", map[string]any{"available": true}, nil)
	s.start()
	s.awaitPresence(bert.number, "available again", func(p presence) bool { return p.State == "available" })

	// What is asked while it is offline waits.
	s.stop()
	var waits struct{ Kind, Status string }
	s.must(202, "PUT", "/presence/"+anna.number+"/subscription", nil, &waits)
	if waits.Kind != "presence.subscribe" || waits.Status != "queued" {
		t.Errorf("the change is %+v", waits)
	}
	s.start()
	s.awaitPresence(anna.number, "available", func(p presence) bool { return p.State == "available" })

	// Its end: nothing more is told.
	s.must(200, "DELETE", of+"/subscription", nil, &p)
	if p.Subscribed || p.State != "unknown" {
		t.Errorf("after the end it is %+v", p)
	}
	told := s.count("presence.updated", func(data map[string]any) bool { return dig(data, "presence", "contact", "id") == bert.jid() })
	bert.act("PUT", "/presence", map[string]any{"available": false}, nil)
	anna.act("PUT", "/presence", map[string]any{"available": false}, nil)
	s.gets("presence.updated", func(data map[string]any) bool {
		return dig(data, "presence", "contact", "id") == anna.jid() && dig(data, "presence", "state") == "unavailable"
	})
	if n := s.count("presence.updated", func(data map[string]any) bool { return dig(data, "presence", "contact", "id") == bert.jid() }); n != told {
		t.Errorf("%d events of somebody whose subscription has ended", n-told)
	}
	if p := s.awaitPresence(bert.number, "unknown", func(presence) bool { return true }); p.State != "unknown" || p.Subscribed || p.LastSeen != "" {
		t.Errorf("of somebody whose subscription has ended: %+v", p)
	}

	s.refused("validation_failed", "GET", "/presence/nobody", nil)
	s.refused("validation_failed", "PUT", "/presence/120363025246125486@g.us/subscription", nil)
	session{t, "nobody", s.phone}.refused("session_not_found", "GET", of, nil)
	session{t, "nobody", s.phone}.refused("session_not_found", "DELETE", of+"/subscription", nil)
}

// Feature: Presence
func TestTypingOfOthers(t *testing.T) {
	t.Parallel()
	s, bert, anna := newSession(t), newPhone(t, "Bert"), newPhone(t, "Anna")
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	group := s.phone.group("Neighbours", bert, anna)
	does := func(chat string, who phone, state string) func(map[string]any) bool {
		return func(data map[string]any) bool {
			return data["chatId"] == chat && dig(data, "from", "id") == who.jid() && data["state"] == state
		}
	}
	bert.act("POST", "/chatstate", map[string]any{"to": s.phone.number, "state": "typing"}, nil)
	if told := s.gets("chat.typing", does(bert.jid(), bert, "typing")); dig(told, "from", "name") != "Bert" {
		t.Errorf("it is told of %v", told)
	}
	s.awaitPresence(bert.number, "typing", func(p presence) bool { return p.Typing == "typing" && !p.Subscribed && p.State == "unknown" })
	for range 20 { // what is known already is not told
		bert.act("POST", "/chatstate", map[string]any{"to": s.phone.number, "state": "typing"}, nil)
	}
	bert.act("POST", "/chatstate", map[string]any{"to": s.phone.number, "state": "paused"}, nil)
	s.gets("chat.typing", does(bert.jid(), bert, "paused"))
	s.awaitPresence(bert.number, "paused", func(p presence) bool { return p.Typing == "" })
	if n := s.count("chat.typing", does(bert.jid(), bert, "typing")); n != 1 && n != 2 { // it is told again after 15 s, on a slow machine
		t.Errorf("typing was told %d times", n)
	}

	s.gets("group.joined", func(data map[string]any) bool { return dig(data, "group", "id") == group })
	anna.act("POST", "/chatstate", map[string]any{"to": group, "state": "recording"}, nil)
	s.gets("chat.typing", does(group, anna, "recording"))
	if p := s.awaitPresence(anna.number, "shown", func(presence) bool { return true }); p.Typing != "" {
		t.Errorf("what is said in a group is no typing to the account: %+v", p)
	}
}

package features

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// paces sets what a session's messages wait for.
func (s session) paces(sending map[string]any) {
	s.t.Helper()
	s.must(200, "PATCH", "", map[string]any{"settings": map[string]any{"sending": sending}}, nil)
}

// waits waits until a message waits for something.
func (s session) waits(m message, want string) {
	s.t.Helper()
	eventually(s.t, "the message to wait for "+want, func() error {
		var now message
		s.must(200, "GET", "/messages/"+m.ID, nil, &now)
		if now.raw["waitsFor"] != want || now.Status != "queued" {
			return fmt.Errorf("it is %s and waits for %v", now.Status, now.raw["waitsFor"])
		}
		return nil
	})
}

// knowsTheWindow returns once the session's connector has heard of a window that was set just now: until then it sends as before.
func (s session) knowsTheWindow() {
	s.t.Helper()
	nobody := newPhone(s.t, "Dora")
	eventually(s.t, "the connector to know the window", func() error {
		m := s.accepted(nobody.number, "is it open?", nil)
		for m.raw["waitsFor"] != "window" {
			s.must(200, "GET", "/messages/"+m.ID, nil, &m, "Prefer", "wait=1")
			if m.Status != "queued" && m.Status != "sending" {
				return fmt.Errorf("a message is %s", m.Status)
			}
		}
		s.must(200, "POST", "/messages/"+m.ID+"/cancel", nil, nil)
		return nil
	})
}

// health reads how the account fares until want says so.
func (s session) health(what string, want func(map[string]any) bool) {
	s.t.Helper()
	eventually(s.t, what, func() error {
		var health map[string]any
		s.must(200, "GET", "/health", nil, &health)
		if !want(health) {
			return fmt.Errorf("its health is %v", health)
		}
		return nil
	})
}

// Feature: Sending windows and priority
func TestSendingWindow(t *testing.T) {
	t.Parallel()
	s, bert, carl := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carl")
	hour := func(in time.Duration) string { return time.Now().UTC().Add(in).Format("15:04") }
	s.paces(map[string]any{"window": map[string]any{"from": hour(2 * time.Hour), "to": hour(3 * time.Hour), "timeZone": "UTC"}})

	s.knowsTheWindow()
	tomorrow := s.accepted(bert.number, "in the window", nil)
	s.waits(tomorrow, "window")
	second := s.accepted(bert.number, "behind it", nil)
	s.waits(second, "chat")
	s.health("the window to be closed", func(h map[string]any) bool {
		opens, err := time.Parse(time.RFC3339, fmt.Sprint(h["windowOpensAt"]))
		left := time.Until(opens)
		return err == nil && left > 110*time.Minute && left < 121*time.Minute && dig(h, "waiting", "window") == 1.0 && dig(h, "waiting", "chat") == 1.0
	})

	now := s.accepted(bert.number, "at once", map[string]any{"priority": "high"})
	if now.raw["priority"] != "high" {
		t.Errorf("the answer is %v", now.raw)
	}
	s.ends(now.ID, "delivered")
	s.received(carl.send(map[string]any{"to": s.phone.number, "type": "text", "text": "Are you open?"}))
	s.ends(s.accepted(carl.number, "No, but I answer.", nil).ID, "delivered")

	cancelled := s.accepted(bert.number, "never", nil)
	s.waits(cancelled, "chat")
	s.must(200, "POST", "/messages/"+cancelled.ID+"/cancel", nil, nil)
	s.paces(map[string]any{})
	s.ends(second.ID, "delivered")
	if seen := bert.texts(s.phone.number, 3); !slices.Equal(seen, []string{"at once", "in the window", "behind it"}) {
		t.Errorf("the phone saw %q", seen)
	}
	var m message
	s.must(200, "GET", "/messages/"+tomorrow.ID, nil, &m)
	if m.raw["waitsFor"] != nil {
		t.Errorf("sent, it is %v", m.raw)
	}

	for at, wrong := range map[string]map[string]any{
		"body.settings.sending.window.timeZone":        {"window": map[string]any{"from": "09:00", "to": "19:00", "timeZone": "America/Limo"}},
		"body.settings.sending.window.to":              {"window": map[string]any{"from": "09:00", "to": "09:00", "timeZone": "UTC"}},
		"body.settings.sending.window.from":            {"window": map[string]any{"from": "9:00", "to": "19:00", "timeZone": "UTC"}},
		"body.settings.sending.pace.maxSeconds":        {"pace": map[string]any{"minSeconds": 5, "maxSeconds": 1}},
		"body.settings.sending.newContacts.perDay":     {"newContacts": map[string]any{"minSeconds": 0, "maxSeconds": 1, "warmUpDays": 5}},
		"body.settings.sending.unknown":                {"unknown": true},
		"body.settings.sending.newContacts.maxSeconds": {"newContacts": map[string]any{"minSeconds": 0, "maxSeconds": 3601}},
	} {
		status, body := call(t, "PATCH", s.url(""), map[string]any{"settings": map[string]any{"sending": wrong}}, nil)
		if status != 422 || !bytes.Contains(body, []byte(`"`+at+`"`)) {
			t.Errorf("%s: %d %s", at, status, body)
		}
	}
	s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": map[string]any{"type": "text", "text": "x"}, "priority": "urgent"})
}

// Feature: Sending windows and priority
func TestPriorityOvertakes(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.stop()
	var many []map[string]any
	for i := range 40 {
		many = append(many, map[string]any{"to": bert.number, "content": map[string]any{"type": "text", "text": fmt.Sprint(i)}})
	}
	s.must(202, "POST", "/message-batches", map[string]any{"messages": many}, nil)
	s.must(202, "POST", "/message-batches", map[string]any{"priority": "high", "messages": []map[string]any{{"to": bert.number, "content": map[string]any{"type": "text", "text": "code 1234"}}}}, nil)
	later := s.accepted(bert.number, "later and soon", map[string]any{"priority": "high", "sendAt": time.Now().Add(time.Second)})
	s.ends(later.ID, "queued")
	s.start()
	seen := bert.texts(s.phone.number, 42)
	for _, first := range []string{"code 1234", "later and soon"} {
		if at := slices.Index(seen, first); at > 10 {
			t.Errorf("%q came as number %d", first, at+1)
		}
	}
	normal := slices.DeleteFunc(slices.Clone(seen), func(text string) bool { return text == "code 1234" || text == "later and soon" })
	for i, text := range normal {
		if text != fmt.Sprint(i) {
			t.Fatalf("the others came as %q", normal)
		}
	}
}

// Feature: Pacing: lanes for cold and reply, warm-up, daily caps for new contacts, account health
func TestPacing(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	strangers := []phone{newPhone(t, "Ana"), newPhone(t, "Bert"), newPhone(t, "Carl")}
	s.stop() // a connector that runs hears of it a moment later
	s.paces(map[string]any{"pace": map[string]any{"minSeconds": 2, "maxSeconds": 3}})
	s.start()
	began := time.Now()
	for i, p := range strangers {
		s.accepted(p.number, fmt.Sprint("hello ", i), nil)
	}
	last := strangers[2]
	for i, p := range strangers {
		p.sees("the greeting", func(m sandbox.Message) bool { return m.Text == fmt.Sprint("hello ", i) })
		if after, least := time.Since(began), time.Duration(i)*2*time.Second; after < least {
			t.Errorf("message %d came after %s, want %s at least", i, after, least)
		}
	}

	// Who writes is answered at once, in the middle of everything else.
	s.paces(map[string]any{"pace": map[string]any{"minSeconds": 3600, "maxSeconds": 3600}})
	s.accepted(strangers[0].number, "uses the wait up", nil)
	waits := s.accepted(strangers[1].number, "waits for an hour", nil)
	s.waits(waits, "pace")
	s.received(last.send(map[string]any{"to": s.phone.number, "type": "text", "text": "Who is it?"}))
	s.ends(s.accepted(last.number, "It is me.", nil).ID, "delivered")
	s.received(strangers[1].send(map[string]any{"to": s.phone.number, "type": "text", "text": "And me?"})) // what waited is an answer now
	s.ends(waits.ID, "delivered")
}

// Feature: Pacing: lanes for cold and reply, warm-up, daily caps for new contacts, account health
func TestNewContactsOfADay(t *testing.T) {
	t.Parallel()
	s, friend := newSession(t), newPhone(t, "Friend")
	strangers := []phone{newPhone(t, "Ana"), newPhone(t, "Bert"), newPhone(t, "Carl")}
	s.received(friend.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	s.paces(map[string]any{"newContacts": map[string]any{"minSeconds": 0, "maxSeconds": 0, "perDay": 20, "warmUpDays": 10}}) // 2 on the first day
	var sent []message
	for i, p := range strangers {
		sent = append(sent, s.accepted(p.number, fmt.Sprint("hello ", i), nil))
	}
	s.ends(sent[0].ID, "delivered")
	s.ends(sent[1].ID, "delivered")
	s.waits(sent[2], "perDay")
	s.ends(s.accepted(strangers[0].number, "and another thing", nil).ID, "delivered") // is not new any more
	s.ends(s.accepted(friend.number, "hello, friend", nil).ID, "delivered")
	s.health("two new contacts of two", func(h map[string]any) bool {
		return h["level"] == "good" && dig(h, "newContacts", "today") == 2.0 && dig(h, "newContacts", "perDay") == 2.0 && dig(h, "waiting", "perDay") == 1.0
	})
	s.paces(map[string]any{"newContacts": map[string]any{"minSeconds": 0, "maxSeconds": 0, "perDay": 3}})
	s.ends(sent[2].ID, "delivered")
}

// Feature: Pacing: lanes for cold and reply, warm-up, daily caps for new contacts, account health
func TestAccountHealth(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	s.phone.act("PUT", "/restriction", map[string]any{"until": until}, nil)
	data := s.gets("session.risk", func(data map[string]any) bool { return dig(data, "health", "level") == "risk" })
	if got := dig(data, "health", "restrictedUntil"); got != until.Format(time.RFC3339) {
		t.Errorf("it is restricted until %v, not %s", got, until)
	}
	s.health("the restriction", func(h map[string]any) bool {
		reasons, _ := h["reasons"].([]any)
		return h["level"] == "risk" && len(reasons) == 1 && reasons[0].(map[string]any)["code"] == "account_restricted"
	})
	s.phone.act("PUT", "/restriction", map[string]any{}, nil)
	s.gets("session.risk", func(data map[string]any) bool { return dig(data, "health", "level") == "good" })
	status, _ := call(t, "GET", running.URL+"/v1/sessions/nobody/health", nil, nil)
	if status != 404 {
		t.Errorf("a session that is none: %d", status)
	}
}

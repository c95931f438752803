package features

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// accepted accepts a text, with other members of the request, and returns its message.
func (s session) accepted(to, text string, more map[string]any, header ...string) (m message) {
	s.t.Helper()
	body := map[string]any{"to": to, "content": map[string]any{"type": "text", "text": text}}
	for k, v := range more {
		body[k] = v
	}
	s.must(202, "POST", "/messages", body, &m, header...)
	return m
}

// ends waits until a message has a status, and returns it.
func (s session) ends(id, status string) (m message) {
	s.t.Helper()
	eventually(s.t, "the message to be "+status, func() error {
		s.must(200, "GET", "/messages/"+id, nil, &m)
		if m.Status != status {
			return errStatus(m.Status)
		}
		return nil
	})
	return m
}

// told waits until message.status has told a status of a message.
func (s session) told(m message, status string) map[string]any {
	s.t.Helper()
	return s.gets("message.status", func(data map[string]any) bool { return data["messageId"] == m.ID && data["status"] == status })
}

// texts waits until a phone has seen n texts of somebody, and returns them in its order.
func (p phone) texts(from string, n int) (texts []string) {
	p.t.Helper()
	p.sees(fmt.Sprintf("%d texts", n), func(m sandbox.Message) bool {
		if m.From == from && m.Type == "text" {
			texts = append(texts, m.Text)
		}
		return len(texts) == n
	})
	return texts
}

// Feature: Scheduled messages: send at, reschedule, cancel
func TestScheduledMessages(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	at := time.Now().Add(3 * time.Second)
	second := s.accepted(bert.number, "second", map[string]any{"sendAt": at.Add(time.Second)})
	first := s.accepted(bert.number, "first", map[string]any{"sendAt": at})
	if first.Status != "scheduled" || first.raw["sendAt"] == nil {
		t.Errorf("the answer is %v", first.raw)
	}
	if expires, err := time.Parse(time.RFC3339, fmt.Sprint(first.raw["expiresAt"])); err != nil || expires.Sub(at).Round(time.Minute) != 24*time.Hour {
		t.Errorf("it is given up at %v (%v), a day after %s is wanted", first.raw["expiresAt"], err, at)
	}

	later, never := s.accepted(bert.number, "rescheduled", map[string]any{"sendAt": at.Add(24 * time.Hour)}), s.accepted(bert.number, "never", map[string]any{"sendAt": at})
	var m message
	s.must(200, "POST", "/messages/"+never.ID+"/cancel", nil, &m)
	if m.Status != "cancelled" || m.ID != never.ID || m.raw["sendAt"] != nil {
		t.Errorf("the cancelled message is %v", m.raw)
	}
	s.told(never, "cancelled")
	s.must(200, "POST", "/messages/"+never.WhatsAppID+"/cancel", nil, &m)
	if m.Status != "cancelled" {
		t.Errorf("cancelled twice it is %v", m.raw)
	}
	s.must(200, "PATCH", "/messages/"+later.ID, map[string]any{"sendAt": at.Add(2 * time.Second)}, &m)
	if sendAt, _ := time.Parse(time.RFC3339, fmt.Sprint(m.raw["sendAt"])); m.Status != "scheduled" || sendAt.Sub(at).Round(time.Second) != 2*time.Second {
		t.Errorf("the rescheduled message is %v", m.raw)
	}
	if expires, _ := time.Parse(time.RFC3339, fmt.Sprint(m.raw["expiresAt"])); expires.Sub(at).Round(time.Minute) != 24*time.Hour {
		t.Errorf("rescheduled it is given up at %v", m.raw["expiresAt"])
	}

	if seen := bert.texts(s.phone.number, 3); !slices.Equal(seen, []string{"first", "second", "rescheduled"}) {
		t.Errorf("the phone saw %q", seen)
	}
	bert.sees("the first not before its time", func(m sandbox.Message) bool { return m.Text == "first" && m.Timestamp.Unix() >= at.Unix() })
	for _, m := range []message{first, second, later} {
		s.gets("message.sent", func(data map[string]any) bool { return dig(data, "message", "id") == m.ID })
	}
	s.refused("message_not_cancellable", "POST", "/messages/"+first.ID+"/cancel", nil)
	s.refused("message_not_editable", "PATCH", "/messages/"+first.ID, map[string]any{"sendAt": at.Add(time.Hour)})
	s.refused("message_not_editable", "PATCH", "/messages/"+never.ID, map[string]any{"sendAt": at.Add(time.Hour)})
	s.refused("message_not_found", "POST", "/messages/3EB0NONE/cancel", nil)
	incoming := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	s.refused("message_not_cancellable", "POST", "/messages/"+incoming.ID+"/cancel", nil)
	for _, wrong := range []map[string]any{{"sendAt": time.Now().Add(-time.Minute)}, {"sendAt": time.Now().AddDate(1, 0, 2)}, {"sendAt": at.Add(time.Hour), "expiresAt": at.Add(time.Minute)}} {
		wrong["to"], wrong["content"] = bert.number, map[string]any{"type": "text", "text": "x"}
		s.refused("validation_failed", "POST", "/messages", wrong)
	}
}

// Feature: Scheduled messages: send at, reschedule, cancel
func TestScheduledWhileOffline(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.stop()
	file := map[string]any{"type": "document", "caption": "the file", "media": map[string]any{"base64": base64.StdEncoding.EncodeToString([]byte("bytes")), "mimetype": "text/plain", "fileName": "a.txt"}}
	var scheduled message
	s.must(202, "POST", "/messages", map[string]any{"to": bert.number, "content": file, "sendAt": time.Now().Add(time.Second)}, &scheduled)
	s.ends(scheduled.ID, "queued") // its time came, and the session did not
	queued := s.accepted(bert.number, "queued", nil)
	s.must(200, "POST", "/messages/"+queued.ID+"/cancel", nil, nil)
	s.told(queued, "cancelled")
	last := s.accepted(bert.number, "last", nil)
	s.start()
	bert.sees("the file", func(m sandbox.Message) bool {
		return m.Type == "document" && m.Caption == "the file" && m.Size == 5
	})
	s.ends(last.ID, "delivered")
	if seen := bert.texts(s.phone.number, 1); seen[0] != "last" {
		t.Errorf("the phone saw %q", seen)
	}
}

// Feature: Expiry of messages
func TestExpiry(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.stop()
	late := s.accepted(bert.number, "too late", map[string]any{"expiresAt": time.Now().Add(2 * time.Second)})
	kept := s.accepted(bert.number, "in time", map[string]any{"expiresAt": time.Now().Add(time.Hour)})
	if data := s.told(late, "expired"); data["error"] != nil || data["chatId"] != bert.jid() {
		t.Errorf("it was told as %v", data)
	}
	if m := s.ends(late.ID, "expired"); m.raw["error"] != nil {
		t.Errorf("nothing of it left, and it reads %v", m.raw)
	}
	s.start()
	s.ends(kept.ID, "delivered")
	if seen := bert.texts(s.phone.number, 1); seen[0] != "in time" {
		t.Errorf("the phone saw %q", seen)
	}
	s.refused("message_not_cancellable", "POST", "/messages/"+late.ID+"/cancel", nil)
}

// Feature: The caller's own message id
func TestOwnMessageID(t *testing.T) {
	t.Parallel()
	s, bert, carl := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carl")
	const id = "3EB0AAAABBBBCCCCDDDD01"
	own := map[string]any{"whatsappId": id}
	key := []string{"Idempotency-Key", "own-" + s.id}
	m := s.accepted(bert.number, "mine", own, key...)
	if m.WhatsAppID != id {
		t.Errorf("the answer is %v", m.raw)
	}
	bert.sees("the message under its id", func(m sandbox.Message) bool { return m.ID == id && m.Text == "mine" })
	if again := s.accepted(bert.number, "mine", own, key...); again.ID != m.ID {
		t.Errorf("repeated it is %v", again.raw)
	}
	body := map[string]any{"to": bert.number, "content": map[string]any{"type": "text", "text": "other"}, "whatsappId": id}
	s.refused("message_id_taken", "POST", "/messages", body)
	s.refused("message_id_taken", "POST", "/messages", body, "Idempotency-Key", "other-"+s.id)
	s.accepted(carl.number, "another chat", own)
	carl.sees("the same id in another chat", func(m sandbox.Message) bool { return m.ID == id })
	for _, wrong := range []string{"3eb0aaaabbbbccccdddd01", "3EB0", strings.Repeat("A", 33), "3EB0AAAABBBBCCCCDDD G"} {
		body["whatsappId"] = wrong
		s.refused("validation_failed", "POST", "/messages", body)
	}
}

// Feature: Idempotency-Key
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	key := []string{"Idempotency-Key", "order-" + s.id}
	m := s.accepted(bert.number, "once", nil, key...)
	for range 3 {
		if again := s.accepted(bert.number, "once", nil, key...); again.ID != m.ID || again.WhatsAppID != m.WhatsAppID {
			t.Errorf("repeated it is %v", again.raw)
		}
	}
	s.refused("idempotency_key_reused", "POST", "/messages", map[string]any{"to": bert.number, "content": map[string]any{"type": "text", "text": "twice"}}, key...)
	s.ends(s.accepted(bert.number, "last", nil).ID, "delivered")
	if seen := bert.texts(s.phone.number, 2); !slices.Equal(seen, []string{"once", "last"}) {
		t.Errorf("the phone saw %q", seen)
	}
}

// chatStates waits until a phone has noticed what somebody shows in a chat.
func (p phone) chatState(from, state string) {
	p.t.Helper()
	p.notices("chatState", func(data map[string]any) bool { return data["from"] == from && data["state"] == state })
}

// Feature: Typing simulated before sending
func TestTypingBeforeSending(t *testing.T) {
	t.Parallel()
	s, bert, carl := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carl")
	bert.act("PUT", "/presence", map[string]any{"available": true}, nil)
	bert.act("POST", "/subscriptions", map[string]any{"number": s.phone.number}, nil)

	began := time.Now()
	typed := s.accepted(bert.number, "typed", map[string]any{"typingSeconds": 2})
	bert.chatState(s.phone.number, "typing")
	bert.notices("presence", func(data map[string]any) bool { return data["from"] == s.phone.number && data["available"] == true })
	bert.sees("the text", func(m sandbox.Message) bool { return m.Text == "typed" })
	if waited := time.Since(began); waited < 2*time.Second {
		t.Errorf("it was sent after %s of typing", waited)
	}
	bert.chatState(s.phone.number, "paused")
	s.ends(typed.ID, "delivered")

	voice, err := os.ReadFile("../mediainfo/testdata/silk-mono.ogg")
	if err != nil {
		t.Fatal(err)
	}
	s.must(202, "POST", "/messages", map[string]any{
		"to": carl.number, "content": map[string]any{"type": "voice", "media": map[string]any{"base64": base64.StdEncoding.EncodeToString(voice)}}, "typingSeconds": 1,
	}, nil)
	carl.chatState(s.phone.number, "recording")
	carl.sees("the voice note", func(m sandbox.Message) bool { return m.Type == "voice" })

	// Until it is over the message can be cancelled; what comes after it goes on.
	never := s.accepted(carl.number, "never", map[string]any{"typingSeconds": 30})
	carl.chatState(s.phone.number, "typing")
	after := s.accepted(carl.number, "after", nil)
	s.must(200, "POST", "/messages/"+never.ID+"/cancel", nil, nil)
	s.ends(after.ID, "delivered")
	if seen := carl.texts(s.phone.number, 1); seen[0] != "after" {
		t.Errorf("the phone saw %q", seen)
	}
	s.refused("validation_failed", "POST", "/messages", map[string]any{"to": bert.number, "content": map[string]any{"type": "text", "text": "x"}, "typingSeconds": 31})
}

// Feature: Typing shown in a chat
func TestTypingShown(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	for _, state := range []string{"typing", "recording", "paused"} {
		var shown struct{ ChatID, State string }
		s.must(200, "PUT", "/chats/"+bert.number+"/typing", map[string]any{"state": state}, &shown)
		if shown.ChatID != bert.jid() || shown.State != state {
			t.Errorf("the answer is %+v", shown)
		}
		bert.chatState(s.phone.number, state)
	}
	var group struct{ JID string }
	bert.act("POST", "/groups", map[string]any{"subject": "Both", "participants": []string{s.phone.number}}, &group)
	s.must(200, "PUT", "/chats/"+group.JID+"/typing", map[string]any{"state": "typing"}, nil)
	bert.notices("chatState", func(data map[string]any) bool {
		return data["chat"] == group.JID && data["from"] == s.phone.number && data["state"] == "typing"
	})
	s.refused("validation_failed", "PUT", "/chats/"+bert.number+"/typing", map[string]any{"state": "thinking"})
	s.refused("validation_failed", "PUT", "/chats/status@broadcast/typing", map[string]any{"state": "typing"})
	s.stop()
	s.refused("session_not_connected", "PUT", "/chats/"+bert.number+"/typing", map[string]any{"state": "typing"})
}

// Feature: Receipts per recipient
func TestReceipts(t *testing.T) {
	t.Parallel()
	s, bert, carl := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carl")
	receipts := func(id string) map[string]map[string]any {
		var list struct{ Data []map[string]any }
		s.must(200, "GET", "/messages/"+id+"/receipts", nil, &list)
		by := map[string]map[string]any{}
		for _, r := range list.Data {
			by[fmt.Sprint(dig(r, "contact", "phone"))] = r
		}
		return by
	}
	direct := s.send(bert.number, map[string]any{"type": "text", "text": "hello"})
	eventually(t, "the delivery", func() error {
		if r := receipts(direct.ID); len(r) != 1 || r[bert.number]["deliveredAt"] == nil || r[bert.number]["readAt"] != nil {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	bert.act("POST", "/read", map[string]any{"from": s.phone.number}, nil)
	s.told(direct, "read")
	if r := receipts(direct.ID)[bert.number]; r["deliveredAt"] == nil || r["readAt"] == nil || r["playedAt"] != nil {
		t.Errorf("the receipt is %v", r)
	}

	var group struct{ JID string }
	bert.act("POST", "/groups", map[string]any{"subject": "All", "participants": []string{s.phone.number, carl.number}}, &group)
	m := s.send(group.JID, map[string]any{"type": "text", "text": "hello all"})
	for _, p := range []phone{bert, carl} {
		p.sees("the text", func(m sandbox.Message) bool { return m.Text == "hello all" })
	}
	bert.act("POST", "/read", map[string]any{"from": s.phone.number}, nil)
	eventually(t, "both receipts", func() error {
		if r := receipts(m.ID); len(r) != 2 || r[bert.number]["readAt"] == nil || r[carl.number]["deliveredAt"] == nil || r[carl.number]["readAt"] != nil {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	incoming := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"}))
	if r := receipts(incoming.ID); len(r) != 0 {
		t.Errorf("a message that was received has the receipts %v", r)
	}
	s.refused("message_not_found", "GET", "/messages/3EB0NONE/receipts", nil)
}

// Feature: Failures are typed: restricted, malformed, limited, not on WhatsApp
func TestFailuresAreTyped(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	fails := func(to, code string) http.Header {
		t.Helper()
		raw, _ := json.Marshal(map[string]any{"to": to, "content": map[string]any{"type": "text", "text": code}})
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url("/messages"), strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"X-API-Key": running.APIKey, "Content-Type": "application/json", "Prefer": "wait=30"} {
			r.Header.Set(name, value)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var p struct{ Code, MessageID string }
		if err := json.NewDecoder(answer.Body).Decode(&p); err != nil || p.Code != code || answer.StatusCode < 400 {
			t.Fatalf("%d %+v (%v), want %s", answer.StatusCode, p, err, code)
		}
		if data := s.told(message{ID: p.MessageID}, "failed"); dig(data, "error", "code") != code {
			t.Errorf("it was told as %v", data)
		}
		return answer.Header
	}
	faults := func(f map[string]any) { s.phone.act("PUT", "/faults", f, nil) }

	s.ends(s.accepted(bert.number, "at first", nil).ID, "delivered") // looks bert up, which has no faults to meet
	faults(map[string]any{"ackError": map[string]any{"code": 463}})
	if h := fails(bert.number, "account_restricted"); h.Get("Retry-After") != "" {
		t.Errorf("nobody said for how long, and Retry-After is %s", h.Get("Retry-After"))
	}
	s.phone.act("PUT", "/restriction", map[string]any{"until": time.Now().Add(time.Hour), "type": "BIZ_QUALITY"}, nil)
	eventually(t, "Retry-After", func() error {
		after, err := strconv.Atoi(fails(bert.number, "account_restricted").Get("Retry-After"))
		if err == nil && (after < 3000 || after > 3601) {
			t.Fatalf("Retry-After is %d", after)
		}
		return err
	})
	faults(map[string]any{"ackError": map[string]any{"code": 479}})
	fails(bert.number, "whatsapp_rejected")
	faults(map[string]any{"ackError": map[string]any{"code": 479, "count": 2}})
	s.ends(s.accepted(bert.number, "malformed twice", nil).ID, "delivered")
	faults(map[string]any{"ackError": map[string]any{"code": 429, "count": 1}})
	limited, next := s.accepted(bert.number, "limited", nil), s.accepted(bert.number, "next", nil)
	s.ends(limited.ID, "delivered")
	s.ends(next.ID, "delivered")
	s.phone.act("DELETE", "/faults", nil, nil)
	fails("5491199999999", "recipient_not_on_whatsapp")
	if seen := bert.texts(s.phone.number, 4); !slices.Equal(seen, []string{"at first", "malformed twice", "limited", "next"}) {
		t.Errorf("the phone saw %q", seen)
	}
}

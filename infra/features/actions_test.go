package features

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// did waits for the event that tells what was done to a message.
func (s session) did(eventType string, m message, want func(data map[string]any) bool) {
	s.t.Helper()
	s.gets(eventType, func(data map[string]any) bool {
		id := data["messageId"]
		if id == nil {
			id = dig(data, "message", "id")
		}
		return id == m.ID && want(data)
	})
}

// about says whether what a phone shows is done to a message.
func about(m sandbox.Message, kind, id string) bool {
	return m.Type == kind && m.Target != nil && m.Target.ID == id
}

// Feature: Edit a message
func TestEdit(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	m := s.send(bert.number, map[string]any{"type": "text", "text": "Monday"})
	var edited message
	s.must(200, "PATCH", "/messages/"+m.ID, map[string]any{"text": "Tuesday"}, &edited)
	if edited.ID != m.ID || edited.Content["text"] != "Tuesday" || edited.raw["editedAt"] == nil {
		t.Errorf("the answer is %+v", edited)
	}
	bert.sees("the edit", func(got sandbox.Message) bool { return about(got, "edit", m.WhatsAppID) && got.Text == "Tuesday" })
	s.did("message.edited", m, func(data map[string]any) bool {
		return dig(data, "message", "content", "text") == "Tuesday" && dig(data, "by", "phone") == s.phone.number
	})

	// The caption of a file, which was sent from the phone.
	id := s.phone.send(map[string]any{"to": bert.number, "type": "image", "data": base64.StdEncoding.EncodeToString([]byte("picture")), "caption": "old"})
	file := s.received(id)
	s.must(200, "PATCH", "/messages/"+id, map[string]any{"caption": "new"}, &edited)
	if edited.Content["caption"] != "new" || dig(edited.Content["media"], "id") != dig(file.Content["media"], "id") {
		t.Errorf("the file's message is %+v, it was %+v", edited, file)
	}
	bert.sees("the caption", func(got sandbox.Message) bool {
		return about(got, "edit", id) && got.Text == "new" && got.Content.Type == "edit"
	})

	theirs := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "mine"}))
	s.refused("message_not_editable", "PATCH", "/messages/"+theirs.ID, map[string]any{"text": "x"})
	for _, body := range []map[string]any{{}, {"text": ""}, {"caption": "x"}, {"text": "x", "caption": "x"}, {"event": map[string]any{"cancelled": true}}, {"event": map[string]any{"cancelled": false}}, {"other": 1}} {
		s.refused("validation_failed", "PATCH", "/messages/"+m.ID, body)
	}
	s.refused("validation_failed", "PATCH", "/messages/"+id, map[string]any{"text": "x"})
	s.refused("message_not_found", "PATCH", "/messages/3EB0NONE", map[string]any{"text": "x"})
	s.must(200, "GET", "/messages/"+m.ID, nil, &edited)
	if edited.Content["text"] != "Tuesday" {
		t.Errorf("what was refused has changed it to %+v", edited)
	}
}

// Feature: Edit a message
func TestEditBeforeItIsSent(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.stop()
	var m message
	s.must(202, "POST", "/messages", map[string]any{"to": bert.number, "content": map[string]any{"type": "text", "text": "too early"}}, &m)
	s.must(200, "PATCH", "/messages/"+m.ID, map[string]any{"text": "in time"}, &m)
	if m.Status != "queued" || m.Content["text"] != "in time" || m.raw["editedAt"] != nil {
		t.Errorf("the answer is %+v", m)
	}
	s.refused("message_not_sent", "DELETE", "/messages/"+m.ID, nil)
	s.refused("message_not_sent", "POST", "/messages/"+m.ID+"/forward", map[string]any{"to": []string{bert.number}})
	s.start()
	first := bert.sees("the message", func(m sandbox.Message) bool { return m.From == s.phone.number })
	if first.Type != "text" || first.Text != "in time" {
		t.Errorf("the phone saw %+v first", first)
	}
}

// Feature: Delete a message for everybody
func TestDeleteForEverybody(t *testing.T) {
	t.Parallel()
	s, bert, carl := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carl")
	m := s.send(bert.number, map[string]any{"type": "text", "text": "oops"})
	var gone struct{ MessageID, WhatsAppID, ChatID string }
	for range 2 { // twice is once
		s.must(200, "DELETE", "/messages/"+m.ID, nil, &gone)
		if gone.MessageID != m.ID || gone.ChatID != m.ChatID {
			t.Errorf("the answer is %+v", gone)
		}
	}
	bert.sees("the revocation", func(got sandbox.Message) bool { return about(got, "revoke", m.WhatsAppID) })
	s.did("message.revoked", m, func(data map[string]any) bool { return dig(data, "by", "phone") == s.phone.number })
	s.must(200, "GET", "/messages/"+m.ID, nil, &m)
	if m.raw["revokedAt"] == nil || m.Content["text"] != "oops" {
		t.Errorf("it is kept as %+v", m)
	}
	s.refused("message_not_editable", "PATCH", "/messages/"+m.ID, map[string]any{"text": "x"})
	s.refused("message_not_forwardable", "POST", "/messages/"+m.ID+"/forward", map[string]any{"to": []string{carl.number}})
	s.refused("message_not_found", "PUT", "/messages/"+m.ID+"/pin", map[string]any{"seconds": 86400})

	theirs := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "mine"})
	s.received(theirs)
	s.refused("message_not_revocable", "DELETE", "/messages/"+theirs+"?scope=everyone", nil)
	s.refused("validation_failed", "DELETE", "/messages/"+theirs+"?scope=all", nil)

	// What others wrote in a group, as its admin and as none.
	own := s.phone.group("Ours", bert, carl)
	said := bert.send(map[string]any{"to": own, "type": "text", "text": "spam"})
	spam := s.received(said)
	s.must(200, "DELETE", "/messages/"+spam.ID, nil, nil)
	carl.sees("the admin's revocation", func(got sandbox.Message) bool {
		return about(got, "revoke", said) && got.From == s.phone.number && got.Target.From == bert.number
	})
	s.did("message.revoked", spam, func(data map[string]any) bool { return true })
	other := bert.group("Theirs", s.phone, carl)
	said = carl.send(map[string]any{"to": other, "type": "text", "text": "hello"})
	s.received(said)
	s.refused("not_group_admin", "DELETE", "/messages/"+said, nil)
	var kept message
	s.must(200, "GET", "/messages/"+said, nil, &kept)
	if kept.raw["revokedAt"] != nil {
		t.Error("what was refused is noted as deleted")
	}
}

// Feature: Delete a message for oneself
func TestDeleteForMe(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	own := s.send(bert.number, map[string]any{"type": "text", "text": "note"})
	group := bert.group("Group", s.phone)
	for _, m := range []message{
		own, s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"})),
		s.received(bert.send(map[string]any{"to": group, "type": "text", "text": "everybody"})),
	} {
		var gone struct{ MessageID string }
		s.must(200, "DELETE", "/messages/"+m.ID+"?scope=me", nil, &gone)
		if gone.MessageID != m.ID {
			t.Errorf("the answer is %+v", gone)
		}
		s.phone.notices("appState", func(data map[string]any) bool {
			index, _ := data["index"].([]any)
			return data["action"] == "deleteMessage" && len(index) == 5 && index[2] == m.WhatsAppID && (index[3] == "1") == (m.Direction == "outgoing") &&
				(index[4] == "0") == (m.ChatID != group)
		})
		s.did("message.deleted", m, func(map[string]any) bool { return true })
		s.refused("message_not_found", "GET", "/messages/"+m.ID, nil)
	}

	// And on the phone.
	id := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "again"})
	m := s.received(id)
	s.phone.act("POST", "/appstate", map[string]any{"action": "deleteMessage", "chat": bert.number, "id": id}, nil)
	s.did("message.deleted", m, func(map[string]any) bool { return true })
	s.refused("message_not_found", "GET", "/messages/"+id, nil)
	for _, id := range []string{own.ID, m.ID} {
		if n := s.count("message.deleted", func(data map[string]any) bool { return data["messageId"] == id }); n != 1 {
			t.Errorf("it is told %d times", n)
		}
	}
}

// count is how many events of a type there are by now.
func (s session) count(eventType string, is func(data map[string]any) bool) (n int) {
	s.t.Helper()
	var page struct {
		Data []struct{ Data map[string]any }
	}
	s.must(200, "GET", "/v1/events?"+url.Values{"type": {eventType}, "sessionId": {s.id}, "limit": {"200"}}.Encode(), nil, &page)
	for _, e := range page.Data {
		if is(e.Data) {
			n++
		}
	}
	return n
}

// Feature: Forward a message
func TestForward(t *testing.T) {
	t.Parallel()
	s, bert, carl, dora := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carl"), newPhone(t, "Dora")
	group := carl.group("Group", s.phone)
	question := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "Where?"})
	said := bert.send(map[string]any{
		"to": s.phone.number, "type": "text", "text": "Here, @" + s.phone.number, "quote": map[string]any{"id": question}, "mentions": []string{s.phone.number},
		"forwardingScore": 4,
	})
	m := s.received(said)
	var out struct{ Data []message }
	body := map[string]any{"to": []string{carl.number, dora.number, group}, "clientReference": "f-1"}
	s.must(202, "POST", "/messages/"+m.ID+"/forward", body, &out, "Idempotency-Key", "f-1-"+s.id)
	if len(out.Data) != 3 || out.Data[0].To.Phone != carl.number || out.Data[2].ChatID != group || out.Data[1].raw["forwarded"] != 5. ||
		out.Data[1].ReplyTo != nil || out.Data[1].raw["clientReference"] != "f-1" || out.Data[1].Status != "queued" {
		t.Fatalf("accepted %+v", out)
	}
	for _, p := range []phone{carl, dora} {
		got := p.sees("the forwarded text", func(got sandbox.Message) bool { return got.Text == "Here, @"+s.phone.number && got.To == p.number })
		if !got.Forwarded || got.ForwardingScore != 5 || got.Quote != nil || len(got.Mentions) != 0 {
			t.Errorf("the phone shows %+v", got)
		}
	}
	carl.sees("it in the group", func(got sandbox.Message) bool { return got.Chat == group && got.Forwarded })
	again := out.Data
	s.must(202, "POST", "/messages/"+m.ID+"/forward", body, &out, "Idempotency-Key", "f-1-"+s.id)
	if out.Data[0].ID != again[0].ID {
		t.Error("a repeat forwarded it again")
	}
	s.gets("message.sent", func(data map[string]any) bool {
		return dig(data, "message", "id") == again[1].ID && dig(data, "message", "forwarded") == 5.
	})
	s.refused("message_not_editable", "PATCH", "/messages/"+again[1].ID, map[string]any{"text": "x"})

	// A file with its caption, which goes under its first name.
	id := bert.send(map[string]any{
		"to": s.phone.number, "type": "document", "data": base64.StdEncoding.EncodeToString([]byte("bytes of " + s.id)), "fileName": "a.txt", "mimetype": "text/plain", "caption": "look",
	})
	file := s.received(id)
	s.must(202, "POST", "/messages/"+id+"/forward", map[string]any{"to": []string{carl.number}}, &out)
	if dig(out.Data[0].Content["media"], "id") != dig(file.Content["media"], "id") {
		t.Errorf("its file is %+v, not %+v", out.Data[0].Content, file.Content)
	}
	got := carl.sees("the file", func(got sandbox.Message) bool { return got.Type == "document" })
	if got.Media == nil || got.Caption != "look" || got.FileName != "a.txt" || got.MediaError != "" || got.SHA256 != dig(file.Content["media"], "sha256") || got.ForwardingScore != 1 {
		t.Errorf("the phone shows %+v %+v", got, got.Media)
	}
	// And once more, what was forwarded.
	sent := out.Data[0]
	eventually(t, "the file to be sent", func() error {
		s.must(200, "GET", "/messages/"+sent.ID, nil, &sent)
		if sent.Status == "queued" || sent.Status == "sending" {
			return errStatus(sent.Status)
		}
		return nil
	})
	s.must(202, "POST", "/messages/"+sent.ID+"/forward", map[string]any{"to": []string{dora.number}}, nil)
	dora.sees("the file", func(got sandbox.Message) bool {
		return got.Type == "document" && got.ForwardingScore == 2 && got.Caption == "look"
	})

	poll := bert.send(map[string]any{"to": s.phone.number, "type": "poll", "poll": map[string]any{"question": "Q?", "options": []string{"yes", "no"}}})
	once := bert.send(map[string]any{"to": s.phone.number, "type": "image", "data": "YWJj", "viewOnce": true})
	for _, id := range []string{poll, once} {
		s.received(id)
		s.refused("message_not_forwardable", "POST", "/messages/"+id+"/forward", map[string]any{"to": []string{carl.number}})
	}
	for _, to := range [][]string{{}, {carl.number, carl.number}, {carl.number, "nobody"}, {"status@broadcast"}, {"1", "2", "3", "4", "5", "6"}} {
		s.refused("validation_failed", "POST", "/messages/"+m.ID+"/forward", map[string]any{"to": to})
	}
	s.refused("message_not_found", "POST", "/messages/3EB0NONE/forward", map[string]any{"to": []string{carl.number}})
}

// Feature: Pin and unpin a message
func TestPin(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	group := bert.group("Group", s.phone)
	for _, to := range []string{s.phone.number, group} {
		id := bert.send(map[string]any{"to": to, "type": "text", "text": "remember"})
		m := s.received(id)
		var pinned message
		s.must(200, "PUT", "/messages/"+m.ID+"/pin", map[string]any{"seconds": 86400}, &pinned)
		until, err := time.Parse(time.RFC3339, fmt.Sprint(pinned.raw["pinnedUntil"]))
		if left := time.Until(until); err != nil || left < 23*time.Hour || left > 25*time.Hour {
			t.Errorf("it is pinned until %v: %v", pinned.raw["pinnedUntil"], err)
		}
		bert.sees("the pin", func(got sandbox.Message) bool {
			return about(got, "pin", id) && got.PinSeconds == 86400 && got.Target.FromMe
		})
		s.did("message.pinned", m, func(data map[string]any) bool {
			return data["pinned"] == true && dig(data, "by", "phone") == s.phone.number
		})
		s.must(200, "DELETE", "/messages/"+m.ID+"/pin", nil, &pinned)
		if pinned.raw["pinnedUntil"] != nil {
			t.Errorf("it is pinned until %v", pinned.raw["pinnedUntil"])
		}
		bert.sees("the end of the pin", func(got sandbox.Message) bool { return about(got, "unpin", id) })
		s.did("message.pinned", m, func(data map[string]any) bool { return data["pinned"] == false })
		s.refused("validation_failed", "PUT", "/messages/"+m.ID+"/pin", map[string]any{"seconds": 60})
	}
	s.refused("message_not_found", "PUT", "/messages/3EB0NONE/pin", map[string]any{"seconds": 86400})
}

// Feature: Star a message
func TestStar(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	group := bert.group("Group", s.phone)
	own := s.send(bert.number, map[string]any{"type": "text", "text": "mine"})
	for _, m := range []message{own, s.received(bert.send(map[string]any{"to": group, "type": "text", "text": "theirs"}))} {
		for method, on := range map[string]bool{"PUT": true, "DELETE": false} {
			if !on {
				s.must(200, "PUT", "/messages/"+m.ID+"/star", nil, nil)
			}
			var now message
			s.must(200, method, "/messages/"+m.ID+"/star", nil, &now)
			if (now.raw["starred"] == true) != on {
				t.Errorf("starred is %v after %s", now.raw["starred"], method)
			}
			s.phone.notices("appState", func(data map[string]any) bool {
				index, _ := data["index"].([]any)
				return data["action"] == "star" && len(index) == 5 && index[2] == m.WhatsAppID && (index[3] == "1") == (m.ID == own.ID) &&
					(index[4] == "0") == (m.ID == own.ID) && (dig(data, "value", "starAction", "starred") == true) == on
			})
			s.did("message.starred", m, func(data map[string]any) bool { return data["starred"] == on })
		}
	}

	// And on the phone.
	id := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "precious"})
	m := s.received(id)
	for _, on := range []bool{true, false} {
		s.phone.act("POST", "/appstate", map[string]any{"action": "star", "chat": bert.number, "id": id, "on": on}, nil)
		s.did("message.starred", m, func(data map[string]any) bool { return data["starred"] == on })
		var now message
		s.must(200, "GET", "/messages/"+m.ID, nil, &now)
		if (now.raw["starred"] == true) != on {
			t.Errorf("starred is %v", now.raw["starred"])
		}
	}
	if n := s.count("message.starred", func(data map[string]any) bool { return data["messageId"] == m.ID }); n != 2 {
		t.Errorf("it is told %d times, want 2", n)
	}
	s.refused("message_not_found", "PUT", "/messages/3EB0NONE/star", nil)
}

// Feature: Vote in a poll
// Feature: Aggregated poll results
func TestPoll(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	group := bert.group("Group", s.phone)
	poll := map[string]any{"question": "When?", "options": []string{"Monday", "Tuesday", "never"}, "selectableCount": 2}
	for what, id := range map[string]string{
		"theirs":       bert.send(map[string]any{"to": s.phone.number, "type": "poll", "poll": poll}),
		"in the group": bert.send(map[string]any{"to": group, "type": "poll", "poll": poll}),
		"our own":      s.phone.send(map[string]any{"to": bert.number, "type": "poll", "poll": poll}),
	} {
		m := s.received(id)
		chat := s.phone.number
		if m.ChatID == group {
			chat = group
		}
		for _, choice := range [][]string{{"Tuesday", "Monday"}, {}, {"Tuesday"}} {
			var vote struct {
				MessageID string
				Options   []string
			}
			s.must(200, "POST", "/messages/"+m.ID+"/vote", map[string]any{"options": choice}, &vote)
			choice = slices.Sorted(slices.Values(choice)) // the order of the poll
			if vote.MessageID != m.ID || !slices.Equal(vote.Options, choice) {
				t.Errorf("%s: the answer is %+v", what, vote)
			}
			bert.sees(fmt.Sprintf("the vote for %v in the poll %s", choice, what), func(got sandbox.Message) bool {
				return about(got, "pollVote", id) && got.ContentError == "" && slices.Equal(slices.Sorted(slices.Values(got.Selected)), choice)
			})
			s.did("poll.voted", m, func(data map[string]any) bool {
				options, _ := data["options"].([]any)
				return len(options) == len(choice) && data["direction"] == "outgoing" && dig(data, "from", "phone") == s.phone.number
			})
		}
		bert.send(map[string]any{"to": chat, "type": "pollVote", "target": map[string]any{"id": id}, "selected": []string{"Tuesday", "never"}})
		s.did("poll.voted", m, func(data map[string]any) bool { return data["direction"] == "incoming" })
		var results struct {
			Question string
			Voters   int
			Options  []struct {
				Option string
				Count  int
				Voters []address
			}
		}
		s.must(200, "GET", "/messages/"+m.ID+"/poll-results", nil, &results)
		var counts []int
		for _, o := range results.Options {
			counts = append(counts, o.Count)
		}
		if results.Question != "When?" || results.Voters != 2 || !slices.Equal(counts, []int{0, 2, 1}) || results.Options[2].Voters[0].Phone != bert.number {
			t.Errorf("%s: the results are %+v", what, results)
		}
		if voters := results.Options[1].Voters; len(voters) == 2 && voters[0].Phone != s.phone.number {
			t.Errorf("%s: the voters are %+v", what, voters)
		}
		for _, options := range [][]string{{"Sunday"}, {"Monday", "Monday"}, {"Monday", "Tuesday", "never"}} {
			s.refused("validation_failed", "POST", "/messages/"+m.ID+"/vote", map[string]any{"options": options})
		}
	}
	text := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "no poll"}))
	s.refused("message_not_found", "POST", "/messages/"+text.ID+"/vote", map[string]any{"options": []string{"Monday"}})
	s.refused("message_not_found", "GET", "/messages/"+text.ID+"/poll-results", nil)
	s.refused("message_not_found", "GET", "/messages/"+text.ID+"/responses", nil)
}

// Feature: Event, and answers to it
func TestAnswerAnEvent(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	group := bert.group("Group", s.phone)
	party := map[string]any{"name": "Party", "startAt": "2030-01-15T20:00:00Z", "extraGuestsAllowed": true}
	for _, to := range []string{s.phone.number, group} {
		id := bert.send(map[string]any{"to": to, "type": "event", "event": party})
		m := s.received(id)
		var answer struct{ MessageID, Response string }
		s.must(200, "POST", "/messages/"+m.ID+"/respond", map[string]any{"response": "maybe"}, nil)
		s.must(200, "POST", "/messages/"+m.ID+"/respond", map[string]any{"response": "going", "extraGuests": 2}, &answer)
		if answer.MessageID != m.ID || answer.Response != "going" {
			t.Errorf("the answer is %+v", answer)
		}
		bert.sees("the answer", func(got sandbox.Message) bool {
			return about(got, "eventResponse", id) && got.Response == "going" && got.ExtraGuests == 2 && got.ContentError == ""
		})
		s.did("event.responded", m, func(data map[string]any) bool {
			return data["response"] == "going" && data["extraGuests"] == 2. && data["direction"] == "outgoing" && dig(data, "from", "phone") == s.phone.number
		})
		bert.send(map[string]any{"to": to, "type": "eventResponse", "target": map[string]any{"id": id}, "response": "notGoing"})
		s.did("event.responded", m, func(data map[string]any) bool { return data["direction"] == "incoming" })
		var all struct {
			Data []struct {
				From        address
				Response    string
				ExtraGuests int
			}
		}
		s.must(200, "GET", "/messages/"+m.ID+"/responses", nil, &all)
		if len(all.Data) != 2 || all.Data[0].From.Phone != s.phone.number || all.Data[0].ExtraGuests != 2 || all.Data[1].From.Phone != bert.number || all.Data[1].Response != "notGoing" {
			t.Errorf("the answers are %+v", all)
		}
		s.refused("validation_failed", "POST", "/messages/"+m.ID+"/respond", map[string]any{"response": "perhaps"})
		s.refused("validation_failed", "POST", "/messages/"+m.ID+"/respond", map[string]any{"response": "notGoing", "extraGuests": 1})
	}
	dinner := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "event", "event": map[string]any{"name": "Dinner", "startAt": "2030-01-15T20:00:00Z"}}))
	s.refused("validation_failed", "POST", "/messages/"+dinner.ID+"/respond", map[string]any{"response": "going", "extraGuests": 1})
	s.refused("message_not_found", "POST", "/messages/"+dinner.ID+"/vote", map[string]any{"options": []string{}})
	s.refused("message_not_editable", "PATCH", "/messages/"+dinner.ID, map[string]any{"event": map[string]any{"cancelled": true}})

	// One of the account's own is called off.
	id := s.phone.send(map[string]any{"to": bert.number, "type": "event", "event": party})
	s.received(id)
	var off message
	s.must(200, "PATCH", "/messages/"+id, map[string]any{"event": map[string]any{"cancelled": true}}, &off)
	if dig(off.Content["event"], "cancelled") != true || dig(off.Content["event"], "name") != "Party" {
		t.Errorf("the event is %+v", off.Content)
	}
	bert.sees("that it was called off", func(got sandbox.Message) bool {
		return about(got, "edit", id) && got.Event != nil && got.Event.Canceled && got.Event.Name == "Party"
	})
	s.did("message.edited", off, func(data map[string]any) bool { return dig(data, "message", "content", "event", "cancelled") == true })
}

// Feature: Mark as read
func TestMarkMessagesAsRead(t *testing.T) {
	t.Parallel()
	s, bert, carl := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carl")
	group := bert.group("Group", s.phone, carl)
	sent := map[string]phone{}
	ids := []string{}
	for _, m := range []struct {
		from phone
		to   string
	}{{bert, s.phone.number}, {bert, s.phone.number}, {bert, group}, {carl, group}} {
		id := m.from.send(map[string]any{"to": m.to, "type": "text", "text": "read me"})
		ids, sent[id] = append(ids, s.received(id).ID), m.from
	}
	unread := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "not me"})
	s.received(unread)
	var read struct{ MessageIDs []string }
	s.must(200, "POST", "/messages/mark-read", map[string]any{"messageIds": append(ids, ids[0])}, &read)
	if !slices.Equal(slices.Sorted(slices.Values(read.MessageIDs)), slices.Sorted(slices.Values(ids))) {
		t.Errorf("the answer is %+v", read)
	}
	reads := func(p phone, id string) bool {
		var page struct {
			Messages []struct {
				ID, Status string
				Read       int
			}
		}
		p.act("GET", "/sent", nil, &page)
		for _, m := range page.Messages {
			if m.ID == id {
				return m.Status == "read" || m.Read > 0
			}
		}
		return false
	}
	for id, p := range sent {
		eventually(t, "the blue ticks of "+id, func() error {
			if !reads(p, id) {
				return errStatus("not read")
			}
			return nil
		})
	}
	if reads(bert, unread) {
		t.Error("what was not read has blue ticks")
	}
	own := s.send(bert.number, map[string]any{"type": "text", "text": "mine"})
	s.refused("validation_failed", "POST", "/messages/mark-read", map[string]any{"messageIds": []string{own.ID}})
	s.refused("validation_failed", "POST", "/messages/mark-read", map[string]any{"messageIds": []string{}})
	s.refused("message_not_found", "POST", "/messages/mark-read", map[string]any{"messageIds": []string{ids[0], "3EB0NONE"}})
}

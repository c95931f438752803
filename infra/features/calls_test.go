package features

import (
	"fmt"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// phoneCall is a call as clients get it.
type phoneCall struct {
	ID, WhatsAppID, SessionID, GroupID, State, Reason string
	From                                              address
	Video                                             bool
	OfferedAt, AcceptedAt, EndedAt                    string
}

// calls makes the phone call, and returns WhatsApp's id of the call.
func (p phone) calls(body map[string]any) string {
	p.t.Helper()
	var made struct{ ID string }
	p.act("POST", "/calls", body, &made)
	return made.ID
}

// awaitCall waits until the phone's call is in a state.
func (p phone) awaitCall(id, state string) {
	p.t.Helper()
	eventually(p.t, "the call to be "+state, func() error {
		var all struct {
			Calls []struct{ ID, State, Reason string }
		}
		p.act("GET", "/calls", nil, &all)
		for _, c := range all.Calls {
			if c.ID == id && c.State == state {
				return nil
			}
		}
		return fmt.Errorf("there are %+v", all.Calls)
	})
}

// called waits for an event about a call.
func (s session) called(eventType, whatsappID string) map[string]any {
	s.t.Helper()
	data := s.gets(eventType, func(data map[string]any) bool { return dig(data, "call", "whatsappId") == whatsappID })
	return dig(data, "call").(map[string]any)
}

// callList lists a session's calls.
func (s session) callList(query string) (list []phoneCall, next string) {
	s.t.Helper()
	var page struct {
		Data       []phoneCall
		NextCursor string
	}
	s.must(200, "GET", "/calls?"+query, nil, &page)
	return page.Data, page.NextCursor
}

// Feature: Calls
func TestCalls(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")

	// Missed: the caller hangs up first.
	missed := bert.calls(map[string]any{"to": s.phone.number, "video": true})
	if c := s.called("call.offered", missed); c["state"] != "ringing" || c["video"] != true || dig(c, "from", "id") != bert.jid() || c["offeredAt"] == nil {
		t.Errorf("the offer is %v", c)
	}
	bert.act("POST", "/calls/"+missed+"/terminate", nil, nil)
	if c := s.called("call.ended", missed); c["reason"] != "missed" || c["endedAt"] == nil {
		t.Errorf("the end is %v", c)
	}

	// Accepted on the phone.
	taken := bert.calls(map[string]any{"to": s.phone.number})
	s.called("call.offered", taken)
	s.phone.act("POST", "/calls/"+taken+"/accept", nil, nil)
	if c := s.called("call.accepted", taken); c["state"] != "accepted" || c["acceptedAt"] == nil || c["video"] != false {
		t.Errorf("the acceptance is %v", c)
	}

	// Rejected on the phone.
	refused := bert.calls(map[string]any{"to": s.phone.number})
	s.called("call.offered", refused)
	s.phone.act("POST", "/calls/"+refused+"/reject", nil, nil)
	if c := s.called("call.ended", refused); c["reason"] != "rejected" {
		t.Errorf("the end is %v", c)
	}

	// Rejected here: the phone stops ringing, the caller is told.
	rung := bert.calls(map[string]any{"to": s.phone.number})
	offered := s.called("call.offered", rung)
	var done phoneCall
	s.must(200, "POST", "/calls/"+offered["id"].(string)+"/reject", nil, &done)
	if done.State != "ended" || done.Reason != "rejected" || done.WhatsAppID != rung {
		t.Errorf("the answer is %+v", done)
	}
	bert.awaitCall(rung, "rejected")
	s.phone.awaitCall(rung, "ended")
	s.called("call.ended", rung)
	s.refused("call_over", "POST", "/calls/"+rung+"/reject", nil)
	s.refused("call_not_found", "POST", "/calls/ABCDEF/reject", nil)
	s.refused("call_not_found", "POST", "/calls/call_01932f0c5d6b7a10b1f4d0c4a8e2f001/reject", nil)

	// By WhatsApp's id, and in a group.
	group := s.phone.group("Neighbours", bert)
	joint := bert.calls(map[string]any{"group": group, "video": true})
	if c := s.called("call.offered", joint); c["groupId"] != group || c["video"] != true || dig(c, "from", "id") != bert.jid() {
		t.Errorf("the offer is %v", c)
	}
	s.must(200, "POST", "/calls/"+joint+"/reject", nil, &done)
	bert.awaitCall(joint, "rejected")

	// Newest first, by pages.
	list, next := s.callList("limit=3")
	if len(list) != 3 || next == "" || list[0].WhatsAppID != joint || list[0].GroupID != group || list[1].WhatsAppID != rung || list[2].WhatsAppID != refused {
		t.Errorf("the first page is %+v", list)
	}
	list, next = s.callList("limit=3&cursor=" + next)
	if len(list) != 2 || next != "" || list[0].WhatsAppID != taken || list[0].State != "accepted" || list[1].WhatsAppID != missed || list[1].From.Name != "" {
		t.Errorf("the second page is %+v", list)
	}

	// Offline: what is accepted waits, and fails when the call is over by then.
	late := bert.calls(map[string]any{"to": s.phone.number})
	s.called("call.offered", late)
	s.stop()
	var waits struct{ ID, Status, Kind string }
	s.must(202, "POST", "/calls/"+late+"/reject", nil, &waits)
	bert.act("POST", "/calls/"+late+"/terminate", nil, nil)
	s.start()
	s.gets("change.failed", func(data map[string]any) bool {
		return dig(data, "change", "id") == waits.ID && dig(data, "change", "error", "code") == "call_over"
	})
	session{t, "nobody", s.phone}.refused("session_not_found", "GET", "/calls", nil)
	session{t, "nobody", s.phone}.refused("session_not_found", "POST", "/calls/"+rung+"/reject", nil)
}

// Feature: Reject calls with a text
func TestCallsAreRejectedWithAText(t *testing.T) {
	t.Parallel()
	s, bert, anna := newSession(t), newPhone(t, "Bert"), newPhone(t, "Anna")
	const text = "We do not take calls. Please write to us."
	s.must(200, "PATCH", "", map[string]any{"settings": map[string]any{"calls": map[string]any{"reject": true, "text": text}}}, nil)
	unread := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "may I call?"}))

	first := bert.calls(map[string]any{"to": s.phone.number})
	bert.awaitCall(first, "rejected")
	if c := s.called("call.ended", first); c["reason"] != "rejected" {
		t.Errorf("the end is %v", c)
	}
	s.called("call.offered", first)
	says := func(m sandbox.Message) bool { return m.Text == text }
	bert.sees("the text", says)
	if c := s.awaitChat(bert.jid(), "answered", func(c chat) bool { return c.LastMessage != nil && c.LastMessage.Content["text"] == text }); c.Unread != 1 {
		t.Errorf("the text has read %q: %+v", unread.ID, c)
	}

	// Another call of his gets no second text within the hour; somebody else gets his.
	second := bert.calls(map[string]any{"to": s.phone.number})
	bert.awaitCall(second, "rejected")
	anna.awaitCall(anna.calls(map[string]any{"to": s.phone.number}), "rejected")
	anna.sees("the text", says)

	// In a group there is no text, whatever the setting says.
	group := anna.group("Neighbours", s.phone, bert)
	s.gets("group.joined", func(data map[string]any) bool { return dig(data, "group", "id") == group })
	joint := anna.calls(map[string]any{"group": group})
	s.called("call.ended", joint)

	// What comes after all that has come: the texts were one for each.
	for _, p := range []phone{bert, anna} {
		s.send(p.number, map[string]any{"type": "text", "text": "the last"})
		var page struct{ Messages []sandbox.Message }
		p.sees("the last", func(m sandbox.Message) bool { return m.Text == "the last" })
		p.act("GET", "/messages?after=0", nil, &page)
		n := 0
		for _, m := range page.Messages {
			if says(m) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s got %d texts", p.number, n)
		}
	}

	// Without the setting calls ring again, once the session's connector knows of it.
	s.must(200, "PATCH", "", map[string]any{"settings": map[string]any{"calls": map[string]any{"reject": false}}}, nil)
	eventually(t, "a call to ring until its caller hangs up", func() error {
		rings := bert.calls(map[string]any{"to": s.phone.number})
		hungUp, raw := call(t, "POST", running.SandboxURL+"/phones/"+bert.number+"/calls/"+rings+"/terminate", nil, nil)
		if c := s.called("call.ended", rings); hungUp >= 300 || c["reason"] != "missed" {
			return fmt.Errorf("hanging up: %d %s; the end is %v", hungUp, raw, c)
		}
		if c := s.called("call.offered", rings); c["state"] != "ringing" {
			t.Errorf("the offer is %v", c)
		}
		return nil
	})
	s.refused("validation_failed", "PATCH", "", map[string]any{"settings": map[string]any{"calls": map[string]any{"text": "no reject"}}})
}

// Feature: Mark read and presence mode as settings
func TestMessagesAreReadByThemselves(t *testing.T) {
	t.Parallel()
	s, bert, anna := newSession(t), newPhone(t, "Bert"), newPhone(t, "Anna")
	before := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "before the setting"})
	s.received(before)
	s.must(200, "PATCH", "", map[string]any{"settings": map[string]any{"markRead": true}}, nil)
	group := anna.group("Neighbours", s.phone, bert)

	var ids []string
	for i := range 5 {
		ids = append(ids, bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": fmt.Sprint(i)}))
	}
	inGroup := anna.send(map[string]any{"to": group, "type": "text", "text": "all of you"})
	for _, id := range ids {
		bert.awaitSent(id, func(m sandbox.SentMessage) bool { return m.Status == "read" })
	}
	anna.awaitSent(inGroup, func(m sandbox.SentMessage) bool { return m.Read >= 1 })
	s.awaitChat(bert.jid(), "read", func(c chat) bool { return c.Unread == 0 && !c.MarkedUnread })
	s.awaitChat(group, "read", func(c chat) bool { return c.Unread == 0 })
	bert.awaitSent(before, func(m sandbox.SentMessage) bool { return m.Status == "delivered" }) // it came before the setting

	// Without it they stay unread.
	s.must(200, "PATCH", "", map[string]any{"settings": map[string]any{"markRead": false}}, nil)
	eventually(t, "messages to stay unread, once the connector knows", func() error {
		for range 2 { // the first of two that are read would be by now
			s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "after the setting"}))
		}
		var c chat
		if s.must(200, "GET", "/chats/"+bert.jid(), nil, &c); c.Unread < 2 {
			return fmt.Errorf("%d are unread", c.Unread)
		}
		return nil
	})
}

// awaitSent waits until what the phone sent is as it is wanted.
func (p phone) awaitSent(id string, want func(sandbox.SentMessage) bool) {
	p.t.Helper()
	eventually(p.t, "what "+p.number+" sent", func() error {
		var page struct{ Messages []sandbox.SentMessage }
		p.act("GET", "/sent?after=0", nil, &page)
		for _, m := range page.Messages {
			if m.ID == id && want(m) {
				return nil
			}
		}
		return fmt.Errorf("there are %+v", page.Messages)
	})
}

package features

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/sandbox"
)

const statusChat = sandbox.StatusBroadcast

// knows saves somebody in the session's address book, as people have to be who are to see its status updates.
func (s session) knows(others ...phone) {
	s.t.Helper()
	for _, p := range others {
		s.must(200, "PATCH", "/contacts/"+p.number, map[string]any{"savedName": "Friend " + p.number}, nil)
	}
}

// postsTo makes a phone post a status update that the session's account sees, and returns WhatsApp's id of it.
func (p phone) postsTo(s session, status map[string]any) string {
	p.t.Helper()
	p.act("PUT", "/status/audience", map[string]any{"type": "whitelist", "numbers": []string{s.phone.number}}, nil)
	status["to"] = statusChat
	return p.send(status)
}

// postsStatus posts a status update and waits until WhatsApp has it; more are other members of the request.
func (s session) postsStatus(content map[string]any, more ...map[string]any) message {
	s.t.Helper()
	body := map[string]any{"content": content}
	for _, m := range more {
		for k, v := range m {
			body[k] = v
		}
	}
	var m message
	s.must(200, "POST", "/status-updates", body, &m, "Prefer", "wait=20")
	return m
}

// statusIDs are WhatsApp's ids of the status updates that are listed.
func (s session) statusIDs(query string) (ids []string) {
	s.t.Helper()
	var page struct{ Data []message }
	s.must(200, "GET", "/status-updates"+query, nil, &page)
	for _, m := range page.Data {
		ids = append(ids, m.WhatsAppID)
	}
	return ids
}

// status waits until the session has a status update, by WhatsApp's id, for which holds what is wanted.
func (s session) status(whatsappID string, want func(message) bool) (m message) {
	s.t.Helper()
	eventually(s.t, "the status update", func() error {
		if status, raw := call(s.t, "GET", s.url("/status-updates/"+whatsappID), nil, &m); status != 200 || want != nil && !want(m) {
			return fmt.Errorf("%d %s", status, raw)
		}
		return nil
	})
	return m
}

// statusOf waits for a status update on a phone.
func (p phone) statusOf(id string) sandbox.Message {
	p.t.Helper()
	m := p.sees("the status update", func(m sandbox.Message) bool { return m.ID == id })
	if m.Chat != statusChat || !m.Broadcast {
		p.t.Errorf("it is shown in %s", m.Chat)
	}
	return m
}

// saw says whether a phone has been shown a message by now.
func (p phone) saw(id string) bool {
	p.t.Helper()
	var page struct{ Messages []sandbox.Message }
	p.act("GET", "/messages?after=0", nil, &page)
	return slices.ContainsFunc(page.Messages, func(m sandbox.Message) bool { return m.ID == id })
}

// Feature: Status: text, image, video, voice
func TestStatusIsPosted(t *testing.T) {
	t.Parallel()
	s, bert, carla, stranger := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla"), newPhone(t, "Stranger")
	s.knows(bert, carla)
	words := s.postsStatus(map[string]any{"type": "text", "text": "fresh bread", "backgroundColor": "#ff8800", "font": "calistoga"}, map[string]any{"clientReference": "bread"})
	if words.ChatID != statusChat || words.To.Kind != "status" || words.Status != "sent" && words.Status != "delivered" || words.raw["clientReference"] != "bread" || words.From.Phone != s.phone.number {
		t.Errorf("it is %v", words.raw)
	}
	if !holds(words.raw["content"], map[string]any{"type": "text", "text": "fresh bread", "backgroundColor": "#ff8800", "font": "calistoga"}) {
		t.Errorf("it says %v", words.Content)
	}
	s.gets("message.sent", func(data map[string]any) bool {
		return dig(data, "message", "id") == words.ID && dig(data, "message", "chatId") == statusChat && dig(data, "message", "content", "font") == "calistoga"
	})
	for _, p := range []phone{bert, carla, s.phone} {
		if m := p.statusOf(words.WhatsAppID); m.Text != "fresh bread" || m.Background != "#FF8800" || m.Font != "CALISTOGA_REGULAR" || m.From != s.phone.number || m.FromMe != (p == s.phone) {
			t.Errorf("the phone shows %+v", m)
		}
	}
	plain := s.postsStatus(map[string]any{"type": "text", "text": "still some left"})
	if m := bert.statusOf(plain.WhatsAppID); m.Background != "#128C7E" || m.Font != "SYSTEM" {
		t.Errorf("without a look it is shown with %s, %s", m.Background, m.Font)
	}
	for kind, data := range map[string][]byte{"image": picture(t), "video": sample(t, "turned.mp4"), "voice": sample(t, "hybrid-mono.ogg")} {
		content := map[string]any{"type": kind, "media": file(map[string]string{"image": "image/png", "video": "video/mp4", "voice": "audio/ogg; codecs=opus"}[kind], data)}
		if kind != "voice" {
			content["caption"] = "out of the oven"
		}
		m := s.postsStatus(content)
		seen := bert.statusOf(m.WhatsAppID)
		if seen.Type != kind || hashOf(bert.bytesOf(seen)) != hashOf(data) || kind != "voice" && seen.Caption != "out of the oven" || kind == "voice" && seen.Background != "#128C7E" {
			t.Errorf("the phone shows %+v, %+v", seen.Content, seen.Media)
		}
	}
	// WhatsApp's phones keep whom they let see it; the next one is Bert's alone.
	s.phone.act("PUT", "/status/audience", map[string]any{"type": "blacklist", "numbers": []string{carla.number}}, nil)
	hidden := s.postsStatus(map[string]any{"type": "text", "text": "not for Carla"})
	bert.statusOf(hidden.WhatsAppID)
	for _, p := range []phone{carla, stranger} {
		after := s.send(p.number, text("hello"))
		p.sees("the text", func(m sandbox.Message) bool { return m.ID == after.WhatsAppID })
		if p.saw(hidden.WhatsAppID) || p == stranger && p.saw(words.WhatsAppID) {
			t.Error("somebody sees what is not for him")
		}
	}
	if ids := s.statusIDs("?fromMe=true"); len(ids) != 6 || ids[0] != hidden.WhatsAppID || ids[5] != words.WhatsAppID {
		t.Errorf("listed are %v", ids)
	}
	if ids := s.statusIDs("?fromMe=false"); len(ids) != 0 {
		t.Errorf("of others there are %v", ids)
	}
	var first, second struct {
		Data       []message
		NextCursor string
		HasMore    bool
	}
	s.must(200, "GET", "/status-updates?fromMe=true&limit=4", nil, &first)
	s.must(200, "GET", "/status-updates?fromMe=true&limit=4&cursor="+url.QueryEscape(first.NextCursor), nil, &second)
	if len(first.Data) != 4 || !first.HasMore || len(second.Data) != 2 || second.HasMore || second.Data[1].ID != words.ID {
		t.Errorf("the pages have %d and %d", len(first.Data), len(second.Data))
	}
	// With an Idempotency-Key a repeat posts nothing; an id of one's own is WhatsApp's.
	body := map[string]any{"content": text("once"), "whatsappId": "3EB0" + strings.Repeat("A", 16)}
	var once, again message
	s.must(202, "POST", "/status-updates", body, &once, "Idempotency-Key", "once-"+s.id)
	s.must(202, "POST", "/status-updates", body, &again, "Idempotency-Key", "once-"+s.id)
	if once.ID != again.ID || once.WhatsAppID != body["whatsappId"] || len(s.statusIDs("")) != 7 {
		t.Errorf("repeated it is %s, after %s", again.ID, once.ID)
	}
	s.refused("message_id_taken", "POST", "/status-updates", body)
	s.refused("idempotency_key_reused", "POST", "/status-updates", map[string]any{"content": text("other")}, "Idempotency-Key", "once-"+s.id)
}

// notAmongChats fails the test when a status update is shown among chats and messages of people.
func (s session) notAmongChats(word string) {
	s.t.Helper()
	for _, path := range []string{"/chats?unread=true", "/chats", "/messages", "/messages?direction=incoming", "/messages?q=" + word, "/messages?since=2020-01-01T00:00:00Z", "/v1/../api/messages/" + s.id} {
		target := s.url(path)
		if rest, legacy := strings.CutPrefix(path, "/v1/.."); legacy {
			target = running.URL + rest
		}
		if status, raw := call(s.t, "GET", target, nil, nil); status != 200 || strings.Contains(string(raw), statusChat) || strings.Contains(string(raw), word) {
			s.t.Errorf("%s: %d %s", path, status, raw)
		}
	}
	var asked struct{ Data []message }
	s.must(200, "GET", "/messages?chatId="+statusChat+"&q="+word, nil, &asked)
	if len(asked.Data) == 0 || asked.Data[0].ChatID != statusChat {
		s.t.Errorf("asked for, there is none: %v", asked.Data)
	}
	s.refused("chat_not_found", "GET", "/chats/"+statusChat, nil)
	s.refused("chat_not_found", "DELETE", "/chats/"+statusChat+"/messages", nil)
	s.refused("chat_not_found", "PATCH", "/chats/"+statusChat, map[string]any{"archived": true})
	s.refused("chat_not_found", "POST", "/chats/"+statusChat+"/read", nil)
}

// Feature: Status of others, with replies and reactions
func TestStatusOfOthers(t *testing.T) {
	t.Parallel()
	s, bert, carla := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla")
	words := bert.postsTo(s, map[string]any{"type": "text", "text": "zeppelin", "background": "#0A0B0C", "font": "COURIERPRIME_BOLD"})
	photo := bert.postsTo(s, map[string]any{"type": "image", "data": pixel, "mimetype": "image/png", "caption": "the sea"})
	told := s.gets("status.received", func(data map[string]any) bool { return dig(data, "message", "whatsappId") == words })
	if !holds(told["message"], map[string]any{
		"chatId": statusChat, "direction": "incoming", "from": map[string]any{"phone": bert.number, "name": "Bert"}, "to": map[string]any{"kind": "status"},
		"content": map[string]any{"type": "text", "text": "zeppelin", "backgroundColor": "#0A0B0C", "font": "courierPrime"},
	}) {
		t.Errorf("told is %v", told)
	}
	told = s.gets("status.received", func(data map[string]any) bool { return dig(data, "message", "whatsappId") == photo })
	want, _ := base64.StdEncoding.DecodeString(pixel)
	link, _ := dig(told, "message", "content", "media", "url").(string)
	if status, raw := call(t, "GET", link, nil, nil); status != 200 || hashOf(raw) != hashOf(want) || dig(told, "message", "content", "caption") != "the sea" {
		t.Errorf("its file: %d, %d bytes; told is %v", status, len(raw), told)
	}
	third := carla.postsTo(s, map[string]any{"type": "text", "text": "of Carla"})
	s.status(third, nil)
	if ids := s.statusIDs("?fromMe=false"); !slices.Equal(ids, []string{third, photo, words}) {
		t.Errorf("listed are %v", ids)
	}
	if ids := s.statusIDs("?contactId=" + bert.number); !slices.Equal(ids, []string{photo, words}) {
		t.Errorf("of Bert there are %v", ids)
	}
	s.notAmongChats("zeppelin")
	if status, raw := call(t, "GET", s.url("/v1/events?"+url.Values{"type": {"message.received"}, "sessionId": {s.id}}.Encode()), nil, nil); status != 200 || strings.Contains(string(raw), statusChat) {
		t.Errorf("it is told as a message: %s", raw)
	}
	var kept message
	s.must(200, "GET", "/messages/"+s.status(words, nil).ID, nil, &kept) // by whoever asks for it

	// Viewed, reacted to and answered from here: its author alone learns of it.
	var viewed struct{ MessageIDs []string }
	s.must(200, "POST", "/status-updates/"+words+"/view", nil, &viewed)
	if !slices.Equal(viewed.MessageIDs, []string{kept.ID}) {
		t.Errorf("viewed are %v", viewed)
	}
	bert.notices("receipt", func(data map[string]any) bool {
		ids, _ := data["ids"].([]any)
		return data["type"] == "read" && data["chat"] == statusChat && slices.Contains(ids, any(words))
	})
	var reacted message
	s.must(200, "PUT", "/messages/"+kept.ID+"/reaction", map[string]any{"emoji": "🎈"}, &reacted)
	if len(reacted.Reactions) != 0 && reacted.ChatID != statusChat {
		t.Errorf("the answer is %v", reacted.raw)
	}
	heart := bert.sees("the reaction", func(m sandbox.Message) bool { return m.Type == "reaction" && m.Emoji == "🎈" })
	if heart.Chat != s.phone.number || heart.Target.ID != words {
		t.Errorf("the reaction is shown as %+v", heart)
	}
	s.gets("message.reaction", func(data map[string]any) bool {
		return data["messageId"] == kept.ID && data["chatId"] == statusChat && data["direction"] == "outgoing"
	})
	for _, name := range []string{kept.ID, words} {
		m := s.send(bert.number, text("where is it?"), map[string]any{"replyTo": name})
		if m.ReplyTo["messageId"] != kept.ID || m.ReplyTo["chatId"] != statusChat || m.ChatID != bert.jid() {
			t.Errorf("the answer quotes %v", m.ReplyTo)
		}
		seen := bert.sees("the answer", func(seen sandbox.Message) bool { return seen.ID == m.WhatsAppID })
		if seen.Chat != s.phone.number || seen.Quote == nil || seen.Quote.ID != words || seen.Quote.From != bert.number || seen.Quote.Text != "zeppelin" {
			t.Errorf("the answer is shown as %+v with the quote %+v", seen, seen.Quote)
		}
	}
	s.refused("validation_failed", "POST", "/messages", map[string]any{"to": carla.number, "content": text("?"), "replyTo": kept.ID})
	carla.send(map[string]any{"to": s.phone.number, "type": "text", "text": "after"})
	if carla.saw(heart.ID) {
		t.Error("Carla sees the reaction")
	}
	// What cannot be done to one.
	s.refused("validation_failed", "PUT", "/messages/"+kept.ID+"/star", nil)
	s.refused("validation_failed", "PUT", "/messages/"+kept.ID+"/pin", map[string]any{"seconds": 86400})
	s.refused("validation_failed", "DELETE", "/messages/"+kept.ID+"?scope=me", nil)
	s.refused("message_not_revocable", "DELETE", "/messages/"+kept.ID, nil)
	s.refused("message_not_revocable", "DELETE", "/status-updates/"+words, nil)
	// Forwarded, it is a message like any other.
	var forwarded struct{ Data []message }
	s.must(202, "POST", "/messages/"+kept.ID+"/forward", map[string]any{"to": []string{carla.number}}, &forwarded)
	if m := carla.sees("the copy", func(m sandbox.Message) bool { return m.Text == "zeppelin" }); m.Background != "" || m.Font != "" || !m.Forwarded || m.Chat != s.phone.number {
		t.Errorf("forwarded it is %+v", m)
	}
	if forwarded.Data[0].Content["backgroundColor"] != nil {
		t.Errorf("forwarded it says %v", forwarded.Data[0].Content)
	}
	// Its author takes it back.
	bert.send(map[string]any{"to": statusChat, "type": "revoke", "target": map[string]any{"id": photo}})
	s.gets("message.revoked", func(data map[string]any) bool {
		return data["whatsappId"] == photo && data["chatId"] == statusChat && dig(data, "by", "phone") == bert.number && data["messageId"] != nil
	})
	if ids := s.statusIDs(""); !slices.Equal(ids, []string{third, words}) {
		t.Errorf("left are %v", ids)
	}
	s.status(photo, func(m message) bool { return m.raw["revokedAt"] != nil })
	// What the owner posts and views on the phone.
	s.phone.act("PUT", "/status/audience", map[string]any{"type": "whitelist", "numbers": []string{bert.number}}, nil)
	own := s.phone.send(map[string]any{"to": statusChat, "type": "text", "text": "from my phone"})
	s.gets("message.sent", func(data map[string]any) bool {
		return dig(data, "message", "whatsappId") == own && dig(data, "message", "chatId") == statusChat
	})
	if ids := s.statusIDs("?fromMe=true"); !slices.Equal(ids, []string{own}) {
		t.Errorf("own ones are %v", ids)
	}
	s.phone.act("POST", "/read", map[string]any{"from": carla.number}, nil)
	carla.notices("receipt", func(data map[string]any) bool { return data["type"] == "read" && data["chat"] == statusChat })
	last := carla.send(map[string]any{"to": s.phone.number, "type": "text", "text": "the last"})
	s.received(last)
	if status, raw := call(t, "GET", s.url("/v1/events?"+url.Values{"type": {"chat.updated"}, "sessionId": {s.id}}.Encode()), nil, nil); status != 200 || strings.Contains(string(raw), statusChat) {
		t.Errorf("it is told as a chat: %s", raw)
	}
}

// Feature: Viewers of a status
func TestStatusViewers(t *testing.T) {
	t.Parallel()
	s, bert, carla := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla")
	s.knows(bert, carla)
	m := s.postsStatus(text("look here"))
	viewers := func(query string) (list struct {
		Data []struct {
			Viewer   address
			ViewedAt string
		}
		NextCursor string
		HasMore    bool
	}) {
		t.Helper()
		s.must(200, "GET", "/status-updates/"+m.ID+"/viewers"+query, nil, &list)
		return list
	}
	for _, p := range []phone{bert, carla} {
		p.statusOf(m.WhatsAppID)
	}
	s.told(m, "delivered")
	if list := viewers(""); len(list.Data) != 0 {
		t.Errorf("before anybody has viewed it, there are %v", list.Data)
	}
	bert.act("POST", "/read", map[string]any{"from": s.phone.number}, nil)
	if told := s.told(m, "read"); dig(told, "by", "phone") != bert.number || told["chatId"] != statusChat {
		t.Errorf("told is %v", told)
	}
	if list := viewers(""); len(list.Data) != 1 || list.Data[0].Viewer.Phone != bert.number || list.Data[0].Viewer.Name != "Friend "+bert.number || list.Data[0].ViewedAt == "" {
		t.Errorf("the viewers are %v", list.Data)
	}
	if m := s.status(m.WhatsAppID, nil); m.Status != "read" {
		t.Errorf("its status is %s", m.Status)
	}
	carla.act("POST", "/read", map[string]any{"from": s.phone.number}, nil)
	eventually(t, "the second viewer", func() error {
		if list := viewers(""); len(list.Data) != 2 {
			return fmt.Errorf("%v", list.Data)
		}
		return nil
	})
	first := viewers("?limit=1")
	second := viewers("?limit=1&cursor=" + url.QueryEscape(first.NextCursor))
	if len(first.Data) != 1 || !first.HasMore || len(second.Data) != 1 || second.HasMore || first.Data[0].Viewer.ID == second.Data[0].Viewer.ID || first.Data[0].ViewedAt < second.Data[0].ViewedAt {
		t.Errorf("the pages are %v and %v", first, second)
	}
	// They react and answer, in the chat with the account.
	bert.send(map[string]any{"to": s.phone.number, "type": "reaction", "target": map[string]any{"id": m.WhatsAppID}, "emoji": "😍"})
	s.gets("message.reaction", func(data map[string]any) bool {
		return data["messageId"] == m.ID && data["chatId"] == statusChat && data["emoji"] == "😍" && dig(data, "from", "phone") == bert.number
	})
	if shown := s.status(m.WhatsAppID, nil); len(shown.Reactions) != 1 || shown.Reactions[0].From.Phone != bert.number {
		t.Errorf("its reactions are %v", shown.Reactions)
	}
	answer := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "how much?", "quote": map[string]any{"id": m.WhatsAppID}}))
	if answer.ChatID != bert.jid() || !holds(answer.raw["replyTo"], map[string]any{
		"messageId": m.ID, "whatsappId": m.WhatsAppID, "chatId": statusChat, "text": "look here", "from": map[string]any{"phone": s.phone.number},
	}) {
		t.Errorf("the answer quotes %v", answer.ReplyTo)
	}
	s.refused("validation_failed", "GET", "/status-updates/"+m.ID+"/viewers?cursor=x", nil)
	s.refused("message_not_found", "GET", "/status-updates/"+answer.ID+"/viewers", nil)
	s.refused("validation_failed", "POST", "/status-updates/"+m.ID+"/view", nil)
	s.refused("validation_failed", "PUT", "/messages/"+m.ID+"/reaction", map[string]any{"emoji": "👍"})
	s.refused("validation_failed", "PATCH", "/messages/"+m.ID, map[string]any{"text": "other"})
}

// Feature: Delete a status
func TestStatusIsDeleted(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.knows(bert)
	m := s.postsStatus(text("a mistake"))
	bert.statusOf(m.WhatsAppID)
	gone := func(id string) func(sandbox.Message) bool {
		return func(m sandbox.Message) bool { return m.Type == "revoke" && m.Target.ID == id && m.Chat == statusChat }
	}
	var revoked struct {
		MessageID, WhatsAppID, ChatID string
		By                            address
	}
	s.must(200, "DELETE", "/status-updates/"+m.WhatsAppID, nil, &revoked)
	if revoked.MessageID != m.ID || revoked.ChatID != statusChat || revoked.By.Phone != s.phone.number {
		t.Errorf("the answer is %v", revoked)
	}
	bert.sees("the deletion", gone(m.WhatsAppID))
	s.gets("message.revoked", func(data map[string]any) bool { return data["messageId"] == m.ID && data["chatId"] == statusChat })
	if ids := s.statusIDs(""); len(ids) != 0 {
		t.Errorf("listed are %v", ids)
	}
	s.status(m.WhatsAppID, func(m message) bool { return m.raw["revokedAt"] != nil })
	s.must(200, "DELETE", "/status-updates/"+m.ID, nil, nil) // twice is once
	s.refused("message_not_found", "DELETE", "/status-updates/msg_01932f0c-none", nil)
	direct := s.send(bert.number, text("hello"))
	s.refused("message_not_found", "DELETE", "/status-updates/"+direct.ID, nil)
	s.refused("message_not_found", "GET", "/status-updates/"+direct.WhatsAppID, nil)

	old := s.postsStatus(text("of yesterday"))
	s.ages(old.WhatsAppID, 25*time.Hour)
	if ids := s.statusIDs(""); len(ids) != 0 {
		t.Errorf("after a day listed are %v", ids)
	}
	s.status(old.WhatsAppID, nil)
	s.refused("message_not_revocable", "DELETE", "/status-updates/"+old.ID, nil)

	// Offline it waits.
	m = s.postsStatus(text("another mistake"))
	s.stop()
	var change struct{ Kind, Status, Target string }
	s.must(202, "DELETE", "/status-updates/"+m.ID, nil, &change)
	if change.Kind != "message.delete" || change.Status != "queued" {
		t.Errorf("the change is %v", change)
	}
	s.start()
	bert.sees("the deletion", gone(m.WhatsAppID))
}

// ages makes a status update of the session older than it is.
func (s session) ages(whatsappID string, by time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, running.DatabaseURL)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	tag, err := conn.Exec(ctx, "UPDATE messages SET timestamp = timestamp - make_interval(secs => $3) WHERE session_id = $1 AND whatsapp_id = $2", s.id, whatsappID, by.Seconds())
	if err != nil || tag.RowsAffected() != 1 {
		s.t.Fatalf("%v: %v", tag, err)
	}
}

// Feature: Status: text, image, video, voice
func TestStatusWaitsAndIsRefused(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	s.knows(bert)
	type object = map[string]any
	later := time.Now().Add(time.Hour)
	var scheduled message
	s.must(202, "POST", "/status-updates", object{"content": text("later"), "sendAt": later}, &scheduled)
	if ids := s.statusIDs(""); scheduled.Status != "scheduled" || !slices.Equal(ids, []string{scheduled.WhatsAppID}) {
		t.Errorf("it is %s; listed are %v", scheduled.Status, ids)
	}
	s.refused("message_not_sent", "DELETE", "/status-updates/"+scheduled.ID, nil)
	s.must(200, "POST", "/messages/"+scheduled.ID+"/cancel", nil, nil)
	s.told(scheduled, "cancelled")

	s.stop()
	var waiting, late message
	s.must(202, "POST", "/status-updates", object{"content": text("soon")}, &waiting)
	s.must(202, "POST", "/status-updates", object{"content": text("too late"), "expiresAt": time.Now().Add(2 * time.Second)}, &late)
	if ids := s.statusIDs(""); !slices.Equal(ids, []string{late.WhatsAppID, waiting.WhatsAppID}) {
		t.Errorf("waiting are %v", ids)
	}
	s.told(late, "expired")
	if ids := s.statusIDs(""); !slices.Equal(ids, []string{waiting.WhatsAppID}) {
		t.Errorf("waiting are %v", ids)
	}
	s.start()
	bert.statusOf(waiting.WhatsAppID)
	if bert.saw(late.WhatsAppID) {
		t.Error("it is shown although its time was over")
	}

	for name, body := range map[string]object{
		"nothing":         {},
		"a document":      {"content": object{"type": "document", "media": file("text/plain", []byte("x"))}},
		"a poll":          {"content": object{"type": "poll", "poll": object{"question": "?", "options": []string{"a", "b"}}}},
		"a long text":     {"content": text(strings.Repeat("x", 701))},
		"no text":         {"content": text("")},
		"no colour":       {"content": object{"type": "text", "text": "x", "backgroundColor": "green"}},
		"no font":         {"content": object{"type": "text", "text": "x", "font": "comic"}},
		"no media":        {"content": object{"type": "image"}},
		"two media":       {"content": object{"type": "image", "media": object{"url": "https://example.com/a.png", "mediaId": "med_1"}}},
		"view once":       {"content": object{"type": "image", "media": file("image/png", picture(t)), "viewOnce": true}},
		"a look of media": {"content": object{"type": "image", "media": file("image/png", picture(t)), "backgroundColor": "#000000"}},
		"a recipient":     {"content": text("x"), "to": bert.number},
		"the past":        {"content": text("x"), "sendAt": time.Now().Add(-time.Minute)},
		"typing":          {"content": text("x"), "typingSeconds": 3},
	} {
		if status, raw := call(t, "POST", s.url("/status-updates"), body, nil); status != 422 {
			t.Errorf("%s: %d %s", name, status, raw)
		}
	}
	look := object{"to": bert.number, "content": object{"type": "text", "text": "x", "backgroundColor": "#000000"}}
	s.refused("validation_failed", "POST", "/messages", look)
	s.refused("validation_failed", "POST", "/messages", object{"to": statusChat, "content": text("x")})
	s.refused("media_not_found", "POST", "/status-updates", object{"content": object{"type": "image", "media": object{"mediaId": "med_01932f0c5d6b7a10b1f4d0c4a8e2f001"}}})
	s.refused("unsupported_media_type", "POST", "/status-updates", object{"content": object{"type": "image", "media": file("text/plain", []byte("x"))}})
	s.refused("session_not_found", "POST", "/v1/sessions/none/status-updates", object{"content": text("x")})
	s.refused("session_not_found", "GET", "/v1/sessions/none/status-updates", nil)
	s.refused("validation_failed", "GET", "/status-updates?contactId=x", nil)
	s.refused("validation_failed", "GET", "/status-updates?cursor=x", nil)
	s.must(202, "POST", "/logout", nil, nil)
	s.awaitState("logged_out")
	s.refused("session_logged_out", "POST", "/status-updates", object{"content": text("x")})
	if ids := s.statusIDs(""); !slices.Equal(ids, []string{waiting.WhatsAppID}) {
		t.Errorf("what is kept needs no connection: %v", ids)
	}
}

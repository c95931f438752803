package features

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// pixel is a PNG of one pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// holds says whether JSON has at least the members of want, as far down as want goes.
func holds(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		for name, value := range want {
			ok = ok && holds(m[name], value)
		}
		return ok
	case []any:
		list, ok := got.([]any)
		ok = ok && len(list) == len(want)
		for i := range want {
			ok = ok && holds(list[i], want[i])
		}
		return ok
	}
	return reflect.DeepEqual(got, want)
}

// Feature: Every kind of message is read
func TestEveryKindOfMessageIsRead(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	file := base64.StdEncoding.EncodeToString([]byte("the bytes of a file"))
	type object = map[string]any
	asked := ""
	for _, c := range []struct {
		name       string
		sent, want object
	}{
		{"text", object{"type": "text", "text": "hello"}, object{"type": "text", "text": "hello"}},
		{"link preview", object{"type": "text", "text": "see https://example.com/menu", "preview": object{"url": "https://example.com/menu", "title": "Our menu", "description": "Today"}},
			object{"type": "text", "text": "see https://example.com/menu", "linkPreview": object{"url": "https://example.com/menu", "title": "Our menu", "description": "Today"}}},
		{"image", object{"type": "image", "data": pixel, "mimetype": "image/png", "caption": "a pixel"}, object{"type": "image", "caption": "a pixel", "media": object{"mimetype": "image/png"}}},
		{"view once", object{"type": "image", "data": pixel, "mimetype": "image/png", "viewOnce": true}, object{"type": "image", "viewOnce": true}},
		{"view once voice", object{"type": "voice", "data": file, "viewOnce": true}, object{"type": "voice", "viewOnce": true}},
		{"disappearing image", object{"type": "image", "data": pixel, "mimetype": "image/png", "ephemeralSeconds": 86400}, object{"type": "image"}},
		{"gif", object{"type": "video", "data": file, "gif": true, "caption": "moves"}, object{"type": "video", "gif": true, "caption": "moves"}},
		{"video note", object{"type": "video", "data": file, "ptv": true}, object{"type": "video", "videoNote": true}},
		{"audio", object{"type": "audio", "data": file}, object{"type": "audio"}},
		{"voice", object{"type": "voice", "data": file}, object{"type": "voice"}},
		{"document", object{"type": "document", "data": file, "fileName": "a.txt", "mimetype": "text/plain", "caption": "read it"},
			object{"type": "document", "caption": "read it", "media": object{"fileName": "a.txt", "mimetype": "text/plain"}}},
		{"sticker", object{"type": "sticker", "data": file, "animated": true}, object{"type": "sticker", "animated": true}},
		{"location", object{"type": "location", "location": object{"latitude": -34.6, "longitude": -58.4, "name": "Obelisco", "address": "9 de Julio"}},
			object{"type": "location", "location": object{"latitude": -34.6, "longitude": -58.4, "name": "Obelisco", "address": "9 de Julio"}}},
		{"live location", object{"type": "liveLocation", "liveLocation": object{"latitude": 1.5, "longitude": 2.5, "accuracyMeters": 12, "speed": 3.5, "heading": 90, "sequence": 7, "caption": "here"}},
			object{"type": "liveLocation", "caption": "here", "liveLocation": object{"latitude": 1.5, "longitude": 2.5, "accuracyMeters": 12.0, "speed": 3.5, "heading": 90.0, "sequence": 7.0}}},
		{"contact", object{"type": "contacts", "contacts": []object{{"name": "Juan Pérez", "phones": []string{"5491123456789"}}}},
			object{"type": "contacts", "contacts": []any{object{"name": "Juan Pérez", "phones": []any{"5491123456789"}}}}},
		{"contacts", object{"type": "contacts", "contacts": []object{{"name": "A", "phones": []string{"5491123456789"}}, {"name": "B", "vcard": "BEGIN:VCARD\nVERSION:3.0\nFN:B\nitem1.TEL;type=HOME:+54 (11) 4321-0000\nEND:VCARD"}}},
			object{"type": "contacts", "contacts": []any{object{"name": "A"}, object{"name": "B", "phones": []any{"541143210000"}}}}},
		{"poll", object{"type": "poll", "poll": object{"question": "When?", "options": []string{"Mon", "Tue"}, "selectableCount": 1}},
			object{"type": "poll", "poll": object{"question": "When?", "options": []any{"Mon", "Tue"}, "selectableCount": 1.0}}},
		{"event", object{"type": "event", "event": object{"name": "Opening", "startAt": "2030-01-02T03:04:05Z", "endAt": "2030-01-02T05:04:05Z", "description": "With music.", "joinLink": "https://call.whatsapp.com/video/abc",
			"extraGuestsAllowed": true, "location": object{"latitude": 1.0, "longitude": 2.0, "name": "Hall"}}},
			object{"type": "event", "event": object{"name": "Opening", "startAt": "2030-01-02T03:04:05Z", "endAt": "2030-01-02T05:04:05Z", "description": "With music.", "joinLink": "https://call.whatsapp.com/video/abc",
				"extraGuests": true, "location": object{"latitude": 1.0, "longitude": 2.0, "name": "Hall"}}}},
		{"group invite", object{"type": "groupInvite", "groupInvite": object{"groupJid": "120363025246125486@g.us", "code": "AbCdEfGh", "groupName": "Neighbours", "caption": "Join us.", "expiresAt": "2030-01-02T03:04:05Z"}},
			object{"type": "groupInvite", "groupInvite": object{"groupId": "120363025246125486@g.us", "code": "AbCdEfGh", "name": "Neighbours", "caption": "Join us.", "expiresAt": "2030-01-02T03:04:05Z"}}},
		{"album", object{"type": "album", "album": object{"images": 2, "videos": 1}}, object{"type": "album", "album": object{"images": 2.0, "videos": 1.0}}},
		{"buttons", object{"type": "buttons", "title": "Lunch", "text": "What will it be?", "buttons": []object{{"id": "1", "text": "Soup"}}}, object{"type": "text", "text": "Lunch\nWhat will it be?"}},
		{"list", object{"type": "list", "title": "Lunch", "text": "Choose", "buttons": []object{{"id": "1", "text": "Soup"}}}, object{"type": "text", "text": "Lunch\nChoose"}},
		{"buttons' answer", object{"type": "buttonsResponse", "text": "Soup", "selectedId": "1"}, object{"type": "text", "text": "Soup"}},
		{"list's answer", object{"type": "listResponse", "text": "Soup", "selectedId": "1"}, object{"type": "text", "text": "Soup"}},
		{"template's answer", object{"type": "templateButtonReply", "text": "Yes", "selectedId": "1"}, object{"type": "text", "text": "Yes"}},
		{"request of a number", object{"type": "requestPhoneNumber"}, object{"type": "unsupported"}},
	} {
		if c.sent["to"] = s.phone.number; c.sent["selectedId"] != nil {
			c.sent["quote"] = object{"id": asked}
		}
		id := bert.send(c.sent)
		if c.sent["buttons"] != nil {
			asked = id
		}
		m := s.received(id)
		if !holds(m.raw["content"], c.want) {
			got, _ := json.Marshal(m.raw["content"])
			t.Errorf("%s is read as %s", c.name, got)
		}
		if m.Direction != "incoming" || m.From.Phone != bert.number {
			t.Errorf("%s is from %+v", c.name, m.From)
		}
	}
	album := bert.send(object{"to": s.phone.number, "type": "album", "album": object{"images": 2, "videos": 0}})
	child := bert.send(object{"to": s.phone.number, "type": "image", "data": pixel, "mimetype": "image/png", "albumId": album})
	if m := s.received(child); m.Content["albumId"] != album {
		t.Errorf("the image of the album is %v", m.Content)
	}
	s.gets("message.received", func(data map[string]any) bool {
		return dig(data, "message", "whatsappId") == child && dig(data, "message", "content", "albumId") == album
	})
}

// Feature: Quotes, mentions and forwards are read
func TestQuotesMentionsAndForwardsAreRead(t *testing.T) {
	t.Parallel()
	s, bert, carla := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla")
	var group struct{ JID string }
	bert.act("POST", "/groups", map[string]any{"subject": "Crew", "participants": []string{s.phone.number, carla.number}}, &group)
	question := bert.send(map[string]any{"to": group.JID, "type": "text", "text": "who comes?"})
	asked := s.received(question)
	carla.sees("the question", func(m sandbox.Message) bool { return m.ID == question })
	answer := carla.send(map[string]any{
		"to": group.JID, "type": "text", "text": "me and @" + bert.number, "quote": map[string]any{"id": question}, "mentions": []string{bert.number, s.phone.number},
		"mentionsEveryone": true, "ephemeralSeconds": 86400,
	})
	m := s.received(answer)
	if !holds(m.ReplyTo, map[string]any{"messageId": asked.ID, "whatsappId": question, "type": "text", "text": "who comes?", "from": map[string]any{"phone": bert.number, "id": bert.jid()}}) {
		t.Errorf("the quote is %v", m.ReplyTo)
	}
	if len(m.Mentions) != 2 || m.Mentions[0].Phone != bert.number || m.Mentions[0].Kind != "user" || m.Mentions[1].Phone != s.phone.number {
		t.Errorf("the mentions are %+v", m.Mentions)
	}
	if m.raw["mentionsEveryone"] != true || m.raw["disappearsAfter"] != 86400.0 {
		t.Errorf("the message is %v", m.raw)
	}
	s.gets("message.received", func(data map[string]any) bool {
		return dig(data, "message", "whatsappId") == answer && dig(data, "message", "replyTo", "messageId") == asked.ID && dig(data, "message", "replyTo", "from", "phone") == bert.number
	})

	// An answer to what the account wrote itself, with a picture; a quote of what the session never had.
	own := s.send(bert.number, map[string]any{"type": "text", "text": "is it ready?"})
	bert.sees("it", func(m sandbox.Message) bool { return m.ID == own.WhatsAppID })
	picture := bert.send(map[string]any{"to": s.phone.number, "type": "image", "data": pixel, "mimetype": "image/png", "caption": "yes", "quote": map[string]any{"id": own.WhatsAppID}})
	if m := s.received(picture); !holds(m.ReplyTo, map[string]any{"messageId": own.ID, "text": "is it ready?", "from": map[string]any{"phone": s.phone.number}}) {
		t.Errorf("the quote of an own message is %v", m.ReplyTo)
	}
	late := newSession(t)
	before := bert.send(map[string]any{"to": group.JID, "type": "image", "data": pixel, "mimetype": "image/png", "caption": "before"})
	s.received(before)
	bert.act("POST", "/groups/"+group.JID+"/participants", map[string]any{"action": "add", "numbers": []string{late.phone.number}}, nil)
	after := bert.send(map[string]any{"to": group.JID, "type": "text", "text": "as I said", "quote": map[string]any{"id": before}})
	if m := late.received(after); m.ReplyTo["messageId"] != nil || !holds(m.ReplyTo, map[string]any{"whatsappId": before, "type": "image", "text": "before"}) {
		t.Errorf("the quote of what the session never had is %v", m.ReplyTo)
	}

	once := carla.send(map[string]any{"to": s.phone.number, "type": "text", "text": "pass it on", "forwarded": true})
	if m := s.received(once); m.raw["forwarded"] != 1.0 {
		t.Errorf("a forward is %v", m.raw)
	}
	often := carla.send(map[string]any{"to": s.phone.number, "type": "text", "text": "everybody!", "forwarded": true, "forwardingScore": 7})
	if m := s.received(often); m.raw["forwarded"] != 7.0 {
		t.Errorf("a forward of forwards is %v", m.raw)
	}
}

// Feature: Edits, deletions, reactions and pins of others are events
func TestWhatOthersDoToMessagesIsTold(t *testing.T) {
	t.Parallel()
	s, bert, carla := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla")
	to := func(more map[string]any) map[string]any {
		body := map[string]any{"to": s.phone.number}
		for k, v := range more {
			body[k] = v
		}
		return body
	}
	id := bert.send(to(map[string]any{"type": "text", "text": "at nine"}))
	m := s.received(id)
	target := map[string]any{"id": id}

	bert.send(to(map[string]any{"type": "edit", "target": target, "text": "at ten"}))
	s.gets("message.edited", func(data map[string]any) bool {
		return holds(data, map[string]any{"message": map[string]any{"id": m.ID, "content": map[string]any{"type": "text", "text": "at ten"}}, "by": map[string]any{"phone": bert.number}}) &&
			dig(data, "message", "editedAt") != nil
	})
	if m = s.received(id); m.Content["text"] != "at ten" || m.raw["editedAt"] == nil {
		t.Errorf("the edited message is %v", m.raw)
	}
	picture := bert.send(to(map[string]any{"type": "image", "data": pixel, "mimetype": "image/png", "caption": "old"}))
	s.received(picture)
	bert.send(to(map[string]any{"type": "edit", "target": map[string]any{"id": picture}, "text": "new"}))
	edited := s.gets("message.edited", func(data map[string]any) bool { return dig(data, "message", "whatsappId") == picture })
	if !holds(edited, map[string]any{"message": map[string]any{"content": map[string]any{"type": "image", "caption": "new", "media": map[string]any{"mimetype": "image/png"}}}}) {
		t.Errorf("the edited caption is %v", edited)
	}

	bert.send(to(map[string]any{"type": "reaction", "target": target, "emoji": "🎉"}))
	s.gets("message.reaction", func(data map[string]any) bool {
		return holds(data, map[string]any{"messageId": m.ID, "whatsappId": id, "chatId": bert.jid(), "emoji": "🎉", "direction": "incoming", "from": map[string]any{"phone": bert.number, "name": "Bert"}})
	})
	if m = s.received(id); len(m.Reactions) != 1 || m.Reactions[0].Emoji != "🎉" || m.Reactions[0].From.Phone != bert.number {
		t.Errorf("the reactions are %+v", m.Reactions)
	}
	bert.send(to(map[string]any{"type": "reaction", "target": target}))
	s.gets("message.reaction", func(data map[string]any) bool { return data["messageId"] == m.ID && data["emoji"] == "" })
	if m = s.received(id); len(m.Reactions) != 0 {
		t.Errorf("the reaction that was taken back is there: %+v", m.Reactions)
	}

	bert.send(to(map[string]any{"type": "pin", "target": target, "pinSeconds": 86400}))
	s.gets("message.pinned", func(data map[string]any) bool {
		return data["messageId"] == m.ID && data["pinned"] == true && data["pinnedUntil"] != nil && dig(data, "by", "phone") == bert.number
	})
	if m = s.received(id); m.raw["pinnedUntil"] == nil {
		t.Errorf("the pinned message is %v", m.raw)
	}
	bert.send(to(map[string]any{"type": "unpin", "target": target}))
	s.gets("message.pinned", func(data map[string]any) bool { return data["messageId"] == m.ID && data["pinned"] == false })
	if m = s.received(id); m.raw["pinnedUntil"] != nil {
		t.Errorf("the unpinned message is %v", m.raw)
	}

	bert.send(to(map[string]any{"type": "revoke", "target": target}))
	s.gets("message.revoked", func(data map[string]any) bool {
		return data["messageId"] == m.ID && data["whatsappId"] == id && dig(data, "by", "phone") == bert.number
	})
	if m = s.received(id); m.raw["revokedAt"] == nil || m.Content["text"] != "at ten" {
		t.Errorf("the revoked message is %v", m.raw)
	}

	// In a group: an encrypted reaction to the account's own message, and an admin who deletes what another wrote.
	var group struct{ JID string }
	bert.act("POST", "/groups", map[string]any{"subject": "Crew", "participants": []string{s.phone.number, carla.number}}, &group)
	own := s.send(group.JID, map[string]any{"type": "text", "text": "welcome"})
	bert.sees("the welcome", func(m sandbox.Message) bool { return m.ID == own.WhatsAppID })
	bert.send(map[string]any{"to": group.JID, "type": "reaction", "target": map[string]any{"id": own.WhatsAppID}, "emoji": "❤️"})
	s.gets("message.reaction", func(data map[string]any) bool {
		return data["messageId"] == own.ID && data["emoji"] == "❤️" && data["chatId"] == group.JID && dig(data, "from", "phone") == bert.number
	})
	rude := carla.send(map[string]any{"to": group.JID, "type": "poll", "poll": map[string]any{"question": "Rude?", "options": []string{"yes", "no"}}})
	said := s.received(rude)
	bert.sees("it", func(m sandbox.Message) bool { return m.ID == rude })
	bert.send(map[string]any{"to": group.JID, "type": "reaction", "target": map[string]any{"id": rude}, "emoji": "😱", "encrypted": true})
	s.gets("message.reaction", func(data map[string]any) bool { return data["messageId"] == said.ID && data["emoji"] == "😱" })
	bert.send(map[string]any{"to": group.JID, "type": "revoke", "target": map[string]any{"id": rude}})
	s.gets("message.revoked", func(data map[string]any) bool {
		return data["messageId"] == said.ID && dig(data, "by", "phone") == bert.number
	})
}

// Feature: Votes and answers to events of others are events
func TestVotesAndAnswersAreTold(t *testing.T) {
	t.Parallel()
	s, bert, carla := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carla")
	var group struct{ JID string }
	bert.act("POST", "/groups", map[string]any{"subject": "Crew", "participants": []string{s.phone.number, carla.number}}, &group)
	poll := bert.send(map[string]any{"to": group.JID, "type": "poll", "poll": map[string]any{"question": "When?", "options": []string{"Mon", "Tue", "Wed"}}})
	asked := s.received(poll)
	carla.sees("the poll", func(m sandbox.Message) bool { return m.ID == poll })
	vote := func(p phone, options ...string) {
		p.send(map[string]any{"to": group.JID, "type": "pollVote", "target": map[string]any{"id": poll}, "selected": options})
	}
	voted := func(p phone, options ...any) {
		t.Helper()
		s.gets("poll.voted", func(data map[string]any) bool {
			return data["messageId"] == asked.ID && data["direction"] == "incoming" && dig(data, "from", "phone") == p.number && holds(data["options"], append([]any{}, options...))
		})
	}
	vote(carla, "Tue", "Wed")
	voted(carla, "Tue", "Wed")
	vote(bert, "Mon")
	voted(bert, "Mon")
	vote(carla)
	voted(carla)

	event := bert.send(map[string]any{"to": group.JID, "type": "event", "event": map[string]any{"name": "Opening", "startAt": "2030-01-02T03:04:05Z", "extraGuestsAllowed": true}})
	invited := s.received(event)
	carla.sees("the event", func(m sandbox.Message) bool { return m.ID == event })
	carla.send(map[string]any{"to": group.JID, "type": "eventResponse", "target": map[string]any{"id": event}, "response": "going", "extraGuests": 2})
	s.gets("event.responded", func(data map[string]any) bool {
		return holds(data, map[string]any{"messageId": invited.ID, "response": "going", "extraGuests": 2.0, "direction": "incoming", "from": map[string]any{"phone": carla.number}})
	})
	bert.send(map[string]any{"to": group.JID, "type": "edit", "target": map[string]any{"id": event}, "event": map[string]any{"name": "Opening night", "startAt": "2030-01-02T04:04:05Z", "canceled": true}})
	s.gets("message.edited", func(data map[string]any) bool {
		return holds(data, map[string]any{"message": map[string]any{"id": invited.ID, "content": map[string]any{
			"type": "event", "event": map[string]any{"name": "Opening night", "startAt": "2030-01-02T04:04:05Z", "cancelled": true},
		}}})
	})
}

// Feature: What the owner does on the phone is told too
func TestWhatTheOwnerDoesOnThePhoneIsTold(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	id := bert.send(map[string]any{"to": s.phone.number, "type": "poll", "poll": map[string]any{"question": "Tea?", "options": []string{"yes", "no"}}})
	m := s.received(id)
	s.phone.sees("the poll", func(m sandbox.Message) bool { return m.ID == id })
	to := func(more map[string]any) string { more["to"] = bert.number; return s.phone.send(more) }

	to(map[string]any{"type": "reaction", "target": map[string]any{"id": id}, "emoji": "☕"})
	s.gets("message.reaction", func(data map[string]any) bool {
		return data["messageId"] == m.ID && data["emoji"] == "☕" && data["direction"] == "outgoing" && dig(data, "from", "phone") == s.phone.number
	})
	if m = s.received(id); len(m.Reactions) != 1 || m.Reactions[0].From.Phone != s.phone.number {
		t.Errorf("the reactions are %+v", m.Reactions)
	}
	to(map[string]any{"type": "pollVote", "target": map[string]any{"id": id}, "selected": []string{"yes"}})
	s.gets("poll.voted", func(data map[string]any) bool {
		return data["messageId"] == m.ID && data["direction"] == "outgoing" && holds(data["options"], []any{"yes"}) && dig(data, "from", "phone") == s.phone.number
	})

	own := to(map[string]any{"type": "text", "text": "from the phone", "quote": map[string]any{"id": id}})
	sent := s.gets("message.sent", func(data map[string]any) bool { return dig(data, "message", "whatsappId") == own })
	if !holds(sent, map[string]any{"message": map[string]any{"content": map[string]any{"text": "from the phone"}, "replyTo": map[string]any{"messageId": m.ID, "type": "poll"}}}) {
		t.Errorf("what was sent from the phone is %v", sent)
	}
	to(map[string]any{"type": "edit", "target": map[string]any{"id": own}, "text": "from my phone"})
	s.gets("message.edited", func(data map[string]any) bool {
		return dig(data, "message", "whatsappId") == own && dig(data, "message", "content", "text") == "from my phone" && dig(data, "message", "direction") == "outgoing" &&
			dig(data, "by", "phone") == s.phone.number
	})
	to(map[string]any{"type": "pin", "target": map[string]any{"id": own}})
	s.gets("message.pinned", func(data map[string]any) bool {
		return data["whatsappId"] == own && dig(data, "by", "phone") == s.phone.number
	})
	to(map[string]any{"type": "revoke", "target": map[string]any{"id": own}})
	s.gets("message.revoked", func(data map[string]any) bool {
		return data["whatsappId"] == own && dig(data, "by", "phone") == s.phone.number
	})
}

// Feature: WhatsApp's own protobuf on request
func TestWhatsAppsOwnProtobufOnRequest(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	id := bert.send(map[string]any{"to": s.phone.number, "type": "image", "data": pixel, "mimetype": "image/png", "caption": "old"})
	if m := s.received(id); m.raw["raw"] != nil {
		t.Errorf("the raw form is there unasked: %v", m.raw)
	}
	var m message
	s.must(200, "GET", "/messages/"+id+"?raw=true", nil, &m)
	image := dig(m.raw, "raw", "imageMessage")
	if dig(image, "caption") != "old" || dig(image, "fileSHA256") == nil {
		t.Errorf("the raw form is %v", m.raw["raw"])
	}
	if dig(image, "mediaKey") != nil || dig(m.raw, "raw", "messageContextInfo", "messageSecret") != nil {
		t.Errorf("a key is in %v", m.raw["raw"])
	}
	var list struct {
		Data       []message
		NextCursor string
	}
	bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "second"})
	eventually(t, "both messages", func() error {
		s.must(200, "GET", "/messages?raw=true&limit=1", nil, &list)
		if len(list.Data) != 1 || dig(list.Data[0].raw, "raw", "conversation") != "second" {
			return fmt.Errorf("the page is %v", list.Data)
		}
		return nil
	})

	var page struct{ Data []map[string]any }
	query := url.Values{"type": {"message.received"}, "sessionId": {s.id}}
	s.gets("message.received", func(data map[string]any) bool {
		return dig(data, "message", "whatsappId") == id && dig(data, "message", "raw") == nil
	})
	s.must(200, "GET", "/v1/events?raw=true&"+query.Encode(), nil, &page)
	if len(page.Data) == 0 || dig(page.Data[0], "data", "message", "raw", "imageMessage", "caption") != "old" {
		t.Fatalf("the events are %v", page.Data)
	}
	event, _ := page.Data[0]["id"].(string)
	status, plain := call(t, "GET", s.url("/v1/events/"+event), nil, nil)
	_, with := call(t, "GET", s.url("/v1/events/"+event+"?raw=true"), nil, nil)
	if status != 200 || strings.Contains(string(plain), `"raw"`) || !strings.Contains(string(with), `"raw":{`) || !strings.HasPrefix(string(with), string(plain[:len(plain)-10])[:100]) {
		t.Errorf("the event is %s, with its raw form %s", plain, with)
	}

	// The raw form follows an edit.
	bert.send(map[string]any{"to": s.phone.number, "type": "edit", "target": map[string]any{"id": id}, "text": "new"})
	s.gets("message.edited", func(data map[string]any) bool { return dig(data, "message", "whatsappId") == id })
	s.must(200, "GET", "/messages/"+id+"?raw=true", nil, &m)
	if caption := dig(m.raw, "raw", "imageMessage", "caption"); caption != "new" {
		t.Errorf("after the edit the caption is %v", m.raw["raw"])
	}
}

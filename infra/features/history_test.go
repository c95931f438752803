package features

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// historic lists all messages of a chat, newest first.
func (s session) historic(chat string) (all []message) {
	s.t.Helper()
	cursor := ""
	for {
		var page struct {
			Data       []message
			NextCursor string
			HasMore    bool
		}
		s.must(200, "GET", "/chats/"+chat+"/messages?limit=200&cursor="+cursor, nil, &page)
		if all = append(all, page.Data...); !page.HasMore {
			return all
		}
		cursor = page.NextCursor
	}
}

// events lists the data of a session's events of some types, comma-separated.
func (s session) events(types string) (all []map[string]any) {
	s.t.Helper()
	var page struct {
		Data []struct{ Data map[string]any }
	}
	s.must(200, "GET", "/v1/events?limit=200&type="+types+"&sessionId="+s.id, nil, &page)
	for _, e := range page.Data {
		all = append(all, e.Data)
	}
	return all
}

// Feature: History from the phone, apart from live messages
func TestHistory(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"inline", "media"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			owner, bert := newPhone(t, "Owner"), newPhone(t, "Bert")
			file := []byte("a file from before")
			said := bert.send(map[string]any{"to": owner.number, "type": "text", "text": "from before"})
			bert.act("POST", "/messages", map[string]any{"to": owner.number, "type": "document", "data": base64.StdEncoding.EncodeToString(file), "mimetype": "text/plain", "fileName": "a.txt"}, nil)
			eventually(t, "the owner to have both", func() error {
				var page struct{ Messages []json.RawMessage }
				if owner.act("GET", "/messages", nil, &page); len(page.Messages) < 2 {
					return fmt.Errorf("%d messages", len(page.Messages))
				}
				return nil
			})
			owner.act("PUT", "/history", map[string]any{"mode": mode, "messages": 500, "seed": map[string]any{"chats": 3, "messages": 450}}, nil)
			s := linked(t, owner)
			messages, kinds := 0, map[string]bool{}
			eventually(t, "the whole history", func() error {
				messages = 0
				for _, data := range s.events("history.synced") {
					messages += int(data["messages"].(float64))
					kinds[data["kind"].(string)] = true
				}
				if messages < 3*450+2 {
					return fmt.Errorf("%d messages, %v", messages, kinds)
				}
				return nil
			})
			if messages != 3*450+2 || !kinds["initial"] || !kinds["recent"] || !kinds["push_names"] {
				t.Errorf("told of %d messages, %v", messages, kinds)
			}
			if got := s.events("message.received,message.sent"); len(got) > 0 {
				t.Errorf("told as live: %v", got)
			}
			// The lists are in the order of WhatsApp's clock, live messages after the history.
			live := bert.send(map[string]any{"to": owner.number, "type": "text", "text": "live"})
			s.received(live)
			list := s.historic(bert.number)
			if len(list) != 3 || list[0].WhatsAppID != live || list[0].raw["history"] != nil || list[2].WhatsAppID != said || list[2].raw["history"] != true ||
				list[2].Content["text"] != "from before" || list[2].Direction != "incoming" || list[2].From.Name != "Bert" {
				t.Errorf("the chat has %+v", list)
			}
			s.gets("message.received", func(data map[string]any) bool { return dig(data, "message", "whatsappId") == live })
			if got := s.events("message.received"); len(got) != 1 {
				t.Errorf("told as live: %v", got)
			}
			seeded := s.historic("19990000001")
			if len(seeded) != 450 {
				t.Fatalf("the chat has %d messages", len(seeded))
			}
			var times []string
			for i, m := range seeded {
				if want := fmt.Sprintf("message %d of Contact 2", 450-i); m.Content["text"] != want {
					t.Fatalf("message %d is %v, want %q", i, m.Content, want)
				}
				times = append(times, m.raw["timestamp"].(string))
			}
			slices.Reverse(times)
			if !slices.IsSorted(times) {
				t.Error("the times are not in order")
			}
			if own := seeded[0]; own.Direction != "outgoing" && seeded[1].Direction != "outgoing" && seeded[2].Direction != "outgoing" {
				t.Errorf("none of the last is the account's own: %+v", own)
			}
			c := s.awaitChat("19990000001", "named", func(c chat) bool { return c.Name == "Contact 2" && c.LastMessage != nil })
			if c.Unread != 0 || c.LastMessage.ID != seeded[0].ID || c.LID == "" {
				t.Errorf("the chat is %+v", c)
			}
			if list, _ := s.chats(""); len(list) != 4 || list[0].ID != bert.jid() {
				t.Errorf("the chats are %+v", list)
			}

			// A file is fetched when it is wanted.
			media, _ := dig(list[1].Content, "media", "id").(string)
			var shown struct{ Status string }
			if s.must(200, "GET", "/v1/media/"+media, nil, &shown); shown.Status != "pending" {
				t.Errorf("the file is %s", shown.Status)
			}
			if status, raw := call(t, "GET", s.url("/v1/media/"+media+"/content"), nil, nil); status != 200 || string(raw) != string(file) {
				t.Errorf("the file: %d %q", status, raw)
			}
		})
	}
}

// Feature: History on demand
func TestHistoryOnDemand(t *testing.T) {
	t.Parallel()
	owner := newPhone(t, "Owner")
	owner.act("PUT", "/history", map[string]any{"mode": "inline", "messages": 20, "seed": map[string]any{"chats": 1, "messages": 100}}, nil)
	s := linked(t, owner)
	const chatID = "19990000000"
	eventually(t, "the history", func() error {
		if status, raw := call(t, "GET", s.url("/chats/"+chatID), nil, nil); status != 200 {
			return fmt.Errorf("%d %s", status, raw)
		}
		if n := len(s.historic(chatID)); n < 20 {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	path := "/chats/" + chatID + "/history-sync"
	var asked struct {
		ChatID string
		Count  int
	}
	s.must(200, "POST", path, map[string]any{"count": 30}, &asked)
	if asked.ChatID != chatID+"@s.whatsapp.net" || asked.Count != 30 {
		t.Errorf("asked %+v", asked)
	}
	owner.notices("peerRequest", func(data map[string]any) bool { return data["type"] == "HISTORY_SYNC_ON_DEMAND" })
	s.gets("history.synced", func(data map[string]any) bool {
		return data["kind"] == "on_demand" && data["chatId"] == chatID+"@s.whatsapp.net" && data["messages"] == 30.0 && data["chats"] == 1.0
	})
	list := s.historic(chatID)
	if len(list) != 50 || list[49].Content["text"] != "message 51 of Contact 1" {
		t.Errorf("the chat has %d messages, the last is %+v", len(list), list[len(list)-1].Content)
	}
	// From a message on, again: what is there is not new.
	s.must(200, "POST", path, map[string]any{"count": 10, "before": list[10].ID}, nil)
	s.gets("history.synced", func(data map[string]any) bool { return data["kind"] == "on_demand" && data["messages"] == 0.0 })
	if n := len(s.historic(chatID)); n != 50 {
		t.Errorf("the chat has %d messages", n)
	}
	// Offline it waits.
	s.stop()
	s.must(202, "POST", path, map[string]any{"count": 5, "before": list[49].WhatsAppID}, nil)
	s.start()
	s.gets("history.synced", func(data map[string]any) bool { return data["kind"] == "on_demand" && data["messages"] == 5.0 })

	s.refused("chat_not_found", "POST", "/chats/5491199999999/history-sync", map[string]any{"count": 5})
	s.refused("message_not_found", "POST", path, map[string]any{"count": 5, "before": "3EB0NONE"})
	s.refused("validation_failed", "POST", path, map[string]any{"count": 501})
	s.refused("validation_failed", "POST", path, map[string]any{})
	bert := newPhone(t, "Bert")
	m := s.send(bert.number, map[string]any{"type": "text", "text": "hello"})
	s.refused("validation_failed", "POST", path, map[string]any{"count": 5, "before": m.ID})
}

package features

import (
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// Feature: React to a message, and take it back
func TestReaction(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	id := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"})
	m := s.received(id)

	var reacted message
	s.must(200, "PUT", "/messages/"+m.ID+"/reaction", map[string]any{"emoji": "👍"}, &reacted)
	if reacted.ID != m.ID {
		t.Errorf("the answer is %+v", reacted)
	}
	bert.sees("the reaction", func(m sandbox.Message) bool {
		return m.Type == "reaction" && m.Emoji == "👍" && m.Target.ID == id && m.Target.FromMe
	})
	s.gets("message.reaction", func(data map[string]any) bool {
		return data["messageId"] == m.ID && data["emoji"] == "👍" && data["direction"] == "outgoing" && dig(data, "from", "phone") == s.phone.number
	})
	s.must(200, "GET", "/messages/"+m.ID, nil, &reacted)
	if len(reacted.Reactions) != 1 || reacted.Reactions[0].Emoji != "👍" || reacted.Reactions[0].From.Phone != s.phone.number {
		t.Errorf("the reactions are %+v", reacted.Reactions)
	}

	s.must(200, "DELETE", "/messages/"+id+"/reaction", nil, nil) // WhatsApp's id will do
	bert.sees("that it was taken back", func(m sandbox.Message) bool { return m.Type == "reaction" && m.Emoji == "" && m.Target.ID == id })
	s.refused("message_not_found", "PUT", "/messages/3EB0NONE/reaction", map[string]any{"emoji": "👍"})
	s.refused("validation_failed", "PUT", "/messages/"+m.ID+"/reaction", map[string]any{"emoji": ""})
}

// Feature: Changes wait for the connection, and are told when they fail
func TestAChangeWaitsForTheConnection(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	id := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "hello"})
	m := s.received(id)
	s.stop()
	var c struct{ ID, Status, Kind, Target string }
	s.must(202, "PUT", "/messages/"+m.ID+"/reaction", map[string]any{"emoji": "❤️"}, &c)
	if c.Status != "queued" || c.Kind != "message.react" {
		t.Errorf("the change is %+v", c)
	}
	s.start()
	bert.sees("the reaction", func(m sandbox.Message) bool { return m.Type == "reaction" && m.Emoji == "❤️" && m.Target.ID == id })
	eventually(t, "the change to be done", func() error {
		s.must(200, "GET", "/changes/"+c.ID, nil, &c)
		if c.Status != "done" {
			return errStatus(c.Status)
		}
		return nil
	})
	s.refused("not_found", "GET", "/changes/chg_none", nil)
}

type errStatus string

func (e errStatus) Error() string { return "it is " + string(e) }

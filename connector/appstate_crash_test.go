package connector

import (
	"strconv"
	"testing"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// settings are what the owner sets on the phone: where a process dies that handles it, what shows that it is set, and what tells of it.
var settings = []struct {
	change  sandbox.StateChange
	trigger string
	set     string // is true once it is set
	tells   events.Type
	of      string // is true for the data of the event
}{
	{sandbox.StateChange{Action: "archive", On: true}, `BEFORE UPDATE ON chats FOR EACH ROW WHEN (NEW.archived)`,
		`SELECT bool_or(archived) FROM chats WHERE unread = 1`, events.ChatUpdated, `d->'chat'->>'archived' = 'true' AND d->'chat'->>'id' LIKE '5491100000002%'`},
	{sandbox.StateChange{Action: "mute", On: true}, `BEFORE UPDATE ON chats FOR EACH ROW WHEN (NEW.muted_until IS NOT NULL)`,
		`SELECT bool_or(muted_until IS NOT NULL) FROM chats WHERE unread = 1`, events.ChatUpdated, `d->'chat'->>'mutedUntil' <> ''`},
	{sandbox.StateChange{Action: "markRead", On: true}, `BEFORE UPDATE ON chats FOR EACH ROW WHEN (OLD.unread = 1 AND NEW.unread = 0)`,
		`SELECT bool_and(unread = 0) FROM chats`, events.ChatUpdated, `d->'chat'->>'unread' = '0' AND d->'chat'->>'id' LIKE '5491100000002%'`},
	{sandbox.StateChange{Action: "star", On: true}, `BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.starred)`,
		`SELECT bool_or(starred) FROM messages`, events.MessageStarred, `true`},
	{sandbox.StateChange{Action: "deleteMessage"}, `BEFORE DELETE ON messages FOR EACH ROW`,
		`SELECT count(*) = 0 FROM messages`, events.MessageDeleted, `true`},
	{sandbox.StateChange{Action: "deleteChat"}, `BEFORE INSERT ON queue_messages FOR EACH ROW WHEN (NEW.metadata->>'command' = 'chat.empty')`,
		`SELECT count(*) = 0 FROM chats WHERE id LIKE '5491100000002%'`, events.ChatUpdated, `d->>'deleted' = 'true'`},
	{sandbox.StateChange{Action: "contact", Name: "Johnny"}, `BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW WHEN (NEW.saved_name = 'Johnny')`,
		`SELECT count(*) = 1 FROM contacts WHERE saved_name = 'Johnny'`, events.ContactUpdated, `d->'contact'->>'savedName' = 'Johnny'`},
	{sandbox.StateChange{Action: "label", Label: "7", Name: "VIP"}, `BEFORE INSERT ON labels FOR EACH ROW WHEN (NEW.name = 'VIP')`,
		`SELECT count(*) = 1 FROM labels WHERE name = 'VIP'`, events.LabelUpdated, `d->'label'->>'name' = 'VIP'`},
}

func TestWhatIsSetOnThePhoneIsSetAndToldOnceWhereverAProcessDies(t *testing.T) {
	t.Parallel()
	for _, s := range settings {
		for _, dies := range []bool{true, false} {
			name := s.change.Action + ", the process dies"
			if !dies {
				name = s.change.Action + ", the database breaks off"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
				c := b.connector(same)
				b.phone(juan, "Juan")
				b.linked("sales", owner)
				handled := func() bool { return one[int](b, `SELECT count(*)::int FROM unhandled_states`) == 0 }
				told := func(kind events.Type, of string) int {
					return one[int](b, `SELECT count(*)::int FROM (SELECT convert_from(payload, 'UTF8')::json->'data' AS d FROM queue_messages
						WHERE lane LIKE 'events/%' AND metadata->>'type' = $1) e WHERE `+of, string(kind))
				}
				act := func(change sandbox.StateChange) {
					t.Helper()
					if err := b.sandbox.ChangeState(b.ctx(), owner, change); err != nil {
						t.Fatal(err)
					}
				}
				s := s // the other death writes it too
				s.change.Chat, s.change.ID = juan, b.fromPhone(juan, owner, "hello")
				b.await("the message", func() bool { return one[int](b, `SELECT coalesce(max(unread), 0)::int FROM chats`) == 1 })
				for i, action := range []string{"archive", "mute", "contact", "label"} { // the first reading of a part tells nothing
					act(sandbox.StateChange{Action: action, Chat: "549115555111" + strconv.Itoa(i), On: true, Label: "1", Name: "First"})
				}
				b.await("the first reading", func() bool {
					return one[int](b, `SELECT count(*)::int FROM chats WHERE archived OR muted_until IS NOT NULL`) == 2 &&
						one[int](b, `SELECT count(*)::int FROM contacts WHERE saved_name = 'First'`) == 1 &&
						one[int](b, `SELECT count(*)::int FROM labels`) == 1 && handled()
				})
				act(sandbox.StateChange{Action: "label", Label: "3", Name: "Before"}) // of another time, which the same parts hold
				act(sandbox.StateChange{Action: "contact", Chat: juan, Name: "Juan Before"})
				act(sandbox.StateChange{Action: "archive", Chat: "5491155550000", On: true})
				before := func() []int {
					return []int{told(events.LabelUpdated, `d->'label'->>'name' = 'Before'`), told(events.ContactUpdated, `d->'contact'->>'savedName' = 'Juan Before'`),
						told(events.ChatUpdated, `d->'chat'->>'id' LIKE '5491155550000%'`)}
				}
				b.await("what was set before", func() bool { n := before(); return n[0] == 1 && n[1] == 1 && n[2] == 1 && handled() })
				g := b.gate(s.trigger)
				g.shut()
				act(s.change)
				g.await()
				if handled() {
					t.Error("nothing is noted to be handled")
				}
				if dies {
					g.kill(c)
				} else {
					g.breakOff()
				}
				g.open()
				if dies {
					b.connector(same)
				}
				b.await("the setting", func() bool { return one[bool](b, s.set) && handled() })
				b.await("its event", func() bool { return told(s.tells, s.of) > 0 })
				if n := told(s.tells, s.of); n != 1 {
					t.Errorf("it is told %d times", n)
				}
				if n := before(); n[0] != 1 || n[1] != 1 || n[2] != 1 {
					t.Errorf("what was set before is told %d times", n)
				}
			})
		}
	}
}

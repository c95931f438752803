package connector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// heldRow is a message that was set aside; its text names it.
func heldRow(n byte, chat string, change func(*db.MessageListHeldRow)) db.MessageListHeldRow {
	m := db.MessageListHeldRow{ID: uuid.UUID{15: n}, ChatID: chat, Type: events.ContentText, Held: events.WaitsForChat}
	if change != nil {
		change(&m)
	}
	return m
}

// decided says what becomes of messages, by their number.
func decided(p plan) (held map[byte]string, free []byte) {
	held = map[byte]string{}
	for i, id := range p.ids {
		held[id[15]] = p.held[i]
	}
	for _, m := range p.free {
		free = append(free, m.ID[15])
	}
	return held, free
}

func TestPacerLetsGoWhatMay(t *testing.T) {
	t.Parallel()
	cold := func(m *db.MessageListHeldRow) { m.Cold = true }
	known := func(m *db.MessageListHeldRow) { m.Cold, m.Opened = true, true }
	answer := func(m *db.MessageListHeldRow) { m.Answers = true }
	urgent := func(m *db.MessageListHeldRow) { m.Urgent = true }
	released := func(m *db.MessageListHeldRow) { m.Held = events.Released }
	pace := &events.Sending{Pace: &events.Pace{MinSeconds: 10, MaxSeconds: 10}}
	people := &events.Sending{NewContacts: &events.NewContacts{Pace: events.Pace{MinSeconds: 60, MaxSeconds: 60}, PerDay: 5}}
	closed := &events.Sending{Window: &events.Window{From: "09:00", To: "10:00", TimeZone: "UTC"}}
	for _, tt := range []struct {
		name    string
		sending *events.Sending
		change  func(*pacing)
		rows    []db.MessageListHeldRow
		free    []byte
		held    map[byte]string // of those that are not let go
		next    time.Duration
	}{
		{"nothing is paced: one of each chat", nil, nil, []db.MessageListHeldRow{heldRow(1, "a", nil), heldRow(2, "a", nil), heldRow(3, "b", cold)}, []byte{1, 3}, nil, 0},
		{"the chat's earlier one is on its way", nil, nil, []db.MessageListHeldRow{heldRow(1, "a", released), heldRow(2, "a", nil), heldRow(3, "b", nil)}, []byte{3}, nil, 0},
		{"one at a time", pace, nil, []db.MessageListHeldRow{heldRow(1, "a", nil), heldRow(2, "b", nil), heldRow(3, "c", cold)}, []byte{1},
			map[byte]string{2: events.WaitsForPace, 3: events.WaitsForPace}, 10 * time.Second},
		{"answers and what is urgent go", pace, nil, []db.MessageListHeldRow{heldRow(1, "a", nil), heldRow(2, "b", answer), heldRow(3, "c", urgent), heldRow(4, "d", answer)}, []byte{1, 2, 3, 4}, nil, 0},
		{"new contacts apart", people, nil, []db.MessageListHeldRow{heldRow(1, "a", cold), heldRow(2, "b", cold), heldRow(3, "c", nil)}, []byte{1, 3},
			map[byte]string{2: events.WaitsForNewContacts}, time.Minute},
		{"the day's are written to", people, func(p *pacing) { p.opened, p.room = 5, p.now.Add(3*time.Hour) }, []db.MessageListHeldRow{heldRow(1, "a", cold), heldRow(2, "b", known)}, []byte{2},
			map[byte]string{1: events.WaitsForDay}, 3 * time.Hour},
		{"the last of the day's", people, func(p *pacing) {
			p.opened = 4
			p.sending.NewContacts.MinSeconds, p.sending.NewContacts.MaxSeconds = 0, 0
		},
			[]db.MessageListHeldRow{heldRow(1, "a", cold), heldRow(2, "b", cold)}, []byte{1}, map[byte]string{2: events.WaitsForDay}, time.Second},
		{"outside of the window", closed, func(p *pacing) { p.opens = p.now.Add(time.Hour) }, []db.MessageListHeldRow{heldRow(1, "a", nil), heldRow(2, "b", answer), heldRow(3, "c", urgent)}, []byte{2, 3},
			map[byte]string{1: events.WaitsForWindow}, time.Hour},
	} {
		at := pacing{now: time.Now(), sending: tt.sending, typing: time.Second}
		if tt.sending != nil && tt.sending.NewContacts != nil {
			at.limit = tt.sending.NewContacts.PerDay
		}
		at.opens = at.now
		if tt.change != nil {
			tt.change(&at)
		}
		var p pacer
		next := p.look(at, tt.rows)
		held, free := decided(next)
		if !slices.Equal(free, tt.free) {
			t.Errorf("%s: %v go, not %v", tt.name, free, tt.free)
		}
		for n, want := range tt.held {
			if held[n] != want {
				t.Errorf("%s: %d waits for %q, not %q", tt.name, n, held[n], want)
			}
		}
		if got := next.next; tt.next == 0 && !got.IsZero() || tt.next != 0 && !got.Equal(at.now.Add(tt.next)) {
			t.Errorf("%s: it looks again at %s, now is %s", tt.name, got, at.now)
		}
	}
}

func TestPacerKeepsItsWaits(t *testing.T) {
	t.Parallel()
	sending := &events.Sending{Pace: &events.Pace{MinSeconds: 2, MaxSeconds: 6}}
	var p pacer
	at := pacing{now: time.Now(), sending: sending, typing: time.Second}
	var rows []db.MessageListHeldRow
	for n := range byte(50) {
		rows = append(rows, heldRow(n, fmt.Sprint("chat", n), nil))
	}
	short, long := time.Hour, time.Duration(0)
	for len(rows) > 0 {
		next := p.look(at, rows)
		if _, free := decided(next); len(free) != 1 || free[0] != rows[0].ID[15] {
			t.Fatalf("%v go at once", free)
		}
		rows = rows[1:]
		if len(rows) == 0 {
			break
		}
		wait := next.next.Sub(at.now)
		short, long = min(short, wait), max(long, wait)
		at.now = at.now.Add(wait - time.Millisecond)
		if _, free := decided(p.look(at, rows)); len(free) != 0 {
			t.Fatalf("%v go before their time", free)
		}
		at.now = at.now.Add(time.Millisecond)
	}
	if short < 2*time.Second || long > 6*time.Second || long-short < time.Second {
		t.Errorf("the waits are from %s to %s", short, long)
	}
	p.next = at.now.Add(time.Hour) // as the settings were
	rows = []db.MessageListHeldRow{heldRow(1, "a", nil)}
	if got := p.look(at, rows).next.Sub(at.now); got > 6*time.Second {
		t.Errorf("the wait of settings that are no more holds: %s", got)
	}
}

func TestPacerShowsTyping(t *testing.T) {
	t.Parallel()
	conn, another := &connection{}, &connection{}
	var p pacer
	at := pacing{now: time.Now(), conn: conn, typing: time.Second}
	typed := func(m *db.MessageListHeldRow) { m.TypingSeconds = 3 }
	rows := []db.MessageListHeldRow{heldRow(1, "a", typed), heldRow(2, "b", func(m *db.MessageListHeldRow) { m.TypingSeconds, m.Type = 2, events.ContentVoice }), heldRow(3, "a", nil)}
	look := func(after time.Duration, free []byte, say ...typingSaid) {
		t.Helper()
		at.now = at.now.Add(after)
		next := p.look(at, rows)
		if _, got := decided(next); !slices.Equal(got, free) {
			t.Errorf("%v go, not %v", got, free)
		}
		if !slices.Equal(next.say, say) {
			t.Errorf("said %v, not %v", next.say, say)
		}
	}
	typing, recording, endA, endB := typingSaid{"a", "typing"}, typingSaid{"b", "recording"}, typingSaid{"a", "paused"}, typingSaid{"b", "paused"}
	look(0, nil, typing, recording)
	look(500*time.Millisecond, nil)
	look(500*time.Millisecond, nil, typing, recording)
	look(time.Second, []byte{2}, typing, endB)
	rows[1].Held = events.Released
	at.conn = another // it is shown anew
	look(0, nil, typing)
	look(2500*time.Millisecond, nil, typing)
	look(500*time.Millisecond, []byte{1}, endA)
	rows = rows[2:]
	look(0, []byte{3})
	rows = []db.MessageListHeldRow{heldRow(4, "c", typed)}
	look(0, nil, typingSaid{"c", "typing"})
	rows = nil // cancelled
	look(0, nil, typingSaid{"c", "paused"})
	if len(p.begun) != 0 {
		t.Errorf("it still remembers %d messages", len(p.begun))
	}
}

func TestMessagesSetAsideLeaveOnceWhereverTheProcessDies(t *testing.T) {
	t.Parallel()
	for _, point := range []struct{ name, trigger string }{
		{"before they are set aside", `BEFORE UPDATE ON messages FOR EACH ROW WHEN (OLD.held IS NULL AND NEW.held = 'chat')`},
		{"set aside, and not let go", `BEFORE UPDATE ON messages FOR EACH ROW WHEN (OLD.held = 'typing' AND NEW.held = 'released')`},
		{"let go, and nothing has left", `BEFORE UPDATE ON messages FOR EACH ROW WHEN (OLD.held = 'released' AND NEW.status = 'sending')`},
	} {
		t.Run(point.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			same := func(c *Config) { c.Owner, c.TakeOver = "first", true }
			c := b.connector(same)
			b.phone(juan, "Juan")
			b.linked("sales", owner)
			g := b.gate(point.trigger)
			g.shut()
			var ids []uuid.UUID
			var want []string
			for i := range 3 {
				want = append(want, fmt.Sprint("typed ", i))
				ids = append(ids, b.sendTyped("sales", juan, want[i], 1))
			}
			g.await()
			g.kill(c)
			g.open()
			b.connector(same)
			for _, id := range ids {
				b.awaitStatus(id, events.StatusDelivered)
			}
			if got := b.seen(juan); !slices.Equal(got, want) {
				t.Errorf("the phone shows %q, want %q", got, want)
			}
		})
	}
}

// TestALookBesideAMessageThatIsSetAside has keepPace look while a message's row is being set aside, and finds nothing in it yet: the message goes
// all the same, without another to wake keepPace.
func TestALookBesideAMessageThatIsSetAside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone(juan, "Juan")
	b.linked("sales", owner)
	g := b.gate(`BEFORE UPDATE ON messages FOR EACH ROW WHEN (OLD.held IS NULL AND NEW.held = 'chat')`)
	g.shut()
	id := b.sendTyped("sales", juan, "typed", 1)
	g.await()
	s := c.session("sales")
	for range 2 { // where the second is taken, the look for the first is over
		signal(s.toPace)
		b.await("keepPace to look", func() bool { return len(s.toPace) == 0 })
	}
	g.open()
	b.awaitStatus(id, events.StatusDelivered)
}

package connector

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// accept accepts texts as the API does, all at once, each to a chat.
func (b *bench) accept(session string, to ...string) (ids []uuid.UUID) {
	b.Helper()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		ids = nil
		for i, chat := range to {
			id := events.NewID()
			content, _ := json.Marshal(events.Content{Type: events.ContentText, Text: fmt.Sprintf("%d to %s", i, chat)})
			_, err := tx.Exec(b.ctx(), `INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
				VALUES ($1, $2, $3, $4, 'outgoing', 'queued', 'text', $5, now())`, id, session, chat, "3EB0"+id.String()[:8]+id.String()[30:], content)
			if err != nil {
				return err
			}
			payload, _ := json.Marshal(events.SendCommand{MessageID: id, SessionID: session})
			tx.Publish(events.TopicCommands, queue.Message{
				ID: id, Lane: events.SendLane(session), Session: session, Payload: payload, Metadata: map[string]string{events.MetaCommand: events.CommandSend},
			})
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return ids
}

// everybody makes a group of a phone's with so many participants, of whom all but it and the other are nothing but keys.
func (b *bench) everybody(owner, other string, size int) (jid string) {
	b.Helper()
	people := []string{other}
	if _, _, err := b.sandbox.CreatePhone(b.ctx(), sandbox.NewPhone{Number: "5491160000000", Name: "Crowd", Level: server.Stub, Count: size - 2}); err != nil {
		b.Fatal(err)
	}
	for i := range size - 2 {
		people = append(people, fmt.Sprint(5491160000000+i))
	}
	g, err := b.sandbox.CreateGroup(b.ctx(), owner, sandbox.NewGroup{Subject: "Everybody", Participants: people})
	if err != nil {
		b.Fatal(err)
	}
	if len(g.Participants) != size {
		b.Fatalf("the group has %d participants", len(g.Participants))
	}
	return g.JID
}

// awaitTold waits until it was told that a message was sent.
func (b *bench) awaitTold(id uuid.UUID) {
	b.Helper()
	b.await("message to be sent", func() bool {
		return slices.Contains(b.sent(), id)
	})
}

// sent are the messages that were sent, in the order in which it was told.
func (b *bench) sent() (ids []uuid.UUID) {
	for _, e := range b.events(events.MessageSent) {
		ids = append(ids, mustParse(b, e.Data.Message.ID))
	}
	return ids
}

func TestABigGroupDelaysNoOtherChat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mu sync.Mutex
	var parts []whatsmeow.MessageDebugTimings
	c := b.prepared()
	c.timed = func(_ types.JID, m whatsmeow.MessageDebugTimings) {
		mu.Lock()
		defer mu.Unlock()
		parts = append(parts, m)
	}
	if err := c.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.phone("5491150000002", "Bert")
	b.linked("a", "5491150000001")
	group, bert := b.everybody("5491150000001", "5491150000002", 1024), "5491150000002@"+events.PhoneServer
	b.awaitTold(b.accept("a", bert)[0]) // they have met
	// Each question to WhatsApp takes a third of a second, of which a send to the group asks some.
	b.sandbox.SetFaults(server.Faults{QueryDelay: 300 * time.Millisecond})
	before := len(b.sent())
	ids := b.accept("a", group, bert, group, bert)
	for _, id := range ids {
		b.awaitTold(id)
	}
	order := b.sent()[before:]
	if want := []uuid.UUID{ids[1], ids[3], ids[0], ids[2]}; fmt.Sprint(order) != fmt.Sprint(want) {
		t.Errorf("sent in the order %v, want %v", order, want)
	}
	var texts []string
	for _, text := range b.shown("5491150000002", 5)[1:] {
		texts = append(texts, text[:1])
	}
	if fmt.Sprint(texts) != "[1 3 0 2]" {
		t.Errorf("the phone saw %v", texts)
	}
	// Prepared once, a group waits for no question any more.
	mu.Lock()
	parts = nil
	mu.Unlock()
	ids = b.accept("a", group, bert)
	b.awaitTold(ids[1])
	if order := b.sent()[before+4:]; order[0] != ids[0] {
		t.Errorf("sent in the order %v, want %v", order, ids)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked := parts[0].GetParticipants + parts[0].GetDevices; asked >= 300*time.Millisecond {
		t.Errorf("a send to a group that is prepared asked for %v: %s", asked, parts[0])
	}
}

// BenchmarkBigGroup sends to a group of 1,024, three times: the first time ever, again, and after a reconnect, each time with a message for
// somebody else right behind. Questions and acknowledgements take 100 ms each. It reports, in milliseconds, how long the group's
// message took in all, its own encryption, and the other message: "prepared" as the connector does it, "whatsmeow" as whatsmeow would by
// itself. Run it with -benchtime 1x.
func BenchmarkBigGroup(b *testing.B) {
	for _, unprepared := range []bool{false, true} {
		name := "prepared"
		if unprepared {
			name = "whatsmeow"
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				measureBigGroup(b, unprepared)
			}
		})
	}
}

func measureBigGroup(tb *testing.B, unprepared bool) {
	type send struct {
		to    types.JID
		parts whatsmeow.MessageDebugTimings
		at    time.Time
	}
	b, sends := setup(tb), make(chan send, 16)
	c := b.prepared()
	c.unprepared = unprepared
	c.timed = func(to types.JID, m whatsmeow.MessageDebugTimings) { sends <- send{to, m, time.Now()} }
	if err := c.Start(b.ctx()); err != nil {
		b.Fatal(err)
	}
	b.phone("5491150000002", "Bert")
	b.linked("a", "5491150000001")
	group, bert := b.everybody("5491150000001", "5491150000002", 1024), "5491150000002@"+events.PhoneServer
	b.awaitTold(b.accept("a", bert)[0])
	<-sends
	b.sandbox.SetFaults(server.Faults{QueryDelay: 100 * time.Millisecond, AckDelay: 100 * time.Millisecond})
	for _, round := range []string{"first", "again", "reconnected"} {
		if round == "reconnected" {
			b.sandbox.Disconnect("5491150000001")
			b.await("another connection", func() bool { return len(b.states("a", events.StateReconnecting)) == 1 })
			b.awaitState("a", events.StateConnected)
		}
		began := time.Now()
		ids := b.accept("a", group, bert)
		for range ids {
			s := <-sends
			who := "other"
			if s.to.Server == types.GroupServer {
				who = "group"
				tb.ReportMetric(float64(s.parts.PeerEncrypt.Milliseconds()), round+"-encrypt-ms")
				tb.Logf("%s: %s: %s", tb.Name(), round, s.parts)
			}
			tb.ReportMetric(float64(s.at.Sub(began).Milliseconds()), round+"-"+who+"-ms")
		}
		b.awaitTold(ids[0])
	}
}

// states are the times that a session was told to be in a state.
func (b *bench) states(id string, state events.SessionState) (list []event) {
	b.Helper()
	for _, e := range b.events(events.SessionStatus) {
		if e.SessionID == id && e.Data.Session.State == state {
			list = append(list, e)
		}
	}
	return list
}

func TestAGroupThatIsPreparedAsksForNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.phone("5491150000002", "Bert")
	b.linked("a", "5491150000001")
	group := b.everybody("5491150000001", "5491150000002", 300)
	jid, _ := types.ParseJID(group)
	if err := connected(c, "a").warm(b.ctx(), jid); err != nil {
		t.Fatal(err)
	}
	b.sandbox.SetFaults(server.Faults{QueryDelay: time.Minute}) // longer than anything here waits
	b.awaitTold(b.accept("a", group)[0])
	b.shown("5491150000002", 1)
}
